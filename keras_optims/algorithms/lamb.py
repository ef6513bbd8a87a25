"""LAMB: Adam whose step is as long, in each variable, as the variable itself, times η.

With a large batch one wants a large rate, and one rate for all layers is then too large for some of them: a step that is small
beside one kernel throws another one far away. LAMB takes Adam's step for its direction alone. Its length is a fixed share of
the length of the weights it moves, layer by layer, so that no layer runs ahead of the others, whatever its scale.
"""

import keras
from keras import ops

from keras_optims.algorithms.trust_ratio import norm, trust_ratio
from keras_optims.hyperparameter import DECAY_RATE, NON_NEGATIVE, Hyperparameter, Option, SearchRange, epsilon, weight_decay
from keras_optims.optimizer import Optimizer


@keras.saving.register_keras_serializable(package="keras_optims")
class Lamb(Optimizer):
    """LAMB: layer-wise adaptive moments for large batches.

    With weights θ of one variable, gradient g, learning rate η, weight decay λ, the slots m and v, which start at zero, and t the
    number of the step, counted from 1, each step does

        m ← β₁·m + (1−β₁)·g
        v ← β₂·v + (1−β₂)·g²
        u = m/(1−β₁ᵗ) / (√(v/(1−β₂ᵗ)) + ε) + λ·θ
        φ = ‖θ‖ / ‖u‖                            1 where one of the two is 0
        θ ← θ − η·φ·u

    The norms are of the variable as a whole: one that is split in two takes other steps.

    Args:
        learning_rate: η ≥ 0; each step is η times as long as the variable's weights. Usually 1e-4 to 2e-2, larger with larger
            batches; default 0.001.
        beta_1: β₁ in [0, 1), the decay rate of m. Usually 0.9; default 0.9.
        beta_2: β₂ in [0, 1), the decay rate of v. Usually 0.99 to 0.999; default 0.999.
        epsilon: ε ≥ 0; keeps the division finite. The paper's authors use 1e-6; default 1e-7, as in Keras.
        weight_decay: λ ≥ 0, a part of u and so of what φ scales. Usually 0.01; default `None`: none.
        always_adapt: whether φ also scales the steps of variables that do not decay. `False`: those take Adam's own steps, φ = 1;
            with `exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])` that is what all published trainings do with
            biases and normalizations. Default `True`.
        trust_clip: whether φ is at most 1. Default `False`.
        **kwargs: the arguments of every optimizer; see `keras_optims.Optimizer`.

    Conventions: the decay is inside of the trust ratio, as in the paper, TensorFlow Addons, optax and timm;
    `keras.optimizers.Lamb` has it outside (it shrinks the weights first, by η·λ, and the ratio knows nothing of it), which
    without decay is the same. The paper bounds ‖θ‖ in φ by two more constants; here, as everywhere, it is ‖θ‖ itself. NVIDIA's
    and timm's clip the global gradient norm to 1 before: give `global_clipnorm=1.0`.

    Reference: You et al. 2020, "Large Batch Optimization for Deep Learning: Training BERT in 76 minutes",
    https://arxiv.org/abs/1904.00962, Algorithm 2.
    """

    decay = "own"

    learning_rate = Hyperparameter(
        0.001, symbol="η", domain=NON_NEGATIVE, search=SearchRange(1e-4, 2e-2, "log"), meaning="learning rate"
    )
    beta_1 = Hyperparameter(
        0.9, symbol="β₁", domain=DECAY_RATE, search=SearchRange(0.7, 0.95, "log1m"), meaning="decay rate of the first moment"
    )
    beta_2 = Hyperparameter(
        0.999, symbol="β₂", domain=DECAY_RATE, search=SearchRange(0.9, 0.9999, "log1m"), meaning="decay rate of the second moment"
    )
    epsilon = epsilon()
    weight_decay = weight_decay(1e-3, 1.0)
    always_adapt = Option(True, meaning="scale also the steps of variables that do not decay")
    trust_clip = Option(False, meaning="make no step longer than Adam's")

    def build(self, variables):
        """Makes the slots `first_moment` (m) and `second_moment` (v)."""
        super().build(variables)
        self.first_moment = self.add_slot(variables, "first_moment")
        self.second_moment = self.add_slot(variables, "second_moment")

    def step_scalars(self, learning_rate):
        """1−β₁, 1−β₂, the corrections of m and of √v, and ε in units of √v."""
        t = self.step_number
        correction_1, correction_2 = 1 - self.beta_1**t, ops.sqrt(1 - self.beta_2**t)
        return {
            "one_minus_beta_1": self.one_minus("beta_1"),
            "one_minus_beta_2": self.one_minus("beta_2"),
            "correction": correction_2 / correction_1,
            "epsilon": self.epsilon * correction_2,
        }

    def update_step(self, gradient, variable, learning_rate):
        """m, v; u = m̂/(√v̂ + ε) + λ·θ; θ ← θ − η·φ·u."""
        s = self.scalars(variable, learning_rate)
        m, v = self.first_moment[variable], self.second_moment[variable]
        self.assign_add(m, (gradient - m) * s.one_minus_beta_1)
        self.assign_add(v, (ops.square(gradient) - v) * s.one_minus_beta_2)
        u = m * s.correction / (ops.sqrt(v) + s.epsilon)
        decay = self.decay_of(variable)
        if decay is not None:
            u = u + decay * variable
        if self.always_adapt or decay is not None:
            learning_rate = learning_rate * self._trust_ratio(variable, u)
        self.assign_sub(variable, learning_rate * u)

    def _trust_ratio(self, variable, u):
        """φ."""
        ratio = trust_ratio(norm(variable.value), norm(u))
        return ops.minimum(ratio, 1.0) if self.trust_clip else ratio
