"""What is asked of a trial besides its setting; importing this needs nothing."""

from __future__ import annotations

import base64
import dataclasses
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
    """

    root: int
    ways: tuple[str, ...] | None = None
    least: float | None = None
    begin: tuple[bytes, ...] = ()
    leaves: bool = False

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {**vars(self), "begin": [base64.b85encode(content).decode() for content in self.begin]}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Assignment:
        """The inverse of `to_json`."""
        ways = None if content["ways"] is None else tuple(content["ways"])
        return cls(**{**content, "ways": ways, "begin": tuple(base64.b85decode(each) for each in content["begin"])})
