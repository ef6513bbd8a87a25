"""What the formulas of schedules are made of."""

from __future__ import annotations

import math

from keras import ops

LEAST = 1e-30  # what may be divided by; where it is, the quotient is not used


def ratio(part, whole):
    """How far `part` is on the way to `whole`, from 0 to 1."""
    return ops.clip(part / ops.maximum(whole, LEAST), 0.0, 1.0)


def straight(first, last, way):
    """From one value to another."""
    return first + (last - first) * way


def cosine(first, last, way):
    """From one value to another along half a period of the cosine, which begins and ends flat."""
    return last + (first - last) * (0.5 * (1.0 + ops.cos(math.pi * way)))


def before(x, bend, first, second):
    """`first` before the bend, `second` from there on."""
    return ops.where(x < bend, first, second)
