"""The algorithms: one file each, to be read beside its formula; `keras_optims` has their classes under their own names."""

from keras_optims.algorithms.adadelta import Adadelta
from keras_optims.algorithms.adagrad import Adagrad
from keras_optims.algorithms.adam import Adam
from keras_optims.algorithms.adamax import Adamax
from keras_optims.algorithms.adamw import AdamW
from keras_optims.algorithms.ftrl import Ftrl
from keras_optims.algorithms.gradient_descent import GradientDescent
from keras_optims.algorithms.lion import Lion
from keras_optims.algorithms.momentum import Momentum
from keras_optims.algorithms.nadam import Nadam
from keras_optims.algorithms.nadamw import NAdamW
from keras_optims.algorithms.rmsprop import RMSprop
from keras_optims.algorithms.sgd import SGD
from keras_optims.optimizer import Optimizer

FAMILIES: dict[str, dict[str, type[Optimizer]]] = {
    "momentum and acceleration": {
        "gradient_descent": GradientDescent,
        "momentum": Momentum,
        "sgd": SGD,
    },
    "adaptive rates": {
        "adagrad": Adagrad,
        "rmsprop": RMSprop,
        "adam": Adam,
        "adamw": AdamW,
        "nadam": Nadam,
        "nadamw": NAdamW,
        "adamax": Adamax,
        "adadelta": Adadelta,
        "ftrl": Ftrl,
    },
    "sign": {
        "lion": Lion,
    },
}
"""The optimizers by family, each by the name that the command line knows it by."""

OPTIMIZERS: dict[str, type[Optimizer]] = {name: cls for family in FAMILIES.values() for name, cls in family.items()}
"""All of them by these names."""

__all__ = [
    "FAMILIES",
    "OPTIMIZERS",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Ftrl",
    "GradientDescent",
    "Lion",
    "Momentum",
    "NAdamW",
    "Nadam",
    "RMSprop",
]
