"""Exact, fast, tunable optimizers for Keras 3."""

from keras_optims import metal
from keras_optims.adagrad import Adagrad
from keras_optims.adam import Adam
from keras_optims.adamw import AdamW
from keras_optims.averages import AveragedWeights
from keras_optims.gradient_descent import GradientDescent
from keras_optims.hyperparameter import Hyperparameter, Interval, Option, SearchRange
from keras_optims.momentum import Momentum
from keras_optims.namesakes import from_keras, to_keras
from keras_optims.optimizer import Optimizer
from keras_optims.rmsprop import RMSprop
from keras_optims.rules import LayerwiseDecay, Rule
from keras_optims.state import LoadedState

OPTIMIZERS: dict[str, type[Optimizer]] = {
    "gradient_descent": GradientDescent,
    "momentum": Momentum,
    "adagrad": Adagrad,
    "rmsprop": RMSprop,
    "adam": Adam,
    "adamw": AdamW,
}
"""The optimizers by the names that the command line knows them by."""

__all__ = [
    "OPTIMIZERS",
    "Adagrad",
    "Adam",
    "AdamW",
    "AveragedWeights",
    "GradientDescent",
    "Hyperparameter",
    "Interval",
    "LayerwiseDecay",
    "LoadedState",
    "Momentum",
    "Optimizer",
    "Option",
    "RMSprop",
    "Rule",
    "SearchRange",
    "from_keras",
    "metal",
    "to_keras",
]
