"""Float64 twins: each algorithm once more, from its paper, in plain NumPy, with no thought of speed.

They share nothing with the optimizers. Moments are kept as the papers define them: Adam divides both averages by their bias
correction (Kingma & Ba, Algorithm 1) instead of folding it into the rate, and AdaGrad sums the whole history of gradients.

Each twin is a function `(gradients, start, **hyperparameters) -> [weights after each step]`. `gradients` is a list of
arrays, a hyperparameter a number or a function of the step (0 at the first). Those that correct their start take `numbers` too:
that of each step, where they are not 1, 2, 3 and so on.
"""

from keras_optims.testing.reference.adaptive import adadelta, adamax, ftrl, lion, nadam, nadamw
from keras_optims.testing.reference.adaptive_later import adabelief, adan, ademamix, adopt, novograd, radam, yogi
from keras_optims.testing.reference.classics import adagrad, adam, gradient_descent, momentum, rmsprop
from keras_optims.testing.reference.layerwise import adafactor, lamb, lars
from keras_optims.testing.reference.matrix import adaptively_clipped, cautious, centralized, muon, newton_schulz, soap
from keras_optims.testing.reference.schedule_free import prodigy, schedule_free_adamw, schedule_free_sgd

__all__ = [
    "adabelief",
    "adadelta",
    "adafactor",
    "adagrad",
    "adam",
    "adamax",
    "adan",
    "adaptively_clipped",
    "ademamix",
    "adopt",
    "cautious",
    "centralized",
    "ftrl",
    "gradient_descent",
    "lamb",
    "lars",
    "lion",
    "momentum",
    "muon",
    "nadam",
    "nadamw",
    "newton_schulz",
    "novograd",
    "prodigy",
    "radam",
    "rmsprop",
    "schedule_free_adamw",
    "schedule_free_sgd",
    "soap",
    "yogi",
]
"""The twins, by the names that the command line has for the optimizers; that of AdamW is `adam`."""
