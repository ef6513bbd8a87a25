"""Adamax: Adam that divides by the largest recent gradient.

Adam's scale is a root mean square, in which all recent gradients count. In its place Adamax has the largest of them, where an
older one counts less by β₂ for each step that has passed. That needs no square, no root and no correction of the start, and a
single large gradient shortens the steps at once, and longer than in Adam.
"""

import keras
from keras import ops

from keras_optims.hyperparameter import DECAY_RATE, NON_NEGATIVE, Hyperparameter, SearchRange, epsilon
from keras_optims.optimizer import Optimizer


@keras.saving.register_keras_serializable(package="keras_optims")
class Adamax(Optimizer):
    """Adam with the infinity norm in place of the root mean square.

    With weights θ, gradient g, learning rate η, the slots m (first moment) and u (infinity norm), which start at zero, and t the
    number of the step, counted from 1, each step does, element by element,

        m ← β₁·m + (1−β₁)·g
        u ← max(β₂·u, |g|)
        θ ← θ − η/(1−β₁ᵗ) · m / (u + ε)

    Args:
        learning_rate: η ≥ 0; no step is longer than this, but for rounding. Usually 1e-4 to 1e-2; default 0.001 (0.002 in the
            paper).
        beta_1: β₁ in [0, 1), the decay rate of m. Usually 0.9; default 0.9.
        beta_2: β₂ in [0, 1), by which a gradient that was the largest counts less at each step. Usually 0.99 to 0.999; default
            0.999.
        epsilon: ε ≥ 0; keeps the division finite where there was no gradient yet. Default 1e-7.
        **kwargs: the arguments of every optimizer; see `keras_optims.Optimizer`.

    Conventions: ε is added to u, as in Keras and TensorFlow; torch and optax have it inside of the maximum, u ← max(β₂·u, |g|+ε),
    and the paper has none.

    Reference: Kingma & Ba 2015, "Adam: A Method for Stochastic Optimization", https://arxiv.org/abs/1412.6980, Algorithm 2.
    """

    kernel = "adamax"
    elementwise = True

    learning_rate = Hyperparameter(
        0.001, symbol="η", domain=NON_NEGATIVE, search=SearchRange(1e-4, 1e-1, "log"), meaning="learning rate"
    )
    beta_1 = Hyperparameter(
        0.9, symbol="β₁", domain=DECAY_RATE, search=SearchRange(0.5, 0.98, "log1m"), meaning="decay rate of the first moment"
    )
    beta_2 = Hyperparameter(
        0.999, symbol="β₂", domain=DECAY_RATE, search=SearchRange(0.9, 0.9999, "log1m"), meaning="decay rate of the norm"
    )
    epsilon = epsilon()

    def build(self, variables):
        """Makes the slots `first_moment` (m) and `infinity_norm` (u)."""
        super().build(variables)
        self.first_moment = self.add_slot(variables, "first_moment")
        self.infinity_norm = self.add_slot(variables, "infinity_norm")

    def step_scalars(self, learning_rate):
        """α = η/(1−β₁ᵗ), β₁, 1−β₁, β₂ and ε."""
        return {
            "alpha": learning_rate / (1 - self.beta_1**self.step_number),
            "beta_1": self.beta_1,
            "one_minus_beta_1": self.one_minus("beta_1"),
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
        }

    def update_step(self, gradient, variable, learning_rate):
        """m ← β₁·m + (1−β₁)·g; u ← max(β₂·u, |g|); θ ← θ − α·m / (u + ε)."""
        s = self.scalars(variable, learning_rate)
        m, u = self.first_moment[variable], self.infinity_norm[variable]
        self.assign_add(m, (gradient - m) * s.one_minus_beta_1)
        self.assign(u, ops.maximum(s.beta_2 * u, ops.abs(gradient)))
        self.assign_sub(variable, m * s.alpha / (u + s.epsilon))

    def step_rate(self, variable, learning_rate):
        """α / (u + ε), which multiplies m."""
        s = self.scalars(variable, learning_rate)
        return s.alpha / ops.add(self.infinity_norm[variable], s.epsilon)
