"""The trials of a stored search as runs: what a tracker lacks is told to it from the store."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

from tuning.results.search import SearchResult, TrialRecord
from tuning.trackers.tracker import ENDED, Outcome, Run, Tracked, Tracker


def catch_up(tracker: Tracker, search: Tracked, result: SearchResult, only_we_write: bool = False) -> None:
    """Begins a search at a tracker, and tells it of the trials that have ended and that it has not, or has otherwise.

    Args:
        tracker, search, result: whom, what, and from where.
        only_we_write: runs that have not ended there are those of a process that was killed, and are removed.
    """
    there = tracker.begin(search)
    if only_we_write:
        for number in sorted({trial for (trial, _), state in there.items() if state not in ENDED}):
            tracker.trial_began(number)
            there = {key: state for key, state in there.items() if key[0] != number}
    for trial in result.trials:
        if trial.state not in ENDED:
            continue
        if {key: state for key, state in there.items() if key[0] == trial.number} != dict.fromkeys(_keys(trial), trial.state):
            replay(tracker, search, trial)


def _keys(trial: TrialRecord) -> list[tuple[int, int]]:
    """The numbers of the runs of a trial."""
    return [(trial.number, execution) for execution in range(max(len(trial.curves), len(trial.trainings), 1))]


def replay(tracker: Tracker, search: Tracked, trial: TrialRecord) -> None:
    """All runs of a trial that has ended."""
    tracker.trial_began(trial.number)
    for number, execution in _keys(trial):
        training = trial.trainings[execution] if execution < len(trial.trainings) else None
        curve = trial.curves[execution] if execution < len(trial.curves) else {}
        begun = trial.begun if training is None else training.begun
        ended = trial.ended if training is None else training.begun + training.seconds
        name = search.name(number, execution)
        run = Run(number, execution, name, trial.hyperparameters, trial.epochs, begun, trial.line)
        tracker.run_began(run)
        epochs = epochs_of(curve)
        for epoch, metrics in enumerate(epochs):
            tracker.epoch_ended(run, epoch, metrics, begun + (ended - begun) * (epoch + 1) / len(epochs))
        outcome = Outcome(trial.state, ended, trial_score=trial.score, message=trial.message)
        if training is not None:
            outcome = dataclasses.replace(outcome, score=training.score, best_epoch=training.best_epoch, seed=training.seed)
        tracker.run_ended(run, outcome)
    tracker.flush()


def epochs_of(curve: Mapping[str, list[float | None]]) -> list[dict[str, float]]:
    """The metrics of each epoch; what is `None` there was not a number."""
    epochs: list[dict[str, float]] = [{} for _ in range(max(map(len, curve.values()), default=0))]
    for name, values in curve.items():
        for epoch, value in enumerate(values):
            epochs[epoch][name] = math.nan if value is None else float(value)
    return epochs
