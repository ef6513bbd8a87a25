"""Callbacks for `model.fit`."""

from keras_optims.callbacks.averaged_weights import AveragedWeights, averaging_optimizer

__all__ = ["AveragedWeights", "averaging_optimizer"]
