"""Which dtype what is computed in, and held in."""

from __future__ import annotations

import keras
from keras import ops


def is_half(dtype) -> bool:
    """Whether this is float16 or bfloat16."""
    return keras.backend.standardize_dtype(dtype) in ("float16", "bfloat16")


def wide(dtype) -> str:
    """The dtype, or float32 for half precision: bfloat16 has 8 bits, in which β₂ = 0.999 is 1 and Adam never moves."""
    return "float32" if is_half(dtype) else keras.backend.standardize_dtype(dtype)


def arithmetic_dtype(variable) -> str:
    """The dtype in which a variable's update is computed: float32 for half precision, else its own."""
    return wide(variable.dtype)


def cast(tensor, dtype: str):
    """The tensor in a dtype: itself, without the call of an operation, where it has it."""
    return tensor if keras.backend.standardize_dtype(tensor.dtype) == dtype else ops.cast(tensor, dtype)
