"""Is the forward pass right? Layers as `fit` runs them, against the same in NumPy's float64.

A wrong forward pass trains badly, and the optimizer gets the blame: so it is measured here, without any optimizer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from tuning.doctor.measuring import number_or_none, only_on_tensorflow
from tuning.doctor.measuring.devices import to_measure

_NOT_HERE = "the reported wrong results are of TensorFlow's graphs"

BATCH, INPUTS, UNITS = 32, 64, 48
IMAGE, KERNEL = (12, 12, 3), (3, 3, 3, 16)

_ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.2 * x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
}


@only_on_tensorflow(_NOT_HERE)
def forward() -> dict:
    """Layers of several activations, a model of them, and the gradient of the one with ReLU, eagerly and as a graph.

    Returns:
        `{"rows": [{"layer", "mode", "device", "error"}]}`; the error is the largest difference as a share of the largest value,
        `None` where it is no number.
    """
    devices, layers = to_measure().items(), _layers().items()
    return {
        "rows": [
            {"layer": name, "mode": mode, "device": label, "error": _error(mode, device, *layer)}
            for label, device in devices
            for name, layer in layers
            for mode in ("eager", "graph")
        ]
    }


@only_on_tensorflow(_NOT_HERE)
def protected() -> dict:
    """As `forward`, with what `keras_optims.metal.protect()` sets on a Mac; in a process that has computed nothing yet."""
    import tensorflow as tf

    from keras_optims.metal.protection import OPTIONS

    tf.config.optimizer.set_experimental_options(OPTIONS)
    return forward()


def _error(mode: str, device, make, inputs, right) -> float | None:
    import tensorflow as tf

    with keras.device(device):
        compute = make()
        got = (tf.function(compute) if mode == "graph" else compute)(tf.constant(inputs))
    return number_or_none(np.abs(np.asarray(got, "float64") - right).max() / np.abs(right).max())


def _layers() -> dict[str, tuple[Callable[[], Callable[[Any], Any]], np.ndarray, np.ndarray]]:
    """Name → (makes the function on TensorFlow, with variables of its own; its argument; what is right)."""
    import tensorflow as tf

    x, w, b, v = (_normal(*shape) for shape in ((BATCH, INPUTS), (INPUTS, UNITS), (UNITS,), (UNITS, 10)))
    image, kernel, bias = _normal(BATCH, *IMAGE), _normal(*KERNEL), _normal(KERNEL[-1])

    def dense(activation):
        def make():
            function, weights, biases = keras.activations.get(activation), tf.Variable(w), tf.Variable(b)
            return lambda x: function(tf.nn.bias_add(tf.matmul(x, weights), biases))

        return make

    def gradient():
        weights, biases = tf.Variable(w), tf.Variable(b)

        def compute(x):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(keras.activations.relu(tf.nn.bias_add(tf.matmul(x, weights), biases)))
            return tape.gradient(loss, weights)

        return compute

    def model(inputs, make_layers, weights):
        def make():
            built = keras.Sequential([keras.Input(inputs.shape[1:]), *make_layers()])
            built.set_weights(weights)
            return built

        return make

    def dense_layers():
        return [keras.layers.Dense(UNITS), keras.layers.ReLU(), keras.layers.Dense(10, activation="relu")]

    def convolution():
        return [keras.layers.Conv2D(KERNEL[-1], KERNEL[:2], activation="relu")]

    before = _wide(x) @ _wide(w) + _wide(b)
    hidden = np.maximum(before, 0)
    layers = {f"dense with {name}": (dense(name), x, right(before)) for name, right in _ACTIVATIONS.items()}
    layers["gradient of dense with relu"] = (gradient, x, _wide(x).T @ (before > 0).astype("float64"))
    layers["Keras model of dense layers with relu"] = (
        model(x, dense_layers, [w, b, v, b[:10]]),
        x,
        np.maximum(hidden @ _wide(v) + _wide(b[:10]), 0),
    )
    layers["Keras model of a convolution with relu"] = (
        model(image, convolution, [kernel, bias]),
        image,
        np.maximum(_convolution(_wide(image), _wide(kernel)) + _wide(bias), 0),
    )
    return layers


def _convolution(images, kernel):
    """Without padding, in steps of one; the last axis of the images is their channels."""
    windows = np.lib.stride_tricks.sliding_window_view(images, kernel.shape[:2], axis=(1, 2))
    return np.einsum("nxychw,hwcf->nxyf", windows, kernel)


def _normal(*shape):
    """Positive and negative numbers, the same each time."""
    return np.random.default_rng(sum(shape)).normal(size=shape).astype("float32")


def _wide(array):
    return array.astype("float64")
