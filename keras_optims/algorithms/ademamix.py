"""AdEMAMix: Adam with a second, long memory of gradients.

One average of gradients cannot both follow the recent ones and remember the old. AdEMAMix keeps two: Adam's fast one, and a slow
one that reaches over ten thousand steps, whose gradients are old and still useful. The slow one is added with the weight α, and
both its weight and its memory may grow over the training, since a long memory is harmful at the start.
"""

import math

import keras
from keras import ops

from keras_optims.corrections import correction, half_life, rest_of
from keras_optims.hyperparameter import DECAY_RATE, NON_NEGATIVE, Hyperparameter, Interval, Option, SearchRange, epsilon
from keras_optims.optimizer import Optimizer

_STEPS = Interval(1, math.inf, high_open=True)


@keras.saving.register_keras_serializable(package="keras_optims")
class AdEMAMix(Optimizer):
    """AdEMAMix: a mixture of two exponential moving averages of the gradients.

    With weights θ, gradient g, learning rate η, the slots m₁ (fast first moment), m₂ (slow first moment) and v (second moment),
    which start at zero, and t the number of the step, counted from 1, each step does, element by element,

        m₁ ← β₁·m₁ + (1−β₁)·g
        m₂ ← β₃(t)·m₂ + (1−β₃(t))·g
        v ← β₂·v + (1−β₂)·g²
        θ ← θ − η·(m₁/(1−β₁ᵗ) + α(t)·m₂) / (√(v/(1−β₂ᵗ)) + ε)

    Without warm-up α(t) = α and β₃(t) = β₃. With a warm-up of T steps α(t) = α·t/T until t = T, and the half-life of β₃(t) grows
    linearly from that of β₁ to that of β₃.

    Args:
        learning_rate: η ≥ 0. Usually 1e-4 to 5e-3; default 0.001.
        beta_1: β₁ in [0, 1), the decay rate of m₁. 0, which makes m₁ the gradient, saves its slot; an optimizer built so cannot
            have another one later. Usually 0.9; default 0.9.
        beta_2: β₂ in [0, 1), the decay rate of v. Usually 0.999; default 0.999.
        beta_3: β₃ in [0, 1), the decay rate of m₂. Usually 0.999 (trainings of some thousand steps) to 0.9999; default 0.9999.
        alpha: α ≥ 0, the weight of m₂. Usually 2 to 10; default 2.
        epsilon: ε ≥ 0; keeps the division finite. Default 1e-8.
        alpha_warmup: T of α, a number of steps, usually all of the training; `None`, the default: no warm-up.
        beta_3_warmup: T of β₃, as well.
        **kwargs: the arguments of every optimizer; see `keras_optims.Optimizer`.

    Conventions: as the authors' code: m₂ is not corrected for its start, and ε stands beside the corrected root. Their code for
    optax counts the warm-ups from t−1 and has α = 5; their recipe for language models is α = 8, T the whole training.

    Reference: Pagliardini, Ablin & Grangier 2024, "The AdEMAMix Optimizer: Better, Faster, Older",
    https://arxiv.org/abs/2409.03137, Algorithm 1; https://github.com/apple/ml-ademamix.
    """

    elementwise = True

    learning_rate = Hyperparameter(
        0.001, symbol="η", domain=NON_NEGATIVE, search=SearchRange(1e-4, 5e-3, "log"), meaning="learning rate"
    )
    beta_1 = Hyperparameter(
        0.9,
        symbol="β₁",
        domain=DECAY_RATE,
        search=SearchRange(0.7, 0.95, "log1m"),
        meaning="decay rate of the fast first moment",
        off=0.0,
    )
    beta_2 = Hyperparameter(
        0.999, symbol="β₂", domain=DECAY_RATE, search=SearchRange(0.9, 0.9999, "log1m"), meaning="decay rate of the second moment"
    )
    beta_3 = Hyperparameter(
        0.9999,
        symbol="β₃",
        domain=DECAY_RATE,
        search=SearchRange(0.99, 0.9999, "log1m"),
        meaning="decay rate of the slow first moment",
    )
    alpha = Hyperparameter(
        2.0, symbol="α", domain=NON_NEGATIVE, search=SearchRange(2.0, 8.0, "log"), meaning="weight of the slow first moment"
    )
    epsilon = epsilon(1e-8)
    alpha_warmup = Option(None, domain=_STEPS, integer=True, optional=True, meaning="steps in which α grows from 0")
    beta_3_warmup = Option(None, domain=_STEPS, integer=True, optional=True, meaning="steps in which β₃ grows from β₁")

    def build(self, variables):
        """Makes the slots `first_moment` (m₁), unless β₁ is 0, `slow_first_moment` (m₂) and `second_moment` (v)."""
        super().build(variables)
        self.first_moment = self.add_slot(variables, "first_moment") if self.is_on("beta_1") else None
        self.slow_first_moment = self.add_slot(variables, "slow_first_moment", numbers="exact")
        self.second_moment = self.add_slot(variables, "second_moment", numbers="non_negative")

    def step_scalars(self, learning_rate):
        """η·√(1−β₂ᵗ), 1/(1−β₁ᵗ), α(t), the 1−β and ε·√(1−β₂ᵗ)."""
        t, alpha = self.step_number, self.alpha
        rest_1, rest_2, rest_3 = (self.one_minus(name) for name in ("beta_1", "beta_2", "beta_3"))
        if self.alpha_warmup is not None:
            alpha = alpha * ops.minimum(t / self.alpha_warmup, 1.0)
        if self.beta_3_warmup is not None:
            share = ops.minimum(t / self.beta_3_warmup, 1.0)
            rest_3 = rest_of((1 - share) * half_life(rest_1) + share * half_life(rest_3))
        root = ops.sqrt(correction(t, rest_2))
        return {
            "rate": learning_rate * root,
            "of_fast": 1 / correction(t, rest_1),
            "alpha": alpha,
            "rest_1": rest_1,
            "rest_2": rest_2,
            "rest_3": rest_3,
            "epsilon": self.epsilon * root,
        }

    def update_step(self, gradient, variable, learning_rate):
        """m₁, m₂ and v move; θ ← θ − η·(m₁/(1−β₁ᵗ) + α·m₂) / (√(v/(1−β₂ᵗ)) + ε)."""
        s = self.scalars(variable, learning_rate)
        slow, v = self.slow_first_moment[variable], self.second_moment[variable]
        fast = gradient
        if self.first_moment is not None:
            fast = self.first_moment[variable]
            self.assign_add(fast, (gradient - fast) * s.rest_1)
        self.assign_add(slow, (gradient - slow) * s.rest_3)
        self.assign_add(v, (ops.square(gradient) - v) * s.rest_2)
        self.assign_sub(variable, (fast * s.of_fast + slow * s.alpha) * s.rate / (ops.sqrt(v) + s.epsilon))

    def step_rate(self, variable, learning_rate):
        """η / (√(v/(1−β₂ᵗ)) + ε), which multiplies m₁/(1−β₁ᵗ) + α·m₂."""
        s = self.scalars(variable, learning_rate)
        return s.rate / (ops.sqrt(self.second_moment[variable]) + s.epsilon)
