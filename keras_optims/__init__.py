"""Exact, fast, tunable optimizers for Keras 3."""

import keras_optims.loss_scale  # noqa: F401 (by which hyperparameters reach through Keras's LossScaleOptimizer)
from keras_optims import metal
from keras_optims.algorithms import (
    ADOPT,
    FAMILIES,
    LARS,
    OPTIMIZERS,
    SOAP,
    AdaBelief,
    Adafactor,
    Adagrad,
    Adam,
    AdamW,
    Adan,
    AdEMAMix,
    GradientDescent,
    Lamb,
    Momentum,
    Muon,
    NovoGrad,
    Prodigy,
    RAdam,
    RMSprop,
    ScheduleFreeAdamW,
    ScheduleFreeSGD,
    Yogi,
)
from keras_optims.axes import Axes, axes_of
from keras_optims.callbacks import AveragedWeights, StepLogger
from keras_optims.hyperparameter import Hyperparameter, Interval, Option, SearchRange
from keras_optims.namesakes import from_keras, to_keras
from keras_optims.optimizer import Optimizer
from keras_optims.rules import LayerwiseDecay, Rule
from keras_optims.state import LoadedState

__all__ = [
    "ADOPT",
    "FAMILIES",
    "LARS",
    "OPTIMIZERS",
    "SOAP",
    "AdEMAMix",
    "AdaBelief",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adan",
    "AveragedWeights",
    "Axes",
    "GradientDescent",
    "Hyperparameter",
    "Interval",
    "Lamb",
    "LayerwiseDecay",
    "LoadedState",
    "Momentum",
    "Muon",
    "NovoGrad",
    "Optimizer",
    "Option",
    "Prodigy",
    "RAdam",
    "RMSprop",
    "Rule",
    "ScheduleFreeAdamW",
    "ScheduleFreeSGD",
    "SearchRange",
    "StepLogger",
    "Yogi",
    "axes_of",
    "from_keras",
    "metal",
    "to_keras",
]
