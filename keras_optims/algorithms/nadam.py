"""Nadam: Adam with Nesterov momentum, which is let in slowly.

Nesterov's momentum looks ahead: it applies the average of gradients as it will be at the next step. Dozat put that into Adam.
He also let β₁ grow from half its value, by a schedule, since at first there is little to average; so the correction of the
start is no longer a power of β₁ but a product over the steps.
"""

import keras
from keras import ops

from keras_optims.hyperparameter import DECAY_RATE, NON_NEGATIVE, Hyperparameter, Option, SearchRange, epsilon
from keras_optims.optimizer import Optimizer


@keras.saving.register_keras_serializable(package="keras_optims")
class Nadam(Optimizer):
    """Adam with Nesterov momentum.

    With weights θ, gradient g, learning rate η, the slots m (first moment) and v (second moment), which start at zero, and t the
    number of the step, counted from 1, each step does, element by element,

        μₜ = β₁·(1 − ½·0.96^(ψ·t))
        Πₜ = μ₁·μ₂· … ·μₜ
        m ← β₁·m + (1−β₁)·g
        v ← β₂·v + (1−β₂)·g²
        m̂ = μₜ₊₁·m / (1−Πₜ₊₁) + (1−μₜ)·g / (1−Πₜ)
        θ ← θ − η·m̂ / (√(v/(1−β₂ᵗ)) + ε)

    Args:
        learning_rate: η ≥ 0; hardly any step is much longer. Usually 1e-4 to 1e-2; default 0.001.
        beta_1: β₁ in [0, 1), the decay rate of m, and what μ grows to. Usually 0.9; default 0.9.
        beta_2: β₂ in [0, 1), the decay rate of v. Usually 0.95 to 0.999; default 0.999.
        epsilon: ε ≥ 0; keeps the division finite. Default 1e-7.
        momentum_decay: ψ ≥ 0, how fast μ grows from β₁/2 to β₁: halfway after 17/ψ steps. Default 1, as in Keras; 0.004 is the
            schedule that was published. By name only; it cannot change once the optimizer is built.
        **kwargs: the arguments of every optimizer; see `keras_optims.Optimizer`.

    Conventions: the schedule is Keras's, which after some 100 steps is over. Dozat's, torch's (`NAdam`) and the old
    TensorFlow's is 250 times slower: `momentum_decay=0.004`. optax's `nadam` has no schedule, and corrects the parts of m̂ by
    1−β₁ᵗ⁺¹ and 1−β₁ᵗ. ε is beside the corrected root, as in all of them. Πₜ is β₁ᵗ times the product of the schedule's factors,
    which is kept for the whole model; so it is that of the β₁ of now, as the corrections of `Adam` are, and that of each rule
    that sets another β₁. (Keras multiplies each step's β₁, and has none that could change.)

    References: Dozat 2016, "Incorporating Nesterov Momentum into Adam", https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ,
    Algorithm 2; the schedule: his report, http://cs229.stanford.edu/proj2015/054_report.pdf, after Sutskever et al. 2013.
    """

    elementwise = True

    learning_rate = Hyperparameter(
        0.001, symbol="η", domain=NON_NEGATIVE, search=SearchRange(1e-4, 1e-1, "log"), meaning="learning rate"
    )
    beta_1 = Hyperparameter(
        0.9, symbol="β₁", domain=DECAY_RATE, search=SearchRange(0.5, 0.995, "log1m"), meaning="decay rate of the first moment"
    )
    beta_2 = Hyperparameter(
        0.999, symbol="β₂", domain=DECAY_RATE, search=SearchRange(0.9, 0.9999, "log1m"), meaning="decay rate of the second moment"
    )
    epsilon = epsilon()
    momentum_decay = Option(1.0, domain=NON_NEGATIVE, meaning="how fast the momentum grows to β₁", keyword_only=True)

    def build(self, variables):
        """Makes the slots `first_moment` (m) and `second_moment` (v), and the shared `schedule_product` (Πₜ / β₁ᵗ)."""
        super().build(variables)
        self.first_moment = self.add_slot(variables, "first_moment")
        self.second_moment = self.add_slot(variables, "second_moment", numbers="non_negative")
        self.schedule_product = self.add_shared("schedule_product", 1.0)

    def _factor(self, t):
        """1 − ½·0.96^(ψ·t), the share of β₁ that μₜ is."""
        return 1 - 0.5 * 0.96 ** (self.momentum_decay * t)

    def step_scalars(self, learning_rate):
        """η·μₜ₊₁/(1−Πₜ₊₁) and η·(1−μₜ)/(1−Πₜ), both times √(1−β₂ᵗ); 1−β₁, 1−β₂; and ε beside the uncorrected root."""
        t = self.step_number
        now, ahead = self.beta_1 * self._factor(t), self.beta_1 * self._factor(t + 1)
        product = self.beta_1**t * self.schedule_product * self._factor(t)
        correction = ops.sqrt(1 - self.beta_2**t)
        return {
            "of_moment": learning_rate * correction * ahead / (1 - product * ahead),
            "of_gradient": learning_rate * correction * (1 - now) / (1 - product),
            "one_minus_beta_1": self.one_minus("beta_1"),
            "one_minus_beta_2": self.one_minus("beta_2"),
            "rate": learning_rate * correction,
            "epsilon": self.epsilon * correction,
        }

    def update_step(self, gradient, variable, learning_rate):
        """m ← β₁·m + (1−β₁)·g; v ← β₂·v + (1−β₂)·g²; θ ← θ − η·m̂ / (√v̂ + ε)."""
        s = self.scalars(variable, learning_rate)
        m, v = self.first_moment[variable], self.second_moment[variable]
        self.assign_add(m, (gradient - m) * s.one_minus_beta_1)
        self.assign_add(v, (ops.square(gradient) - v) * s.one_minus_beta_2)
        self.assign_sub(variable, (s.of_moment * m + s.of_gradient * gradient) / (ops.sqrt(v) + s.epsilon))

    def end_step(self, variables):
        """Takes this step's factor into the product."""
        self.assign(self.schedule_product, self.schedule_product * self._factor(self.step_number))

    def step_rate(self, variable, learning_rate):
        """η / (√(v/(1−β₂ᵗ)) + ε), which multiplies m̂."""
        s = self.scalars(variable, learning_rate)
        return s.rate / (ops.sqrt(self.second_moment[variable]) + s.epsilon)
