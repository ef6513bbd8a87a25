"""The scales along which a hyperparameter is searched and drawn; importing this needs nothing heavy."""

from __future__ import annotations

import dataclasses
import math

SIGNIFICANT_DIGITS = 6  # of a sampled value, so that what is printed is what was trained
_MOST_TICKS = 7


@dataclasses.dataclass(frozen=True)
class Scale:
    """Linear: equal differences are equally far.

    A scale has two measures of the same places. `forward` and `backward` are those of sampling, in natural logarithms;
    `position` is that of charts, in powers of ten.
    """

    name: str = "linear"

    def forward(self, value: float) -> float:
        """Where a value lies, for sampling."""
        return value

    def backward(self, place: float) -> float:
        """The value that lies there, rounded to 6 significant digits."""
        return significant(place)

    def position(self, value: float) -> float | None:
        """Where a value lies on a chart; `None` for one that is not on the scale."""
        return float(value)

    def round_values(self, low: float, high: float) -> list[float]:
        """A handful of round values between two, as they are on a chart."""
        return [value for value in round_values(low, high) if low <= value <= high]

    def in_optuna(self, name: str) -> str:
        """What a hyperparameter is called in Optuna."""
        return name

    def as_optuna(self, value: float, low: float, high: float) -> tuple[float, float, float, bool]:
        """In Optuna: a value, its bounds, and whether they are logarithmic."""
        return float(value), float(low), float(high), False


@dataclasses.dataclass(frozen=True)
class Log(Scale):
    """Logarithmic: equal ratios are equally far."""

    name: str = "log"

    def forward(self, value: float) -> float:  # noqa: D102
        return math.log(value)

    def backward(self, place: float) -> float:  # noqa: D102
        return significant(math.exp(place))

    def position(self, value: float) -> float | None:  # noqa: D102
        return math.log10(value) if value > 0 else None

    def round_values(self, low: float, high: float) -> list[float]:  # noqa: D102
        first, last = self.position(low), self.position(high)
        if first is None or last is None or abs(last - first) < 0.6:
            return super().round_values(low, high)
        decades = range(math.floor(min(first, last)) - 1, math.ceil(max(first, last)) + 1)
        for digits in ((1,), (1, 3), (1, 2, 5)):
            values = sorted(self._at(decade, digit) for decade in decades for digit in digits)
            inside = [value for value in values if low <= value <= high]
            if len(inside) >= 4:
                break
        return inside[:: math.ceil(len(inside) / _MOST_TICKS) or 1]

    def _at(self, decade: int, digit: int) -> float:
        return digit * 10.0**decade

    def as_optuna(self, value: float, low: float, high: float) -> tuple[float, float, float, bool]:  # noqa: D102
        return float(value), float(low), float(high), low > 0


@dataclasses.dataclass(frozen=True)
class Log1m(Log):
    """Logarithmic in 1-x, which Optuna does not know: there the parameter is `1 - NAME`, on a logarithmic scale."""

    name: str = "log1m"

    def forward(self, value: float) -> float:  # noqa: D102
        return -math.log1p(-value)

    def backward(self, place: float) -> float:  # noqa: D102
        return float(f"{1 - significant(math.exp(-place)):.15g}")  # 15 digits drop the binary noise of the subtraction

    def position(self, value: float) -> float | None:  # noqa: D102
        return -math.log10(1 - value) if value < 1 else None

    def _at(self, decade: int, digit: int) -> float:
        return float(f"{1 - digit * 10.0**-decade:.12g}")

    def in_optuna(self, name: str) -> str:  # noqa: D102
        return f"1 - {name}"

    def as_optuna(self, value: float, low: float, high: float) -> tuple[float, float, float, bool]:  # noqa: D102
        if high >= 1:
            return Scale.as_optuna(self, value, low, high)
        complement, first, last = (round(1 - each, 15) for each in (value, high, low))  # without the noise of the subtraction
        return complement, min(first, complement), max(last, complement), True


SCALES: dict[str, Scale] = {scale.name: scale for scale in (Scale(), Log(), Log1m())}


def significant(value: float) -> float:
    """Rounded to 6 significant digits."""
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}")


def round_values(low: float, high: float) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten between two numbers."""
    if high <= low:
        return [low]
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first = math.ceil(low / step - 1e-9)
    return [float(f"{i * step:.10g}") for i in range(first, math.floor(high / step + 1e-9) + 1)]
