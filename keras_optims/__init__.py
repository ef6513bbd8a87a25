"""Exact, fast, tunable optimizers for Keras 3."""

import keras_optims.loss_scale  # noqa: F401 (by which hyperparameters reach through Keras's LossScaleOptimizer)
from keras_optims import metal
from keras_optims.algorithms import (
    FAMILIES,
    OPTIMIZERS,
    Adagrad,
    Adam,
    AdamW,
    GradientDescent,
    Momentum,
    RMSprop,
)
from keras_optims.callbacks import AveragedWeights, StepLogger
from keras_optims.hyperparameter import Hyperparameter, Interval, Option, SearchRange
from keras_optims.namesakes import from_keras, to_keras
from keras_optims.optimizer import Optimizer
from keras_optims.rules import LayerwiseDecay, Rule
from keras_optims.sam import sam
from keras_optims.state import LoadedState

__all__ = [
    "FAMILIES",
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
    "StepLogger",
    "from_keras",
    "metal",
    "sam",
    "to_keras",
]
