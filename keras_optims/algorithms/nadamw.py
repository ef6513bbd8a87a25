"""NAdamW: AdamW that looks ahead.

Momentum steps along an average of past gradients, and Nesterov's idea is to step along the average as it will be once the
gradient of now has counted a second time. NAdamW does that to AdamW's first moment: it costs nothing, and follows a turn of the
gradients one step earlier.
"""

import keras
from keras import ops

from keras_optims.hyperparameter import DECAY_RATE, NON_NEGATIVE, Hyperparameter, SearchRange, epsilon
from keras_optims.optimizer import Optimizer


@keras.saving.register_keras_serializable(package="keras_optims")
class NAdamW(Optimizer):
    """Adam with Nesterov momentum and decoupled weight decay.

    With weights θ, gradient g, learning rate η, weight decay λ, the slots m (first moment) and v (second moment), which start at
    zero, and t the number of the step, counted from 1, each step does, element by element,

        θ ← θ − η·λ·θ
        m ← β₁·m + (1−β₁)·g
        v ← β₂·v + (1−β₂)·g²
        θ ← θ − η · (β₁·m + (1−β₁)·g) / (1−β₁ᵗ) / (√(v/(1−β₂ᵗ)) + ε)

    Args:
        learning_rate: η ≥ 0; hardly any step is much longer. Usually 1e-4 to 1e-2; default 0.001.
        beta_1: β₁ in [0, 1), the decay rate of m. Usually 0.9 to 0.98, and 0.95 more often than in Adam; default 0.9.
        beta_2: β₂ in [0, 1), the decay rate of v. Usually 0.95 to 0.999; default 0.999.
        epsilon: ε ≥ 0; keeps the division finite. Default 1e-8.
        weight_decay: λ ≥ 0; a weight without gradients shrinks by the share η·λ a step. Usually 0.005 to 1; default 0.01;
            `None`: none.
        **kwargs: the arguments of every optimizer; see `keras_optims.Optimizer`. `exclude_from_weight_decay(var_names=["bias"])`
            leaves variables out.

    Conventions: those of timm's `NAdamW` and of AlgoPerf's baseline: both parts are divided by 1−β₁ᵗ. optax's `nadamw` corrects
    them apart, β₁·m/(1−β₁ᵗ⁺¹) + (1−β₁)·g/(1−β₁ᵗ), so its first step is 1.47 times shorter. `torch.optim.NAdam` with
    `decoupled_weight_decay=True` is another rule, whose β₁ follows Dozat's schedule: `Nadam(momentum_decay=0.004)` here. ε is
    beside the corrected root.

    References: Dozat 2016, "Incorporating Nesterov Momentum into Adam", https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ;
    Loshchilov & Hutter 2019, "Decoupled Weight Decay Regularization", https://arxiv.org/abs/1711.05101; Dahl et al. 2023,
    "Benchmarking Neural Network Training Algorithms", https://arxiv.org/abs/2306.07179, whose baseline it is.
    """

    kernel = "nadamw"
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
    epsilon = epsilon(1e-8)
    weight_decay = Hyperparameter(
        0.01, symbol="λ", domain=NON_NEGATIVE, search=SearchRange(5e-3, 1.0, "log"), meaning="decoupled weight decay", off=None
    )

    def build(self, variables):
        """Makes the slots `first_moment` (m) and `second_moment` (v)."""
        super().build(variables)
        self.first_moment = self.add_slot(variables, "first_moment")
        self.second_moment = self.add_slot(variables, "second_moment")

    def step_scalars(self, learning_rate):
        """α = η·√(1−β₂ᵗ) / (1−β₁ᵗ), β₁, β₂, 1−β₁, 1−β₂, and ε beside the uncorrected root, ε·√(1−β₂ᵗ)."""
        t = self.step_number
        correction = ops.sqrt(1 - self.beta_2**t)
        return {
            "alpha": learning_rate * correction / (1 - self.beta_1**t),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "one_minus_beta_1": self.one_minus("beta_1"),
            "one_minus_beta_2": self.one_minus("beta_2"),
            "epsilon": self.epsilon * correction,
        }

    def update_step(self, gradient, variable, learning_rate):
        """m ← β₁·m + (1−β₁)·g; v ← β₂·v + (1−β₂)·g²; θ ← θ − α·(β₁·m + (1−β₁)·g) / (√v + ε·√(1−β₂ᵗ))."""
        s = self.scalars(variable, learning_rate)
        m, v = self.first_moment[variable], self.second_moment[variable]
        self.assign_add(m, (gradient - m) * s.one_minus_beta_1)
        self.assign_add(v, (ops.square(gradient) - v) * s.one_minus_beta_2)
        ahead = s.beta_1 * m + s.one_minus_beta_1 * gradient
        self.assign_sub(variable, ahead * s.alpha / (ops.sqrt(v) + s.epsilon))

    def step_rate(self, variable, learning_rate):
        """α / (√v + ε·√(1−β₂ᵗ)), which multiplies β₁·m + (1−β₁)·g."""
        s = self.scalars(variable, learning_rate)
        return s.alpha / (ops.sqrt(self.second_moment[variable]) + s.epsilon)
