"""All that is used of KerasTuner's private interface; a version that changes it fails in `tests/tuning/test_seams.py`.

A new name here needs a reason: each is something that KerasTuner offers in no public way.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import Trial
from keras_tuner.oracles import BayesianOptimizationOracle, GridSearchOracle, HyperbandOracle

OF_ORACLES = {
    "_save_trial": ("self, trial", "writes a file for each trial; the store has them"),
    "_check_consecutive_failures": ("self", "reads all trials whenever one ends, to count what has no limit here"),
    "_compute_values_hash": ("self, values", "by which an oracle knows settings that it has tried"),
    "_duplicate": ("self, values", "whether it has tried a setting"),
    "_random_values": ("self", "a setting drawn by chance, or None if all have been tried"),
}
"""Methods of `keras_tuner.Oracle`: name -> arguments, and why it is used."""

ATTRIBUTES_OF_ORACLES = {
    "_retry_queue": "the ids of trials that are to run again, the first one last",
    "_max_collisions": "how many settings that it has tried an oracle draws before it gives up",
}
"""Attributes of `keras_tuner.Oracle`, and why each is used."""

ATTRIBUTES_OF_GRIDS = {
    "_ordered_ids": "the tried points of the grid, in its order",
    "_populate_next": "the tried points from which the next ones follow",
}
"""Attributes of `keras_tuner.oracles.GridSearchOracle`, and why each is used."""

OF_HYPERBAND = {
    "_get_size": ("self, bracket_num, round_num", "how many trials a round has places for"),
    "_get_num_brackets": ("self", "how many brackets there are, none of which begins with fewer epochs than are wanted"),
    "_start_new_bracket": ("self", "the first of them"),
}
"""Methods of `keras_tuner.oracles.HyperbandOracle`: name -> arguments, and why it is used."""

ATTRIBUTES_OF_HYPERBAND = {
    "_brackets": "those that have begun",
    "_current_bracket": "which one is the next",
}
"""Attributes of `keras_tuner.oracles.HyperbandOracle`, and why each is used."""

OF_BAYESIAN = {
    "_vectorize_trials": ("self", "the data of the Gaussian process, in which no score may be infinite"),
    "_random_populate_space": ("self", "a proposal drawn by chance"),
}
"""Methods of `keras_tuner.oracles.BayesianOptimizationOracle`: name -> arguments, and why it is used."""

ATTRIBUTES_OF_BAYESIAN = {"_random_state": "where the search for the best proposal begins"}
"""Attributes of `keras_tuner.oracles.BayesianOptimizationOracle`, and why each is used."""

OF_TUNERS = {
    "_populate_initial_space": ("self", "builds models to learn the space; for a space that is known, this is for nothing"),
    "_get_tuner_fname": ("self", "the file of the tuner's state; the store has it"),
}
"""Methods of `keras_tuner.Tuner`: name -> arguments, and why it is used."""


# -- oracles ---------------------------------------------------------------------------------------


def keeps_nothing(oracle: keras_tuner.Oracle) -> None:
    """Switches off what an oracle prints and writes, and that it gives up: its state goes to the store.

    It writes JSON files beside each other, which a kill can leave torn.
    """
    oracle.verbose = 0
    oracle.max_consecutive_failed_trials = math.inf
    oracle.save = oracle.reload = lambda: None
    oracle._save_trial = lambda trial: None
    oracle._check_consecutive_failures = lambda: None


def run_again(oracle: keras_tuner.Oracle, trial_ids: Iterable[str]) -> None:
    """Makes the oracle give these trials again, before any new one and each once: the last one first."""
    queue = [*oracle._retry_queue, *trial_ids]
    oracle._retry_queue = list(dict.fromkeys(reversed(queue)))[::-1]


def to_run_again(oracle: keras_tuner.Oracle) -> Trial | None:
    """The trial that the oracle gives again before any new one; `None` if there is none."""
    return oracle.trials[oracle._retry_queue[-1]] if oracle._retry_queue else None


def hash_of(oracle: keras_tuner.Oracle, values: dict[str, Any]) -> str:
    """By which the oracle knows a setting."""
    return oracle._compute_values_hash(values)


def was_tried(oracle: keras_tuner.Oracle, values: dict[str, Any]) -> bool:
    """Whether the oracle has tried a setting."""
    return oracle._duplicate(values)


def random_values(oracle: keras_tuner.Oracle) -> dict[str, Any] | None:
    """A setting that was not tried, drawn by chance; `None` if there is none."""
    return oracle._random_values()


def draws(oracle: keras_tuner.Oracle) -> int:
    """How many settings that it has tried the oracle draws before it gives up."""
    return oracle._max_collisions


def put_in_order(oracle: GridSearchOracle, trial_ids: Iterable[str]) -> None:
    """Gives a grid the points that it has tried, in the grid's order, from which the next ones follow."""
    previous = None
    for trial_id in trial_ids:
        oracle._ordered_ids.insert(trial_id, previous)
        oracle._populate_next.append(trial_id)
        previous = trial_id


