"""Random, but spread evenly."""

from __future__ import annotations

from typing import Any

import keras_tuner
import numpy as np

from tuning.oracles.keras_tuner_seam import draws, was_tried

STOPPED = {"status": "STOPPED", "values": None}


class QuasirandomOracle(keras_tuner.Oracle):
    """The points of a scrambled Sobol sequence: random, but spread evenly.

    In a handful of trials pure chance leaves gaps and clusters; a Sobol sequence fills every axis and every pair of axes
    almost as evenly as a grid, with a new value on each axis in each trial. For n trials a power of two is best.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._drawn = 0
        self._sequence: tuple[Any, Any] = (None, None)  # what it was made for, and itself, which stands at self._drawn

    def populate_space(self, trial_id):
        """The next point of the sequence; duplicates (after rounding, on short axes) are passed over."""
        axes = [hp for hp in self.hyperparameters.space if not hasattr(hp, "value")]  # KerasTuner's Fixed have one value
        if not axes and not self.allow_new_entries:
            return STOPPED
        for _ in range(draws(self) if axes else 1):  # the first trial may be what declares the axes
            point = dict(zip((hp.name for hp in axes), self._draw(len(axes)) if axes else (), strict=True))
            hps = keras_tuner.HyperParameters()
            for hp in self.hyperparameters.space:  # parents come before the conditional ones that depend on them
                hps.merge([hp])
                if hps.is_active(hp):
                    hps.values[hp.name] = hp.prob_to_value(point[hp.name]) if hp.name in point else hp.default
            if not was_tried(self, hps.values):
                return {"status": "RUNNING", "values": hps.values}
        return STOPPED

    def _draw(self, axes: int) -> np.ndarray:
        """The next point; the sequence is made anew, and forwarded, only after a restart or when an axis has been added."""
        from scipy.stats import qmc

        if self._sequence[0] != (axes, self.seed):
            sequence = qmc.Sobol(axes, scramble=True, rng=np.random.default_rng(self.seed))
            if self._drawn:
                sequence.fast_forward(self._drawn)
            self._sequence = ((axes, self.seed), sequence)
        self._drawn += 1
        return self._sequence[1].random(1)[0]

    def get_state(self):
        """With how many points of the sequence are used up."""
        return {**super().get_state(), "drawn": self._drawn}

    def set_state(self, state):
        """The inverse of `get_state`."""
        super().set_state(state)
        self._drawn = state["drawn"]
        self._sequence = (None, None)
