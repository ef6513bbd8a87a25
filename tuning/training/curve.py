"""The callbacks of every training: seeds, averages, and the learning curve that is reported."""

from __future__ import annotations

import math

import keras

from keras_optims.callbacks import AveragedWeights, averaging_optimizer
from tuning.training.events import EpochEnded
from tuning.training.measured import numbers, with_several
from tuning.training.warm import reseed


def averages_validated(model: keras.Model) -> list[keras.callbacks.Callback]:
    """The callback that validates the averages, if the optimizer keeps them: without it, no result would depend on them."""
    return [] if averaging_optimizer(model) is None else [AveragedWeights()]


class Seeds(keras.callbacks.Callback):
    """Seeds again when training begins: a model that still had to be built has drawn random numbers, a warm one has not."""

    def __init__(self, seed):
        super().__init__()
        self.seed = seed

    def on_train_begin(self, logs=None):
        """Seeds the generators that are not state of the model."""
        reseed((self.seed + 1) % 2**32)


class Curve(keras.callbacks.Callback):
    """Reports each epoch, and stops a training that diverged. `begun`: the metrics of the epochs that came before."""

    def __init__(self, trial, execution, objective, report, model, epoch_began=None, epoch_ended=None, begun=()):
        super().__init__()
        self.trial, self.execution, self.objective, self.report = trial, execution, objective, report
        self.trained_model = model  # or anything with an attribute stop_training
        self.epoch_began, self.epoch_ended = epoch_began, epoch_ended
        self.begun = list(begun)
        self.epochs: list[dict[str, float]] = list(begun)
        self.diverged = False
        self.stopped = False  # by whoever hears the reports
        self.means: list[str] = []  # of which metrics a mean is reported

    def on_epoch_begin(self, epoch, logs=None):
        """Passes it on."""
        if self.epoch_began is not None:
            self.epoch_began(self.trained_model, epoch)

    def on_epoch_end(self, epoch, logs=None):
        """Reports the epoch, and stops the training if it diverged or whoever hears the report says so."""
        metrics, self.means = numbers(logs or {}), with_several(logs or {})
        self.epochs.append(metrics)
        self.stopped = bool(self.report(EpochEnded(self.trial, self.execution, epoch, metrics)))
        if self.epoch_ended is not None:
            self.epoch_ended(self.trained_model, epoch, dict(logs or {}))
        watched = [metrics.get("loss", 0.0), metrics.get("val_loss", 0.0)]
        if self.objective.has_value(metrics):
            watched.append(self.objective.get_value(metrics))
        if not all(map(math.isfinite, watched)):
            self.diverged = True
        if self.diverged or self.stopped:
            self.trained_model.stop_training = True
