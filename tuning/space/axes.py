"""The axes of a stored search: what was searched, and on which scale; importing this needs neither Keras nor KerasTuner."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tuning.space.scale import SCALES

LEARNING_RATES = ("learning_rate", "lr")


@dataclasses.dataclass(frozen=True)
class Axis:
    """One hyperparameter of a search.

    Args:
        name: of the hyperparameter.
        symbol: as the literature writes it, e.g. `β₁`; empty if the search does not say.
        kind: `"float"`, `"int"` or `"choice"`.
        scale: of a number: `"linear"`, `"log"`, or `"log1m"` (log in 1-x).
        low, high: the bounds of a number, both included.
        choices: the values of a choice, in their order.
        of: whose it is, see `tuning.space.setting`: `""` is the only optimizer, and its schedule.
        argument: what it is called there; by default as the axis.
        when: the axes on which it depends, each with those of its values with which this axis is there.
        native: of one that a model function declared with KerasTuner's `hp`: class name and configuration.
    """

    name: str
    symbol: str = ""
    kind: str = "float"
    scale: str = "linear"
    low: float = 0.0
    high: float = 1.0
    choices: tuple[Any, ...] = ()
    of: str = ""
    argument: str = ""
    when: tuple[tuple[str, tuple[Any, ...]], ...] = ()
    native: Any = None

    def to_json(self) -> dict[str, Any]:
        """As a store has it."""
        if self.kind == "choice":
            found: dict[str, Any] = {"choices": list(self.choices), "symbol": self.symbol}
        else:
            found = {"low": self.low, "high": self.high, "scale": self.scale, "symbol": self.symbol}
            found |= {"kind": self.kind} if self.kind != "float" else {}
        when = {name: list(values) for name, values in self.when}
        others = {"of": self.of, "argument": self.argument, "when": when, "native": self.native}
        return found | {name: value for name, value in others.items() if value}

    @classmethod
    def from_json(cls, name: str, content: Mapping[str, Any]) -> Axis:
        """The inverse of `to_json`."""
        is_choice = "choices" in content
        return cls(
            name,
            symbol=str(content.get("symbol") or ""),
            kind="choice" if is_choice else content.get("kind", "float"),
            scale=content.get("scale", "linear"),
            low=content.get("low", 0.0),
            high=content.get("high", 0.0),
            choices=tuple(content.get("choices", ())),
            of=content.get("of", ""),
            argument=content.get("argument", ""),
            when=tuple((parent, tuple(values)) for parent, values in content.get("when", {}).items()),
            native=content.get("native"),
        )

    def is_active(self, values: Mapping[str, Any]) -> bool:
        """Whether a setting with these values of the other axes has it."""
        return all(parent in values and values[parent] in allowed for parent, allowed in self.when)

    @property
    def is_number(self) -> bool:
        """Whether its values have a distance from each other."""
        return self.kind != "choice"

    @property
    def label(self) -> str:
        """Symbol and name."""
        return f"{self.symbol} {self.name}".strip()

    @property
    def scale_label(self) -> str:
        """Symbol, name and, where it is not linear, the scale."""
        note = {"log": " (log)", "log1m": f" (log in 1−{self.symbol or 'x'})"}.get(self.scale, "") if self.is_number else ""
        return self.label + note

    def position(self, value: Any) -> float | None:
        """Where a value lies along the scale; `None` if the trial has no such value."""
        if not self.is_number:
            return next((float(i) for i, choice in enumerate(self.choices) if _same(choice, value)), None)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            return None
        return SCALES[self.scale].position(value)

    @property
    def ends(self) -> tuple[float, float]:
        """The positions of the bounds."""
        if not self.is_number:
            return 0.0, max(len(self.choices) - 1.0, 0.0)
        low, high = self.position(self.low), self.position(self.high)
        return (low, high) if low is not None and high is not None else (0.0, 1.0)

    def ticks(self) -> list[tuple[float, str]]:
        """(position, text) of a handful of round values."""
        if not self.is_number:
            return [(float(i), str(choice)) for i, choice in enumerate(self.choices)]
        values = SCALES[self.scale].round_values(self.low, self.high) or [self.low, self.high]
        if self.kind == "int":
            values = [value for value in values if value == round(value)]
        places = [(self.position(value), number(value)) for value in dict.fromkeys(values)]
        return [(position, text) for position, text in places if position is not None]


def axes_of(config: Mapping[str, Any], oracle_state: Mapping[str, Any], settings: Iterable[Mapping[str, Any]]) -> list[Axis]:
    """The axes of a search, from its configuration, else from its oracle, else from what its trials have.

    Args:
        config: of the store.
        oracle_state: of the store.
        settings: the hyperparameters of the trials; ranges are widened to hold their values.
    """
    settings = list(settings)
    space = config.get("space")
    axes: dict[str, Axis] = {}
    if isinstance(space, dict) and isinstance(space.get("axes"), dict):
        for name, axis in space["axes"].items():
            axes[name] = Axis.from_json(name, axis)
    else:
        declared = (oracle_state.get("hyperparameters") or {}).get("space") or space or []
        for entry in declared if isinstance(declared, list) else []:
            kind, described = (entry["class_name"], entry["config"]) if isinstance(entry, dict) else entry
            axis = of_keras_tuner(kind, described)
            if axis is not None:
                axes[axis.name] = axis
    for name in dict.fromkeys(name for setting in settings for name in setting):
        values = [setting[name] for setting in settings if name in setting]
        axes[name] = _holding(axes.get(name), name, values)
    return [axis for axis in axes.values() if axis.kind != "choice" or axis.choices]


def learning_rate_axis(axes: Sequence[Axis]) -> Axis | None:
    """The axis that is the learning rate, by its name."""
    numbers = [axis for axis in axes if axis.is_number]
    return next((axis for axis in numbers if (axis.argument or axis.name) in LEARNING_RATES), None) or next(
        (axis for axis in numbers if "learning_rate" in axis.name), None
    )


def number(value: float, digits: int = 6) -> str:
    """A number in few characters: 0.001, 1e-5, 0.99999."""
    text = f"{value:.{digits}g}"
    if "e" in text:
        mantissa, exponent = text.split("e")
        return f"{mantissa}e{int(exponent)}"
    if 0.9 < abs(value) < 1:  # a decay rate: what counts are the digits of 1-x
        text = f"{value:.{min(15, max(digits, digits - math.floor(math.log10(1 - abs(value))) - 3))}g}"
    return text


def value_text(value: Any) -> str:
    """Any hyperparameter's value, briefly."""
    return number(value) if isinstance(value, float) else str(value)


