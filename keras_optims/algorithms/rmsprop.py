"""RMSProp: AdaGrad that forgets.

AdaGrad's sum of squared gradients only grows, and its learning rates die. RMSProp keeps a moving average instead: each step
multiplies what is old by ρ, so a gradient from 1/(1−ρ) steps ago hardly counts, and the rate follows the gradients of now,
down and up again.
"""

import keras
from keras import ops

from keras_optims.hyperparameter import DECAY_RATE, NON_NEGATIVE, UNIT, Hyperparameter, Option, SearchRange, epsilon
from keras_optims.optimizer import Optimizer


@keras.saving.register_keras_serializable(package="keras_optims")
class RMSprop(Optimizer):
    """RMSProp: each weight's step divided by the root mean square of its recent gradients.

    With weights θ, gradient g, learning rate η, decay rate ρ, momentum γ, and the slots v (mean of the squared gradients),
    a (mean gradient) and u (velocity), which start at zero, each step does, element by element,

        v ← ρ·v + (1−ρ)·g²
        a ← ρ·a + (1−ρ)·g                 only if centered, else a = 0
        u ← γ·u + η·g / √(v − a² + ε)      without momentum, γ = 0
        θ ← θ − u

    Args:
        learning_rate: η ≥ 0, about the length of a step. Usually 1e-4 to 1e-2; default 0.001.
        rho: ρ in [0, 1), the decay rate of the averages (γ in some texts). Usually 0.9 to 0.99; default 0.9.
        momentum: γ in [0, 1], the share of the velocity that is kept. 0, the default, leaves the velocity out altogether, and
            an optimizer built so cannot turn it on later; any other value can be changed at any time.
        epsilon: ε ≥ 0; keeps the division finite, and the steps of weights without gradients small. Default 1e-7.
        centered: whether to divide by the standard deviation instead of the root mean square (Graves). Default `False`.
        **kwargs: the arguments of every optimizer; see `keras_optims.Optimizer`.

    Conventions: ε is inside the root, as in Keras and TensorFlow; torch has it outside, √v + ε. v is not corrected for its start
    at zero, so the first steps are up to 1/√(1−ρ) times longer than later ones; Adam corrects this. η is inside the velocity.

    References: Tieleman & Hinton 2012, "Lecture 6.5: rmsprop", https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf;
    centered and with momentum: Graves 2013, https://arxiv.org/abs/1308.0850, eq. 38-45.
    """

    kernel = "rmsprop"
    elementwise = True

    learning_rate = Hyperparameter(
        0.001, symbol="η", domain=NON_NEGATIVE, search=SearchRange(1e-4, 1e-1, "log"), meaning="learning rate"
    )
    rho = Hyperparameter(
        0.9, symbol="ρ", domain=DECAY_RATE, search=SearchRange(0.5, 0.999, "log1m"), meaning="decay rate of the squared gradients"
    )
    momentum = Hyperparameter(
        0.0,
        symbol="γ",
        domain=UNIT,
        search=SearchRange(0.5, 0.995, "log1m", by_default=False),
        meaning="share of the velocity that is kept",
        off=0.0,
    )
    epsilon = epsilon()
    centered = Option(False, meaning="divide by the standard deviation of the gradients")

    def build(self, variables):
        """Makes the slots `mean_square` (v), and where they are used `velocity` (u) and `mean_gradient` (a)."""
        super().build(variables)
        kept = "exact" if self.centered else "non_negative"  # or the difference of the two might be negative
        self.mean_square = self.add_slot(variables, "mean_square", numbers=kept)
        self.velocity = self.add_slot(variables, "velocity") if self.is_on("momentum") else None
        self.mean_gradient = self.add_slot(variables, "mean_gradient", numbers=kept) if self.centered else None

    def step_scalars(self, learning_rate):
        """η, ρ, 1−ρ, γ and ε."""
        return {
            "learning_rate": learning_rate,
            "rho": self.rho,
            "one_minus_rho": self.one_minus("rho"),
            "momentum": self.momentum,
            "epsilon": self.epsilon,
        }

    def update_step(self, gradient, variable, learning_rate):
        """v ← ρ·v + (1−ρ)·g²; θ ← θ − η·g / √(v + ε)."""
        s = self.scalars(variable, learning_rate)
        mean_square = self.mean_square[variable]
        self.assign(mean_square, s.rho * mean_square + s.one_minus_rho * ops.square(gradient))
        denominator = mean_square + s.epsilon
        if self.mean_gradient is not None:
            mean_gradient = self.mean_gradient[variable]
            self.assign(mean_gradient, s.rho * mean_gradient + s.one_minus_rho * gradient)
            denominator = mean_square - ops.square(mean_gradient) + s.epsilon
        increment = s.learning_rate * gradient / ops.sqrt(denominator)
        if self.velocity is not None:
            velocity = self.velocity[variable]
            self.assign(velocity, s.momentum * velocity + increment)
            increment = velocity
        self.assign_sub(variable, increment)

    def step_rate(self, variable, learning_rate):
        """η / √(v − a² + ε), at which a gradient enters the velocity, if there is one."""
        s = self.scalars(variable, learning_rate)
        variance = ops.convert_to_tensor(self.mean_square[variable])
        if self.mean_gradient is not None:
            variance = variance - ops.square(self.mean_gradient[variable])  # not in place: on torch this is the slot
        return s.learning_rate / ops.sqrt(variance + s.epsilon)
