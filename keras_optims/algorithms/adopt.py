"""ADOPT: Adam in another order, which converges with any β₂.

In Adam the gradient of a step is in the v that divides it, so the step's length depends on its own gradient, and there are
problems on which Adam diverges unless β₂ is chosen for them. ADOPT divides the gradient by the v of the steps before, averages
what comes out, and only then lets the gradient into v. The first step makes v alone.
"""

import keras
from keras import ops

from keras_optims.hyperparameter import DECAY_RATE, NON_NEGATIVE, Hyperparameter, Option, SearchRange
from keras_optims.optimizer import Optimizer


@keras.saving.register_keras_serializable(package="keras_optims")
class ADOPT(Optimizer):
    """ADOPT: adaptive gradients that converge with the optimal rate for any β₂.

    With weights θ, gradient g, learning rate η, weight decay λ, the slots m (first moment) and v (second moment), which start at
    zero, and t the number of the step, counted from 1, the first step does, element by element,

        v ← g²

    and each later one

        θ ← θ − η·λ·θ
        n = g / max(√v, ε), clipped to between −(t−1)^¼ and (t−1)^¼
        m ← β₁·m + (1−β₁)·n
        θ ← θ − η·m
        v ← β₂·v + (1−β₂)·g²

    Args:
        learning_rate: η ≥ 0, about the length of a step. Usually 1e-4 to 1e-2; default 0.001.
        beta_1: β₁ in [0, 1), the decay rate of m. Usually 0.9; default 0.9.
        beta_2: β₂ in [0, 1), the decay rate of v. Usually 0.999 to 0.9999; default 0.9999.
        epsilon: ε ≥ 0, the least that a gradient is divided by. Default 1e-6.
        clip: whether n is clipped. Default `True`.
        **kwargs: the arguments of every optimizer; see `keras_optims.Optimizer`.

    Conventions: as the authors' code since 2024-11-22. Before, it did not clip (`clip=False`), and was unstable where the first
    gradients are zero. The first step does not decay. Weight decay is decoupled, which in their code is an option. Neither moment
    is corrected for its start.

    Reference: Taniguchi et al. 2024, "ADOPT: Modified Adam Can Converge with Any β₂ with the Optimal Rate",
    https://arxiv.org/abs/2411.02853, Algorithm 2; https://github.com/iShohei220/adopt.
    """

    elementwise = True
    decay = "own"

    learning_rate = Hyperparameter(
        0.001, symbol="η", domain=NON_NEGATIVE, search=SearchRange(1e-4, 1e-2, "log"), meaning="learning rate"
    )
    beta_1 = Hyperparameter(
        0.9, symbol="β₁", domain=DECAY_RATE, search=SearchRange(0.7, 0.996, "log1m"), meaning="decay rate of the first moment"
    )
    beta_2 = Hyperparameter(
        0.9999,
        symbol="β₂",
        domain=DECAY_RATE,
        search=SearchRange(0.9, 0.99999, "log1m"),
        meaning="decay rate of the second moment",
    )
    epsilon = Hyperparameter(
        1e-6,
        symbol="ε",
        domain=NON_NEGATIVE,
        search=SearchRange(1e-10, 1e-3, "log", by_default=False),
        meaning="the least that a gradient is divided by",
    )
    clip = Option(True, meaning="clip the divided gradients to (t−1)^¼")

    def build(self, variables):
        """Makes the slots `first_moment` (m) and `second_moment` (v)."""
        super().build(variables)
        self.first_moment = self.add_slot(variables, "first_moment")
        self.second_moment = self.add_slot(variables, "second_moment", numbers="non_negative")

    def step_scalars(self, learning_rate):
        """η, 1−β₁, 1−β₂, ε and (t−1)^¼; in the first step those with which v alone is set."""
        t = self.step_number
        is_later = ops.cast(t > 1, t.dtype)
        return {
            "rate": learning_rate * is_later,
            "rest_1": self.one_minus("beta_1") * is_later,
            "rest_2": ops.where(is_later > 0, self.one_minus("beta_2"), 1.0),
            "epsilon": self.epsilon * is_later + (1 - is_later),  # v is 0 in the first step
            "bound": ops.sqrt(ops.sqrt(t - 1)),
        }

    def update_step(self, gradient, variable, learning_rate):
        """n = g / max(√v, ε), clipped; m ← β₁·m + (1−β₁)·n; θ ← θ − η·m; v ← β₂·v + (1−β₂)·g²."""
        s = self.scalars(variable, learning_rate)
        m, v = self.first_moment[variable], self.second_moment[variable]
        decay = self.decay_of(variable)
        if decay is not None:
            self.assign_sub(variable, variable * (decay * s.rate))
        divided = gradient / ops.maximum(ops.sqrt(v), s.epsilon)
        if self.clip:
            divided = ops.minimum(ops.maximum(divided, -s.bound), s.bound)
        self.assign_add(m, (divided - m) * s.rest_1)
        self.assign_sub(variable, m * s.rate)
        self.assign_add(v, (ops.square(gradient) - v) * s.rest_2)
