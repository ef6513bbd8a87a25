"""Half-precision variables: updated through a float32 copy, so that no formula needs to know of them.

bfloat16 has 8 significant bits: in it β₂ = 0.999 is 1.0 and Adam never moves. So slots are float32, the arithmetic is
float32, and only the new weight is rounded, once.
"""

from __future__ import annotations

import keras
from keras import ops


def is_half(dtype) -> bool:
    """Whether this is float16 or bfloat16."""
    return keras.backend.standardize_dtype(dtype) in ("float16", "bfloat16")


class Float32Copy:
    """A float32 working copy of a half-precision variable during one step.

    Args:
        variable: the model's variable, of dtype float16 or bfloat16.
    """

    dtype = "float32"

    def __init__(self, variable):
        self.variable = variable
        self.half_dtype = keras.backend.standardize_dtype(variable.dtype)
        self.shape = variable.shape
        self.name = variable.name
        self.value = ops.cast(variable, "float32")

    def assign(self, value):
        """Sets the copy; the variable itself is set at the end of the step."""
        self.value = ops.cast(value, "float32")

    def __mul__(self, other):
        return self.value * other

    def __sub__(self, other):
        return self.value - other

    def __add__(self, other):
        return self.value + other
