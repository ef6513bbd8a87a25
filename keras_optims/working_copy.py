"""Tensors that stand in for variables during one step, so that no formula needs to know of half precision or of sparse rows.

bfloat16 has 8 significant bits: in it β₂ = 0.999 is 1.0 and Adam never moves. So slots are float32, the arithmetic is
float32, and only the new weight is rounded, once: the formula works on a float32 copy, which is written back at the end.
"""

from __future__ import annotations

import keras
from keras import ops


def is_half(dtype) -> bool:
    """Whether this is float16 or bfloat16."""
    return keras.backend.standardize_dtype(dtype) in ("float16", "bfloat16")


def arithmetic_dtype(variable) -> str:
    """The dtype in which a variable's update is computed: float32 for half precision, else its own."""
    return "float32" if is_half(variable.dtype) else keras.backend.standardize_dtype(variable.dtype)


class WorkingCopy:
    """What a formula reads and assigns in place of a variable; `commit` writes it to the variable.

    Args:
        variable: the variable.
        value: the tensor to begin with, in the dtype of the arithmetic; the whole variable in that dtype if not given.
    """

    def __init__(self, variable, value=None):
        self.variable = variable
        self.dtype = arithmetic_dtype(variable)
        self.value = ops.cast(variable, self.dtype) if value is None else value
        self.shape = self.value.shape
        self.name = variable.name

    def assign(self, value):
        """Sets the copy; the variable itself is set by `commit`."""
        self.value = ops.cast(value, self.dtype)

    def slot(self, slot):
        """What stands for this variable's slot; here the slot itself, which is as wide as the copy."""
        return slot[self.variable]

    def commit(self):
        """Writes the copy to the variable, in the variable's dtype."""
        self.variable.assign(ops.cast(self.value, self.variable.dtype))

    def __mul__(self, other):
        return self.value * other

    def __sub__(self, other):
        return self.value - other

    def __add__(self, other):
        return self.value + other

    def __tf_tensor__(self, dtype=None, name=None):
        return self.value if dtype is None else ops.cast(self.value, dtype)
