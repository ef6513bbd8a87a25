"""Random, but spread evenly."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import keras_tuner
import numpy as np

from tuning.oracles.keras_tuner_seam import draws, was_tried
from tuning.problems.objective import with_direction

STOPPED = {"status": "STOPPED", "values": None}


class QuasirandomOracle(keras_tuner.Oracle):
    """The points of a scrambled Sobol sequence: random, but spread evenly.

    In a handful of trials pure chance leaves gaps and clusters; a Sobol sequence fills every axis and every pair of axes
    almost as evenly as a grid, with a new value on each axis in each trial. For n trials a power of two is best.
    Of two values a choice takes by the first binary digit of its coordinate, which many dimensions of the sequence have in
    common for the first 8 or 16 points: choices, and whole numbers, get dimensions that differ in it.
    """

    def __init__(self, *, objective=None, **kwargs):
        super().__init__(objective=with_direction(objective), **kwargs)
        self._drawn = 0
        self._sequence: tuple[Any, Any] = (None, None)  # what it was made for, and itself, which stands at self._drawn

    def populate_space(self, trial_id):
        """The next point of the sequence; duplicates (after rounding, on short axes) are passed over."""
        axes = [hp for hp in self.hyperparameters.space if not hasattr(hp, "value")]  # KerasTuner's Fixed have one value
        if not axes and not self.allow_new_entries:
            return STOPPED
        for _ in range(draws(self) if axes else 1):  # the first trial may be what declares the axes
            drawn = self._draw(tuple(map(_is_discrete, axes))) if axes else ()
            point = dict(zip((hp.name for hp in axes), drawn, strict=True))
            hps = keras_tuner.HyperParameters()
            for hp in self.hyperparameters.space:  # parents come before the conditional ones that depend on them
                hps.merge([hp])
                if hps.is_active(hp):
                    hps.values[hp.name] = hp.prob_to_value(point[hp.name]) if hp.name in point else hp.default
            if not was_tried(self, hps.values):
                return {"status": "RUNNING", "values": hps.values}
        return STOPPED

    def _draw(self, discrete: tuple[bool, ...]) -> np.ndarray:
        """The next point; the sequence is made anew, and forwarded, only after a restart or when an axis has been added.

        Args:
            discrete: of each axis, whether it has few values.
        """
        from scipy.stats import qmc

        if self._sequence[0] != (discrete, self.seed):
            dimensions = _dimensions(discrete)
            sequence = qmc.Sobol(max(dimensions) + 1, scramble=True, rng=np.random.default_rng(self.seed))
            if self._drawn:
                sequence.fast_forward(self._drawn)
            self._sequence = ((discrete, self.seed), (sequence, dimensions))
        self._drawn += 1
        sequence, dimensions = self._sequence[1]
        return sequence.random(1)[0][dimensions]

    def get_state(self):
        """With how many points of the sequence are used up."""
        return {**super().get_state(), "drawn": self._drawn}

    def set_state(self, state):
        """The inverse of `get_state`."""
        super().set_state(state)
        self._drawn = state["drawn"]
        self._sequence = (None, None)


def _is_discrete(hp) -> bool:
    return not isinstance(hp, keras_tuner.engine.hyperparameters.Float)


def _dimensions(discrete: Sequence[bool]) -> list[int]:
    """The dimension of the sequence that each axis has."""
    choices = sum(discrete)
    of_choices = _distinct_dimensions(choices, len(discrete)) if choices > 1 else list(range(choices))
    others = (i for i in range(len(discrete) + choices) if i not in of_choices)
    own = iter(of_choices)
    return [next(own) if each else next(others) for each in discrete]


@functools.cache
def _distinct_dimensions(wanted: int, axes: int) -> list[int]:
    """Dimensions of which no two have the same first digit in all of the first points, of as few points as possible."""
    from scipy.stats import qmc

    candidates = 2 * axes + 8
    digits = qmc.Sobol(candidates, scramble=False).random(64) >= 0.5  # scrambling turns all digits of a dimension, or none
    found: list[int] = []
    for points in (8, 16, 32, 64):
        seen = {digits[:points, i].tobytes() for i in found}
        for i in range(candidates):
            own = digits[:points, i].tobytes()
            if i not in found and own not in seen and len(found) < wanted:
                found.append(i)
                seen.add(own)
    return [*found, *(i for i in range(candidates) if i not in found)][:wanted]
