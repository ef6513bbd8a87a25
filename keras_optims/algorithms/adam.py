"""Adam: momentum for the direction, RMSProp for the scale, and a correction for the start.

Momentum averages gradients, so noise cancels and speed builds up; RMSProp divides by their recent size, so every weight moves
at a rate of its own. Adam does both. Both averages start at zero and are too small at first; the second, with its larger β,
much more so than the first. Adam divides each by the share of the weights of its average that real gradients have so far,
1−βᵗ, so that already the first step has the right length.
"""

import keras
from keras import ops

from keras_optims.hyperparameter import DECAY_RATE, NON_NEGATIVE, Hyperparameter, Option, SearchRange, epsilon
from keras_optims.optimizer import Optimizer


@keras.saving.register_keras_serializable(package="keras_optims")
class Adam(Optimizer):
    """Adam: adaptive moment estimation.

    With weights θ, gradient g, learning rate η, the slots m (first moment) and v (second moment), which start at zero,
    and t the number of the step, counted from 1, each step does, element by element,

        m ← β₁·m + (1−β₁)·g
        v ← β₂·v + (1−β₂)·g²
        α = η·√(1−β₂ᵗ) / (1−β₁ᵗ)
        θ ← θ − α·m / (√v + ε)

    With AMSGrad, v̂ ← max(v̂, v) takes the place of v in the last line, so that a weight's rate never grows.

    Args:
        learning_rate: η ≥ 0; no step is much longer than this. Usually 1e-4 to 1e-2; default 0.001.
        beta_1: β₁ in [0, 1), the decay rate of m, which smooths the direction over about 1/(1−β₁) steps. Usually 0.9, less where
            training is unstable; default 0.9.
        beta_2: β₂ in [0, 1), the decay rate of v, which smooths the scale over about 1/(1−β₂) steps. Usually 0.95 to
            0.999; default 0.999.
        epsilon: ε ≥ 0; keeps the division finite. Gradients well below it move a weight less than η. Usually 1e-8 to
            1e-3; default 1e-7.
        amsgrad: whether to divide by the largest v so far. Default `False`.
        **kwargs: the arguments of every optimizer; see `keras_optims.Optimizer`.

    Conventions: ε is the paper's "ε̂" (before its Section 2.1), added to √v itself, as in Keras and TensorFlow; Algorithm 1 of the
    paper, torch and optax add ε to the corrected root √(v/(1−β₂ᵗ)), which makes it larger at first. AMSGrad's maximum is taken of
    v before the correction, as in Keras and torch; optax takes it after.

    References: Kingma & Ba 2015, "Adam: A Method for Stochastic Optimization", https://arxiv.org/abs/1412.6980;
    AMSGrad: Reddi, Kale & Kumar 2018, "On the Convergence of Adam and Beyond", https://openreview.net/forum?id=ryQu7f-RZ.
    """

    kernel = "adam"
    elementwise = True

    learning_rate = Hyperparameter(
        0.001, symbol="η", domain=NON_NEGATIVE, search=SearchRange(1e-4, 1e-1, "log"), meaning="learning rate"
    )
    beta_1 = Hyperparameter(
        0.9, symbol="β₁", domain=DECAY_RATE, search=SearchRange(0.5, 0.98, "log1m"), meaning="decay rate of the first moment"
    )
    beta_2 = Hyperparameter(
        0.999, symbol="β₂", domain=DECAY_RATE, search=SearchRange(0.9, 0.9999, "log1m"), meaning="decay rate of the second moment"
    )
    epsilon = epsilon()
    amsgrad = Option(False, meaning="divide by the largest second moment so far")

    def build(self, variables):
        """Makes the slots `first_moment` (m), `second_moment` (v), and for AMSGrad `largest_second_moment` (v̂)."""
        super().build(variables)
        self.first_moment = self.add_slot(variables, "first_moment")
        self.second_moment = self.add_slot(variables, "second_moment", numbers="non_negative")
        self.largest_second_moment = (
            self.add_slot(variables, "largest_second_moment", numbers="non_negative") if self.amsgrad else None
        )

    def step_scalars(self, learning_rate):
        """α, β₁, β₂, 1−β₁, 1−β₂ and ε."""
        t = self.step_number
        return {
            "alpha": learning_rate * ops.sqrt(1 - self.beta_2**t) / (1 - self.beta_1**t),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "one_minus_beta_1": self.one_minus("beta_1"),
            "one_minus_beta_2": self.one_minus("beta_2"),
            "epsilon": self.epsilon,
        }

    def update_step(self, gradient, variable, learning_rate):
        """m ← β₁·m + (1−β₁)·g; v ← β₂·v + (1−β₂)·g²; θ ← θ − α·m / (√v + ε)."""
        s = self.scalars(variable, learning_rate)
        m, v = self.first_moment[variable], self.second_moment[variable]
        self.assign_add(m, (gradient - m) * s.one_minus_beta_1)
        self.assign_add(v, (ops.square(gradient) - v) * s.one_minus_beta_2)
        if self.largest_second_moment is not None:
            largest = self.largest_second_moment[variable]
            self.assign(largest, ops.maximum(largest, v))
            v = largest
        self.assign_sub(variable, m * s.alpha / (ops.sqrt(v) + s.epsilon))

    def step_rate(self, variable, learning_rate):
        """α / (√v + ε), which multiplies m; with AMSGrad v̂ in place of v."""
        s = self.scalars(variable, learning_rate)
        v = self.second_moment if self.largest_second_moment is None else self.largest_second_moment
        return s.alpha / (ops.sqrt(v[variable]) + s.epsilon)
