"""A step from a value of a hyperparameter to one beside it, along the scale on which it is searched."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tuning.space.scale import SCALES, Scale

RATIO = 1.25  # of two neighbours on a logarithmic scale, in 1-x where that is what is logarithmic
SHARE = 0.1  # of the range, between two neighbours on a linear one


def perturbed(value: float, low: float, high: float, scale: str, up: bool, whole: bool = False) -> Any:
    """The neighbour of a value, within its bounds; at one of them that on the other side.

    What is 0 stays 0, and nothing else becomes 0: many a term is off then, and an optimizer without it is another one.

    Args:
        value: a number; one that lies outside of the bounds comes back to them.
        low, high: the bounds, both included.
        scale: a name in `tuning.space.scale.SCALES`.
        up: in which direction; with `"log1m"`, up is closer to 1.
        whole: whether it is a whole number, which moves by 1 at least.

    Returns:
        A float, or an int if it is a whole number.
    """
    if value == 0:
        return value
    for direction in (up, not up):
        found = _neighbour(value, low, high, SCALES[scale], 1 if direction else -1, whole)
        if found not in (value, 0):
            return found
    return value


def beside(value: float, values: Sequence[Any], up: bool) -> Any:
    """The same of a number that has these values alone, ascending; one that lies between them goes by the nearest."""
    place = min(range(len(values)), key=lambda i: abs(values[i] - value))
    for step in (1, -1) if up else (-1, 1):
        if value != 0 and 0 <= place + step < len(values) and values[place + step] != 0:
            return values[place + step]
    return value


def _neighbour(value: float, low: float, high: float, scale: Scale, sign: int, whole: bool) -> float | int:
    inside = min(max(value, low), high)
    step = SHARE * (high - low) if scale.name == "linear" else math.log(RATIO)
    if scale.name == "log1m" and inside >= 1:
        return inside
    found = min(max(scale.backward(scale.forward(inside) + sign * step), low), high)
    if not whole:
        return found
    found = math.floor(max(found, inside + 1)) if sign > 0 else math.ceil(min(found, inside - 1))
    return int(min(max(found, low), high))
