"""What the problems that classify images have in common."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import keras

from tuning.problems.datasets import Images
from tuning.problems.layers import dropped
from tuning.problems.problem import Data, Problem, split

VALIDATION_SAMPLES = 10_000  # held out of the training images, as many as the test sets have, as DeepOBS does


def image_problem(
    name: str, load: Callable[..., Images], data_dir, model, epochs: int, axes: Mapping[str, Any], batch_size: int = 128
) -> Problem:
    """A problem with images and cross-entropy."""
    return Problem(
        name=name,
        data=functools.partial(images, load, data_dir),
        model=model,
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        batch_size=batch_size,
        epochs=epochs,
        axes=axes,
        searched=(),
    )


def images(load: Callable[..., Images], data_dir, one_hot: bool = False) -> Data:
    """Pixels as uint8 of shape (n, height, width, channels), also of grey images; labels int32, or one-hot.

    As they are on disk: as float32 they would take four times the memory, in each process. The model scales them.
    """

    def ready(part):
        x, y = part
        x = x[..., None] if x.ndim == 3 else x
        return x, keras.utils.to_categorical(y, 10) if one_hot else y.astype("int32")

    train, validation, test = parts(load, data_dir)
    return Data(ready(train), ready(validation), ready(test))


def pixels(shape: tuple[int, int, int]) -> list:
    """What a model of these images begins with: pixels of 0..255 come in as uint8, and go on in [0, 1]."""
    return [keras.Input(shape, dtype="uint8"), keras.layers.Rescaling(1 / 255)]


def parts(load: Callable[..., Images], data_dir):
    """`(x, y)` to train, to validate and to test, as they are on disk."""
    train, test = load(data_dir)
    return *split(train, min(VALIDATION_SAMPLES, len(train[0]) // 5)), test


def small_cnn(shape: tuple[int, int, int], filters: int = 16, activation: str = "relu", dropout: float = 0.0) -> keras.Model:
    """Convolutions with 16 and 32 filters of 3x3, each followed by pooling, and a dense layer, for images of this shape.

    `filters`: of the first; the second has twice as many. `dropout`: before the dense layer.
    """
    layers = keras.layers
    return keras.Sequential(
        [
            *pixels(shape),
            layers.Conv2D(filters, 3, activation=activation, data_format="channels_last"),
            layers.MaxPooling2D(2, data_format="channels_last"),
            layers.Conv2D(2 * filters, 3, activation=activation, data_format="channels_last"),
            layers.MaxPooling2D(2, data_format="channels_last"),
            layers.Flatten(),
            *dropped(dropout),
            layers.Dense(10),
        ]
    )
