"""What is asked of a trial besides its setting; importing this needs nothing."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Assignment:
    """How a trial is to train.

    Args:
        root: the number of the trial whose seeds it has: its own, unless it continues the training of another one.
        ways: how epochs may be compiled; see `tuning.training.epochs`. `None`: as each model was compiled.
        least: what the trial must score at least for its model to be wanted; `None`: it is not wanted, whatever it scores.
        begin: of each execution the content of the snapshot from which it goes on; none: each trains from its first epoch.
        leaves: whether snapshots of its end are wanted, as another trial may continue it.
        settings: where live numbers change while it trains, as in a population: each setting that it has, and the epoch from
            which on it has that, from 0 on, ascending. Empty: it has one setting.
    """

    root: int
    ways: tuple[str, ...] | None = None
    least: float | None = None
    begin: tuple[bytes, ...] = ()
    leaves: bool = False
    settings: tuple[tuple[int, Mapping[str, Any]], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        begin = [base64.b85encode(content).decode() for content in self.begin]
        return {**vars(self), "begin": begin, "settings": [[epoch, dict(values)] for epoch, values in self.settings]}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Assignment:
        """The inverse of `to_json`."""
        ways = None if content["ways"] is None else tuple(content["ways"])
        begin = tuple(base64.b85decode(each) for each in content["begin"])
        settings = tuple((epoch, values) for epoch, values in content["settings"])
        return cls(**{**content, "ways": ways, "begin": begin, "settings": settings})
