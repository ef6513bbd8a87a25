"""RAdam: Adam that waits until it knows the scale.

Adam divides by √v from its first step on, when v is made of one or two gradients and may be far too small by chance: then a step
is far too long, which is what a warm-up of the learning rate is for. RAdam computes how uncertain 1/√v still is. While nothing is
known of it, steps are those of momentum, without a division, or none at all; then Adam's steps are made shorter by a factor r,
which grows to 1. So it is a warm-up that follows from β₂.
"""

import keras
from keras import ops

from keras_optims.corrections import correction, rectification
from keras_optims.hyperparameter import DECAY_RATE, NON_NEGATIVE, Hyperparameter, Option, SearchRange, epsilon
from keras_optims.optimizer import Optimizer


@keras.saving.register_keras_serializable(package="keras_optims")
class RAdam(Optimizer):
    """RAdam: Adam with a rectified variance of its rates.

    With weights θ, gradient g, learning rate η, the slots m (first moment) and v (second moment), which start at zero, and t the
    number of the step, counted from 1, each step does, element by element,

        m ← β₁·m + (1−β₁)·g
        v ← β₂·v + (1−β₂)·g²
        ρ∞ = 2/(1−β₂) − 1,   ρ = ρ∞ − 2t·β₂ᵗ/(1−β₂ᵗ)
        r = √[(ρ−4)·(ρ−2)·ρ∞ / ((ρ∞−4)·(ρ∞−2)·ρ)]
        θ ← θ − η·r·√(1−β₂ᵗ)/(1−β₁ᵗ)·m / (√v + ε)     where ρ > 5
        θ ← θ − η·m/(1−β₁ᵗ)                            else, with early="momentum"; nothing with early="skip"

    With β₂ = 0.999, ρ is over 5 from the sixth step on, and r is 0.026 then, 0.22 in step 100 and 0.65 in step 1000.

    Args:
        learning_rate: η ≥ 0; no step is much longer than this once ρ > 5. Usually 1e-4 to 1e-2; default 0.001.
        beta_1: β₁ in [0, 1), the decay rate of m. Usually 0.9; default 0.9.
        beta_2: β₂ in [0, 1), the decay rate of v; the warm-up lasts about 2/(1−β₂) steps. With β₂ ≤ 2/3 ρ never is over 5.
            Usually 0.99 to 0.999; default 0.999.
        epsilon: ε ≥ 0; keeps the division finite. Default 1e-7.
        early: what the steps with ρ ≤ 5 do: `"momentum"`, the default, or `"skip"`: the slots alone.
        **kwargs: the arguments of every optimizer; see `keras_optims.Optimizer`.

    Conventions: `early="momentum"` is the paper's Algorithm 2, and what torch, TensorFlow Addons and optax do; those steps are as
    long as gradients are large, whatever Adam's η means. The authors' own code has `"skip"` as its default. ε is added to √v
    itself, as there and in torch; TensorFlow Addons and optax add it to the corrected root.

    Reference: Liu et al. 2020, "On the Variance of the Adaptive Learning Rate and Beyond", https://arxiv.org/abs/1908.03265,
    Algorithm 2.
    """

    elementwise = True

    learning_rate = Hyperparameter(
        0.001, symbol="η", domain=NON_NEGATIVE, search=SearchRange(1e-4, 1e-2, "log"), meaning="learning rate"
    )
    beta_1 = Hyperparameter(
        0.9, symbol="β₁", domain=DECAY_RATE, search=SearchRange(0.7, 0.996, "log1m"), meaning="decay rate of the first moment"
    )
    beta_2 = Hyperparameter(
        0.999, symbol="β₂", domain=DECAY_RATE, search=SearchRange(0.9, 0.999, "log1m"), meaning="decay rate of the second moment"
    )
    epsilon = epsilon()
    early = Option("momentum", choices=("momentum", "skip"), meaning="what is done until the scale is known")

    def build(self, variables):
        """Makes the slots `first_moment` (m) and `second_moment` (v)."""
        super().build(variables)
        self.first_moment = self.add_slot(variables, "first_moment")
        self.second_moment = self.add_slot(variables, "second_moment")

    def step_scalars(self, learning_rate):
        """The rate of m, 1−β₁, 1−β₂, ε, and whether there is a division."""
        t, rest_1, rest_2 = self.step_number, self.one_minus("beta_1"), self.one_minus("beta_2")
        r = rectification(t, rest_2)
        early = 1.0 if self.early == "momentum" else 0.0
        return {
            "rate": learning_rate / correction(t, rest_1) * ops.where(r > 0, r * ops.sqrt(correction(t, rest_2)), early),
            "is_known": r > 0,
            "rest_1": rest_1,
            "rest_2": rest_2,
            "epsilon": self.epsilon,
        }

    def update_step(self, gradient, variable, learning_rate):
        """m ← β₁·m + (1−β₁)·g; v ← β₂·v + (1−β₂)·g²; θ ← θ − rate·m / (√v + ε), or without the division."""
        s = self.scalars(variable, learning_rate)
        m, v = self.first_moment[variable], self.second_moment[variable]
        self.assign_add(m, (gradient - m) * s.rest_1)
        self.assign_add(v, (ops.square(gradient) - v) * s.rest_2)
        self.assign_sub(variable, m * s.rate / _denominator(v, s))

    def step_rate(self, variable, learning_rate):
        """What multiplies m: the rate over √v + ε, or without the division."""
        s = self.scalars(variable, learning_rate)
        return s.rate / _denominator(self.second_moment[variable], s)


def _denominator(v, s):
    return ops.where(s.is_known > 0, ops.sqrt(v) + s.epsilon, 1.0)
