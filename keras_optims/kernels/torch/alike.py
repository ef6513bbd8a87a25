"""Small variables of one shape as one: a formula that is not elementwise, such as LAMB's, mapped over a stack of them.

Run variable by variable, each operation on a small tensor costs its call. `torch.vmap` runs the formula, as it is written for one
variable, on a stack of many, with one call for each operation. Variables are stacked if nothing that a formula can ask tells
them apart but their numbers: shape, axes, settings, decay, dtypes and slots. A formula that asks for more, such as a path, or
whose course depends on the numbers, is run variable by variable.
"""

from __future__ import annotations

import torch

from keras_optims.kernels.torch.compiled import Argument
from keras_optims.stand_in import StandIn

SMALL = 65_536
"""Variables with fewer elements are stacked."""

STACK = 262_144
"""The most elements of a stack: a megabyte of float32, which stays in the cache."""


class _TellsApart(Exception):
    """The formula asked for what differs from variable to variable."""


class _OneOfMany(Argument):
    """One of a stack, of which a formula sees what it sees of each other one."""

    @property
    def path(self):
        """Refused: it tells one from another."""
        raise _TellsApart("it asks for a variable's path or name")

    name = path


def _may_be_stacked(optimizer, variable) -> bool:
    tensor = variable._value
    return 0 < tensor.numel() < SMALL and tensor.layout is torch.strided and not optimizer.stores_smaller(variable)


def is_stacked(optimizer, variable) -> bool:
    """Whether a variable is in a stack with others of the model, as long as the formula can be mapped."""
    plans = optimizer._untracked.plans
    if "stacked" not in plans:
        variables = optimizer.variables_of_the_model()
        plans["stacked"] = {id(variables[n]) for numbers, _ in _stacks(optimizer, variables) for n in numbers}
    return id(variable) in plans["stacked"]


def left_by_stacks(frame, pairs) -> list:
    """Runs weight decay and the formula, in the frame that is entered, on those (gradient, variable) pairs that can be stacked.

    Returns:
        The other ones.
    """
    optimizer, of_optimizer = frame.optimizer, frame.optimizer._untracked
    if of_optimizer.not_stacked is not None or optimizer.elementwise:
        return pairs
    known = ("stacks", *(id(variable) for _, variable in pairs))
    if known not in of_optimizer.plans:
        of_optimizer.plans[known] = _stacks(optimizer, [variable for _, variable in pairs])
    done: set[int] = set()
    for numbers, slots in of_optimizer.plans[known]:
        of_optimizer.not_stacked = _what_keeps(frame, [pairs[n] for n in numbers], slots)
        if of_optimizer.not_stacked is not None:
            break
        done.update(numbers)
    return [pair for n, pair in enumerate(pairs) if n not in done] if done else pairs


def _stacks(optimizer, variables) -> list[tuple[list[int], tuple]]:
    """The numbers of the variables in each stack, and their slots."""
    by_kind: dict = {}
    for number, variable in enumerate(variables):
        if not _may_be_stacked(optimizer, variable):
            continue
        slots = optimizer._untracked.slots.of_the_formula(variable)
        tensors = [variable._value, *(slot.variable_of(variable)._value for slot in slots)]
        looks = [(tensor.dtype, tensor.shape) for tensor in tensors]
        kind = (*looks, slots, optimizer.axes_of(variable), optimizer.settings_of(variable), optimizer.decays(variable))
        by_kind.setdefault(kind, (slots, []))[1].append(number)
    stacks = []
    for slots, numbers in by_kind.values():
        most = max(STACK // variables[numbers[0]]._value.numel(), 2)
        parts = [numbers[i : i + most] for i in range(0, len(numbers), most)]
        stacks += [(part, slots) for part in parts if len(part) > 1]
    return stacks


def _what_keeps(frame, pairs, slots) -> str | None:
    """Runs the formula on a stack; where that is not possible, says why not, and nothing has changed."""
    optimizer, first = frame.optimizer, pairs[0][1]
    variables = [variable for _, variable in pairs]
    memory = [variables, *([slot.variable_of(variable) for variable in variables] for slot in slots)]
    memory = [[variable._value.detach() for variable in each] for each in memory]
    stacked = [torch.stack(tensors) for tensors in memory]
    place = optimizer.place_of(first)
    frame.scalars(place.dtype)
    frame.rate_in(place.dtype)
    if place.decays:
        frame.decay_in(place.dtype)

    def formula(gradient, weights, *of_slots):
        its_slots = {slot: _OneOfMany(place.slot(slot), value) for slot, value in zip(slots, of_slots, strict=True)}
        inside = frame.inside()
        with inside:
            inside.run(gradient, StandIn(_OneOfMany(place, weights, its_slots)))
        return gradient

    shared = [variable._value for variable in optimizer._untracked.shared.values()]
    before = [(tensor, tensor.clone(), tensor._version) for tensor in shared]
    try:
        torch.vmap(formula)(torch.stack([gradient for gradient, _ in pairs]), *stacked)
        why = None
    except Exception as error:  # whatever it is: by itself, the formula raises it again, or goes well
        why = str(error).partition("\n")[0]
    if any(tensor._version != version for tensor, _, version in before):
        why = "it assigns what all variables share"
    if why is not None:
        for tensor, value, _ in before:
            tensor.copy_(value)
        return why
    for tensors, stack in zip(memory, stacked, strict=True):
        torch._foreach_copy_(tensors, stack.unbind())
    return None
