"""A setting confirmed: trained again and again from fresh seeds, as a search of its own, with one setting in all its trials."""

from __future__ import annotations

import keras_tuner
import numpy as np


class ConfirmationOracle(keras_tuner.Oracle):
    """One setting, in every trial.

    Args:
        setting: name -> value of each axis.
        objective, max_trials, hyperparameters: of `keras_tuner.Oracle`.
    """

    def __init__(self, setting, **kwargs):
        super().__init__(allow_new_entries=False, tune_new_entries=False, **kwargs)
        self._setting = dict(setting)

    def populate_space(self, trial_id):
        """The setting."""
        return {"status": "RUNNING", "values": dict(self._setting)}


def fresh_seed(seed: int) -> int:
    """The search seed of a confirmation: far from that of the search, so that no training shares a seed with one there."""
    return int(np.random.SeedSequence([seed, 0xC0F1]).generate_state(1, np.uint64)[0] >> 1)
