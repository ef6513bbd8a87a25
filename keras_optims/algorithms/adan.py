"""Adan: Nesterov's look ahead, from the change of the gradient.

Nesterov's momentum takes the gradient where the weights are going. Adan estimates it from what it has: the gradient, and how it
has changed since the step before, each with an average of its own. The scale, too, is that of the gradient looked ahead. The
gradient of the last step is kept, so it has four slots.
"""

import keras
from keras import ops

from keras_optims.corrections import correction
from keras_optims.hyperparameter import DECAY_RATE, NON_NEGATIVE, Hyperparameter, Option, SearchRange, epsilon
from keras_optims.optimizer import Optimizer


@keras.saving.register_keras_serializable(package="keras_optims")
class Adan(Optimizer):
    """Adan: adaptive Nesterov momentum.

    With weights θ, gradient g, learning rate η, weight decay λ, the slots m (first moment), w (mean difference), n (second
    moment) and g′ (previous gradient), which start at zero, and t the number of the step, counted from 1, each step does, element
    by element,

        d = g − g′                        in the first step 0
        m ← β₁·m + (1−β₁)·g
        w ← β₂·w + (1−β₂)·d
        n ← β₃·n + (1−β₃)·(g + β₂·d)²
        θ ← [θ − η·(m/(1−β₁ᵗ) + β₂·w/(1−β₂ᵗ)) / (√(n/(1−β₃ᵗ)) + ε)] / (1 + η·λ)
        g′ ← g

    Args:
        learning_rate: η ≥ 0; 5 to 10 times that of an Adam often works. Usually 5e-4 to 2e-2; default 0.001.
        weight_decay: λ ≥ 0. Usually 1e-3 to 0.1; default 0.02; `None`: none.
        beta_1: β₁ in [0, 1), the decay rate of m. Usually 0.9 to 0.99; default 0.98.
        beta_2: β₂ in [0, 1), the decay rate of w, and the weight of the look ahead. It hardly matters; default 0.92.
        beta_3: β₃ in [0, 1), the decay rate of n. Usually 0.9 to 0.997; default 0.99. The authors advise to tune it first.
        epsilon: ε ≥ 0; keeps the division finite. Default 1e-8.
        proximal: whether the weights are decayed after the step, by the division, as a proximal step does. Default `True`; else
            before it, θ ← θ − η·λ·θ, as in `AdamW`.
        **kwargs: the arguments of every optimizer; see `keras_optims.Optimizer`.

    Conventions: β₁, β₂ and β₃ are those of the authors' code; the paper's are 1−β. Their code has no weight decay by default, the
    value here is that of its recipes. g′ is the gradient after clipping. optax 0.2.8 weights the difference by 1−β₂ in place of
    β₂, by mistake. The paper's restarts are left out; in the authors' code they are off by default.

    Reference: Xie et al. 2022, "Adan: Adaptive Nesterov Momentum Algorithm for Faster Optimizing Deep Models",
    https://arxiv.org/abs/2208.06677, Algorithm 1; https://github.com/sail-sg/Adan.
    """

    elementwise = True
    decay = "own"

    learning_rate = Hyperparameter(
        0.001, symbol="η", domain=NON_NEGATIVE, search=SearchRange(5e-4, 2e-2, "log"), meaning="learning rate"
    )
    weight_decay = Hyperparameter(
        0.02, symbol="λ", domain=NON_NEGATIVE, search=SearchRange(1e-3, 1e-1, "log"), meaning="weight decay", off=None
    )
    beta_1 = Hyperparameter(
        0.98, symbol="β₁", domain=DECAY_RATE, search=SearchRange(0.9, 0.99, "log1m"), meaning="decay rate of the first moment"
    )
    beta_2 = Hyperparameter(
        0.92,
        symbol="β₂",
        domain=DECAY_RATE,
        search=SearchRange(0.8, 0.98, "log1m", by_default=False),
        meaning="decay rate of the difference, and its weight",
    )
    beta_3 = Hyperparameter(
        0.99, symbol="β₃", domain=DECAY_RATE, search=SearchRange(0.9, 0.997, "log1m"), meaning="decay rate of the second moment"
    )
    epsilon = epsilon(1e-8)
    proximal = Option(True, meaning="decay after the step, by a division")

    def build(self, variables):
        """Makes the slots `first_moment` (m), `difference_moment` (w), `second_moment` (n) and `previous_gradient` (g′)."""
        super().build(variables)
        self.first_moment = self.add_slot(variables, "first_moment")
        self.difference_moment = self.add_slot(variables, "difference_moment")
        self.second_moment = self.add_slot(variables, "second_moment", numbers="non_negative")
        self.previous_gradient = self.add_slot(variables, "previous_gradient")

    def step_scalars(self, learning_rate):
        """What multiplies m and w, 1 (in the first step 0), β₂, the 1−β, ε·√(1−β₃ᵗ) and η."""
        t = self.step_number
        rest_1, rest_2, rest_3 = (self.one_minus(name) for name in ("beta_1", "beta_2", "beta_3"))
        root = ops.sqrt(correction(t, rest_3))
        return {
            "rate": learning_rate * root / correction(t, rest_1),
            "difference_rate": learning_rate * root * self.beta_2 / correction(t, rest_2),
            "has_previous": t > 1,
            "beta_2": self.beta_2,
            "rest_1": rest_1,
            "rest_2": rest_2,
            "rest_3": rest_3,
            "epsilon": self.epsilon * root,
            "learning_rate": learning_rate,
        }

    def update_step(self, gradient, variable, learning_rate):
        """d = g − g′; m, w and n move; θ ← [θ − η·(m̂ + β₂·ŵ) / (√n̂ + ε)] / (1 + η·λ); g′ ← g."""
        s = self.scalars(variable, learning_rate)
        m, w, n = self.first_moment[variable], self.difference_moment[variable], self.second_moment[variable]
        previous = self.previous_gradient[variable]
        difference = (gradient - previous) * s.has_previous
        self.assign_add(m, (gradient - m) * s.rest_1)
        self.assign_add(w, (difference - w) * s.rest_2)
        self.assign_add(n, (ops.square(gradient + difference * s.beta_2) - n) * s.rest_3)
        self.assign(previous, gradient)
        decay = self.decay_of(variable)
        if decay is not None and not self.proximal:
            self.assign_sub(variable, variable * (decay * s.learning_rate))
        self.assign_sub(variable, (m * s.rate + w * s.difference_rate) / (ops.sqrt(n) + s.epsilon))
        if decay is not None and self.proximal:
            self.assign(variable, variable / (1 + decay * s.learning_rate))

    def step_rate(self, variable, learning_rate):
        """η / (√(n/(1−β₃ᵗ)) + ε) / (1−β₁ᵗ), which multiplies m, before the decay."""
        s = self.scalars(variable, learning_rate)
        return s.rate / (ops.sqrt(self.second_moment[variable]) + s.epsilon)
