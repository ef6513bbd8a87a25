"""Float64 twins: each algorithm once more, from its paper, in plain NumPy, with no thought of speed.

They share nothing with the optimizers. Moments are kept as the papers define them: Adam divides both averages by their bias
correction (Kingma & Ba, Algorithm 1) instead of folding it into the rate, and AdaGrad sums the whole history of gradients.

Each twin is a function `(gradients, start, **hyperparameters) -> [weights after each step]`. `gradients` is a list of
arrays, a hyperparameter a number or a function of the step (0 at the first). Those that correct their start take `numbers` too:
those of the steps, where they are not 1, 2, 3 and so on.
"""

from keras_optims.testing.reference.adaptive import adadelta, adamax, ftrl, lion, nadam, nadamw
from keras_optims.testing.reference.classics import adagrad, adam, gradient_descent, momentum, rmsprop

__all__ = [
    "adadelta",
    "adagrad",
    "adam",
    "adamax",
    "ftrl",
    "gradient_descent",
    "lion",
    "momentum",
    "nadam",
    "nadamw",
    "rmsprop",
]
