"""Is the forward pass right? Layers as `fit` runs them, against the same in NumPy's float64.

A wrong forward pass trains badly, and the optimizer gets the blame: so it is measured here, without any optimizer.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from tuning.doctor.measuring.devices import to_measure

BATCH, INPUTS, UNITS = 32, 64, 48

_ACTIVATIONS = {
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.2 * x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
}


def forward() -> dict:
    """Dense layers of several activations, and the gradient of the one with ReLU, eagerly and as a graph, on each device.

    Returns:
        `{"rows": [{"layer", "mode", "device", "error"}]}`; the error is the largest difference as a share of the largest value,
        `None` where it is no number.
    """
    if keras.backend.backend() != "tensorflow":
        return {"skipped": "the reported wrong results are of TensorFlow's graphs"}
    return {"rows": [_row(layer, mode, *of) for of in to_measure().items() for layer in _layers() for mode in ("eager", "graph")]}


def protected() -> dict:
    """As `forward`, with what `keras_optims.metal.protect()` sets on a Mac; in a process that has computed nothing yet."""
    if keras.backend.backend() != "tensorflow":
        return {"skipped": "the reported wrong results are of TensorFlow's graphs"}
    import tensorflow as tf

    from keras_optims.metal.protection import OPTIONS

    tf.config.optimizer.set_experimental_options(OPTIONS)
    return forward()


def _row(layer: str, mode: str, label: str, device) -> dict:
    import tensorflow as tf

    compute, right = _layers()[layer]
    with keras.device(device):
        got = (tf.function(compute) if mode == "graph" else compute)(*map(tf.constant, _inputs()))
    error = np.abs(np.asarray(got, "float64") - right).max() / np.abs(right).max()
    return {"layer": layer, "mode": mode, "device": label, "error": float(error) if np.isfinite(error) else None}


def _inputs():
    """x, W and b: positive and negative results."""
    rng = np.random.default_rng(0)
    return tuple(rng.normal(size=shape).astype("float32") for shape in ((BATCH, INPUTS), (INPUTS, UNITS), (UNITS,)))


def _layers() -> dict[str, tuple[Any, np.ndarray]]:
    """Name → (on TensorFlow, a function of x, W and b; what is right)."""
    import tensorflow as tf

    def dense(activation):
        function = keras.activations.get(activation)
        return lambda x, w, b: function(tf.nn.bias_add(tf.matmul(x, w), b))

    def gradient(x, w, b):
        with tf.GradientTape() as tape:
            tape.watch(w)
            loss = tf.reduce_sum(dense("relu")(x, w, b))
        return tape.gradient(loss, w)

    x, w, b = (each.astype("float64") for each in _inputs())
    before = x @ w + b
    layers = {f"dense with {name}": (dense(name), right(before)) for name, right in _ACTIVATIONS.items()}
    return layers | {"gradient of dense with relu": (gradient, x.T @ (before > 0).astype("float64"))}
