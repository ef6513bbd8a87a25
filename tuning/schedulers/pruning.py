"""Stopping trials that are not promising, by Optuna's pruners.

A pruner looks at what the running trial has reached after each epoch, beside what the others had reached by then. With repeats
only the first execution of a setting is judged: a setting that survives it is trained as often as all others.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tuning.errors import SearchError, missing_packages_explained
from tuning.names import PRUNERS, check_name
from tuning.space.in_optuna import new_study, quietly


class Pruning:
    """A pruner and what it remembers, which follows from the trials in the store.

    Args:
        pruner: a name in `tuning.names.PRUNERS` or an Optuna pruner.
        objective: the KerasTuner Objective.
    """

    def __init__(self, pruner, objective):
        self.name = pruner if isinstance(pruner, str) else type(pruner).__qualname__
        with missing_packages_explained():
            self._given = _make_pruner(pruner)
        self._objective = objective
        self._epochs: dict[int, int | None] = {}
        self.restart((), (), ())

    def restart(self, trials: Sequence[Mapping[str, Any]], epochs: Iterable[Mapping[str, Any]], ended: Sequence[int]) -> None:
        """Remembers what a store has, and nothing else, so that the decisions to come are those of an undisturbed search.

        Args:
            trials, epochs: the rows of these tables.
            ended: the numbers of the trials that ended, in the order in which they did.
        """
        self._pruner = copy.deepcopy(self._given)
        self._new_study()
        self._epochs = {}
        for row in trials:
            self.began(row["number"], row["epochs"])
        curves: dict[int, dict[int, dict[str, float]]] = {}
        for row in epochs:
            if row["execution"] == 0:
                value = math.nan if row["value"] is None else row["value"]
                curves.setdefault(row["trial"], {}).setdefault(row["epoch"], {})[row["metric"]] = value
        by_number = {row["number"]: row for row in trials}
        for number in ended:
            for epoch, metrics in curves.get(number, {}).items():
                self.stops(number, 0, epoch, metrics)
            self.ended(number, by_number[number]["state"], by_number[number]["score"])

    def _new_study(self) -> None:
        self._storage, self._study, self._study_id = new_study(self._objective, pruner=self._pruner)

    def began(self, number: int, epochs: int | None) -> None:
        """A trial begins, to train `epochs` epochs if that is known; or begins again, and what it had reached is forgotten."""
        trials = self._storage.get_all_trials(self._study_id, deepcopy=False)
        self._epochs[number] = epochs
        if number < len(trials):
            if not trials[number].intermediate_values:
                return
            self._new_study()
            for trial in trials:
                blank = trial.number == number
                self._storage.create_new_trial(self._study_id, None if blank else trial)
        else:
            self._storage.create_new_trial(self._study_id)

    def stops(self, number: int, execution: int, epoch: int, metrics: Mapping[str, float]) -> bool:
        """Whether a running trial is to stop after `epoch`. A trial that has trained all its epochs is never stopped."""
        if execution > 0 or not self._objective.has_value(metrics):
            return False
        value = float(self._objective.get_value(metrics))
        if not math.isfinite(value):  # it diverged, which is another thing
            return False
        identity = self._identity(number)
        self._storage.set_trial_intermediate_value(identity, epoch + 1, value)
        if epoch + 1 == self._epochs[number]:
            return False
        with quietly():
            return bool(self._pruner.prune(self._study, copy.copy(self._storage.get_trial(identity))))

    def ended(self, number: int, state: str, score: float | None) -> None:
        """A trial is over; see the states in `tuning.store.database`."""
        from optuna.trial import TrialState

        identity = self._identity(number)
        if state == "completed":
            self._storage.set_trial_state_values(identity, TrialState.COMPLETE, [score or 0.0])
        elif state == "pruned":
            curve = self.curve(number)
            self._storage.set_trial_state_values(identity, TrialState.PRUNED, [curve[max(curve)]])
        else:
            self._storage.set_trial_state_values(identity, TrialState.FAIL)

    def curve(self, number: int) -> dict[int, float]:
        """Epochs trained -> objective, of the first execution."""
        return dict(self._storage.get_trial(self._identity(number)).intermediate_values)

    def _identity(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)


def make_pruning(pruner, objective) -> Pruning | None:
    """The pruning by what a user gives: a name, an Optuna pruner, or `None`."""
    if pruner is None or (isinstance(pruner, str) and pruner == "none"):
        return None
    return Pruning(pruner, objective)


def _make_pruner(pruner):
    import optuna

    if isinstance(pruner, optuna.pruners.BasePruner):
        return pruner
    if not isinstance(pruner, str):
        raise SearchError(f"The pruner must be one of {', '.join(PRUNERS)} or an Optuna pruner; received {pruner!r}.")
    check_name("pruner", pruner, PRUNERS)
    if pruner == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=5)
    return optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3)  # the factor of our Hyperband
