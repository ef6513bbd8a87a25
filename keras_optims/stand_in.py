"""What a formula sees in place of a variable and of its slots.

A formula reads and assigns `keras.Variable`s. What it works on may be a whole variable, one in half precision widened to float32,
the rows of a table that a batch has used, many small variables end to end, a block of a large one, or the argument of a function
that is being compiled. So it always gets stand-ins: their values are tensors, and what the formula has assigned is written
to its place once, when the formula has ended. A stand-in's `value` is a tensor, which no later assignment changes.
"""

from __future__ import annotations

import operator

import keras
from keras import ops

from keras_optims.dtypes import cast, is_half, wide


def path_of(variable) -> str:
    """The path of a model's variable; a `tf.Variable` has a name only."""
    return getattr(variable, "path", None) or variable.name


def is_overwritten(variable) -> bool:
    """Whether Keras means a variable to be overwritten by its gradient (scales of float8); it has no slots."""
    return getattr(variable, "overwrite_with_gradient", False)


class Place:
    """Where a stand-in's value comes from and goes to.

    Attributes:
        variable: the variable, or what its slots are looked up by.
        dtype: the dtype of the arithmetic.
        decays: whether the variable is decayed.
        settings: what the rules say about it, where stand-ins with several are at work together; else `None`.
        rounded_to: the variable's own dtype, if that is half precision; else `None`.
    """

    def __init__(self, variable, decays: bool = False, settings=None):
        self.variable = variable
        self.settings = settings
        self.dtype = wide(variable.dtype)
        self.decays = decays
        self.rounded_to = keras.backend.standardize_dtype(variable.dtype) if is_half(variable.dtype) else None

    @property
    def name(self) -> str:
        """That of the variable."""
        return self.variable.name

    @property
    def path(self) -> str:
        """That of the variable."""
        return path_of(self.variable)

    def read(self):
        """The value, in the dtype of the arithmetic."""
        value = ops.convert_to_tensor(self.variable)  # of a variable on TensorFlow itself
        return ops.cast(value, self.dtype) if value is self.variable else cast(value, self.dtype)

    def write(self, value):
        """Sets it."""
        self.variable.assign(cast(value, self.variable.dtype))

    def slot(self, slot) -> Place:
        """The place of a slot of the variable."""
        return Place(slot.variable_of(self.variable))


class StandIn(keras.Variable):
    """A variable whose value lives in a step; see the module.

    Args:
        place: where the value comes from, and where a step writes it to when the formula has ended.

    Attributes:
        assigned: whether there is something to write.
        read_value: what was read from the place; `None` as long as nothing was.
        watched_from: the value when `watch` was called; `None` if it was not.
    """

    def __init__(self, place: Place):
        # Not Keras's constructor, which would make memory for it. What that sets is a property here.
        self.__dict__.update(place=place, assigned=False, read_value=None, _held=None, _stand_ins={})
        self.__dict__.update(watched_from=None, _moved=None)

    @property
    def value(self):
        """The value, a tensor in the dtype of the arithmetic."""
        if self._held is None:
            self.__dict__["_held"] = self.__dict__["read_value"] = self.place.read()
        return self._held

    def assign(self, value):
        """Sets the value; the variable itself is set by `commit`.

        Raises:
            ValueError: the value has another shape.
        """
        self.__dict__["_moved"] = None
        if self._is_alike(value):
            self.__dict__.update(_held=value, assigned=True)  # as it mostly is
            return value
        value = ops.cast(ops.convert_to_tensor(value), self.dtype)
        if len(value.shape) != len(self.shape) or any(
            None not in lengths and lengths[0] != lengths[1] for lengths in zip(value.shape, self.shape, strict=True)
        ):
            raise ValueError(f"{self.name} has shape {tuple(self.shape)}; received a value of shape {tuple(value.shape)}.")
        self.__dict__.update(_held=value, assigned=True)
        return value

    def _is_alike(self, value) -> bool:
        """Whether it is a tensor as the value is, so that it needs no conversion."""
        held = self.value
        return type(value) is type(held) and value.dtype == held.dtype and value.shape == held.shape

    def assign_add(self, value):
        """Adds to the value."""
        moved = None if self._moved is None else self._moved + ops.cast(ops.convert_to_tensor(value), self.dtype)
        assigned = self.assign((self.value if self._is_alike(value) else self) + value)
        self.__dict__["_moved"] = moved
        return assigned

    def assign_sub(self, value):
        """Subtracts from the value."""
        moved = None if self._moved is None else self._moved - ops.cast(ops.convert_to_tensor(value), self.dtype)
        assigned = self.assign((self.value if self._is_alike(value) else self) - value)
        self.__dict__["_moved"] = moved
        return assigned

    def watch(self):
        """Keeps from now on by how much the value has changed."""
        self.__dict__.update(watched_from=self.value, _moved=ops.zeros_like(self.value))

    def moved(self):
        """By how much the value has changed since `watch`; where it was added to, without the rounding of the sum."""
        return self.value - self.watched_from if self._moved is None else self._moved

    def slot(self, slot) -> StandIn:
        """What stands in for a slot of this variable."""
        if slot not in self._stand_ins:
            self._stand_ins[slot] = StandIn(self.place.slot(slot))
        return self._stand_ins[slot]

    def family(self) -> list[StandIn]:
        """It and the stand-ins of its slots."""
        return [self, *self._stand_ins.values()]

    def hold(self, value, assigned: bool):
        """Sets the value as it is, and whether it is to be written."""
        if value is not self._held:
            self.__dict__["_moved"] = None
        self.__dict__.update(_held=value, assigned=assigned)

    @property
    def dtype(self):
        """The dtype of the arithmetic."""
        return self.place.dtype

    @property
    def shape(self):
        """The shape of the value."""
        return self.value.shape

    @property
    def ndim(self):
        """The number of dimensions."""
        return len(self.value.shape)

    @property
    def name(self):
        """That of the variable."""
        return self.place.name

    @property
    def path(self):
        """That of the variable."""
        return self.place.path

    @property
    def trainable(self):
        """Whether gradients are wanted of it; they are not."""
        return False

    @property
    def constraint(self):
        """None; a variable's own constraint is applied after the step."""
        return None

    def __repr__(self):
        return f"<StandIn path={self.path}, dtype={self.dtype}>"


def _arithmetic(operation, name, reflected):
    """An operator of `StandIn`: the tensors' own, a tenth of the cost of Keras's, where the result has the same dtype."""
    of_keras = getattr(keras.Variable, name)

    def operate(self, other):
        value, other = self.value, other.value if isinstance(other, StandIn) else other
        if isinstance(other, (int, float)) or getattr(other, "dtype", None) == value.dtype:
            return operation(other, value) if reflected else operation(value, other)
        return of_keras(self, other)

    operate.__name__ = name
    return operate


for _name in ("add", "sub", "mul", "truediv"):
    _operation = getattr(operator, _name)
    setattr(StandIn, f"__{_name}__", _arithmetic(_operation, f"__{_name}__", reflected=False))
    setattr(StandIn, f"__r{_name}__", _arithmetic(_operation, f"__r{_name}__", reflected=True))
