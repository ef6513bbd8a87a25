"""Asynchronous successive halving: many settings for a few epochs, of which the best go on, and nobody waits for anybody.

After L. Li et al., "A System for Massively Parallel Hyperparameter Tuning", 2020 (https://arxiv.org/abs/1810.05934).
"""

from __future__ import annotations

import math
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import Trial

from tuning.oracles.keras_tuner_seam import KnowsSettings
from tuning.oracles.optuna import OptunaOracle
from tuning.oracles.quasirandom import QuasirandomOracle


class Asha(KnowsSettings, keras_tuner.Oracle):
    """Settings that another oracle proposes, promoted from rung to rung.

    A rung is a number of epochs: `max_epochs`, and a `factor`-th of it again and again. A trial that has ended on a rung is
    promoted if it is among the best 1 / `factor` of all that have ended there so far: another one continues it to the next rung,
    highest rungs first. If nobody can be promoted, a new setting begins on the lowest rung. So with one worker the search is a
    function of the seed; with several it follows from the order in which they end as well, and what it decided is in the store.

    Args:
        max_epochs: of the highest rung.
        factor: as above, at least 2.
        min_epochs: no rung has fewer.
        max_trials: promoted ones count; `None`: as many as it takes until the first one has trained all epochs.
        **kwargs: of the oracle that proposes the settings.
    """

    def __init__(self, *, max_epochs: int, factor: int = 3, min_epochs: int = 1, max_trials: int | None = None, **kwargs):
        self.rungs = rungs(max_epochs, factor, min_epochs)
        self.max_epochs, self.factor = max_epochs, factor
        if max_trials is None:
            max_trials = sum(factor**i for i in range(len(self.rungs)))
        super().__init__(max_trials=max_trials, **kwargs)

    def populate_space(self, trial_id):
        """A promotion, or what the other oracle proposes."""
        training = self.next_training()
        if "tuner/trial_id" in training:
            values = {**self.trials[training["tuner/trial_id"]].hyperparameters.values, **training}
            if hasattr(self, "is_given"):
                self.is_given(trial_id, values)
            return {"status": "RUNNING", "values": values}
        proposed = super().populate_space(trial_id)
        if proposed["status"] == "RUNNING":
            return {**proposed, "values": {**proposed["values"], **training}}
        return {"status": "IDLE", "values": None} if self.ongoing_trials else proposed

    def next_training(self) -> dict[str, Any]:
        """For how many epochs the next trial trains, and which one it continues, as its values say that."""
        for rung in reversed(range(len(self.rungs) - 1)):
            for trial in self.promotable(rung)[:1]:
                return {"tuner/trial_id": trial.trial_id, **self._on(rung + 1)}
        return self._on(0)

    def _on(self, rung: int) -> dict[str, int]:
        return {"tuner/epochs": self.rungs[rung], "tuner/initial_epoch": self.rungs[rung - 1] if rung else 0}

    def promotable(self, rung: int, more: int = 0) -> list[Trial]:
        """The trials that have ended on a rung, are among its best, and were not promoted yet; best first.

        `more`: of those that would be so if as many more ended there, all of them worse.
        """
        ended = [
            trial
            for trial in self.trials.values()
            if trial.status == "COMPLETED"
            and trial.score is not None
            and trial.hyperparameters.values.get("tuner/epochs") == self.rungs[rung]
        ]
        above = {trial.hyperparameters.values.get("tuner/trial_id") for trial in self.trials.values()}
        best = sorted(ended, key=lambda trial: trial.score, reverse=self.objective.direction == "max")
        best = best[: (len(ended) + more) // self.factor]
        return [trial for trial in best if math.isfinite(trial.score) and trial.trial_id not in above]

    def ever_promotable(self) -> list[Trial]:
        """The trials that have ended and may be promoted before the search has all its trials."""
        to_come = self.max_trials - len(self.end_order)
        return [trial for rung in range(len(self.rungs) - 1) for trial in self.promotable(rung, to_come)]


class AshaOracle(Asha, QuasirandomOracle):
    """Asynchronous successive halving of the settings of a scrambled Sobol sequence."""


class SampledAshaOracle(Asha, OptunaOracle):
    """Asynchronous successive halving of the settings that a sampler of Optuna proposes: BOHB's idea, without rounds.

    The sampler knows each trial on each rung: one on the highest as completed, one below as pruned there, with its score. TPE
    ranks those that trained longer before all others, so it learns from the highest rung as soon as there is something.
    """

    def curve_of(self, trial_id: str) -> dict[int, float]:
        """Of a trial below the highest rung its epochs and its score."""
        trial = self.trials[trial_id]
        epochs = trial.hyperparameters.values.get("tuner/epochs", self.max_epochs)
        return {} if trial.score is None or epochs >= self.max_epochs else {epochs: float(trial.score)}


def rungs(max_epochs: int, factor: int, min_epochs: int = 1) -> list[int]:
    """The epochs of the rungs, ascending: 1, 3, 9, 27 of 27 with factor 3."""
    found = [max_epochs]
    while found[0] > 1 and (fewer := -(-found[0] // factor)) >= min_epochs:
        found.insert(0, fewer)
    return found
