"""An oracle some of whose trials have given settings: the first ones, and those that continue others for more epochs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import keras_tuner

from tuning.oracles.population import PopulationOracle


class BeginsWith(keras_tuner.Oracle):
    """Some trials have given settings, the first ones above all; the others are what the oracle proposes.

    Which setting is next follows from the number of trials, so that a search that goes on needs no state for it. With successive
    halving these trials train all epochs, beside its brackets and rungs; of a population they are the first members.
    """

    given: ClassVar[Mapping[int, Mapping[str, Any]]] = {}

    def next_given(self) -> dict[str, Any] | None:
        """The values of the next trial, if they are given."""
        if len(self.trials) not in self.given:
            return None
        values = dict(self.given[len(self.trials)])
        if isinstance(self, PopulationOracle):
            values |= self.training(0)
        elif hasattr(self, "max_epochs"):
            values |= {"tuner/epochs": self.max_epochs, "tuner/initial_epoch": 0}
        return values

    def populate_space(self, trial_id):
        """A given setting, or what the oracle proposes."""
        values = self.next_given()
        if values is None:
            return super().populate_space(trial_id)
        if hasattr(self, "is_given"):
            self.is_given(trial_id, values)
        return {"status": "RUNNING", "values": values}


def with_given(given: Mapping[int, Mapping[str, Any]], oracle: type[keras_tuner.Oracle]) -> type[keras_tuner.Oracle]:
    """The class of an oracle in which the trials with these numbers have these values."""
    if not given:
        return oracle
    return type(oracle.__name__, (BeginsWith, oracle), {"given": {number: dict(values) for number, values in given.items()}})


def next_given(oracle: keras_tuner.Oracle) -> dict[str, Any] | None:
    """The values of the next trial, if they are given."""
    return oracle.next_given() if isinstance(oracle, BeginsWith) else None
