"""How sure a mean is, and whether two means differ: what a comparison of trainings from several seeds may claim.

Everything rests on Student's t: trainings from different seeds are taken as independent draws, with a spread that is not known.
"""

from __future__ import annotations

import dataclasses
import math
import statistics  # the standard library's, which computes mean and standard deviation without rounding errors
from collections.abc import Mapping, Sequence

CONFIDENCE = 0.95
SIGNIFICANT = 0.05  # below it a p-value, adjusted for the number of comparisons, counts as a difference


@dataclasses.dataclass(frozen=True)
class Summary:
    """A sample in five numbers.

    Args:
        mean: of the values.
        sd: their standard deviation (of the sample: with n-1); `None` for one value, from which no spread is known.
        low, high: the 95 % t interval of the mean; `None` for one value.
        count: of the values.
    """

    mean: float
    sd: float | None
    low: float | None
    high: float | None
    count: int

    @property
    def half(self) -> float | None:
        """Half the width of the interval."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2

    def __str__(self) -> str:
        return plus_minus(self.mean, self.half)


def summary(values: Sequence[float]) -> Summary:
    """Mean, standard deviation and 95 % interval of at least one finite value."""
    if not values or not all(map(math.isfinite, values)):
        raise ValueError(f"A summary needs finite values, at least one; received {list(values)}.")
    mean, count = statistics.fmean(values), len(values)
    if count == 1:
        return Summary(mean, None, None, None, 1)
    sd = statistics.stdev(values)
    half = _quantile(count - 1) * sd / math.sqrt(count)
    return Summary(mean, sd, mean - half, mean + half, count)


@dataclasses.dataclass(frozen=True)
class Difference:
    """Between the means of two samples, one minus other.

    Args:
        difference: of the means.
        low, high: its 95 % interval; `None` where a sample is too small to tell.
        p: the two-sided p-value of a difference of zero; `None` likewise.
        paired: whether the values were compared pair by pair.
    """

    difference: float
    low: float | None
    high: float | None
    p: float | None
    paired: bool


def difference(one: Mapping[int, float], other: Mapping[int, float]) -> Difference:
    """The difference of two samples, each a mapping of seed -> value.

    If both have the same seeds it is tested pair by pair: what a seed does to both (a lucky initialisation, an easy order of the
    samples) cancels. Else by Welch's test, which does not take their spreads as equal. Without any spread the test is at its
    limit: p is 1 for equal means, 0 for different ones.
    """
    if one.keys() == other.keys():
        differences = summary([one[seed] - other[seed] for seed in one])
        if differences.sd is None:
            return Difference(differences.mean, None, None, None, True)
        error = differences.sd / math.sqrt(differences.count)
        return _tested(differences.mean, error, differences.count - 1, True)
    first, second = summary(list(one.values())), summary(list(other.values()))
    gap = first.mean - second.mean
    if first.sd is None or second.sd is None:
        return Difference(gap, None, None, None, False)
    errors = first.sd**2 / first.count, second.sd**2 / second.count
    if sum(errors) == 0:
        return _tested(gap, 0.0, 1, False)
    # Welch and Satterthwaite's degrees of freedom.
    freedom = sum(errors) ** 2 / (errors[0] ** 2 / (first.count - 1) + errors[1] ** 2 / (second.count - 1))
    return _tested(gap, math.sqrt(sum(errors)), freedom, False)


def _tested(gap: float, error: float, freedom: float, paired: bool) -> Difference:
    if error == 0:
        return Difference(gap, gap, gap, 1.0 if gap == 0 else 0.0, paired)
    from scipy.special import stdtr

    half = _quantile(freedom) * error
    return Difference(gap, gap - half, gap + half, float(2 * stdtr(freedom, -abs(gap) / error)), paired)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """The p-values adjusted for how many there are, by Holm's method; `None`s are not counted and stay.

    With them, the chance of even one false difference among all comparisons is below the level that each is held against.
    """
    order = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, i) in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p))
        adjusted[i] = largest
    return adjusted


def plus_minus(mean: float, half: float | None, sign: str = "±") -> str:
    """`0.9722 ± 0.0041`: a half-width with two significant digits at least, and a mean with four decimals if it is larger."""
    if half is None or not math.isfinite(half):
        return f"{mean:.4g}"
    if half == 0:
        return f"{mean:.4g} {sign} 0"
    if not 1e-4 <= max(abs(mean), half) < 1e6:
        return f"{mean:.3e} {sign} {half:.1e}"
    decimals = max(_decimals(half, 2), min(_decimals(mean, 4), 4) if abs(mean) >= half else 0)
    return f"{mean:.{decimals}f} {sign} {half:.{decimals}f}"


def _decimals(value: float, digits: int) -> int:
    """How many decimals show so many significant digits."""
    exponent = math.floor(math.log10(float(f"{abs(value):.{digits - 1}e}")))
    return min(max(digits - 1 - exponent, 0), 8)


def _quantile(freedom: float) -> float:
    """Of Student's t: the half-width of an interval, in standard errors."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2))
