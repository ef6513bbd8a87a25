"""What a search may spend: how many epochs, how long, and until which score; and what it says when that ends it."""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from collections.abc import Mapping
from typing import Any, Protocol

import keras_tuner
import numpy as np
from keras_tuner.oracles import HyperbandOracle

from tuning.errors import SearchError
from tuning.names import counted
from tuning.oracles import halving
from tuning.oracles.asha import Asha
from tuning.oracles.first import next_given
from tuning.oracles.keras_tuner_seam import to_run_again
from tuning.oracles.population import PopulationOracle

WAIT = "wait"  # until a running trial has ended, which may train less than it was to


@dataclasses.dataclass(frozen=True)
class Budget:
    """What a search may spend. No trial begins when it is spent; those that run are let finish.

    Args:
        max_seconds: no trial begins later than this after the search was called.
        max_epochs: so many epochs are trained at most, in all trials and sessions: a trial begins only if all its epochs fit.
        target: the search ends when its best trial has this objective, or a better one.

    Raises:
        SearchError: an argument is wrong.
    """

    max_seconds: float | None = None
    max_epochs: int | None = None
    target: float | None = None

    def __post_init__(self):
        if self.max_seconds is not None and not (_is_number(self.max_seconds) and self.max_seconds >= 0):
            raise SearchError(f"max_seconds must be a number of at least 0, or None; received {self.max_seconds!r}.")
        if self.target is not None and not (_is_number(self.target) and math.isfinite(self.target)):
            raise SearchError(f"The target must be a finite number, or None; received {self.target!r}.")


@dataclasses.dataclass(frozen=True)
class Ended:
    """Why a search ended.

    Args:
        by: `"trials"`, `"epochs"`, `"minutes"`, `"target"`, `"failures"`, or `"oracle"`: it has nothing more to propose.
        text: a sentence without a full stop.
    """

    by: str
    text: str


class Beginnings(Protocol):
    """Knows where a trial that continues another one would begin."""

    def nearest(self, number: int | None) -> int:
        """The epoch from which a trial would begin that continues this one; 0: it trains all of its own."""


class Spending:
    """What a search has spent of its budget, of all sessions.

    Args:
        budget: of the search.
        oracle: proposes settings.
        executions: trainings per setting.
        beginnings: knows where trials begin.
    """

    def __init__(self, budget: Budget, oracle: keras_tuner.Oracle, executions: int, beginnings: Beginnings):
        self.budget = budget
        self._oracle, self._executions, self._beginnings = oracle, executions, beginnings
        self._deadline = math.inf
        self._epochs: int | None = None
        self._trained: dict[int, int] = {}  # trial -> epochs of its own
        self._spent = 0
        self._planned: dict[int, int] = {}  # running trial -> the epochs that it is to train

    def open(self, epochs: int | None, trained: Mapping[int, int]) -> None:
        """A session begins.

        Args:
            epochs: of a trial, if the oracle does not say otherwise and that is known.
            trained: trial -> the epochs that it has trained itself, in earlier sessions.
        """
        seconds = self.budget.max_seconds
        self._deadline = math.inf if seconds is None else time.monotonic() + seconds
        self._epochs, self._trained, self._spent = epochs, dict(trained), sum(trained.values())
        self._planned.clear()

    def began(self, number: int, values: Mapping[str, Any]) -> None:
        """A trial begins, or begins again: what it had trained is dropped."""
        self.forgot(number)
        self._planned[number] = self._cost(values)

    def forgot(self, number: int) -> None:
        """What a trial had trained is dropped."""
        self._spent -= self._trained.pop(number, 0)

    def epoch_ended(self, number: int) -> None:
        """A trial has trained an epoch."""
        self._trained[number] = self._trained.get(number, 0) + 1
        self._spent += 1

    def ended(self, number: int) -> bool:
        """A trial has ended; whether its epochs count, as they were reported, or nothing counts them."""
        self._planned.pop(number, None)
        return self.budget.max_epochs is None or self._trained.get(number, 0) > 0

    def ends(self, best: tuple[int, float] | None) -> Ended | str | None:
        """Why no further trial begins; `WAIT`: that is not certain yet; `None`: one may begin.

        Args:
            best: number and score of the best trial.
        """
        if best is not None and self._reached(best[1]):
            name = self._oracle.objective.name
            return Ended("target", f"trial {best[0]} reached the target {self.budget.target:g}: {name} {best[1]:.6g}")
        if self._all_have_begun():
            return None  # which the oracle says
        if time.monotonic() >= self._deadline:
            minutes = (self.budget.max_seconds or 0.0) / 60
            return Ended("minutes", f"its {minutes:.3g} minute{'' if minutes == 1 else 's'} are over")
        most = self.budget.max_epochs
        if most is None:
            return None
        left = most - self._spent
        free = left - sum(max(0, planned - self._trained.get(number, 0)) for number, planned in self._planned.items())
        if self._longest() <= free or (wanted := self._next()) <= free:
            return None
        if wanted <= left:
            return WAIT
        more = f", and the next trial would train {wanted}" if left > 0 else ""
        return Ended("epochs", f"{self._spent} of at most {counted(most, 'epoch')} are trained{more}")

    def _all_have_begun(self) -> bool:
        most = self._oracle.max_trials
        return bool(most) and len(self._oracle.trials) >= most and to_run_again(self._oracle) is None

    def _reached(self, score: float) -> bool:
        """Whether a score is the target, as exactly as training reports it, in float32, or better."""
        target = self.budget.target
        if target is None:
            return False
        return score == np.float32(target) or (score >= target if self._oracle.objective.direction == "max" else score <= target)

    def _longest(self) -> int:
        """How many epochs a trial trains at most; 1, if that is not known."""
        if isinstance(self._oracle, halving.SCHEDULED):
            return self._oracle.max_epochs * self._executions
        return self._cost({})

    def _next(self) -> int:
        """How many epochs the next trial would train; 1, if that is not known."""
        waiting = to_run_again(self._oracle)
        if waiting is not None:
            return self._cost(waiting.hyperparameters.values) - self._trained.get(int(waiting.trial_id), 0)
        given = next_given(self._oracle)
        if given is not None:
            return self._cost(given)
        return self._cost(_proposal(self._oracle) if isinstance(self._oracle, halving.SCHEDULED) else {})

    def _cost(self, values: Mapping[str, Any]) -> int:
        epochs = values.get("tuner/epochs", self._epochs)
        if epochs is None:
            return 1
        return max(0, epochs - self._beginnings.nearest(halving.continued(self._oracle, values))) * self._executions


def _proposal(oracle: keras_tuner.Oracle) -> Mapping[str, Any]:
    """The values of the next trial, as far as its epochs follow from them; the oracle stays as it is."""
    if isinstance(oracle, (Asha, PopulationOracle)):
        return oracle.next_training()
    assert isinstance(oracle, HyperbandOracle)
    proposed = copy.deepcopy(oracle).populate_space(str(len(oracle.trials)))
    return proposed.get("values") or {"tuner/epochs": 0}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
