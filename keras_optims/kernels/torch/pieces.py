"""What an elementwise formula is run on: parts of variables, or many variables at once.

On the CPU these are pieces that stay in the cache: blocks of large variables, small ones packed end to end, in one memory where
that is possible (see `memory`). Run on a whole large variable, each operation of a formula writes a new tensor to memory, of
which the page faults alone cost more than the arithmetic. A piece's tensors are used again while they are still in the cache.
On a GPU they are lists of whole variables, with one kernel for each operation on all of them. Where the formula is compiled
(see `compiled`), large variables stay whole.
"""

from __future__ import annotations

import dataclasses

import torch

from keras_optims.kernels.torch.compiled import Compiled
from keras_optims.kernels.torch.listed import Listed
from keras_optims.kernels.torch.memory import in_one, written
from keras_optims.stand_in import Place, StandIn

BLOCK = 262_144
"""The elements of a piece on the CPU: a megabyte of float32."""

SMALL = 65_536
"""Variables with fewer elements are packed on the CPU."""

LIST = 134_217_728
"""The elements of a list, of which each result of an operation takes half a gigabyte; a larger variable is one by itself."""


class Piece(Place):
    """A part of a variable, or several variables.

    Args:
        of: the variable, or the first of several, by which slots are known.
        tensors: the memory of each variable that is in this piece.
        joined: makes one tensor of them.
        slots: the piece of each slot.
        decays: whether it is decayed.
    """

    def __init__(self, of, tensors, joined, slots=None, decays=False):
        super().__init__(of, decays)
        self.tensors, self.joined, self._slots = tensors, joined, slots or {}

    def read(self):
        """The value, in the dtype of the arithmetic."""
        return self.joined(self.tensors).to(getattr(torch, self.dtype))

    def write(self, value):
        """Sets it."""
        put(self.tensors, value)

    def slot(self, slot) -> Piece:
        """The same piece of a slot."""
        return self._slots[slot]


def end_to_end(tensors):
    """The tensors, flat, as one."""
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors)


def put(tensors, value):
    """Sets tensors to what was made of them joined."""
    if isinstance(value, Listed):
        torch._foreach_copy_(tensors, value.tensors)
    elif len(tensors) == 1:
        tensors[0].copy_(value)
    else:
        torch._foreach_copy_(tensors, value.split([tensor.numel() for tensor in tensors]))


def is_memory(variable) -> bool:
    """Whether variables are read from their memory, and not from a scope that replaces it."""
    return variable.value is variable._value


def are_possible(variable) -> bool:
    """Whether a variable's memory can be looked at in pieces."""
    tensor = variable._value
    return tensor.layout is torch.strided and tensor.is_contiguous()


def are_lists(device: str) -> bool:
    """Whether the pieces of variables on a device are lists."""
    return device != "cpu"


def run(frame, pairs):
    """Weight decay and the formula for (gradient, variable) pairs whose memory can be looked at, in the frame that is entered."""
    optimizer, variables = frame.optimizer, [variable for _, variable in pairs]
    known = (*map(id, variables), optimizer.torch_compile)
    plan = optimizer._untracked.plans.get(known)
    if plan is None or not plan.is_valid():
        plan = optimizer._untracked.plans[known] = Plan(optimizer, variables)
    gradients = [gradient for gradient, _ in pairs]
    for planned in plan.planned:
        gradient = planned.gradient(gradients)
        if optimizer.torch_compile:
            compiled = plan.compiled.setdefault((frame.settings, planned.kind), Compiled())
            compiled(frame, gradient, planned.piece, planned.kind.slots)
        else:
            frame.run(gradient, StandIn(planned.piece))
    if plan.moved:
        written(plan.moved)


@dataclasses.dataclass(frozen=True)
class Kind:
    """What variables have in common that are updated together: one trace serves all of a kind that is compiled."""

    decays: bool
    dtype: torch.dtype
    device: torch.device
    slots: tuple


@dataclasses.dataclass(frozen=True)
class Planned:
    """One piece, and the numbers of the variables in it, each with the share of it that is in the piece."""

    piece: Piece
    kind: Kind
    shares: list[tuple[int, slice | None]]

    def gradient(self, gradients):
        """Its gradient, of those of all variables."""
        flat = [gradients[n] if share is None else gradients[n].reshape(-1)[share] for n, share in self.shares]
        return self.piece.joined(flat if are_lists(self.kind.device.type) else [each.reshape(-1) for each in flat])


