"""What a trial reports while it runs; importing this needs nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class EpochEnded:
    """One point of a learning curve: metric name -> value after `epoch` (from 0)."""

    trial: int
    execution: int
    epoch: int
    metrics: dict[str, float]


@dataclasses.dataclass(frozen=True)
class ExecutionEnded:
    """One training is over: the objective at its best epoch (not finite if it diverged), and how long it took."""

    trial: int
    execution: int
    seed: int
    score: float
    best_epoch: int
    begun: float
    seconds: float


@dataclasses.dataclass(frozen=True)
class Chosen:
    """What the first trial measured and chose for all: how epochs are compiled, or how many trials train at once.

    Args:
        name: `"way"` or `"batch_trials"`.
        value: of the choice; `None`: there was nothing to choose.
        seconds_per_step: of each candidate.
    """

    name: str
    value: str | int | None
    seconds_per_step: dict[str, float]


@dataclasses.dataclass(frozen=True)
class BestModel:
    """The model of a trial that is about to end, at its best epoch: it may be one of those that the search keeps.

    Args:
        trial: its number.
        content: of a `.keras` file.
    """

    trial: int
    content: bytes


@dataclasses.dataclass(frozen=True)
class Left:
    """An execution that is about to end leaves a snapshot, from which another trial may go on.

    Args:
        trial, execution: whose it is.
        epoch: how many epochs were trained.
        content: of an `.npz` file; see `tuning.training.snapshot`.
    """

    trial: int
    execution: int
    epoch: int
    content: bytes


@dataclasses.dataclass(frozen=True)
class Noted:
    """Something that whoever searches should know.

    Args:
        text: one sentence without a full stop.
    """

    text: str


Event = EpochEnded | ExecutionEnded | Chosen | BestModel | Left | Noted
Report = Callable[[Event], bool | None]  # True: the trial is to stop here, as it is not promising
