"""What a tracker is told, and what it has to do; importing this needs nothing heavy."""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
from collections.abc import Mapping
from typing import Any, Protocol

from tuning.results.search import SearchResult

ENDED = ("completed", "pruned", "diverged", "failed")
RUNNING = "running"


@dataclasses.dataclass(frozen=True)
class Place:
    """Where the runs of a search or a comparison go.

    Args:
        directory: of the search or the comparison, in which the clients' own folders are.
        experiment: what all its runs belong to.
        only_here: whether they go there whatever the environment says, beside what is there already.
    """

    directory: pathlib.Path
    experiment: str
    only_here: bool = False

    @classmethod
    def of(cls, directory) -> Place:
        """That of a search or a comparison in a directory, after which the experiment is named."""
        path = pathlib.Path(directory)
        return cls(path, path.resolve().name)


@dataclasses.dataclass(frozen=True)
class Tracked:
    """A search whose runs are tracked.

    Args:
        id: of this search, and of no other one in the world; it stays when the folder moves.
        group: of a search in a comparison, its folder there, such as `adam` or `adam-confirmation`; else empty.
        objective: the metric that is made best.
        repeats: trainings per trial.
        about: what all its runs have in common: optimizer, problem, phase ...
    """

    id: str
    group: str
    objective: str
    repeats: int
    about: Mapping[str, str]

    @classmethod
    def of(cls, result: SearchResult, group: str = "") -> Tracked:
        """A stored search."""
        config = result.config
        named = {name: config.get(name) for name in ("optimizer", "problem", "oracle", "backend", "command")}
        named["search_seed"] = config.get("seed")
        about = {name: str(value) for name, value in named.items() if value is not None}
        about["phase"] = "search" if config.get("confirms") is None else "confirmation"
        content = repr((result.created, config.get("optimizer"), config.get("problem"), config.get("seed"), about["phase"]))
        identity = hashlib.sha256(content.encode()).hexdigest()[:16]
        return cls(identity, group, result.objective, config.get("repeats", 1), about)

    def name(self, trial: int, execution: int) -> str:
        """What a run is called."""
        part = f"{self.group} trial {trial}".strip()
        return part if self.repeats == 1 else f"{part}, execution {execution}"


@dataclasses.dataclass(frozen=True)
class Run:
    """One training of a trial.

    Args:
        trial, execution: their numbers.
        name: for people.
        hyperparameters: name -> value.
        epochs: how many it is to train, if that is known.
        begun: in seconds since 1970.
        line: the setting as a line of Python.
    """

    trial: int
    execution: int
    name: str
    hyperparameters: Mapping[str, Any]
    epochs: int | None
    begun: float
    line: str = ""

    @property
    def key(self) -> tuple[int, int]:
        """Trial and execution."""
        return self.trial, self.execution


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a run.

    Args:
        state: of its trial: one of `ENDED`; `"interrupted"` if it is to run again.
        score: the objective at its best epoch; `None` if it has none.
        best_epoch: from 0.
        seed: of all that is random in it.
        trial_score: the mean over the executions of the trial.
        message: why it failed.
        ended: in seconds since 1970.
    """

    state: str
    ended: float
    score: float | None = None
    best_epoch: int | None = None
    seed: int | None = None
    trial_score: float | None = None
    message: str | None = None

    @property
    def numbers(self) -> dict[str, float]:
        """Those that there are, by name."""
        known = {"score": self.score, "trial_score": self.trial_score, "best_epoch": self.best_epoch}
        return {name: float(value) for name, value in known.items() if value is not None}


class Tracker(Protocol):
    """Writes runs with one client. All its methods but the constructor are called in one thread, which is not the search's."""

    where: str  # in words: where a person finds the runs

    def begin(self, search: Tracked) -> dict[tuple[int, int], str]:
        """A search begins, or goes on: (trial, execution) -> state of its runs that are there.

        Runs of another search that was in the same folder before are removed, if they are in there and nowhere else.
        """

    def trial_began(self, trial: int) -> None:
        """What is there of a trial is removed, as far as the client can do that."""

    def run_began(self, run: Run) -> None:
        """A run begins."""

    def epoch_ended(self, run: Run, epoch: int, metrics: Mapping[str, float], when: float) -> None:
        """A run has trained an epoch (from 0): metric -> value."""

    def run_ended(self, run: Run, outcome: Outcome) -> None:
        """A run is over; it may have more hyperparameters than it began with."""

    def flush(self) -> None:
        """Sends what was kept back: nothing else waits to be told."""


def as_plain(value: Any) -> bool | int | float | str:
    """A hyperparameter's value as every tracker takes it."""
    return value if isinstance(value, (bool, int, float, str)) else str(value)
