"""Slots: what an optimizer remembers for each variable of the model, such as its velocity."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_optims import kernels, quantized
from keras_optims.dtypes import wide
from keras_optims.hyperparameter import shown
from keras_optims.stand_in import StandIn, path_of


class Slot:
    """The slot variables of one kind, looked up by the model's variable: `velocity[variable]`.

    Not each variable needs to have one: `variable in velocity` tells. Where small variables are grouped (see
    `keras_optims.kernels`), theirs are parts of one buffer; a part reads and assigns like a variable of its own. So
    the slot variables of small ones are made when the optimizer's `build` ends, or when they are first looked up.

    Args:
        key: the function that gives each variable of a model its hashable identity.
        name: the slot's name.
        is_of_the_formula: whether the formula may read and assign it.
        numbers: what numbers it holds: see `Optimizer.add_slot`.
    """

    def __init__(self, key, name: str, is_of_the_formula: bool = True, numbers: str = quantized.EXACT):
        self.numbers = numbers
        self.name = name
        self.is_of_the_formula = is_of_the_formula
        self._key = key
        self._variables: list = []
        self._of: dict = {}
        self._of_groups: dict = {}
        self._waiting: dict[Any, Callable] = {}

    def __getitem__(self, variable):
        return variable.slot(self) if isinstance(variable, StandIn) else self.variable_of(variable)

    def __contains__(self, variable) -> bool:
        if isinstance(variable, StandIn):
            variable = variable.place.variable
        key = self._key(variable)
        return key in self._of or key in self._waiting or key in self._of_groups

    def add(self, variable, make: Callable):
        """Has the slot variable of a model's variable made: when it is looked up, or by `make_all`."""
        self._variables.append(variable)
        self._waiting[self._key(variable)] = make

    def variable_of(self, variable):
        """The slot variable of a model's variable, or the buffer of a group's."""
        key = self._key(variable)
        if key in self._of_groups:
            return self._of_groups[key]
        if key in self._waiting:
            self._of[key] = self._waiting.pop(key)()
        if key not in self._of:
            raise KeyError(f"The variable {path_of(variable)!r} has no slot {self.name!r}.")
        return self._of[key]

    def is_waiting(self, variable) -> bool:
        """Whether the slot variable of a model's variable is still to be made."""
        return self._key(variable) in self._waiting

    def making(self, variable):
        """How the slot variable of a model's variable is to be made."""
        return self._waiting[self._key(variable)]

    def set_part(self, variable, part):
        """Makes a part of a group's buffer the slot variable of a model's variable."""
        del self._waiting[self._key(variable)]
        self._of[self._key(variable)] = part

    def set_of_group(self, weights, buffer):
        """Sets the buffer of a group, to be looked up by the buffer that holds its members' weights in a step."""
        self._of_groups[self._key(weights)] = buffer

    def of(self, variables) -> list:
        """The slot variables of a list of the model's variables; `None` for one that has none."""
        return [self.variable_of(variable) if variable in self else None for variable in variables]

    def of_the_model(self) -> list:
        """The model's variables that have one, in their order."""
        return list(self._variables)

    @property
    def variables(self) -> list:
        """That of each of the model's variables that has one, in their order; parts of a buffer where they are grouped."""
        return [self.variable_of(variable) for variable in self._variables]


