"""KerasTuner's grid, which forgets its place when it is reloaded, resumable."""

from __future__ import annotations

from keras_tuner.oracles import GridSearchOracle

from tuning.oracles.keras_tuner_seam import put_in_order


class GridOracle(GridSearchOracle):
    """A regular grid, point by point, that goes on after a restart."""

    def set_state(self, state):
        """The inverse of `get_state`."""
        super().set_state(state)
        find_place(self)


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
