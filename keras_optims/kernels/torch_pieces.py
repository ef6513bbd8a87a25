"""An elementwise formula on torch's CPU, in pieces that stay in the cache: blocks of large variables, small ones packed end to
end.

Run on a whole large variable, each operation of a formula writes a new tensor to memory, of which the page faults alone cost more
than the arithmetic. A piece's tensors are used again while they are still in the cache.
"""

from __future__ import annotations

import torch

from keras_optims.stand_in import Place, StandIn

BLOCK = 262_144
"""The elements of a piece: a megabyte of float32."""

SMALL = 65_536
"""Variables with fewer elements are packed."""


class Piece(Place):
    """A part of a variable, or several variables, flat.

    Args:
        of: the variable, or the first of several, by which slots are known.
        tensors: views of the memory of each variable, end to end in this piece.
        slots: the piece of each slot.
        decays: whether it is decayed.
    """

    def __init__(self, of, tensors, slots=None, decays=False):
        super().__init__(of, decays)
        self._tensors, self._slots = tensors, slots or {}
        self._sizes = [tensor.numel() for tensor in tensors]

    def read(self):
        """The value, flat."""
        value = self._tensors[0] if len(self._tensors) == 1 else torch.cat(self._tensors)
        return value.to(getattr(torch, self.dtype))

    def write(self, value):
        """Sets it."""
        if len(self._tensors) == 1:
            self._tensors[0].copy_(value)
        else:
            torch._foreach_copy_(self._tensors, value.split(self._sizes))

    def slot(self, slot) -> Piece:
        """The same piece of a slot."""
        return self._slots[slot]


def run(frame, pairs):
    """Weight decay and the formula for (gradient, variable) pairs on the CPU, in the frame that is entered."""
    optimizer, variables = frame.optimizer, [variable for _, variable in pairs]
    known = tuple(map(id, variables))
    plan = optimizer._untracked.plans.get(known)
    if plan is None or not plan.is_valid():
        plan = optimizer._untracked.plans[known] = Plan(optimizer, variables)
    for piece in plan.pieces:
        frame.run(piece.gradient([gradient for gradient, _ in pairs]), StandIn(piece.place))


class Plan:
    """The pieces in which variables are updated; it holds views of their memory, so it is kept from step to step.

    Args:
        optimizer: the optimizer whose formula it is.
        variables: the model's variables.
    """

    def __init__(self, optimizer, variables):
        self._memory: list = []  # (variable, its tensor, where that lies)
        self.pieces: list[_Planned] = []
        by_kind: dict = {}
        for number, variable in enumerate(variables):
            slots = tuple(s for s in optimizer._untracked.slots.all if s.is_of_the_formula and variable in s)
            by_kind.setdefault((optimizer.decays(variable), variable._value.dtype, slots), []).append((number, variable))
        for (decays, _, slots), alike in by_kind.items():
            self._add(alike, slots, decays)

    def _add(self, alike, slots, decays):
        packed: list = []
        for number, variable in alike:
            flat = [self._flat(each) for each in (variable, *(slot.variable_of(variable) for slot in slots))]
            size = flat[0].numel()
            if size >= SMALL:
                starts = range(0, size, BLOCK)
                for start, *tensors in zip(starts, *(tensor.split(BLOCK) for tensor in flat), strict=True):
                    share = slice(start, start + tensors[0].numel())
                    self.pieces.append(_Planned([(number, share)], variable, [tensors], slots, decays))
            elif size:
                packed.append((number, variable, flat))
                if sum(tensors[0].numel() for _, _, tensors in packed) >= BLOCK:
                    self._pack(packed, slots, decays)
                    packed = []
        if packed:
            self._pack(packed, slots, decays)

    def _pack(self, packed, slots, decays):
        numbers = [(number, None) for number, _, _ in packed]
        self.pieces.append(_Planned(numbers, packed[0][1], [tensors for _, _, tensors in packed], slots, decays))

    def _flat(self, variable):
        self._memory.append((variable, variable._value, variable._value.data_ptr()))
        return variable._value.detach().view(-1)

    def is_valid(self) -> bool:
        """Whether the variables' memory is still where it was."""
        return all(variable._value is tensor and tensor.data_ptr() == place for variable, tensor, place in self._memory)


class _Planned:
    """One piece: whose gradients, as (number of the variable, its share), and the place of its weights and slots."""

    def __init__(self, shares, of, tensors, slots, decays):
        self._shares = shares
        weights, *of_slots = (list(each) for each in zip(*tensors, strict=True))
        pieces = {slot: Piece(slot.variable_of(of), each) for slot, each in zip(slots, of_slots, strict=True)}
        self.place = Piece(of, weights, pieces, decays)

    def gradient(self, gradients):
        """Its gradient, flat, of those of all variables."""
        flat = [gradients[n].reshape(-1) if s is None else gradients[n].reshape(-1)[s] for n, s in self._shares]
        return flat[0] if len(flat) == 1 else torch.cat(flat)


def are_possible(variable) -> bool:
    """Whether a variable's memory can be looked at in pieces."""
    tensor = variable._value
    return variable.value is tensor and tensor.device.type == "cpu" and tensor.is_contiguous()
