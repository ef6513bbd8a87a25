"""Adadelta: steps in the unit of the weights.

A gradient has the unit of the loss divided by that of the weight, so a step of η·g has the wrong one, and η has to set it right
for each problem anew. Adadelta divides the gradient by its recent size, as RMSProp does, which leaves no unit, and multiplies
by the recent size of the steps themselves. So it needs no η; but its first steps are as small as ε makes them, and it takes
many to find its pace.
"""

import keras
from keras import ops

from keras_optims.hyperparameter import DECAY_RATE, NON_NEGATIVE, Hyperparameter, SearchRange
from keras_optims.optimizer import Optimizer


@keras.saving.register_keras_serializable(package="keras_optims")
class Adadelta(Optimizer):
    """Adadelta: the gradient's recent size divided out, and that of the recent steps put in its place.

    With weights θ, gradient g, learning rate η, and the slots v (mean of the squared gradients) and d (mean of the squared
    steps), which start at zero, each step does, element by element,

        v ← ρ·v + (1−ρ)·g²
        Δ = √(d + ε) / √(v + ε) · g
        d ← ρ·d + (1−ρ)·Δ²
        θ ← θ − η·Δ

    Args:
        learning_rate: η ≥ 0, a factor on the steps. 1 in the paper, in torch and in optax; default 0.001, as in Keras, with which
            it hardly moves: set 1.
        rho: ρ in [0, 1), the decay rate of the means. Usually 0.9 to 0.99; default 0.95.
        epsilon: ε > 0: not only does it keep the division finite, the first steps are about √(ε/(1−ρ)) long. Usually 1e-8 to
            1e-4 (1e-6 in the paper); default 1e-7. With 0 nothing ever moves.
        **kwargs: the arguments of every optimizer; see `keras_optims.Optimizer`.

    Conventions: ε is inside of both roots, and d counts the steps before η, as in the paper, Keras, TensorFlow, torch and optax.

    Reference: Zeiler 2012, "ADADELTA: An Adaptive Learning Rate Method", https://arxiv.org/abs/1212.5701, Algorithm 1.
    """

    kernel = "adadelta"
    elementwise = True

    learning_rate = Hyperparameter(
        0.001, symbol="η", domain=NON_NEGATIVE, search=SearchRange(1e-2, 10.0, "log"), meaning="factor on the steps"
    )
    rho = Hyperparameter(
        0.95, symbol="ρ", domain=DECAY_RATE, search=SearchRange(0.8, 0.9999, "log1m"), meaning="decay rate of the means"
    )
    epsilon = Hyperparameter(
        1e-7, symbol="ε", domain=NON_NEGATIVE, search=SearchRange(1e-8, 1e-2, "log"), meaning="the first steps' size, squared"
    )

    def build(self, variables):
        """Makes the slots `mean_square` (v) and `mean_squared_step` (d)."""
        super().build(variables)
        self.mean_square = self.add_slot(variables, "mean_square", numbers="non_negative")
        self.mean_squared_step = self.add_slot(variables, "mean_squared_step", numbers="non_negative")

    def step_scalars(self, learning_rate):
        """η, ρ, 1−ρ and ε."""
        return {
            "learning_rate": learning_rate,
            "rho": self.rho,
            "one_minus_rho": self.one_minus("rho"),
            "epsilon": self.epsilon,
        }

    def update_step(self, gradient, variable, learning_rate):
        """v ← ρ·v + (1−ρ)·g²; Δ = √(d + ε) / √(v + ε) · g; d ← ρ·d + (1−ρ)·Δ²; θ ← θ − η·Δ."""
        s = self.scalars(variable, learning_rate)
        v, d = self.mean_square[variable], self.mean_squared_step[variable]
        self.assign(v, s.rho * v + s.one_minus_rho * ops.square(gradient))
        delta = ops.sqrt(d + s.epsilon) / ops.sqrt(v + s.epsilon) * gradient
        self.assign(d, s.rho * d + s.one_minus_rho * ops.square(delta))
        self.assign_sub(variable, s.learning_rate * delta)

    def step_rate(self, variable, learning_rate):
        """η·√(d + ε) / √(v + ε); d has the last step in it by now."""
        s = self.scalars(variable, learning_rate)
        d, v = (ops.add(slot[variable], s.epsilon) for slot in (self.mean_squared_step, self.mean_square))
        return s.learning_rate * ops.sqrt(d) / ops.sqrt(v)