class Slots:
    """The slots of an optimizer."""

    def __init__(self):
        self.all: list[Slot] = []

    def of_the_formula(self, variable) -> tuple[Slot, ...]:
        """The slots of a variable that the formula may read and assign."""
        return tuple(slot for slot in self.all if slot.is_of_the_formula and variable in slot)

    def add(
        self,
        optimizer,
        variables,
        name,
        initializer,
        shape,
        dtype,
        saved,
        left_out=frozenset(),
        grouped=True,
        numbers=quantized.EXACT,
    ) -> Slot:
        """See `Optimizer.add_slot`.

        Args:
            left_out: the keys of those of the variables that get none.
            grouped: whether slot variables of small variables may be parts of one buffer.
        """
        if not (isinstance(name, str) and name):
            raise ValueError(f"A slot's name must be a text; received {shown(name)}.")
        if numbers not in (quantized.SIGNED, quantized.NON_NEGATIVE, quantized.EXACT):
            raise ValueError(f"numbers of a slot must be 'signed', 'non_negative' or 'exact'; received {shown(numbers)}.")
        variables = list(variables)
        if dtype is not None or initializer == "variable" or not (grouped and saved):
            numbers = quantized.EXACT
        slot = Slot(optimizer.key_of, name, grouped, numbers)
        if not saved:
            optimizer._untracked.unsaved.add(name)
        each = zip(variables, _each(initializer, variables), _each(dtype, variables), strict=True)
        for variable, its_initializer, its_dtype in each:
            if optimizer.key_of(variable) in left_out:
                continue
            if any(other.name == name and variable in other for other in [*self.all, slot]):
                raise ValueError(f"{type(optimizer).__name__} has a slot {name!r} of the variable {path_of(variable)!r} already.")
            its_shape = tuple(variable.shape if shape is None else shape(variable) if callable(shape) else shape)
            its_dtype = wide(variable.dtype) if its_dtype is None else keras.backend.standardize_dtype(its_dtype)
            same_shape = its_shape == tuple(variable.shape)
            if optimizer.elementwise and grouped and not same_shape:
                raise ValueError(
                    f"{type(optimizer).__name__} is declared elementwise, so its slots have the shapes of their variables; "
                    f"received shape {its_shape} for the slot {name!r} of {path_of(variable)!r} with shape "
                    f"{tuple(variable.shape)}."
                )
            is_smaller = numbers != quantized.EXACT and optimizer.stores_smaller(variable)
            is_smaller = is_smaller and its_initializer != "variable" and math.prod(its_shape) == math.prod(variable.shape)
            make = _Making(optimizer, variable, name, its_initializer, its_shape, its_dtype, numbers if is_smaller else None)
            slot.add(variable, make)
            if not (grouped and kernels.may_group(optimizer, variable)):
                slot.variable_of(variable)
        self.all.append(slot)
        return slot

    def waiting(self, variable) -> list[tuple[Slot, _Making]]:
        """The slots of a model's variable whose slot variables are still to be made."""
        return [(slot, slot.making(variable)) for slot in self.all if slot.is_waiting(variable)]

    def make_all(self):
        """Makes all slot variables that are still to be made."""
        for slot in self.all:
            _ = slot.variables


class _Making:
    """How to make a slot variable: call it.

    Attributes:
        initializer: a function of shape and dtype.
        shape, dtype: those of the slot variable.
        numbers: what numbers it holds, where it is kept in fewer bits; else `None`.
    """

    def __init__(self, optimizer, variable, name, initializer, shape, dtype, numbers=None):
        if initializer == "variable":
            initializer = _CopyOf(variable)
        self.initializer = keras.initializers.get(initializer)
        self.shape, self.dtype, self.numbers = shape, dtype, numbers
        self._optimizer, self._variable, self._name = optimizer, variable, name

    def __call__(self):
        if self.numbers is not None:
            return quantized.made(self._optimizer, self._variable, self._name, self.initializer, self.shape, self.numbers)
        return self._optimizer.add_slot_variable(self._variable, self._name, self.initializer, self.shape, self.dtype)


class _CopyOf:
    """An initializer: a copy of a variable's value."""

    def __init__(self, variable):
        self._variable = variable

    def __call__(self, shape, dtype=None):
        return ops.copy(ops.cast(ops.convert_to_tensor(self._variable), dtype))


def _each(value, variables) -> list:
    """One for each variable, of one for all or a list."""
    if not isinstance(value, (list, tuple)):
        return [value] * len(variables)
    if len(value) != len(variables):
        raise ValueError(f"There must be one for each of the {len(variables)} variables; received a list of {len(value)}.")
    return list(value)
