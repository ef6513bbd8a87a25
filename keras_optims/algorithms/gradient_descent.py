"""Gradient descent: from where you stand, take a step straight downhill.

The gradient points to where the loss grows fastest, so a step against it, of a length in proportion to its slope, makes the
loss smaller, if the step is small enough. Everything else in this package mends what this does badly: it creeps along the
floor of a narrow valley while it bounces between the walls, it stops wherever the ground is level, and one learning rate has to
suit all weights at all times.
"""

import keras

from keras_optims.hyperparameter import NON_NEGATIVE, Hyperparameter, SearchRange
from keras_optims.optimizer import Optimizer


@keras.saving.register_keras_serializable(package="keras_optims")
class GradientDescent(Optimizer):
    """Gradient descent; with gradients of mini-batches, stochastic gradient descent (SGD).

    With weights θ, gradient g and learning rate η, each step does

        θ ← θ − η·g

    Args:
        learning_rate: η ≥ 0, the length of a step per unit of slope. Too small creeps, too large diverges: on a quadratic
            bowl anything above 2 divided by its largest curvature. Usually 0.01 to 1; default 0.01.
        **kwargs: the arguments of every optimizer; see `keras_optims.Optimizer`.

    Conventions: the same as `keras.optimizers.SGD` with its default momentum of 0 and as `torch.optim.SGD`.

    Reference: Robbins & Monro 1951, "A Stochastic Approximation Method", https://doi.org/10.1214/aoms/1177729586.
    """

    kernel = "gradient_descent"
    elementwise = True

    learning_rate = Hyperparameter(
        0.01, symbol="η", domain=NON_NEGATIVE, search=SearchRange(1e-3, 10.0, "log"), meaning="learning rate"
    )

    def update_step(self, gradient, variable, learning_rate):
        """θ ← θ − η·g."""
        self.assign_sub(variable, gradient * self.scalars(variable, learning_rate).learning_rate)

    def step_rate(self, variable, learning_rate):
        """η."""
        return self.scalars(variable, learning_rate).learning_rate
