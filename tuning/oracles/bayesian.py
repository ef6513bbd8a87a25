"""KerasTuner's Gaussian process, made fit for resuming and for trials that diverge."""

from __future__ import annotations

import warnings

import numpy as np

from tuning.oracles.keras_tuner_seam import GaussianProcess, was_tried


class BayesianOracle(GaussianProcess):
    """KerasTuner's Gaussian process, with reproducible proposals, an idea of divergence, and no setting tried twice."""

    def populate_space(self, trial_id):
        """The proposal depends on the seed and on the trials so far alone, so a resumed search makes the same one."""
        self.begin_from(np.random.RandomState([self.seed, len(self.trials)]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of scikit-learn: a kernel's parameter met its bound
            proposal = super().populate_space(trial_id)
        if proposal["values"] is not None and was_tried(self, proposal["values"]):
            return self.random_proposal()  # often at a corner of the space, where the model sees nothing new
        return proposal

    def vectors(self, x, y):
        """A trial that diverged is as bad as the worst that did not."""
        finite = np.isfinite(y)
        worst = y[finite].max() if finite.any() else 0.0  # y is minimized
        return x, np.where(finite, y, worst)
