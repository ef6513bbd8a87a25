"""AdaBelief: long steps where the gradient comes as expected.

Adam makes steps short where gradients are large. But a large gradient that has been the same for long is no reason to be careful;
one that differs from step to step is. AdaBelief takes the average of past gradients as its forecast and divides by the size of
the forecast's error, g−m: where the gradients are believed, steps are long.
"""

import keras
from keras import ops

from keras_optims.corrections import correction, rectification
from keras_optims.hyperparameter import DECAY_RATE, NON_NEGATIVE, Hyperparameter, Option, SearchRange
from keras_optims.optimizer import Optimizer


@keras.saving.register_keras_serializable(package="keras_optims")
class AdaBelief(Optimizer):
    """AdaBelief: steps adapted by the belief in the observed gradients.

    With weights θ, gradient g, learning rate η, the slots m (first moment) and s (mean squared deviation), which start at zero,
    and t the number of the step, counted from 1, each step does, element by element,

        m ← β₁·m + (1−β₁)·g
        s ← β₂·s + (1−β₂)·(g−m)² + ε
        θ ← θ − η·r·√(1−β₂ᵗ)/(1−β₁ᵗ)·m / (√s + ε)         rectified, as in `RAdam` with its r: where ρ > 5
        θ ← θ − η·m/(1−β₁ᵗ)                                rectified, before
        θ ← θ − η·m/(1−β₁ᵗ) / (√(s/(1−β₂ᵗ)) + ε)           with rectify=False

    Args:
        learning_rate: η ≥ 0. Usually 1e-4 to 1e-2; default 0.001.
        beta_1: β₁ in [0, 1), the decay rate of m. With 0 there is no error of the forecast, and ε alone is left in s. Usually
            0.9; default 0.9.
        beta_2: β₂ in [0, 1), the decay rate of s. Usually 0.99 to 0.999; default 0.999.
        epsilon: ε ≥ 0. In s it is in units of squared gradients and adds up to ε/(1−β₂); the authors advise about the square of
            the ε of an Adam: 1e-16 for transformers and GANs, 1e-8 for image classification; default 1e-16.
        rectify: whether the first steps are made shorter as in `RAdam`. Default `True`.
        **kwargs: the arguments of every optimizer; see `keras_optims.Optimizer`.

    Conventions: as the authors' code (0.2.0) and timm: ε is added to s in each step and stays in it, g−m is that of the new m,
    rectified steps divide by √s + ε without a correction of the root. optax never rectifies and is else the same; so is the
    paper's Algorithm 2.

    Reference: Zhuang et al. 2020, "AdaBelief Optimizer: Adapting Stepsizes by the Belief in Observed Gradients",
    https://arxiv.org/abs/2010.07468, Algorithm 2; rectified since https://github.com/juntang-zhuang/Adabelief-Optimizer 0.1.0.
    """

    elementwise = True

    learning_rate = Hyperparameter(
        0.001, symbol="η", domain=NON_NEGATIVE, search=SearchRange(1e-4, 1e-2, "log"), meaning="learning rate"
    )
    beta_1 = Hyperparameter(
        0.9, symbol="β₁", domain=DECAY_RATE, search=SearchRange(0.7, 0.996, "log1m"), meaning="decay rate of the first moment"
    )
    beta_2 = Hyperparameter(
        0.999, symbol="β₂", domain=DECAY_RATE, search=SearchRange(0.9, 0.999, "log1m"), meaning="decay rate of the deviation"
    )
    epsilon = Hyperparameter(
        1e-16,
        symbol="ε",
        domain=NON_NEGATIVE,
        search=SearchRange(1e-16, 1e-8, "log", by_default=False),
        meaning="added to the squared deviation in each step",
    )
    rectify = Option(True, meaning="make the first steps shorter, as RAdam does")

    def build(self, variables):
        """Makes the slots `first_moment` (m) and `squared_deviation` (s)."""
        super().build(variables)
        self.first_moment = self.add_slot(variables, "first_moment")
        self.squared_deviation = self.add_slot(variables, "squared_deviation")

    def step_scalars(self, learning_rate):
        """The rate of m, β₁, 1−β₁, 1−β₂, the ε in s and the one beside its root, and whether there is a division."""
        t, rest_1, rest_2 = self.step_number, self.one_minus("beta_1"), self.one_minus("beta_2")
        root = ops.sqrt(correction(t, rest_2))
        r = rectification(t, rest_2) if self.rectify else ops.ones_like(root)
        return {
            "rate": learning_rate / correction(t, rest_1) * ops.where(r > 0, r * root, 1.0),
            "is_known": r > 0,
            "beta_1": self.beta_1,
            "rest_1": rest_1,
            "rest_2": rest_2,
            "epsilon": self.epsilon,
            "epsilon_beside": self.epsilon if self.rectify else self.epsilon * root,
        }

    def update_step(self, gradient, variable, learning_rate):
        """m ← β₁·m + (1−β₁)·g; s ← β₂·s + (1−β₂)·(g−m)² + ε; θ ← θ − rate·m / (√s + ε), or without the division."""
        s = self.scalars(variable, learning_rate)
        m, deviation = self.first_moment[variable], self.squared_deviation[variable]
        error = gradient - m
        self.assign_add(m, error * s.rest_1)
        self.assign_add(deviation, (ops.square(error * s.beta_1) - deviation) * s.rest_2 + s.epsilon)  # g − m is β₁ of it now
        self.assign_sub(variable, m * s.rate / _denominator(deviation, s))

    def step_rate(self, variable, learning_rate):
        """What multiplies m: the rate over √s + ε, or without the division."""
        s = self.scalars(variable, learning_rate)
        return s.rate / _denominator(self.squared_deviation[variable], s)


def _denominator(deviation, s):
    return ops.where(s.is_known > 0, ops.sqrt(deviation) + s.epsilon_beside, 1.0)
