"""A setting confirmed: trained again and again from fresh seeds, as a search of its own, with one setting in all its trials."""

from __future__ import annotations

from collections.abc import Mapping

import keras_tuner
import numpy as np


class ConfirmationOracle(keras_tuner.Oracle):
    """One setting, or one schedule of settings, in every trial.

    Args:
        setting: name -> value of each axis; or several such, as (epoch, setting), each of which holds from its epoch on.
        objective, max_trials, hyperparameters: of `keras_tuner.Oracle`.
    """

    def __init__(self, setting, **kwargs):
        super().__init__(allow_new_entries=False, tune_new_entries=False, **kwargs)
        self.settings = () if isinstance(setting, Mapping) else tuple((epoch, dict(values)) for epoch, values in setting)
        self._setting = dict(self.settings[0][1] if self.settings else setting)

    def populate_space(self, trial_id):
        """The setting."""
        return {"status": "RUNNING", "values": dict(self._setting)}


def fresh_seed(seed: int) -> int:
    """The search seed of a confirmation: far from that of the search, so that no training shares a seed with one there."""
    return int(np.random.SeedSequence([seed, 0xC0F1]).generate_state(1, np.uint64)[0] >> 1)
