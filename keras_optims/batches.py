"""Matrices of one shape as one batch: what a method does with a matrix it does with all of them at once."""

from __future__ import annotations

import math

from keras import ops

MOST = 2**24
"""The most numbers of a batch: 64 MB of float32. Larger matrices gain nothing from company, and joining them costs memory."""


def alike(kinds, shapes) -> list[list[int]]:
    """The numbers of the tensors of one shape and kind, no more together than make `MOST`.

    Args:
        kinds: what else tells each of them from others; hashable.
        shapes: the shape of each.
    """
    of_kind: dict = {}
    for number, kind in enumerate(zip(kinds, map(tuple, shapes), strict=True)):
        of_kind.setdefault(kind, []).append(number)
    batches = []
    for (_, shape), numbers in of_kind.items():
        most = max(MOST // max(math.prod(shape), 1), 1)
        batches += [numbers[start : start + most] for start in range(0, len(numbers), most)]
    return batches


def joined(tensors):
    """Tensors (n, ..) as one, behind each other."""
    return tensors[0] if len(tensors) == 1 else ops.concatenate(tensors, 0)


def parted(tensor, number: int) -> list:
    """The inverse, for so many tensors of one shape."""
    return [tensor] if number == 1 else ops.split(tensor, number, 0)


def stacked(tensors):
    """Tensors of one shape along a new first axis: joined, since TensorFlow's Pack and Unpack leave the Mac's GPU."""
    return joined([ops.expand_dims(tensor, 0) for tensor in tensors])


def unstacked(tensor) -> list:
    """The inverse."""
    return [ops.squeeze(part, 0) for part in parted(tensor, tensor.shape[0])]
