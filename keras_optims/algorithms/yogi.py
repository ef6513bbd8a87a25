"""Yogi: Adam whose rates grow slowly.

Adam's v forgets: when gradients become small, v follows them by a constant share in each step, and soon rates are large again,
too soon where large gradients are rare and matter. Yogi's v moves by no more than the new g² lets it, so it rises at once after a
large gradient, and falls slowly when small ones follow.
"""

import keras
from keras import ops

from keras_optims.corrections import correction
from keras_optims.hyperparameter import DECAY_RATE, NON_NEGATIVE, Hyperparameter, Option, SearchRange
from keras_optims.optimizer import Optimizer


@keras.saving.register_keras_serializable(package="keras_optims")
class Yogi(Optimizer):
    """Yogi: a second moment that changes additively.

    With weights θ, gradient g, learning rate η, the slots m (first moment), which starts at zero, and v (second moment), which
    starts at `initial_accumulator_value`, and t the number of the step, counted from 1, each step does, element by element,

        m ← β₁·m + (1−β₁)·g
        v ← v − (1−β₂)·sign(v − g²)·g²
        θ ← θ − η·√(1−β₂ᵗ)/(1−β₁ᵗ)·m / (√v + ε)

    v never becomes negative: where it falls, it falls by (1−β₂)·g² < v.

    Args:
        learning_rate: η ≥ 0, about the length of a step. Usually 1e-3 to 0.1; default 0.01.
        beta_1: β₁ in [0, 1), the decay rate of m. Usually 0.9; default 0.9.
        beta_2: β₂ in [0, 1): 1−β₂ is the share of g² by which v moves. Usually 0.99 to 0.999; default 0.999.
        epsilon: ε ≥ 0; keeps the division finite. The paper advises a large one; default 0.001.
        initial_accumulator_value: v at the start, ≥ 0. Default 1e-6.
        **kwargs: the arguments of every optimizer; see `keras_optims.Optimizer`.

    Conventions: as TensorFlow Addons: ε is added to √v itself, and v is corrected by √(1−β₂ᵗ) though it is no average. optax adds
    ε to the corrected root and starts m at 1e-6, too. The paper's Algorithm 2 has no corrections.

    Reference: Zaheer et al. 2018, "Adaptive Methods for Nonconvex Optimization",
    https://papers.nips.cc/paper/8186-adaptive-methods-for-nonconvex-optimization, Algorithm 2.
    """

    elementwise = True

    learning_rate = Hyperparameter(
        0.01, symbol="η", domain=NON_NEGATIVE, search=SearchRange(1e-3, 1e-1, "log"), meaning="learning rate"
    )
    beta_1 = Hyperparameter(
        0.9, symbol="β₁", domain=DECAY_RATE, search=SearchRange(0.7, 0.996, "log1m"), meaning="decay rate of the first moment"
    )
    beta_2 = Hyperparameter(
        0.999, symbol="β₂", domain=DECAY_RATE, search=SearchRange(0.9, 0.999, "log1m"), meaning="1−β₂ moves the second moment"
    )
    epsilon = Hyperparameter(
        1e-3,
        symbol="ε",
        domain=NON_NEGATIVE,
        search=SearchRange(1e-8, 1e-2, "log", by_default=False),
        meaning="keeps the division finite",
    )
    initial_accumulator_value = Option(1e-6, domain=NON_NEGATIVE, meaning="the second moment at the start")

    def build(self, variables):
        """Makes the slots `first_moment` (m) and `second_moment` (v)."""
        super().build(variables)
        self.first_moment = self.add_slot(variables, "first_moment")
        start = keras.initializers.Constant(self.initial_accumulator_value)
        self.second_moment = self.add_slot(variables, "second_moment", start)

    def step_scalars(self, learning_rate):
        """The rate of m, 1−β₁, 1−β₂ and ε."""
        t, rest_1, rest_2 = self.step_number, self.one_minus("beta_1"), self.one_minus("beta_2")
        return {
            "rate": learning_rate * ops.sqrt(correction(t, rest_2)) / correction(t, rest_1),
            "rest_1": rest_1,
            "rest_2": rest_2,
            "epsilon": self.epsilon,
        }

    def update_step(self, gradient, variable, learning_rate):
        """m ← β₁·m + (1−β₁)·g; v ← v − (1−β₂)·sign(v − g²)·g²; θ ← θ − rate·m / (√v + ε)."""
        s = self.scalars(variable, learning_rate)
        m, v = self.first_moment[variable], self.second_moment[variable]
        square = ops.square(gradient)
        self.assign_add(m, (gradient - m) * s.rest_1)
        self.assign_sub(v, ops.sign(v - square) * square * s.rest_2)
        self.assign_sub(variable, m * s.rate / (ops.sqrt(v) + s.epsilon))

    def step_rate(self, variable, learning_rate):
        """What multiplies m: the rate over √v + ε."""
        s = self.scalars(variable, learning_rate)
        return s.rate / (ops.sqrt(self.second_moment[variable]) + s.epsilon)
