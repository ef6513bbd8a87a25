"""The step on JAX: pure functions of the state, so that it can be traced, differentiated through and donated."""

import contextlib

import jax
import keras
import numpy as np
from keras import ops

from keras_optims.dtypes import arithmetic_dtype
from keras_optims.kernels.ungrouped import colocated, finish_build, is_distributed, may_group, update_list
from keras_optims.paths import Path
from keras_optims.stand_in import StandIn

__all__ = ["colocated", "finish_build", "is_distributed", "may_group", "update_list"]

no_gradient = contextlib.nullcontext
outside_of_a_trace = contextlib.nullcontext


def prepared(optimizer, gradients, variables):
    """See `keras_optims.kernels`."""
    return [ops.cast(gradient, arithmetic_dtype(variable)) for gradient, variable in zip(gradients, variables, strict=True)]


def count(iterations):
    """See `keras_optims.kernels`."""
    iterations.assign_add(1)


def is_fast_at_bfloat16(tensor) -> bool:
    """See `keras_optims.kernels`."""
    return jax.default_backend() in ("gpu", "tpu")


def path_of(optimizer, variable) -> Path:
    """See `keras_optims.kernels`."""
    return Path("compiled", "XLA makes one loop of the formula")


def traced_as_written(function):
    """See `keras_optims.kernels`."""
    return function


def run_if(predicate, action, otherwise, state):
    """See `keras_optims.kernels`: the assignments of both functions become the values of a `jax.lax.cond`."""

    def values_after(function):
        def run():
            with keras.StatelessScope(state_mapping=[(variable, variable.value) for variable in state]) as scope:
                returned = function() or []
                return [scope.get_current_value(variable) for variable in state], returned

        return run

    values, returned = jax.lax.cond(predicate, values_after(action), values_after(otherwise))
    for variable, value in zip(state, values, strict=True):
        variable.assign(value)
    return returned


def apart(values, read):
    """See `keras_optims.kernels`: one array of two variables could be given away but once."""
    taken = {id(value) for value in read if value is not None}
    distinct = []
    for value in values:
        value = ops.copy(value) if id(value) in taken else value
        taken.add(id(value))
        distinct.append(value)
    return distinct


def assign(optimizer, variable, value):
    """See `keras_optims.kernels`."""
    variable.assign(ops.cast(value, variable.dtype))


def decayed(variable, decay, rate):
    """See `keras_optims.kernels`."""
    return variable - variable * decay * rate


def rounded(value, dtype):
    """See `keras_optims.kernels`; a cast there and back XLA may leave out, as it gives more precision."""
    exponent_bits, mantissa_bits = {"float16": (5, 10), "bfloat16": (8, 7)}[keras.backend.standardize_dtype(dtype)]
    return jax.lax.reduce_precision(value, exponent_bits, mantissa_bits)


def update(frame, gradients, variables):
    """See `keras_optims.kernels`: XLA fuses each variable's formula into one pass by itself."""
    for gradient, variable in zip(gradients, variables, strict=True):
        frame.run(gradient, StandIn(frame.optimizer.place_of(variable)))


class Outlet:
    """See `keras_optims.kernels`. What leaves is no part of the step's state, so the state of a training is the same with it."""

    def __init__(self):
        self._held = None

    def put(self, number, array):
        """See `keras_optims.kernels`."""
        jax.debug.callback(self._hold, ops.convert_to_tensor(number), array)

    def _hold(self, number, array):
        self._held = number, array

    def take(self):
        """See `keras_optims.kernels`."""
        jax.effects_barrier()  # the step may still run
        held, self._held = self._held, None
        return None if held is None else (int(held[0]), np.asarray(held[1]))
