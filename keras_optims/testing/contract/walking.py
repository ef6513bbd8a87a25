"""Steps of an optimizer on a few small variables, and how two such walks compare."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_optims.testing.compiled_step import CompiledStep, EagerStep
from keras_optims.testing.contract.check import ContractError, require

SHAPES = [(3, 2), (4,)]

Arrays = list[np.ndarray]


def starting_weights(shapes=SHAPES) -> Arrays:
    """Weights between 0.5 and 1.5, of both signs."""
    rng = np.random.default_rng(7)
    return [(rng.uniform(0.5, 1.5, shape) * rng.choice([-1, 1], shape)).astype("float32") for shape in shapes]


def sample_gradients(steps: int, shapes=SHAPES, seed=0) -> list[Arrays]:
    """For each step one gradient for each variable: of mixed sign, its size differing by element and from step to step."""
    rng = np.random.default_rng(seed)
    sizes = [10.0 ** rng.uniform(-1, 0.5, shape) for shape in shapes]
    return [
        [(rng.normal(0.3, 1, size.shape) * size * (1 + step % 3)).astype("float32") for size in sizes] for step in range(steps)
    ]


def make_variables(values: Arrays, dtype="float32") -> list[Any]:
    """Keras variables theta_0, theta_1 ... that begin with these values."""
    return [keras.Variable(value, dtype=dtype, name=f"theta_{i}") for i, value in enumerate(values)]


def make_model(inputs: int, outputs: int) -> keras.Model:
    """One dense layer that begins with `starting_weights`; made without random numbers, which are the caller's."""
    layer = keras.layers.Dense(outputs, kernel_initializer="zeros")
    model = keras.Sequential([keras.Input((inputs,)), layer])
    layer.set_weights(starting_weights([(inputs, outputs), (outputs,)]))
    return model


def walk(optimizer, gradients: list[Arrays], starts: Arrays | None = None, *, compiled=False, dtype="float32") -> list[Arrays]:
    """The weights after each step, from `starts` (or `starting_weights`)."""
    starts = starting_weights() if starts is None else starts
    step = (CompiledStep if compiled else EagerStep)(optimizer, make_variables(starts, dtype))
    path = []
    for gradient in gradients:
        step(gradient)
        path.append(step.weights())
    return path


def state_of(optimizer) -> Arrays:
    """The values of all variables of an optimizer."""
    return [np.array(ops.convert_to_numpy(variable)) for variable in optimizer.variables]


def restore(variables, values: Arrays):
    """Sets variables to values taken before."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def put_averages_in_place(optimizer, variables):
    """Sets the variables to their moving averages: by `swap_averaged_weights()`, or as `fit` does at its end.

    The first is for optimizers that never overwrite the weights in training, as those of this package.
    """
    if hasattr(optimizer, "swap_averaged_weights"):
        optimizer.swap_averaged_weights()
    else:
        optimizer.finalize_variable_values(variables)


def require_equal(found: Arrays, expected: Arrays, what: str):
    """Raises `ContractError` unless two lists of arrays are equal bit for bit."""
    require(len(found) == len(expected), f"{what}: {len(found)} arrays instead of {len(expected)}")
    for left, right in zip(found, expected, strict=True):
        require(left.shape == right.shape, f"{what}: shape {left.shape} instead of {right.shape}")
        if not np.array_equal(left, right):
            raise ContractError(f"{what}: they differ by up to {_largest(left.astype('float64') - right):.2g}")


def require_close(found: Arrays, expected: Arrays, what: str, *, starts: Arrays | None = None, tolerance=1e-5):
    """Raises `ContractError` unless weights are equal but for a share (`tolerance`) of the way gone and float32's rounding."""
    starts = starting_weights() if starts is None else starts
    for left, right, start in zip(found, expected, starts, strict=True):
        way, apart = _largest(right.astype("float64") - start), _largest(left.astype("float64") - right)
        rounding = 8 * np.finfo("float32").eps * _largest(right)
        if not apart <= tolerance * way + rounding:  # NaN is not close to anything
            raise ContractError(f"{what}: they differ by up to {apart:.2g}, where the way gone is {way:.2g}")


def _largest(array) -> float:
    return float(np.max(np.abs(array), initial=0.0))
