"""KerasTuner's Gaussian process, made fit for resuming and for trials that diverge."""

from __future__ import annotations

import warnings

import numpy as np
from keras_tuner.oracles import BayesianOptimizationOracle


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
