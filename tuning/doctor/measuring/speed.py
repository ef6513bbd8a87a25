"""How fast is it? Steps of this package's optimizers against those of Keras's, and whole training steps, on each device.

What is compared is timed in turn, round by round, and each time ends when the device has finished; the medians count.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import keras
import numpy as np

import keras_optims
from keras_optims.testing.compiled_step import CompiledStep
from tuning.doctor.measuring import number_or_none
from tuning.doctor.measuring.devices import to_measure

ROUNDS = 25
STEPS_A_ROUND = 2
LAYERS = [(256, 256), (256,)] * 20
"""The variables that the optimizers alone update: 40, with 1.3 million weights."""

_OURS_AND_KERAS = {
    "momentum": (keras_optims.Momentum, lambda: keras.optimizers.SGD(momentum=0.9)),
    "adagrad": (keras_optims.Adagrad, keras.optimizers.Adagrad),
    "rmsprop": (keras_optims.RMSprop, keras.optimizers.RMSprop),
    "adam": (keras_optims.Adam, keras.optimizers.Adam),
}


def synchronized() -> dict:
    """200 steps of Adam one after the other, and the same with a wait for the device after each: the weights must be the same.

    Returns:
        `{device: largest difference of a weight, as a share of the largest way that one has gone}`; `None` where it is no number.
    """
    return {label: _difference(device) for label, device in to_measure().items()}


def _difference(device) -> float | None:
    ends, start = [], np.linspace(-1, 1, 5000).reshape(50, 100)
    for waits in (False, True):
        with keras.device(device):
            weights = keras.Variable(start, dtype="float32", name="weights")
            step = CompiledStep(keras_optims.Adam(learning_rate=0.01), [weights])
            for _ in range(200):
                step([keras.ops.multiply(weights, 1.0)])  # θ itself, the gradient of θ²/2
                if waits:
                    _wait(step)
            ends.append(step.weights()[0])
    return number_or_none(np.abs(ends[0] - ends[1]).max() / np.abs(ends[1] - start).max())


def optimizers() -> dict:
    """`{device: {optimizer: {"ours": seconds per step, "keras": seconds per step}}}`, without a model."""
    return {label: _optimizers_on(device) for label, device in to_measure().items()}


def _optimizers_on(device) -> dict:
    found = {}
    with keras.device(device):
        for name, both in _OURS_AND_KERAS.items():
            ours, of_keras = (_steps(make) for make in both)
            found[name] = _medians({"ours": ours, "keras": of_keras}, STEPS_A_ROUND)
    return found


def _steps(make) -> Callable[[], None]:
    rng = np.random.default_rng(0)
    step = CompiledStep(make(), [keras.Variable(rng.normal(size=s), dtype="float32", name=f"v{i}") for i, s in enumerate(LAYERS)])
    gradients = [keras.ops.convert_to_tensor(rng.normal(size=shape).astype("float32")) for shape in LAYERS]

    def run():
        for _ in range(STEPS_A_ROUND):
            step(gradients)
        _wait(step)

    return run


def _wait(step):
    """Until the device has done all: its queue is in order, so the smallest variable is ready last."""
    keras.ops.convert_to_numpy(min(step.variables, key=lambda variable: np.prod(variable.shape)))


def models() -> dict:
    """`{device: {model: {"ours": seconds per step, "keras": seconds per step}}}`: `train_on_batch`, which waits, with Adam."""
    return {label: {name: _model_on(device, name) for name in _MODELS} for label, device in to_measure().items()}


def _model_on(device, name) -> dict:
    with keras.device(device):
        return _medians({"ours": _training(name, keras_optims.Adam), "keras": _training(name, keras.optimizers.Adam)}, 1)


def _training(name, make_optimizer) -> Callable[[], None]:
    batch, shape, layers = _MODELS[name]
    model = keras.Sequential([keras.Input(shape), *layers(), keras.layers.Dense(10)])
    model.compile(make_optimizer(), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(batch, *shape)).astype("float32"), rng.integers(0, 10, batch)
    return lambda: model.train_on_batch(x, y)


def _small():
    return [keras.layers.Dense(128, activation="relu")]


def _large():
    return [keras.layers.Dense(1024, activation="relu") for _ in range(3)]


def _convolutional():
    convolution = [keras.layers.Conv2D(filters, 3, activation="relu", strides=2) for filters in (32, 64)]
    return [*convolution, keras.layers.Flatten(), keras.layers.Dense(128, activation="relu")]


_MODELS = {
    "small dense net": (64, (784,), _small),
    "large dense net": (256, (784,), _large),
    "convolutional net": (128, (32, 32, 3), _convolutional),
}
"""Name → (batch size, shape of a sample, layers before the last one, which has 10 units)."""


def _medians(candidates: dict[str, Callable[[], None]], steps: int) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(2):  # compiles
        for run in candidates.values():
            run()
    for _ in range(ROUNDS):
        for name, run in candidates.items():
            began = time.perf_counter()
            run()
            times[name].append((time.perf_counter() - began) / steps)
    return {name: statistics.median(each) for name, each in times.items()}
