"""TensorBoard in a search: each training has a folder of its own, with the setting beside its curves."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import keras_tuner

from keras_optims.callbacks.event_file import EventFile


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
            callback.log_dir = os.path.join(str(callback.log_dir), folder_of(trial, execution))
            found.append(_HParams(callback.log_dir, trial, hp))
    return found


def folder_of(trial: int, execution: int) -> str:
    """Where a training writes."""
    return os.path.join(str(trial), f"execution{execution}")


def setting_began(values: Mapping[str, Any], group: str, begun: float | None = None) -> Any:
    """The summary from which the page HParams has the setting of a training; those of one group are shown as one.

    Args:
        values: of the hyperparameters, by name.
        group: the trial.
        begun: when it began, in seconds since 1970; by default now.
    """
    from tensorboard.plugins.hparams import summary_v2

    plain = {name: value if isinstance(value, (bool, int, float, str)) else str(value) for name, value in values.items()}
    return summary_v2.hparams_pb(plain, trial_id=group, start_time_secs=begun)


def setting_ended(failed: bool, ended: float | None = None) -> Any:
    """The summary that says that the training of a setting is over; `ended`: in seconds since 1970, by default unknown."""
    from tensorboard.compat.proto import summary_pb2
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

    status = api_pb2.STATUS_FAILURE if failed else api_pb2.STATUS_SUCCESS
    content = plugin_data_pb2.HParamsPluginData(
        session_end_info=plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=ended)
    )
    about = metadata.create_summary_metadata(content)
    value = summary_pb2.Summary.Value(tag=metadata.SESSION_END_INFO_TAG, metadata=about, tensor=metadata.NULL_TENSOR)
    return summary_pb2.Summary(value=[value])


class _HParams(keras.callbacks.Callback):
    """Writes the setting when training begins, as a HyperModel's fit may declare hyperparameters until then."""

    def __init__(self, folder: str, trial: int, hp: keras_tuner.HyperParameters):
        super().__init__()
        self._file, self._trial, self._hp = EventFile(folder, "setting"), trial, hp

    def on_train_begin(self, logs=None):
        values = {axis.name: self._hp.values[axis.name] for axis in self._hp.space if self._is_active(axis)}
        self._file.summary(setting_began(values, str(self._trial)))

    def on_train_end(self, logs=None):
        self._file.summary(setting_ended(failed=False))

    def _is_active(self, axis):
        return axis.name in self._hp.values and self._hp.is_active(axis)
