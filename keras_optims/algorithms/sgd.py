"""SGD: momentum under the name that Keras gives it, and with momentum off until it is asked for.

Keras has one class for gradient descent and for momentum, and calls it by what both do with a gradient of a mini-batch. It is
here so that `keras.optimizers.SGD(...)` can be exchanged for `keras_optims.SGD(...)`, argument for argument.
"""

import keras

from keras_optims.algorithms.momentum import Momentum
from keras_optims.hyperparameter import UNIT, Hyperparameter, SearchRange


@keras.saving.register_keras_serializable(package="keras_optims")
class SGD(Momentum):
    """Stochastic gradient descent, with the arguments and defaults of `keras.optimizers.SGD`.

    With weights θ, gradient g, learning rate η, momentum γ and the velocity u, which starts at zero, each step does

        u ← γ·u − η·g
        θ ← θ + u                   classical
        θ ← θ + γ·u − η·g           Nesterov

    which with γ = 0, the default, is θ ← θ − η·g.

    Args:
        learning_rate: η ≥ 0, as in `Momentum`; default 0.01.
        momentum: γ in [0, 1], the share of the velocity that is kept; default 0.
        nesterov: whether to apply the velocity once more, looking ahead. Default `False`.
        **kwargs: the arguments of every optimizer; see `keras_optims.Optimizer`.

    Conventions: as in `Momentum`, whose formula it is. γ can be set at any time, from 0 too, so the velocity is always there: one
    number for each weight, read and written at each step, also where γ stays 0. Keras's has no velocity then, and cannot be given
    one later; `GradientDescent` here has none either.

    References: Robbins & Monro 1951, "A Stochastic Approximation Method", https://doi.org/10.1214/aoms/1177729586; Sutskever et
    al. 2013, "On the importance of initialization and momentum in deep learning",
    https://proceedings.mlr.press/v28/sutskever13.html.
    """

    momentum = Hyperparameter(
        0.0, symbol="γ", domain=UNIT, search=SearchRange(0.5, 0.995, "log1m"), meaning="share of the velocity that is kept"
    )
    nesterov = Momentum.nesterov
