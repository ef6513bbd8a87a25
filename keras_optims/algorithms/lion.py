"""Lion: a vote of the gradients, and steps of one length.

The direction is the sign of an average: each weight moves by η, up or down, however large its gradients are. One average is
enough, with two decay rates: a fast one for the vote, in which the gradient of now counts more, and a slow one for what is
remembered. That makes half of Adam's memory. A program search found the rule, among those that train well.
"""

import keras
from keras import ops

from keras_optims.hyperparameter import DECAY_RATE, NON_NEGATIVE, Hyperparameter, SearchRange
from keras_optims.optimizer import Optimizer


@keras.saving.register_keras_serializable(package="keras_optims")
class Lion(Optimizer):
    """Lion: evolved sign momentum.

    With weights θ, gradient g, learning rate η and the slot m (first moment), which starts at zero, each step does, element by
    element,

        θ ← θ − η·sign(β₁·m + (1−β₁)·g)
        m ← β₂·m + (1−β₂)·g

    where the sign of 0 is 0.

    Args:
        learning_rate: η ≥ 0, the length of each step of each weight, so 3 to 10 times smaller than Adam's. Usually 3e-5 to
            1e-3; default 0.001, as in Keras (1e-4 in the paper).
        beta_1: β₁ in [0, 1), how much of the vote is the average's. 0 leaves the sign of the gradient. Usually 0.9 to 0.95;
            default 0.9.
        beta_2: β₂ in [0, 1), the decay rate of the average. Usually 0.98 to 0.99; default 0.99.
        **kwargs: the arguments of every optimizer; see `keras_optims.Optimizer`. A `weight_decay` wants to be 3 to 10 times
            larger than AdamW's, since it is multiplied by the smaller η.

    Conventions: those of the paper's Algorithm 2, as in Keras, optax, timm and the authors' code; all agree. Keras refuses
    β₁ = 0, and on torch takes a NaN in the gradient for 0, for good; here it shows.

    Reference: Chen et al. 2023, "Symbolic Discovery of Optimization Algorithms", https://arxiv.org/abs/2302.06675, Algorithm 2.
    """

    elementwise = True

    learning_rate = Hyperparameter(
        0.001, symbol="η", domain=NON_NEGATIVE, search=SearchRange(3e-5, 2e-3, "log"), meaning="length of each step"
    )
    beta_1 = Hyperparameter(
        0.9, symbol="β₁", domain=DECAY_RATE, search=SearchRange(0.8, 0.97, "log1m"), meaning="the average's share of the vote"
    )
    beta_2 = Hyperparameter(
        0.99, symbol="β₂", domain=DECAY_RATE, search=SearchRange(0.9, 0.999, "log1m"), meaning="decay rate of the average"
    )

    def build(self, variables):
        """Makes the slot `first_moment` (m)."""
        super().build(variables)
        self.first_moment = self.add_slot(variables, "first_moment")

    def step_scalars(self, learning_rate):
        """η, 1−β₁ and 1−β₂."""
        return {
            "learning_rate": learning_rate,
            "one_minus_beta_1": self.one_minus("beta_1"),
            "one_minus_beta_2": self.one_minus("beta_2"),
        }

    def update_step(self, gradient, variable, learning_rate):
        """θ ← θ − η·sign(β₁·m + (1−β₁)·g); m ← β₂·m + (1−β₂)·g."""
        s = self.scalars(variable, learning_rate)
        m = self.first_moment[variable]
        change = gradient - m
        average = m + s.one_minus_beta_1 * change
        sign = ops.sign(average) + (average - average)  # torch's sign of NaN is 0, which would hide it for good
        self.assign_sub(variable, s.learning_rate * sign)
        self.assign_add(m, s.one_minus_beta_2 * change)
