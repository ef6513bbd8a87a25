"""The executions of trials, one after the other: of one that trains alone, or of several whose models train in one program."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import keras

from tuning.training.assignment import Assignment
from tuning.training.curve import Curve
from tuning.training.events import ExecutionEnded, Left, Report
from tuning.training.keeping import BestEpoch, Keeper
from tuning.training.seed import execution_seed
from tuning.training.snapshot import Snapshot


@dataclasses.dataclass(frozen=True)
class Member:
    """A trial that trains.

    Args:
        number: of the trial.
        hp: its KerasTuner HyperParameters.
        asked: how it is to train.
        keeper: holds its model.
        continues: whether its executions go on from the snapshots that are asked for, and leave some if they are to.
    """

    number: int
    hp: Any
    asked: Assignment
    keeper: Keeper
    continues: bool

    @property
    def leaves(self) -> bool:
        """Whether its executions leave snapshots."""
        return self.continues and self.asked.leaves


@dataclasses.dataclass(frozen=True)
class Trained:
    """An execution that has trained: its metrics are those of its best epoch."""

    model: keras.Model
    curve: Curve
    keeping: list[BestEpoch]
    snapshot: Snapshot | None
    metrics: dict[str, float]
    best_epoch: int


class OfSearch(Protocol):
    """What is the same for all trials: a `tuning.training.trainer.Trainer`."""

    objective: Any
    search_seed: int
    executions: int

    def begins(self, asked: Assignment, execution: int, hp) -> Snapshot | None:
        """From where an execution goes on; `None`: from its beginning."""


Train = Callable[[Sequence[Member], int, Sequence[int], Sequence[Snapshot | None]], "list[Trained] | None"]
"""Trains an execution of each member, from these seeds and beginnings; `None` if they cannot train together."""


def run_executions(of: OfSearch, members: Sequence[Member], train: Train, report: Report) -> list[list[dict[str, float]]] | None:
    """Trains all executions of trials, and returns for each trial what `Trainer.run` does.

    A trial that diverged or was stopped has no further execution, and its model is not kept.

    Args:
        of: the search.
        members: the trials.
        train: trains those that go on.
        report: hears of executions as they end, of snapshots that they leave, and of models to keep.

    Returns:
        `None` if they cannot train together, as `train` says; nothing was trained then.
    """
    results: list[list[dict[str, float]]] = [[] for _ in members]
    running = list(range(len(members)))
    for execution in range(of.executions):
        begun, clock = time.time(), time.perf_counter()
        going = [members[i] for i in running]
        seeds = [execution_seed(of.search_seed, member.asked.root, execution) for member in going]
        begins = [of.begins(member.asked, execution, member.hp) if member.continues else None for member in going]
        trained = train(going, execution, seeds, begins)
        if trained is None:
            return None
        seconds = (time.perf_counter() - clock) / len(going)  # each one's share
        still = []
        for i, seed, one in zip(running, seeds, trained, strict=True):
            number, score = members[i].number, one.metrics[of.objective.name]
            if one.snapshot is not None:
                report(Left(number, execution, one.snapshot.epoch, one.snapshot.content()))
            report(ExecutionEnded(number, execution, seed, score, one.best_epoch, begun, seconds))
            results[i].append(one.metrics)
            if not one.curve.stopped and math.isfinite(score):
                members[i].keeper.execution_ended(one.model, one.keeping, score, one.best_epoch)
                still.append(i)
        running = still
        if not running:
            break
    for i in running:
        members[i].keeper.trial_ended(results[i], report)
    return results
