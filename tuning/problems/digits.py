"""scikit-learn's digits: real handwriting that ships with a dependency, so it needs no network."""

import keras
import numpy as np

from tuning.problems.axes import PERCEPTRON
from tuning.problems.layers import hidden
from tuning.problems.problem import Data, Problem, split


def digits_mlp() -> Problem:
    """1,797 digits of 8x8 pixels in 17 grey levels (UCI, Alpaydin and Kaynak 1998) and a 64-64-10 perceptron.

    360 samples are the test data, another 360 the validation data; a trial of 20 epochs takes about a second.
    """
    return Problem(
        name="digits_mlp",
        data=_data,
        model=_model,
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        batch_size=32,
        epochs=20,
        description="8x8 handwritten digits, 64-64-10 perceptron",
        axes=PERCEPTRON,
        searched=(),
    )


def _data() -> Data:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    rest, test = split((x.astype("float32") / 16, y.astype(np.int32)), 360)
    train, validation = split(rest, 360)
    return Data(train, validation, test)


def _model(units: int = 64, layers: int = 1, activation: str = "relu", dropout: float = 0.0) -> keras.Model:
    return keras.Sequential([keras.Input((64,)), *hidden(units, layers, activation, dropout), keras.layers.Dense(10)])
