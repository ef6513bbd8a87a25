"""The algorithms: one file each, to be read beside its formula; `keras_optims` has their classes under their own names."""

from keras_optims.algorithms.adagrad import Adagrad
from keras_optims.algorithms.adam import Adam
from keras_optims.algorithms.adamw import AdamW
from keras_optims.algorithms.gradient_descent import GradientDescent
from keras_optims.algorithms.momentum import Momentum
from keras_optims.algorithms.rmsprop import RMSprop
from keras_optims.optimizer import Optimizer

OPTIMIZERS: dict[str, type[Optimizer]] = {
    "gradient_descent": GradientDescent,
    "momentum": Momentum,
    "adagrad": Adagrad,
    "rmsprop": RMSprop,
    "adam": Adam,
    "adamw": AdamW,
}
"""The optimizers by the names that the command line knows them by."""

__all__ = ["OPTIMIZERS", "Adagrad", "Adam", "AdamW", "GradientDescent", "Momentum", "RMSprop"]
