"""A training step without a model: the optimizer alone, as it is written or compiled as each backend's `fit` compiles it."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops


class EagerStep:
    """Calls `optimizer.apply` as it is written.

    Args:
        optimizer: the optimizer; it is built on the variables.
        variables: the Keras variables that each call updates.
    """

    def __init__(self, optimizer, variables):
        self.optimizer, self.variables = optimizer, list(variables)
        if not optimizer.built:
            optimizer.build(self.variables)

    def __call__(self, gradients):
        """One step; `gradients` are NumPy arrays, one for each variable."""
        self._apply([None if g is None else ops.convert_to_tensor(g) for g in gradients])

    def _apply(self, gradients):
        self.optimizer.apply(gradients, self.variables)

    def weights(self):
        """The variables as NumPy arrays; half precision as float32."""
        return [as_numpy(variable) for variable in self.variables]


class CompiledStep(EagerStep):
    """Calls `optimizer.apply` in a `tf.function`, under `jax.jit`, or directly (torch).

    Args:
        optimizer: the optimizer; it is built on the variables.
        variables: the Keras variables that each call updates.
    """

    def __init__(self, optimizer, variables):
        super().__init__(optimizer, variables)
        self.traces = 0
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            self._compiled = tf.function(self._traced_apply)
        elif keras.backend.backend() == "jax":
            import jax

            self._stateless = jax.jit(self._traced_stateless_apply)
            self._compiled = self._apply_on_jax
        else:
            self._compiled = self._traced_apply

    def _apply(self, gradients):
        self._compiled(gradients)

    def _traced_apply(self, gradients):
        self.traces += 1
        self.optimizer.apply(gradients, self.variables)

    def _traced_stateless_apply(self, state, gradients, values):
        self.traces += 1
        return self.optimizer.stateless_apply(state, gradients, values)

    def _apply_on_jax(self, gradients):
        state, values = [v.value for v in self.optimizer.variables], [v.value for v in self.variables]
        values, state = self._stateless(state, gradients, values)
        for variable, value in zip([*self.variables, *self.optimizer.variables], [*values, *state], strict=True):
            variable.assign(value)


def as_numpy(variable) -> np.ndarray:
    """A copy of a variable's value."""
    value = variable if keras.backend.standardize_dtype(variable.dtype) == "float64" else ops.cast(variable, "float32")
    return np.array(ops.convert_to_numpy(value))
