"""TensorBoard callbacks in a search: each training writes into a folder of its own, with the setting beside its curves."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import keras
import keras_tuner


def placed(
    callbacks: Sequence[keras.callbacks.Callback], trial: int, execution: int, hp: keras_tuner.HyperParameters
) -> list[keras.callbacks.Callback]:
    """The callbacks of one training, which are nobody else's.

    A `TensorBoard` among them writes to `LOG_DIR/TRIAL/executionN`, and what TensorBoard's page HParams shows goes there, too.
    """
    found = []
    for callback in callbacks:
        found.append(callback)
        if isinstance(callback, keras.callbacks.TensorBoard):
            callback.log_dir = os.path.join(str(callback.log_dir), str(trial), f"execution{execution}")
            found.append(_HParams(callback.log_dir, trial, hp))
    return found


class _HParams(keras.callbacks.Callback):
    """Writes the setting when training begins, as a HyperModel's fit may declare hyperparameters until then."""

    def __init__(self, folder: str, trial: int, hp: keras_tuner.HyperParameters):
        super().__init__()
        self._folder, self._trial, self._hp = folder, trial, hp
        self._writing: Any = None

    def on_train_begin(self, logs=None):
        from tensorboard.plugins.hparams import api

        values = {api.HParam(axis.name, _domain(api, axis)): self._hp.values[axis.name] for axis in _active(self._hp)}
        self._writing = api.KerasCallback(self._folder, values, trial_id=str(self._trial))
        self._writing.on_train_begin()

    def on_train_end(self, logs=None):
        self._writing.on_train_end()


def _active(hp):
    return [axis for axis in hp.space if axis.name in hp.values and hp.is_active(axis)]


def _domain(api, axis):
    """The values of a hyperparameter, as TensorBoard has them."""
    if not hasattr(axis, "min_value"):
        return api.Discrete([axis.value] if hasattr(axis, "value") else list(axis.values))
    whole = isinstance(axis, keras_tuner.engine.hyperparameters.Int)
    return (api.IntInterval if whole else api.RealInterval)(axis.min_value, axis.max_value)
