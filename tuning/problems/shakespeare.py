"""Plays of Shakespeare, a character at a time, and a small transformer: the shape of model that language models have."""

from __future__ import annotations

import functools

import keras
import numpy as np
from keras import ops

from tuning.errors import SearchError
from tuning.problems.axes import TRANSFORMER
from tuning.problems.datasets import load_shakespeare
from tuning.problems.layers import dropped
from tuning.problems.problem import Data, Problem

CONTEXT = 128  # characters
CHARACTERS = 65  # different ones


def shakespeare_gpt(data_dir=None) -> Problem:
    """The next character of `tinyshakespeare.txt`, by a transformer of 4 layers, width 128 and 4 heads; batch size 32.

    A decoder as GPT-2's (Radford et al. 2019): learned positions, normalization before attention and before a net of four times
    the width with GELU, causal attention, weights from a normal distribution of deviation 0.02; 0.8 million weights. Other than
    there, the projections that end a branch begin as the others, and the last layer does not share the embedding's weights.

    The text is cut into pieces of 128 characters, of each of which all characters are predicted from those before. The first
    90 % of the text train, as is the convention; of the rest the first half validates, the second tests. The objective is the
    mean cross-entropy, in nats a character. `width` must be a multiple of `heads`.
    """
    return Problem(
        name="shakespeare_gpt",
        data=functools.partial(pieces, data_dir),
        model=_gpt,
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        objective="val_loss",
        batch_size=32,
        epochs=2,
        axes=TRANSFORMER,
        searched=(),
    )


def pieces(data_dir=None) -> Data:
    """Numbers of characters, in the order of their codes: x uint8 and y int32, both of shape (n, `CONTEXT`)."""
    text = np.frombuffer(load_shakespeare(data_dir), np.uint8)
    numbers = np.searchsorted(np.unique(text), text).astype(np.uint8)
    train, rest = np.split(numbers, [int(0.9 * len(numbers))])
    validation, test = np.split(rest, [len(rest) // 2])
    return Data(_cut(train), _cut(validation), _cut(test))


def _cut(numbers):
    count = (len(numbers) - 1) // CONTEXT
    x, y = numbers[: count * CONTEXT], numbers[1 : count * CONTEXT + 1]
    return x.reshape(count, CONTEXT), y.reshape(count, CONTEXT).astype(np.int32)


def _gpt(layers: int = 4, width: int = 128, heads: int = 4, dropout: float = 0.0) -> keras.Model:
    if width % heads:
        raise SearchError(f"The width of shakespeare_gpt must be a multiple of its heads; received {width} and {heads}.")
    characters = keras.Input((CONTEXT,), dtype="uint8")
    x = keras.layers.Embedding(CHARACTERS, width, embeddings_initializer=_normal())(characters)
    x = _dropped(Positions(CONTEXT, width, embeddings_initializer=_normal())(x), dropout)
    for _ in range(layers):
        x = x + _attended(x, width, heads, dropout)
        x = x + _changed(x, width, dropout)
    return keras.Model(characters, _dense(CHARACTERS)(_normalized(x)))


def _attended(x, width, heads, dropout):
    x = _normalized(x)
    attention = keras.layers.MultiHeadAttention(heads, width // heads, dropout=dropout, kernel_initializer=_normal())
    return _dropped(attention(x, x, use_causal_mask=True), dropout)


def _changed(x, width, dropout):
    hidden = _dense(4 * width, "gelu")(_normalized(x))
    return _dropped(_dense(width)(hidden), dropout)


def _normal():
    return keras.initializers.RandomNormal(
        stddev=0.02
    )  # a new one for each layer: it draws the same numbers each time it is called


def _dense(units, activation=None):
    return keras.layers.Dense(units, activation=activation, kernel_initializer=_normal())


def _normalized(x):
    return keras.layers.LayerNormalization(epsilon=1e-5)(x)


def _dropped(x, dropout):
    for layer in dropped(dropout):
        x = layer(x)
    return x


@keras.saving.register_keras_serializable(package="tuning")
class Positions(keras.layers.Embedding):
    """Adds to each vector of a sequence the one of its position: (batch, `input_dim`, `output_dim`) stays of that shape."""

    def call(self, inputs):
        """The vectors and their positions', added."""
        return inputs + ops.cast(self.embeddings, inputs.dtype)

    def compute_output_shape(self, input_shape):
        """The shape does not change."""
        return input_shape
