"""A number: how far a disease has come after a year. Put your data, your model and your metric in the place of these."""

import keras
from keras import ops
from sklearn.datasets import load_diabetes

import tuning


def data():
    """Called once in each process that trains. A fifth of `train`, always the same, is held out to select settings by."""
    x, y = load_diabetes(return_X_y=True, scaled=False)  # (442, 10); (442,), from 25 to 346
    x = ((x - x.mean(axis=0)) / x.std(axis=0)).astype("float32")
    y = (y[:, None] / 100).astype("float32")  # of a size that a new model reaches
    return tuning.Data(train=(x[:352], y[:352]), test=(x[352:], y[352:]))


def model():
    """A new model for each trial, not compiled."""
    return keras.Sequential([keras.Input((10,)), keras.layers.Dense(32, activation="relu"), keras.layers.Dense(1)])


def relative_error(true, predicted):
    """A metric of one's own: one number for each sample, of which the mean is reported under the function's name."""
    return ops.mean(ops.abs(predicted - true) / true, axis=-1)


def make_problem():
    """What `--problem` names."""
    return tuning.Problem(
        name="my_numbers",
        data=data,
        model=model,
        loss="mse",
        metrics=[relative_error],
        objective="val_relative_error",  # without one it would be val_loss
        direction="min",  # of metrics that Keras has it is known
        batch_size=32,
        epochs=20,
    )
