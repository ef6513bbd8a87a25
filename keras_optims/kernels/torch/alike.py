"""Small variables of one shape as one: a formula that is not elementwise, mapped over a stack of them by `torch.vmap`, with one
call for each operation; see `keras_optims.kernels.stacks`.
"""

from __future__ import annotations

import torch

from keras_optims.kernels import stacks
from keras_optims.kernels.torch.compiled import Argument
from keras_optims.stand_in import StandIn


class _OneOfMany(stacks.OneOfMany, Argument):
    """One of a stack."""


def left_by_stacks(frame, pairs) -> list:
    """Runs weight decay and the formula, in the frame that is entered, on those (gradient, variable) pairs that can be stacked.

    Returns:
        The other ones.
    """

    def what_keeps(numbers, slots):
        return _what_keeps(frame, [pairs[n] for n in numbers], slots)

    left = stacks.left_by_stacks(frame.optimizer, [variable for _, variable in pairs], what_keeps)
    return [pairs[number] for number in left]


def _what_keeps(frame, pairs, slots) -> str | None:
    """Runs the formula on a stack; where that is not possible, says why not, and nothing has changed."""
    optimizer, first = frame.optimizer, pairs[0][1]
    variables = [variable for _, variable in pairs]
    memory = [variables, *([slot.variable_of(variable) for variable in variables] for slot in slots)]
    memory = [[variable._value.detach() for variable in each] for each in memory]
    stacked = [torch.stack(tensors) for tensors in memory]
    place = optimizer.place_of(first)
    frame.compute(place)

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
