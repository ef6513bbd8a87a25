"""NovoGrad: one scale for each variable.

Adam keeps the size of each weight's gradient. NovoGrad keeps one number for each variable: the mean squared norm of its gradient,
by which the whole gradient is divided before it enters the momentum. So it costs half of Adam's memory, and layers with small
gradients move as fast as those with large ones.
"""

import keras
from keras import ops

from keras_optims.hyperparameter import DECAY_RATE, NON_NEGATIVE, Hyperparameter, Option, SearchRange, epsilon
from keras_optims.optimizer import Optimizer


@keras.saving.register_keras_serializable(package="keras_optims")
class NovoGrad(Optimizer):
    """NovoGrad: gradients normalized layer by layer, with momentum.

    With the weights θ of a variable, its gradient g, learning rate η, weight decay λ, and the slots m (first moment) and v
    (second moment, one number), which start at zero, each step does

        v ← β₂·v + (1−β₂)·‖g‖²            as long as v is 0: v ← ‖g‖²
        m ← β₁·m + g/(√v + ε) + λ·θ       with grad_averaging (1−β₁) of the sum
        θ ← θ − η·m

    Args:
        learning_rate: η ≥ 0. A gradient enters with length 1, and a constant one ends up moving the variable by η/(1−β₁) a step.
            Usually 1e-3 to 0.1; default 0.01.
        beta_1: β₁ in [0, 1), the decay rate of m. Usually 0.9 to 0.95; default 0.95.
        beta_2: β₂ in [0, 1), the decay rate of v. Usually 0.25 to 0.98; default 0.98.
        epsilon: ε ≥ 0; keeps the division finite. Default 1e-8.
        grad_averaging: whether m is an average and no sum: g and λ·θ enter by the share 1−β₁. Default `False`.
        **kwargs: the arguments of every optimizer; see `keras_optims.Optimizer`. `weight_decay` is λ; it enters m, as L2
            regularization with a gradient that is not divided would.

    Conventions: as the paper's Algorithm 1 and NVIDIA's code, whose β are the defaults here; TensorFlow Addons has 0.9 and 0.999,
    optax 0.9 and 0.25. v is of a variable, so splitting one changes the steps. apex's FusedNovoGrad is another formula: m is
    an average of undivided gradients there.

    Reference: Ginsburg et al. 2019, "Stochastic Gradient Methods with Layer-wise Adaptive Moments for Training of Deep Networks",
    https://arxiv.org/abs/1905.11286, Algorithm 1.
    """

    elementwise = False
    decay = "own"

    learning_rate = Hyperparameter(
        0.01, symbol="η", domain=NON_NEGATIVE, search=SearchRange(1e-3, 1e-1, "log"), meaning="learning rate"
    )
    beta_1 = Hyperparameter(
        0.95, symbol="β₁", domain=DECAY_RATE, search=SearchRange(0.8, 0.98, "log1m"), meaning="decay rate of the first moment"
    )
    beta_2 = Hyperparameter(
        0.98, symbol="β₂", domain=DECAY_RATE, search=SearchRange(0.25, 0.999, "log1m"), meaning="decay rate of the squared norm"
    )
    epsilon = epsilon(1e-8)
    grad_averaging = Option(False, meaning="make the first moment an average")

    def build(self, variables):
        """Makes the slots `first_moment` (m) and `second_moment` (v), which is one number."""
        super().build(variables)
        self.first_moment = self.add_slot(variables, "first_moment")
        self.second_moment = self.add_slot(variables, "second_moment", shape=(), numbers="non_negative")

    def step_scalars(self, learning_rate):
        """η, β₁, the weight of what enters m, 1−β₂ and ε."""
        return {
            "learning_rate": learning_rate,
            "beta_1": self.beta_1,
            "weight": self.one_minus("beta_1") if self.grad_averaging else 1.0,
            "rest_2": self.one_minus("beta_2"),
            "epsilon": self.epsilon,
        }

    def update_step(self, gradient, variable, learning_rate):
        """v ← β₂·v + (1−β₂)·‖g‖²; m ← β₁·m + g/(√v + ε) + λ·θ; θ ← θ − η·m."""
        s = self.scalars(variable, learning_rate)
        m, v = self.first_moment[variable], self.second_moment[variable]
        self.assign_add(v, (ops.sum(ops.square(gradient)) - v) * ops.where(v.value > 0, s.rest_2, 1.0))
        entering = gradient / (ops.sqrt(v) + s.epsilon)
        decay = self.decay_of(variable)
        if decay is not None:
            entering = entering + variable * decay
        self.assign(m, m * s.beta_1 + entering * s.weight)
        self.assign_sub(variable, m * s.learning_rate)

    def step_rate(self, variable, learning_rate):
        """η/(√v + ε), at which a gradient enters m."""
        s = self.scalars(variable, learning_rate)
        return s.learning_rate * s.weight / (ops.sqrt(self.second_moment[variable]) + s.epsilon)
