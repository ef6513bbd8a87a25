"""KerasTuner's grid, which forgets its place when it is reloaded, resumable; and the grid of a space that is known."""

from __future__ import annotations

import math

import keras_tuner
from keras_tuner.oracles import GridSearchOracle

from tuning.oracles.keras_tuner_seam import put_in_order, was_tried


class GridOracle(GridSearchOracle):
    """A regular grid, point by point, that goes on after a restart."""

    def set_state(self, state):
        """The inverse of `get_state`."""
        super().set_state(state)
        find_place(self)


class KnownGridOracle(keras_tuner.Oracle):
    """The points of the grid of a space without conditions, in KerasTuner's order; those that were tried are passed over."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._passed = 0  # points

    def populate_space(self, trial_id):
        """The next point: the last axis changes first, and each begins with its default."""
        axes = []
        for axis in self.hyperparameters.space:
            others = [value for value in axis.values if value != axis.default]
            axes.append((axis.name, [axis.default, *others]))
        while self._passed < math.prod(len(values) for _, values in axes):
            place, point = self._passed, {}
            self._passed += 1
            for name, values in reversed(axes):
                place, index = divmod(place, len(values))
                point[name] = values[index]
            setting = {name: point[name] for name, _ in axes}
            if not was_tried(self, setting):
                return {"status": "RUNNING", "values": setting}
        return {"status": "STOPPED", "values": None}

    def get_state(self):
        """With how many points are passed."""
        return {**super().get_state(), "passed": self._passed}

    def set_state(self, state):
        """The inverse of `get_state`; in older stores each trial is a point."""
        super().set_state(state)
        self._passed = state.get("passed", len(self.trials))


def find_place(oracle: GridSearchOracle) -> None:
    """Puts the tried points of a reloaded grid back in order, from which the next ones follow."""
    ranks = []
    for axis in oracle.get_space().space:  # as KerasTuner orders them: the default first, then ascending
        values = list(axis.values)
        if axis.default in values:
            values.remove(axis.default)
        ranks.append((axis.name, {value: rank for rank, value in enumerate([axis.default, *values])}))

    def place(trial_id):
        values = oracle.trials[trial_id].hyperparameters.values
        return [rank.get(values[name], -1) for name, rank in ranks if name in values]

    put_in_order(oracle, sorted(oracle.start_order, key=place))
