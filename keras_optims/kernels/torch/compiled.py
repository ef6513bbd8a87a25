"""A formula as one loop of torch's compiler: each weight, gradient and slot is read once and written once.

The formula is traced once for each kind of variable, on a piece of it, with the scalars of the step as arguments; torch's
compiler makes a loop of that for pieces of any length. It is an option because compiling takes seconds, and needs a C++ compiler
(CPU) or Triton (GPU).
"""

from __future__ import annotations

import torch
from torch.fx.experimental.proxy_tensor import make_fx

from keras_optims.kernels.torch.listed import Listed
from keras_optims.stand_in import Place, StandIn


class Argument(Place):
    """A piece that is an argument of the function that is traced.

    Args:
        of: the place outside.
        value: its tensor, or list of them.
        slots: the arguments that are its slots.
    """

    def __init__(self, of, value, slots=None):
        super().__init__(of.variable, of.decays)
        self._value, self._slots = value, slots or {}

    def read(self):
        """The value, in the dtype of the arithmetic."""
        return _as_one(self._value).to(getattr(torch, self.dtype))

    def write(self, value):
        """Sets it, in its own memory."""
        if isinstance(self._value, list):
            for tensor, each in zip(self._value, value.tensors, strict=True):
                tensor.copy_(each)
        else:
            self._value.copy_(value)

    def slot(self, slot) -> Argument:
        """The argument that is this slot."""
        return self._slots[slot]


def _as_one(value):
    return Listed(value) if isinstance(value, list) else value


class Compiled:
    """The compiled formula of pieces of one kind; compiled at the first call, lists at the first of each."""

    def __init__(self):
        self._functions: dict = {}

    def __call__(self, frame, gradient, piece, slots):
        """Weight decay and the formula on one piece, in the frame that is entered.

        Args:
            frame: the frame.
            gradient: the piece's gradient.
            piece: the piece of the weights.
            slots: the slots that it has.
        """
        dtype = piece.dtype
        scalars = vars(frame.scalars(dtype))
        others = [frame.rate_in(dtype), *([frame.decay_in(dtype)] if piece.decays else []), *scalars.values()]
        pieces = [piece, *(piece.slot(slot) for slot in slots)]
        joined = [each.joined(each.tensors) for each in pieces]
        values = [each.tensors if isinstance(each, Listed) else each for each in (gradient, *joined)]
        shapes = tuple(tensor.shape for tensor in values[1]) if isinstance(values[1], list) else None
        if shapes not in self._functions:
            self._functions[shapes] = _compiled(frame, piece, slots, list(scalars), values, others)
        self._functions[shapes](*values, *others)
        for each, value in zip(pieces, joined, strict=True):
            if not isinstance(value, Listed) and len(each.tensors) > 1:
                torch._foreach_copy_(each.tensors, value.split([tensor.numel() for tensor in each.tensors]))


def _compiled(frame, piece, slots, names, values, others):
    """A function of gradient, weights, slots and scalars, which sets the weights and slots."""

    def formula(gradient, weights, *rest):
        of_slots, scalars = rest[: len(slots)], list(rest[len(slots) :])
        inside = frame.inside()
        dtype, settings = piece.dtype, frame.settings
        inside.memo[settings, ("rate", dtype)] = scalars.pop(0)
        if piece.decays:
            inside.memo[settings, ("decay", dtype)] = scalars.pop(0)
        inside.memo[settings, ("scalars", dtype)] = type(frame.of_step)(**dict(zip(names, scalars, strict=True)))
        its_slots = {slot: Argument(piece.slot(slot), value) for slot, value in zip(slots, of_slots, strict=True)}
        with inside:
            inside.run(_as_one(gradient), StandIn(Argument(piece, weights, its_slots)))

    in_lists = isinstance(values[1], list)
    mode = "fake" if in_lists else "symbolic"
    # A short example: what is traced does not depend on the length, and is not run.
    example = [value if in_lists else value.new_empty(min(value.numel(), 4096)) for value in values]
    traced = make_fx(formula, tracing_mode=mode, _allow_non_fake_inputs=True)(*example, *others)
    return torch.compile(traced, dynamic=not in_lists, fullgraph=True)