def round_size(oracle: HyperbandOracle, bracket: int, of_round: int) -> int:
    """How many trials a round of a bracket of Hyperband has places for."""
    return oracle._get_size(bracket, of_round)


def number_of_brackets(oracle: HyperbandOracle) -> int:
    """How many brackets Hyperband has, none of which begins with fewer epochs than are wanted."""
    return oracle._get_num_brackets()


def begin_brackets(oracle: HyperbandOracle, min_epochs: int) -> None:
    """Lets the trials of a new Hyperband train so many epochs at least; KerasTuner has that in its state, but no argument."""
    oracle.min_epochs = min_epochs
    oracle._current_bracket = number_of_brackets(oracle) - 1
    oracle._brackets = []
    oracle._start_new_bracket()


class GaussianProcess(BayesianOptimizationOracle):
    """KerasTuner's Gaussian process, with public names for what ours changes."""

    def begin_from(self, random_state) -> None:
        """Where the search for the next proposal begins."""
        self._random_state = random_state

    def random_proposal(self) -> dict[str, Any]:
        """What `populate_space` returns, drawn by chance."""
        return self._random_populate_space()

    def vectors(self, x, y):
        """The settings and scores of the trials, to be minimized, as the Gaussian process is to see them."""
        return x, y

    def _vectorize_trials(self):
        return self.vectors(*super()._vectorize_trials())


class KnowsSettings(keras_tuner.Oracle):
    """An oracle to which for how many epochs a setting trains is no part of the setting."""

    def _compute_values_hash(self, values):
        return super()._compute_values_hash(
            {name: value for name, value in values.items() if name not in ("tuner/epochs", "tuner/initial_epoch")}
        )


# -- tuners ----------------------------------------------------------------------------------------


class TunerOfKerasTuner(keras_tuner.Tuner):
    """KerasTuner's tuner, with public names for what ours changes."""

    def explore_space(self) -> None:
        """Builds models until the oracle knows what they declare."""
        super()._populate_initial_space()

    def state_file(self) -> str:
        """Where KerasTuner looks for the tuner's state."""
        return super()._get_tuner_fname()

    @classmethod
    def without_effect(cls, ours: type) -> list[str]:
        """The methods of KerasTuner's tuner that this subclass of `ours` overwrites, and that are never called here."""
        private = [name for name in dir(keras_tuner.Tuner) if name.startswith("_") and not name.startswith("__")]
        names = ["save", "reload", "get_state", "set_state", *(name for name in private if name not in OF_TUNERS)]
        return [name for name in names if getattr(cls, name) is not getattr(ours, name)]

    def _populate_initial_space(self):
        self.explore_space()

    def _get_tuner_fname(self):
        return self.state_file()