def of_keras_tuner(kind: str, described: Mapping[str, Any]) -> Axis | None:
    """The axis of a KerasTuner hyperparameter, by its class name and configuration; `None` for one that is fixed."""
    name = described.get("name", "")
    if kind == "Boolean":
        return Axis(name, kind="choice", choices=(False, True))
    if kind == "Choice":
        return Axis(name, kind="choice", choices=tuple(described.get("values", ())))
    if kind in ("Float", "Int", "SearchAxis", "WholeAxis"):
        scale = described.get("scale") or described.get("sampling") or "linear"
        low, high = described["min_value"], described["max_value"]
        if scale not in SCALES or (scale == "log" and low <= 0):
            scale = "linear"
        return Axis(name, kind="int" if kind in ("Int", "WholeAxis") else "float", scale=scale, low=low, high=high)
    return None


def _holding(axis: Axis | None, name: str, values: Sequence[Any]) -> Axis:
    """The axis with all these values on it."""
    numeric = [value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)]
    if axis is None:
        if values and len(numeric) == len(values):
            kind = "int" if all(isinstance(value, int) for value in values) else "float"
            return Axis(name, kind=kind, low=min(numeric), high=max(numeric))
        return Axis(name, kind="choice", choices=_distinct(values))
    if axis.is_number and len(numeric) == len(values):
        return dataclasses.replace(axis, low=min([axis.low, *numeric]), high=max([axis.high, *numeric]))
    return dataclasses.replace(axis, kind="choice", choices=_distinct([*axis.choices, *values]))


def _distinct(values: Iterable[Any]) -> tuple[Any, ...]:
    found: list[Any] = []
    for value in values:
        if not any(_same(value, known) for known in found):
            found.append(value)
    return tuple(found)


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and one == other  # True is not 1 here
