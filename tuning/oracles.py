"""The searchers, by name: KerasTuner's own oracles, and a quasirandom one.

A trial that diverged counts as completed with an infinitely bad score, so that Hyperband never promotes it and Bayesian
optimization learns where not to go. What an oracle needs to go on after a kill is in its state: the oracles here add
what KerasTuner's leave out.
"""

from __future__ import annotations

import functools
import warnings

import keras_tuner
import numpy as np
from keras_tuner.oracles import BayesianOptimizationOracle, GridSearchOracle, HyperbandOracle, RandomSearchOracle

from tuning.errors import SearchError

STOPPED = {"status": "STOPPED", "values": None}


class QuasirandomOracle(keras_tuner.Oracle):
    """The points of a scrambled Sobol sequence: random, but spread evenly.

    In a handful of trials pure chance leaves gaps and clusters; a Sobol sequence fills every axis and every pair of axes
    almost as evenly as a grid, with a new value on each axis in each trial. For n trials a power of two is best.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._drawn = 0

    def populate_space(self, trial_id):
        """The next point of the sequence; duplicates (after rounding, on short axes) are passed over."""
        from scipy.stats import qmc

        axes = [hp for hp in self.hyperparameters.space if not hasattr(hp, "value")]  # KerasTuner's Fixed have one value
        if not axes:
            return STOPPED
        sequence = qmc.Sobol(len(axes), scramble=True, rng=np.random.default_rng(self.seed))
        if self._drawn:
            sequence.fast_forward(self._drawn)
        for _ in range(self._max_collisions):
            point = dict(zip((hp.name for hp in axes), sequence.random(1)[0], strict=True))
            self._drawn += 1
            hps = keras_tuner.HyperParameters()
            for hp in self.hyperparameters.space:  # parents come before the conditional ones that depend on them
                hps.merge([hp])
                if hps.is_active(hp):
                    hps.values[hp.name] = hp.prob_to_value(point[hp.name]) if hp.name in point else hp.default
            if not self._duplicate(hps.values):
                return {"status": "RUNNING", "values": hps.values}
        return STOPPED

    def get_state(self):
        """With how many points of the sequence are used up."""
        return {**super().get_state(), "drawn": self._drawn}

    def set_state(self, state):
        """The inverse of `get_state`."""
        super().set_state(state)
        self._drawn = state["drawn"]


class GridOracle(GridSearchOracle):
    """KerasTuner's grid, which forgets its place when it is reloaded, resumable."""

    def set_state(self, state):
        """The inverse of `get_state`."""
        super().set_state(state)
        find_place(self)


def find_place(oracle: GridSearchOracle) -> None:
    """Puts the tried points of a reloaded grid back in order, from which the next ones follow."""

    def compare(one, other):
        return oracle._compare(oracle.trials[one].hyperparameters.values, oracle.trials[other].hyperparameters.values)

    previous = None
    for trial_id in sorted(oracle.start_order, key=functools.cmp_to_key(compare)):
        oracle._ordered_ids.insert(trial_id, previous)
        oracle._populate_next.append(trial_id)
        previous = trial_id


class BayesianOracle(BayesianOptimizationOracle):
    """KerasTuner's Gaussian process, with reproducible proposals, an idea of divergence, and no setting tried twice."""

    def populate_space(self, trial_id):
        """The proposal depends on the seed and on the trials so far alone, so a resumed search makes the same one."""
        self._random_state = np.random.RandomState([self.seed, len(self.trials)])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of scikit-learn: a kernel's parameter met its bound
            proposal = super().populate_space(trial_id)
        if proposal["values"] is not None and self._duplicate(proposal["values"]):
            return self._random_populate_space()  # often at a corner of the space, where the model sees nothing new
        return proposal

    def _vectorize_trials(self):
        x, y = super()._vectorize_trials()
        finite = np.isfinite(y)
        worst = y[finite].max() if finite.any() else 0.0  # y is minimized
        return x, np.where(finite, y, worst)


NAMES = ("random", "quasirandom", "grid", "hyperband", "bayesian")

# Those that can be told an infinitely bad score.
UNDERSTAND_INFINITY = (QuasirandomOracle, GridSearchOracle, RandomSearchOracle, HyperbandOracle, BayesianOracle)


def make_oracle(
    name: str,
    *,
    objective: keras_tuner.Objective | str,
    hyperparameters: keras_tuner.HyperParameters,
    trials: int | None,
    epochs: int,
    seed: int,
) -> keras_tuner.Oracle:
    """An oracle by name.

    Args:
        name: `random`, `quasirandom`, `grid`, `hyperband` or `bayesian`.
        objective: what to make best, e.g. `"val_accuracy"`.
        hyperparameters: the space; it is taken as it is and not extended.
        trials: how many at most. Hyperband: `None` means one sweep over all its brackets, a number goes on with further sweeps.
        epochs: of a trial; with Hyperband, of the longest ones.
        seed: any int >= 0; 0 is a seed like any other.
    """
    if name not in NAMES:
        raise SearchError(f"The oracle must be one of {', '.join(NAMES)}; received {name!r}.")
    # KerasTuner takes seed 0 for "no seed", and draws with seed, seed + 1, ...: neighbouring seeds would share most draws.
    spread = int(np.random.SeedSequence([seed, 0x04AC1E]).generate_state(1)[0] >> 1) + 1
    common = {
        "objective": objective,
        "hyperparameters": hyperparameters,
        "allow_new_entries": False,
        "tune_new_entries": False,
        "seed": spread,
    }
    if name == "hyperband":
        oracle = HyperbandOracle(max_epochs=epochs, factor=3, hyperband_iterations=1 if trials is None else None, **common)
        oracle.max_trials = trials
        return oracle
    classes = {
        "random": RandomSearchOracle,
        "quasirandom": QuasirandomOracle,
        "grid": GridOracle,
        "bayesian": BayesianOracle,
    }
    return classes[name](max_trials=trials, **common)
