"""Which small variables are stacked, and run as one by a formula that is not elementwise, such as LAMB's.

Run variable by variable, each operation on a small tensor costs its call. So the backends that do not compile the whole step map
the formula, as it is written for one variable, over a stack of many. Variables are stacked if nothing that a formula can ask
tells them apart but their numbers: shape, axes, settings, decay, dtypes and slots. A formula that asks for more, such as a path,
or whose course depends on the numbers, is run variable by variable.
"""

from __future__ import annotations

import math

import keras

SMALL = 65_536
"""Variables with fewer elements are stacked."""

STACK = 262_144
"""The most elements of a stack: a megabyte of float32, which stays in the cache."""


class TellsApart(Exception):
    """The formula asked for what differs from variable to variable."""


class OneOfMany:
    """Of a place: one of several, of which a formula sees what it sees of each other one."""

    @property
    def path(self):
        """Refused: it tells one from another."""
        raise TellsApart("it asks for a variable's path or name")

    name = path


def stacks(optimizer, variables) -> list[tuple[list[int], tuple]]:
    """The numbers of the variables in each stack, and their slots."""
    by_kind: dict = {}
    for number, variable in enumerate(variables):
        if not 0 < math.prod(variable.shape) < SMALL or optimizer.stores_smaller(variable):
            continue
        slots = optimizer._untracked.slots.of_the_formula(variable)
        looks = [(tuple(v.shape), keras.backend.standardize_dtype(v.dtype)) for v in _family(variable, slots)]
        kind = (*looks, slots, optimizer.axes_of(variable), optimizer.settings_of(variable), optimizer.decays(variable))
        by_kind.setdefault(kind, (slots, []))[1].append(number)
    found = []
    for slots, numbers in by_kind.values():
        most = max(STACK // math.prod(variables[numbers[0]].shape), 2)
        parts = [numbers[i : i + most] for i in range(0, len(numbers), most)]
        found += [(part, slots) for part in parts if len(part) > 1]
    return found


def _family(variable, slots) -> list:
    return [variable, *(slot.variable_of(variable) for slot in slots)]


def are_possible(optimizer) -> bool:
    """Whether the optimizer's formula is one that is run on stacks, as far as is known."""
    return not (optimizer.elementwise or optimizer.overrides("update_steps")) and optimizer._untracked.not_stacked is None


def is_stacked(optimizer, variable) -> bool:
    """Whether a variable is in a stack with others of the model, as long as the formula can be mapped."""
    if not are_possible(optimizer):
        return False
    plans = optimizer._untracked.plans
    if "stacked" not in plans:
        variables = optimizer.variables_of_the_model()
        plans["stacked"] = {id(variables[n]) for numbers, _ in stacks(optimizer, variables) for n in numbers}
    return id(variable) in plans["stacked"]


def left_by_stacks(optimizer, variables, what_keeps) -> list[int]:
    """Has those of the variables that can be stacked run.

    Args:
        optimizer: the optimizer.
        variables: those that its formula is to be run on.
        what_keeps: a function of the numbers of those in a stack and of their slots, which runs the formula on them, or, if that
            is not possible, changes nothing and says why.

    Returns:
        The numbers of the other variables.
    """
    of_optimizer, done = optimizer._untracked, set()
    if are_possible(optimizer):
        known = ("stacks", *map(id, variables))
        if known not in of_optimizer.plans:
            of_optimizer.plans[known] = stacks(optimizer, variables)
        for numbers, slots in of_optimizer.plans[known]:
            of_optimizer.not_stacked = what_keeps(numbers, slots)
            if of_optimizer.not_stacked is not None:
                break
            done.update(numbers)
    return [number for number in range(len(variables)) if number not in done]
