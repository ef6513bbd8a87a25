"""Exact, fast, tunable optimizers for Keras 3."""

import keras_optims.loss_scale  # noqa: F401 (by which hyperparameters reach through Keras's LossScaleOptimizer)
from keras_optims import metal
from keras_optims.algorithms import (
    FAMILIES,
    LARS,
    OPTIMIZERS,
    Adafactor,
    Adagrad,
    Adam,
    AdamW,
    GradientDescent,
    Lamb,
    Momentum,
    Prodigy,
    RMSprop,
    ScheduleFreeAdamW,
    ScheduleFreeSGD,
)
from keras_optims.callbacks import AveragedWeights, StepLogger
from keras_optims.hyperparameter import Hyperparameter, Interval, Option, SearchRange
from keras_optims.namesakes import from_keras, to_keras
from keras_optims.optimizer import Optimizer
from keras_optims.rules import LayerwiseDecay, Rule
from keras_optims.state import LoadedState

__all__ = [
    "FAMILIES",
    "LARS",
    "OPTIMIZERS",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "AveragedWeights",
    "GradientDescent",
    "Hyperparameter",
    "Interval",
    "Lamb",
    "LayerwiseDecay",
    "LoadedState",
    "Momentum",
    "Optimizer",
    "Option",
    "Prodigy",
    "RMSprop",
    "Rule",
    "ScheduleFreeAdamW",
    "ScheduleFreeSGD",
    "SearchRange",
    "StepLogger",
    "from_keras",
    "metal",
    "to_keras",
]
