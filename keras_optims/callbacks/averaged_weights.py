"""Evaluating and saving an optimizer's averaged weights, while training goes on with those that it trains."""

from __future__ import annotations

import keras

from keras_optims.callbacks.own_optimizer import own_optimizer
from keras_optims.optimizer import Optimizer


def averaging_optimizer(model: keras.Model) -> Optimizer | None:
    """The optimizer of a compiled model, or in its `LossScaleOptimizer`, if it is one of ours with weights to evaluate at."""
    optimizer = own_optimizer(model)
    return optimizer if optimizer is not None and optimizer.evaluates_other_weights else None


class AveragedWeights(keras.callbacks.Callback):
    """Validates with the averaged weights, and trains on with the weights as they were.

        model.compile(keras_optims.Adam(use_ema=True, ema_momentum=0.999), loss=...)
        model.fit(..., validation_data=..., callbacks=[keras_optims.AveragedWeights()])

    In `model.evaluate(callbacks=[...])` and `model.predict(callbacks=[...])` it does the same. If the weights are averaged when
    a training begins, because one was broken off or a model saved so was loaded, it swaps them back.

    Args:
        at_epoch_end: whether the callbacks that follow in the list, such as a `ModelCheckpoint`, find the averaged weights at the
            end of an epoch, too. What is saved so holds the weights that are trained as well, as the optimizer's slot "average".

    Raises:
        ValueError: (as training or evaluation begins) the model's optimizer is none of this package, or has neither
            `use_ema=True` nor `lookahead`.
    """

    def __init__(self, at_epoch_end: bool = False):
        super().__init__()
        self.at_epoch_end = at_epoch_end
        self._before_test = False

    def on_train_begin(self, logs=None):
        """The weights that are trained."""
        optimizer = self._optimizer()
        if self.model.built and not optimizer.built:
            optimizer.build(self.model.trainable_variables)  # a loaded state may say that the weights are averaged
        self._set(False)

    def on_epoch_begin(self, epoch, logs=None):
        """The weights that are trained."""
        self._set(False)

    def on_epoch_end(self, epoch, logs=None):
        """The averages, if asked for."""
        if self.at_epoch_end:
            self._set(True)

    def on_train_end(self, logs=None):
        """The weights that are trained."""
        self._set(False)

    def on_test_begin(self, logs=None):
        """The averages."""
        self._before_test = self._optimizer().weights_are_averaged
        self._set(True)

    def on_test_end(self, logs=None):
        """What was before."""
        self._set(self._before_test)

    def on_predict_begin(self, logs=None):
        """The averages."""
        self.on_test_begin()

    def on_predict_end(self, logs=None):
        """What was before."""
        self.on_test_end()

    def _set(self, averaged):
        optimizer = self._optimizer()
        if optimizer.weights_are_averaged != averaged:
            optimizer.swap_averaged_weights()

    def _optimizer(self):
        optimizer = averaging_optimizer(self.model)
        if optimizer is None:
            raise ValueError(
                "AveragedWeights needs a model that is compiled with an optimizer of keras_optims with lookahead or use_ema=True"
                f"; received {type(self.model.optimizer).__name__}."
            )
        return optimizer
