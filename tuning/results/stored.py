"""All that the store of a search holds, read once, for reports and exports."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from tuning.results.search import SearchResult, TrialRecord
from tuning.results.statistics import summary
from tuning.space.axes import Axis, axes_of
from tuning.store.database import Store

STATES = ("completed", "pruned", "running", "diverged", "failed")


@dataclasses.dataclass(frozen=True)
class Execution:
    """One training of a trial."""

    seed: int
    score: float | None
    best_epoch: int | None
    begun: float
    seconds: float


@dataclasses.dataclass(frozen=True)
class StoredSearch:
    """A search with its axes, its executions and its errors.

    Args:
        result: the trials.
        axes: what was searched.
        executions: trial -> its trainings.
        tracebacks: trial -> where it failed.
        created: when the search began, in seconds since 1970.
        choices: what the first trial measured: name -> `{"value": ..., "seconds_per_step": ...}`.
    """

    result: SearchResult
    axes: list[Axis]
    executions: dict[int, list[Execution]]
    tracebacks: dict[int, str]
    created: float
    choices: dict[str, Any]

    @classmethod
    def load(cls, directory: str | os.PathLike) -> StoredSearch:
        """Reads a store, without disturbing a search that is writing it."""
        result = SearchResult.load(directory)
        with Store.open(directory, read_only=True) as store:
            rows, trials = store.rows("executions"), store.rows("trials")
            oracle, created, choices = store.oracle_state, store.created, store.choices()
        executions: dict[int, list[Execution]] = {}
        fields = [field.name for field in dataclasses.fields(Execution)]
        for row in rows:
            executions.setdefault(row["trial"], []).append(Execution(**{name: row[name] for name in fields}))
        return cls(
            result=result,
            axes=axes_of(result.config, oracle, (trial.hyperparameters for trial in result.trials)),
            executions=executions,
            tracebacks={row["number"]: row["traceback"] for row in trials if row["traceback"]},
            created=created,
            choices=choices,
        )

    @property
    def way(self) -> str | None:
        """How epochs were compiled, if that was chosen."""
        return self.choices.get("way", {}).get("value")

    @property
    def config(self) -> dict[str, Any]:
        """What was searched, how, with which versions."""
        return self.result.config

    @property
    def trials(self) -> list[TrialRecord]:
        """In the order of beginning."""
        return self.result.trials

    @property
    def direction(self) -> str:
        """`"max"` or `"min"`."""
        return self.config.get("direction") or "max"

    @property
    def name(self) -> str:
        """What was tuned on what."""
        optimizer, problem = self.config.get("optimizer"), self.config.get("problem")
        if not optimizer:
            return pathlib.Path(self.result.directory).resolve().name
        return f"{optimizer} on {problem}" if problem else str(optimizer)

    def end_of(self, trial: TrialRecord) -> float:
        """When a trial ended, or when a running one was last heard of."""
        if trial.seconds is not None:
            return trial.begun + trial.seconds
        return max([trial.begun, *(each.begun + each.seconds for each in self.executions.get(trial.number, []))])


def half_interval(scores: Sequence[float | None]) -> float | None:
    """Half the width of the 95 % interval of a trial's mean; `None` if it has fewer than two trainings or one without a score."""
    found = [score for score in scores if score is not None]
    return summary(found).half if found and len(found) == len(scores) else None


def within_directory(directory: str | os.PathLike, relative: str) -> pathlib.Path | None:
    """The path, unless it leads out of the directory."""
    path = (pathlib.Path(directory) / relative).resolve()
    return path if path.is_relative_to(pathlib.Path(directory).resolve()) else None
