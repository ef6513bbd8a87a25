"""Momentum: let the steps add up, as a ball that rolls downhill gathers speed.

Gradient descent forgets each gradient at once. Here a velocity remembers them: where gradients keep pointing the same way,
along the floor of a valley, steps grow up to 1/(1−γ) times; where they flip sign, between its walls, they cancel. And
since the velocity is still there when the gradient is not, the ball crosses a plateau and can roll out of a shallow dip.
"""

import keras

from keras_optims.hyperparameter import NON_NEGATIVE, UNIT, Hyperparameter, Option, SearchRange
from keras_optims.optimizer import Optimizer


@keras.saving.register_keras_serializable(package="keras_optims")
class Momentum(Optimizer):
    """Gradient descent with momentum, classical (heavy ball) or Nesterov's.

    With weights θ, gradient g, learning rate η, momentum γ and the velocity u, which starts at zero, each step does

        u ← γ·u − η·g
        θ ← θ + u                   classical
        θ ← θ + γ·u − η·g           Nesterov

    Args:
        learning_rate: η ≥ 0. A constant gradient ends up moving θ by η/(1−γ)·g a step, so a larger γ wants a smaller η.
            Usually 0.001 to 1; default 0.01.
        momentum: γ in [0, 1], the share of the velocity that is kept: the steps average about 1/(1−γ) gradients. 0 is
            gradient descent, 1 never slows down. Usually 0.9 to 0.99; default 0.9 (in `keras.optimizers.SGD`: 0).
        nesterov: whether to look ahead: to apply the velocity once more, as it will be at the next step. It damps the
            swinging where γ is large. Default `False`.
        **kwargs: the arguments of every optimizer; see `keras_optims.Optimizer`.

    Conventions: η is inside the velocity, as in Keras and in the papers; `torch.optim.SGD` has it outside (u ← γ·u + g,
    θ ← θ − η·u), which is the same as long as η does not change. Nesterov's step is in the form of Sutskever et al.,
    eq. 3-4, written for the looked-ahead weights, as in Keras and torch.

    References: Polyak 1964, "Some methods of speeding up the convergence of iteration methods",
    https://doi.org/10.1016/0041-5553(64)90137-5; Nesterov 1983; Sutskever et al. 2013, "On the importance of initialization and
    momentum in deep learning", https://proceedings.mlr.press/v28/sutskever13.html.
    """

    kernel = "momentum"
    elementwise = True

    learning_rate = Hyperparameter(
        0.01, symbol="η", domain=NON_NEGATIVE, search=SearchRange(1e-3, 1.0, "log"), meaning="learning rate"
    )
    momentum = Hyperparameter(
        0.9, symbol="γ", domain=UNIT, search=SearchRange(0.5, 0.995, "log1m"), meaning="share of the velocity that is kept"
    )
    nesterov = Option(False, meaning="apply the velocity once more, looking ahead")

    def build(self, variables):
        """Makes the slot `velocity` (u)."""
        super().build(variables)
        self.velocity = self.add_slot(variables, "velocity")

    def step_scalars(self, learning_rate):
        """η and γ."""
        return {"learning_rate": learning_rate, "momentum": self.momentum}

    def update_step(self, gradient, variable, learning_rate):
        """u ← γ·u − η·g; θ ← θ + u."""
        s = self.scalars(variable, learning_rate)
        velocity = self.velocity[variable]
        self.assign(velocity, velocity * s.momentum - gradient * s.learning_rate)
        if self.nesterov:
            self.assign_add(variable, velocity * s.momentum - gradient * s.learning_rate)
        else:
            self.assign_add(variable, velocity)

    def step_rate(self, variable, learning_rate):
        """η, at which a gradient enters the velocity; a constant gradient ends up moving θ at η/(1−γ)."""
        return self.scalars(variable, learning_rate).learning_rate
