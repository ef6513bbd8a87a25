"""An oracle that begins with given settings, before it proposes any of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import keras_tuner


class BeginsWith(keras_tuner.Oracle):
    """The first trials have these settings; all others are what the oracle proposes.

    Which setting is next follows from the number of trials, so that a search that goes on needs no state for it. With successive
    halving these trials train all epochs, beside its brackets and rungs.
    """

    first: ClassVar[Sequence[Mapping[str, Any]]] = ()

    def next_first(self) -> dict[str, Any] | None:
        """The values of the next trial, if it is one of the first."""
        if len(self.trials) >= len(self.first):
            return None
        values = dict(self.first[len(self.trials)])
        if hasattr(self, "max_epochs"):
            values |= {"tuner/epochs": self.max_epochs, "tuner/initial_epoch": 0}
        return values

    def populate_space(self, trial_id):
        """One of the first, or what the oracle proposes."""
        values = self.next_first()
        if values is None:
            return super().populate_space(trial_id)
        if hasattr(self, "is_given"):
            self.is_given(trial_id, values)
        return {"status": "RUNNING", "values": values}


def beginning_with(first: Sequence[Mapping[str, Any]], oracle: type[keras_tuner.Oracle]) -> type[keras_tuner.Oracle]:
    """The class of an oracle whose first trials have these settings."""
    if not first:
        return oracle
    return type(oracle.__name__, (BeginsWith, oracle), {"first": [dict(values) for values in first]})


def next_first(oracle: keras_tuner.Oracle) -> dict[str, Any] | None:
    """The values of the next trial, if it is one of the first."""
    return oracle.next_first() if isinstance(oracle, BeginsWith) else None
