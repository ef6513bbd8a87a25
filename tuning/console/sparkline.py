"""A curve in one line of text."""

from __future__ import annotations

import math
from collections.abc import Sequence

BARS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float | None], width: int) -> str:
    """The curve in at most `width` characters, from its lowest value to its highest; `×` where it is no finite number.

    Of a longer curve each character is the last value of its share: a curve that has just risen ends high.
    """
    if not values or width < 1:
        return ""
    count = min(len(values), width)
    chosen = [values[-(-(place + 1) * len(values) // count) - 1] for place in range(count)]
    known = [value for value in chosen if value is not None and math.isfinite(value)]
    low, high = min(known, default=0.0), max(known, default=0.0)
    return "".join(_bar(value, low, high) for value in chosen)


def _bar(value: float | None, low: float, high: float) -> str:
    if value is None or not math.isfinite(value):
        return "×"
    if high == low:
        return BARS[len(BARS) // 2]
    return BARS[min(int((value - low) / (high - low) * len(BARS)), len(BARS) - 1)]
