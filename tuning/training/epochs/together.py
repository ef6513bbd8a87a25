"""Many models of one structure trained in one program (JAX): `vmap` over weights, slots, hyperparameters and generators.

On an accelerator a small model leaves most of the device idle, and many of them take hardly longer than one.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from tuning.training import epochs
from tuning.training.epochs import jax as pure
from tuning.training.measured import as_in_fit

MEASURED_SIZES = (8, 32)


class Together:
    """The compiled epochs of `size` copies of a model.

    Args:
        model: compiled and built; it computes metrics from their variables, and is in any state afterwards.
        way: as of `tuning.training.epochs`.
        size: how many.
    """

    def __init__(self, model: keras.Model, way: str, size: int):
        self.way, self.size, self._model = way, size, model
        bind = functools.partial
        self._train_epoch = _batched(bind(pure.train_epoch, model), (0, None, 0), sizes=1)
        self._test_epoch = _batched(bind(pure.test_epoch, model), (0, None), sizes=1)
        self._train_step = _batched(bind(pure.train_step, model), (0, None, 0))
        self._test_step = _batched(bind(pure.test_step, model), (0, None, None), sizes=1)

    def train(self, state, data, orders: np.ndarray, batch_size: int):
        """The states after an epoch; each model has its own order of the samples, a row of `orders`."""
        if self.way == "scan":
            return self._train_epoch(state, data, orders, batch_size)
        for first in range(0, orders.shape[1], batch_size):
            state = self._train_step(state, data, orders[:, first : first + batch_size])
        return state

    def test(self, state, data, batch_size: int):
        """The states after evaluating all samples."""
        trainable, others, slots, metrics = state
        state = (trainable, others, metrics)
        count = int(keras.tree.flatten(data)[0].shape[0])
        if self.way == "scan":
            state = self._test_epoch(state, data, min(batch_size, count))
        else:
            for first in range(0, count, batch_size):
                state = self._test_step(state, data, first, min(batch_size, count - first))
        trainable, others, metrics = state
        return trainable, others, slots, metrics

    def metrics(self, state) -> list[dict[str, Any]]:
        """The metrics of each model."""
        values = [np.asarray(value) for value in state[3]]
        results = []
        for i in range(self.size):
            for variable, value in zip(self._model.metrics_variables, values, strict=True):
                variable.assign(value[i])
            results.append(as_in_fit(self._model.get_metrics_result()))
        return results

    def without_metrics(self, state):
        """The states with metrics that have counted nothing."""
        self._model.reset_metrics()
        zero = [jnp.stack([variable.value] * self.size) for variable in self._model.metrics_variables]
        return (*state[:3], zero)


def state_of(model: keras.Model) -> tuple:
    """All that training changes, as arrays of their own."""
    return tuple([jnp.copy(variable.value) for variable in group] for group in pure.train_variables(model))


def stacked(states: Sequence[tuple], size: int) -> tuple:
    """One state of `size` models; the last one fills up what is missing, so that a smaller group compiles nothing anew."""
    states = [*states, *[states[-1]] * (size - len(states))]
    return jax.tree.map(lambda *arrays: jnp.stack(arrays), *states)


def fit_together(
    compiled: Together,
    states: Sequence[tuple],
    seeds: Sequence[int],
    epoch_ended: Callable[[int, int, dict[str, float], Callable[[], tuple]], bool],
    x,
    y,
    *,
    batch_size: int | None = None,
    first: Sequence[int],
    epochs_of: Sequence[int],
    validation_data=None,
    validation_split: float = 0.0,
    validation_batch_size: int | None = None,
    shuffle: bool = True,
) -> None:
    """Trains models from their states, as `tuning.training.epochs.fit` does one by one.

    Args:
        compiled: for at least as many models.
        states: of `state_of`, one of each model.
        seeds: of each one's order of the samples.
        epoch_ended: called with (index of the model, epoch, metrics, a function that gives the model's state); returns True if
            this model is to stop.
        first: the epoch at which each one begins.
        epochs_of: how many epochs each one has when it ends.
        x, y, batch_size, validation_data, validation_split, validation_batch_size, shuffle: as of `tuning.training.epochs.fit`.
    """
    batch_size = batch_size or 32
    train, validation = epochs.prepared(x, y, validation_data, validation_split)
    count = epochs.count(train)
    generators = [np.random.default_rng(seed) for seed in seeds]
    for generator, begun in zip(generators, first, strict=True):
        for _ in range(begun if shuffle else 0):
            generator.permutation(count)
    state, running = stacked(states, compiled.size), set(range(len(states)))
    for later in range(max(last - begun for begun, last in zip(first, epochs_of, strict=True))):
        orders = [generator.permutation(count) if shuffle else np.arange(count) for generator in generators]
        orders += [orders[-1]] * (compiled.size - len(orders))
        state = compiled.train(compiled.without_metrics(state), train, np.stack(orders).astype("int32"), batch_size)
        logs = compiled.metrics(state)
        if validation is not None:
            state = compiled.test(compiled.without_metrics(state), validation, validation_batch_size or batch_size)
            for log, results in zip(logs, compiled.metrics(state), strict=True):
                log.update({f"val_{name}": value for name, value in results.items()})
        for i in sorted(running):
            epoch = first[i] + later
            if epoch_ended(i, epoch, logs[i], functools.partial(_one_of, state, i)) or epoch + 1 >= epochs_of[i]:
                running.discard(i)
        if not running:
            break


def _one_of(state: tuple, i: int) -> tuple:
    """The state of one of the models that train together."""
    return jax.tree.map(lambda array: np.array(array[i]), state)


def fastest_size(model: keras.Model, way: str, train, batch_size: int) -> tuple[int, dict[int, float]]:
    """How many models at once train fastest, and what was measured: size -> seconds per step and model."""
    count = epochs.count(train)
    order = np.arange(min(count // batch_size or 1, epochs.MEASURED_STEPS) * batch_size, dtype="int32") % count
    measured = {}
    for size in (1, *MEASURED_SIZES):
        compiled, orders = Together(model, way, size), np.stack([order] * size)
        state = compiled.without_metrics(stacked([state_of(model)], size))
        times = []
        for _ in range(4):  # the first one compiles
            clock = time.perf_counter()
            state = jax.block_until_ready(compiled.train(state, train, orders, batch_size))
            times.append(time.perf_counter() - clock)
        measured[size] = min(times[1:]) / (size * (len(order) // batch_size))
    best = min(measured, key=measured.__getitem__)
    return (best if measured[best] < epochs.CLEARLY * measured[1] else 1), measured


def _batched(function, axes, sizes: int = 0):
    """`function(state, data, ..., size)` over many states at once; the last `sizes` arguments are compiled in."""
    mapped = len(axes)

    @functools.partial(jax.jit, static_argnums=tuple(range(mapped, mapped + sizes)), donate_argnums=0)
    def call(*arguments):
        return jax.vmap(lambda *arrays: function(*arrays, *arguments[mapped:]), in_axes=axes)(*arguments[:mapped])

    return call