class Plan:
    """The pieces in which variables are updated; it holds views of their memory, so it is kept from step to step.

    Args:
        optimizer: the optimizer whose formula it is.
        variables: the model's variables.

    Attributes:
        planned: the pieces.
        compiled: the compiled formulas, by settings and kind.
        moved: the weights that lie in one memory with others, and are written to there.
    """

    def __init__(self, optimizer, variables):
        self._memory: list = []  # (variable, its tensor, where that lies)
        self.planned: list[Planned] = []
        self.compiled: dict = {}
        self.moved: list[torch.Tensor] = []
        self._block = None if optimizer.torch_compile else BLOCK
        by_kind: dict = {}
        for number, variable in enumerate(variables):
            slots = optimizer._untracked.slots.of_the_formula(variable)
            tensor = variable._value
            kind = Kind(optimizer.decays(variable), tensor.dtype, tensor.device, slots)
            if tensor.numel():
                by_kind.setdefault(kind, []).append((number, variable))
        for kind, alike in by_kind.items():
            if are_lists(kind.device.type):
                for pairs in _parts(alike, LIST):
                    tensors = zip(*(self._tensors(variable, kind) for _, variable in pairs), strict=True)
                    self._add([(number, None) for number, _ in pairs], pairs[0][1], map(list, tensors), kind, Listed)
                continue
            for number, variable in alike:
                if variable._value.numel() >= SMALL:
                    self._add_blocks(number, variable, kind)
            for pairs in _parts([pair for pair in alike if pair[1]._value.numel() < SMALL], BLOCK):
                self._add_pack(pairs, kind)

    def _add_blocks(self, number, variable, kind):
        """A large variable, in blocks, or whole where the formula is compiled."""
        tensors = [tensor.view(-1) for tensor in self._tensors(variable, kind)]
        size = tensors[0].numel()
        starts = range(0, size, self._block or size)
        for start, *parts in zip(starts, *(tensor.split(self._block or size) for tensor in tensors), strict=True):
            share = slice(start, start + parts[0].numel())
            self._add([(number, share)], variable, [[part] for part in parts], kind, end_to_end)

    def _add_pack(self, pairs, kind):
        """Small variables end to end."""
        families = zip(*(self._family(variable, kind) for _, variable in pairs), strict=True)
        whole = [in_one([each._value for each in family]) for family in families]
        tensors = zip(*(self._tensors(variable, kind) for _, variable in pairs), strict=True)
        if whole[0] is not None:
            self.moved += [variable._value for _, variable in pairs]
        parts = [[tensor.view(-1) for tensor in each] if one is None else [one] for one, each in zip(whole, tensors, strict=True)]
        self._add([(number, None) for number, _ in pairs], pairs[0][1], parts, kind, end_to_end)

    def _family(self, variable, kind) -> tuple:
        return (variable, *(slot.variable_of(variable) for slot in kind.slots))

    def _tensors(self, variable, kind) -> list[torch.Tensor]:
        """The memory of a variable and of its slots."""
        family = self._family(variable, kind)
        self._memory += [(each, each._value, each._value.data_ptr()) for each in family]
        return [each._value.detach() for each in family]

    def _add(self, shares, of, parts, kind, joined):
        """A piece.

        Args:
            shares: as of `Planned`.
            of: its first variable.
            parts: the memory of its weights, and of each of its slots, in one tensor or several.
            kind: its kind.
            joined: as of `Piece`.
        """
        weights, *of_slots = parts
        slots = {slot: Piece(slot.variable_of(of), each, joined) for slot, each in zip(kind.slots, of_slots, strict=True)}
        self.planned.append(Planned(Piece(of, weights, joined, slots, kind.decays), kind, shares))

    def is_valid(self) -> bool:
        """Whether the variables' memory is still where it was."""
        return all(variable._value is tensor and tensor.data_ptr() == place for variable, tensor, place in self._memory)


def _parts(alike, most):
    """Lists of (number, variable) pairs, each with at least `most` elements, but for the last."""
    part: list = []
    size = 0
    for pair in alike:
        part.append(pair)
        size += pair[1]._value.numel()
        if size >= most:
            yield part
            part, size = [], 0
    if part:
        yield part
