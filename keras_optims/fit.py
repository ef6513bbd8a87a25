"""Whether variables, gradients and saved numbers fit an optimizer; looked at before anything is changed.

The backends find a wrong shape or dtype in the middle of a step, when other variables are updated already, or broadcast it
without a word.
"""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np

from keras_optims.hyperparameter import Interval, shown
from keras_optims.stand_in import is_overwritten, path_of


def check_variables(optimizer, variables):
    """Raises `ValueError` if there is something that is no variable of real floating point numbers."""
    for variable in variables:
        dtype = _dtype(variable)
        if dtype is None or not hasattr(variable, "assign"):
            raise ValueError(f"{type(optimizer).__name__} needs a list of variables; received {shown(variable)} in it.")
        if "float" not in dtype and not is_overwritten(variable):
            raise ValueError(
                f"{type(optimizer).__name__} updates variables of floating point numbers; received {path_of(variable)!r} with "
                f"dtype {dtype}."
            )


def check_gradients(gradients, variables):
    """Raises `ValueError` if a gradient has not its variable's shape, or is not made of real numbers."""
    for gradient, variable in zip(gradients, variables, strict=True):
        shape = getattr(gradient, "shape", None)
        if shape is None:
            shape = _shape_of_nested(gradient)
        if shape != variable.shape and not _compatible(shape, variable.shape):
            received = "none" if shape is None else str(tuple(shape))
            raise ValueError(
                f"The gradient of {path_of(variable)!r} must have its shape {tuple(variable.shape)}; received shape {received}."
            )
        dtype = _dtype(gradient)
        if dtype is not None and not ("float" in dtype or "int" in dtype):
            raise ValueError(f"The gradient of {path_of(variable)!r} must be of real numbers; received dtype {dtype}.")


def check_saved(saved: dict[str, np.ndarray], domains: Mapping[str, Interval], name: str):
    """Raises `ValueError` if an entry of a saved state holds no real numbers, or a number that its hyperparameter cannot be."""

    def refuse(key, allowed, received):
        entry = key.replace("|", "/")
        raise ValueError(f"The saved state does not fit the optimizer {name!r}: {entry} must be {allowed}; {received} was saved.")

    for key, value in saved.items():
        if value.dtype.kind not in "iuf":
            refuse(key, "of real numbers", f"dtype {value.dtype}")
        if value.shape != ():
            continue  # a slot, or of a wrong shape, which is found when it is loaded
        if key == "iteration" and not (value.dtype.kind in "iu" and 0 <= value < 2**53):
            refuse(key, "a whole number of steps", shown(value[()]))
        if key in domains and not (float(value) in domains[key] and float(np.float32(value)) in domains[key]):
            refuse(key, f"in {domains[key]}", shown(value[()]))
        of = key.removesuffix("_residual")
        if of != key and of in domains and not abs(value) <= np.finfo(np.float32).eps:
            refuse(key, "what rounding took from a number up to 1", shown(value[()]))


def _dtype(array) -> str | None:
    """The name of a dtype; `None` where there is none."""
    dtype = getattr(array, "dtype", None)
    if dtype is None:
        return None
    try:
        return keras.backend.standardize_dtype(dtype)
    except ValueError:  # Keras knows no complex numbers and no strings, for example
        return str(getattr(dtype, "name", dtype))


def _shape_of_nested(gradient):
    try:
        array = np.asarray(gradient)
    except ValueError:  # lists of different lengths
        return None
    return array.shape if array.dtype.kind in "iuf" else None


def _compatible(shape, expected) -> bool:
    """Whether a shape may be the expected one; a traced shape has `None` where it is not known yet, or is not known at all."""
    if shape is None:
        return False
    if getattr(shape, "rank", 0) is None:
        return True
    shape, expected = tuple(shape), tuple(expected)
    return len(shape) == len(expected) and all(of is None or of == to for of, to in zip(shape, expected, strict=True))
