"""Over which ranges a study searched: kept beside its tables, which so still hold when a default range has changed."""

from __future__ import annotations

import csv
import dataclasses
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import keras_optims
from scripts.searches import axes as declared_axes
from tuning.errors import SearchError
from tuning.space.axes import Axis, number
from tuning.store.files import replacing

FILE = "ranges.csv"


@dataclasses.dataclass(frozen=True)
class Range:
    """A line of ranges.csv.

    Args:
        optimizer, hyperparameter: their names.
        low, high: both included.
        scale: `"linear"`, `"log"` or `"log1m"`.
    """

    optimizer: str
    hyperparameter: str
    low: float
    high: float
    scale: str

    def __str__(self) -> str:
        return f"{self.hyperparameter} {number(self.low)} to {number(self.high)}, {self.scale}"

    @property
    def axis(self) -> Axis:
        """With the symbol that the optimizer declares."""
        symbol = keras_optims.OPTIMIZERS[self.optimizer].hyperparameters()[self.hyperparameter].symbol
        return Axis(self.hyperparameter, symbol, scale=self.scale, low=self.low, high=self.high)


def declared(optimizers: Iterable[str]) -> list[Range]:
    """Over which a search looks by default."""
    found = ((optimizer, axis) for optimizer in optimizers for axis in declared_axes(optimizer).values())
    return [Range(optimizer, axis.name, axis.low, axis.high, axis.scale) for optimizer, axis in found]


def of_config(optimizer: str, config: Mapping[str, Any]) -> list[Range]:
    """Over which a stored search looks, from its configuration."""
    found = (Axis.from_json(name, content) for name, content in config["space"]["axes"].items())
    return [Range(optimizer, axis.name, axis.low, axis.high, axis.scale) for axis in found]


def check_same(one: Iterable[Range], other: Iterable[Range], where: str, and_where: str, then: str):
    """Raises `SearchError` saying which ranges differ, where each is from, and what to do then."""
    here, there = set(one), set(other)
    if here != there:
        texts = ("; ".join(sorted(map(str, each))) for each in (here - there, there - here))
        optimizer = next(iter(here ^ there)).optimizer
        both = (f"{text or 'nothing more'} ({place})" for text, place in zip(texts, (where, and_where), strict=True))
        raise SearchError(f"{optimizer} was not searched over the same ranges everywhere: {' and '.join(both)}. {then}")


def axes_of(ranges: Iterable[Range]) -> dict[str, dict[str, Axis]]:
    """Optimizer -> hyperparameter -> what was searched of it."""
    found: dict[str, dict[str, Axis]] = {}
    for line in ranges:
        found.setdefault(line.optimizer, {})[line.hyperparameter] = line.axis
    return found


def write(ranges: Iterable[Range], folder: pathlib.Path):
    """Writes the table."""
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / FILE) as temporary, temporary.open("w", newline="") as opened:
        writer = csv.writer(opened, lineterminator="\n")
        writer.writerow([field.name for field in dataclasses.fields(Range)])
        writer.writerows(dataclasses.astuple(line) for line in ranges)


def read(folder: pathlib.Path) -> list[Range]:
    """The lines of the table; none if it is not there."""
    path = folder / FILE
    if not path.exists():
        return []
    with path.open(newline="") as opened:
        lines = list(csv.DictReader(opened))
    return [Range(**{**line, "low": float(line["low"]), "high": float(line["high"])}) for line in lines]
