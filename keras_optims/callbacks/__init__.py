"""Callbacks for `model.fit`."""

from keras_optims.callbacks.averaged_weights import AveragedWeights, averaging_optimizer
from keras_optims.callbacks.range_test import RangeTest
from keras_optims.callbacks.step_logger import StepLogger

__all__ = ["AveragedWeights", "RangeTest", "StepLogger", "averaging_optimizer"]
