"""Compiled epochs on JAX: pure functions of the model's state."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import keras


class Epochs:
    """See `tuning.training.epochs`.

    Args:
        model: compiled and built.
        way: `"scan"` or `"step"`.
    """

    def __init__(self, model: keras.Model, way: str):
        self.way = way
        self._model = model
        self._train_epoch = jax.jit(functools.partial(train_epoch, model), static_argnums=3, donate_argnums=0)
        self._test_epoch = jax.jit(functools.partial(test_epoch, model), static_argnums=2, donate_argnums=0)
        self._train_step = jax.jit(functools.partial(train_step, model), donate_argnums=0)
        self._test_step = jax.jit(functools.partial(test_step, model), static_argnums=3, donate_argnums=0)

    def seed(self, seed: int) -> None:
        """Nothing: all randomness is state of the model."""

    def train(self, data, order, batch_size: int) -> None:
        """Trains one epoch on the samples that `order`, an int32 array, names."""
        state = _values(train_variables(self._model))
        if self.way == "scan":
            state = self._train_epoch(state, data, order, batch_size)
        else:
            for first in range(0, len(order), batch_size):
                state = self._train_step(state, data, order[first : first + batch_size])
        _assign(train_variables(self._model), jax.block_until_ready(state))

    def test(self, data, batch_size: int) -> None:
        """Evaluates all samples in their order."""
        state = _values(test_variables(self._model))
        count = _count(data)
        if self.way == "scan":
            state = self._test_epoch(state, data, min(batch_size, count))
        else:
            for first in range(0, count, batch_size):
                state = self._test_step(state, data, first, min(batch_size, count - first))
        _assign(test_variables(self._model), state)


# -- pure functions --------------------------------------------------------------------------------


def train_variables(model) -> tuple:
    """The variables that training changes, in the groups that `train_step` takes."""
    return model.trainable_variables, model.non_trainable_variables, model.optimizer.variables, model.metrics_variables


def test_variables(model) -> tuple:
    """The variables that an evaluation may change, in the groups that `test_step` takes."""
    return model.trainable_variables, model.non_trainable_variables, model.metrics_variables


def train_step(model, state, data, chosen):
    """The state after a step on the samples `chosen`."""
    return model.train_step(state, keras.tree.map_structure(lambda array: jnp.take(array, chosen, axis=0), data))[1]


def test_step(model, state, data, first, size: int):
    """The state after evaluating `size` samples from `first` on."""
    batch = keras.tree.map_structure(lambda array: jax.lax.dynamic_slice_in_dim(array, first, size), data)
    return model.test_step(state, batch)[1]


def train_epoch(model, state, data, order, size: int):
    """The state after an epoch: all whole batches of `order`, then what is left."""
    whole = order.shape[0] // size * size

    def body(state, chosen):
        return train_step(model, state, data, chosen), None

    state, _ = jax.lax.scan(body, state, order[:whole].reshape(-1, size))
    return train_step(model, state, data, order[whole:]) if whole < order.shape[0] else state


def test_epoch(model, state, data, size: int):
    """The state after evaluating all whole batches, then what is left."""
    count = _count(data)
    whole = count // size * size

    def body(state, first):
        return test_step(model, state, data, first, size), None

    state, _ = jax.lax.scan(body, state, jnp.arange(0, whole, size))
    return test_step(model, state, data, whole, count - whole) if whole < count else state


def _values(groups) -> tuple:
    return tuple([variable.value for variable in group] for group in groups)


def _assign(groups, state) -> None:
    for group, values in zip(groups, state, strict=True):
        for variable, value in zip(group, values, strict=True):
            variable.assign(value)


def _count(data) -> int:
    return int(keras.tree.flatten(data)[0].shape[0])
