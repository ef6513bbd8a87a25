"""Classes: handwritten digits, 8 by 8 pixels each. Put your data, your model and your loss in the place of these."""

import keras
from sklearn.datasets import load_digits

import tuning


def data():
    """Called once in each process that trains. A fifth of `train`, always the same, is held out to select settings by."""
    x, y = load_digits(return_X_y=True)  # (1797, 64), from 0 to 16; (1797,), the classes from 0 to 9
    x = (x / 16).astype("float32")
    return tuning.Data(train=(x[:1440], y[:1440]), test=(x[1440:], y[1440:]))


def model():
    """A new model for each trial, not compiled."""
    return keras.Sequential([keras.Input((64,)), keras.layers.Dense(64, activation="relu"), keras.layers.Dense(10)])


def make_problem():
    """What `--problem` names."""
    return tuning.Problem(
        name="my_digits",
        data=data,
        model=model,
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        objective="val_accuracy",
        batch_size=32,
        epochs=10,
    )
