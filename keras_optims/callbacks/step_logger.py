"""A log of what the steps of a training do to each variable."""

from __future__ import annotations

import os
from typing import Any

import keras

from keras_optims import kernels
from keras_optims.callbacks.own_optimizer import own_optimizer
from keras_optims.callbacks.step_log_files import CSVFile, TensorBoardFile
from keras_optims.callbacks.step_recorder import RecordedVariable, StepRecorder
from keras_optims.hyperparameter import shown


class StepLogger(keras.callbacks.Callback):
    """Logs what every `every`-th update does to each variable: norms, update-to-weight ratio, effective learning rates.

        model.fit(..., callbacks=[keras_optims.StepLogger(csv="steps.csv", tensorboard="logs", every=100)])

    The CSV file has a line for each variable of each logged update: `step`, the number of the update, `epoch`, from 0,
    `variable`, its path, and then the numbers, which are described at `last`. TensorBoard shows each of these as a group of
    charts, with a chart for each variable.

    The logged updates are those whose number is a multiple of `every`, counted as the optimizer counts them: on through several
    trainings, over a saved state, and without the calls that only accumulate gradients or that a loss scale skips.

    A step that logs runs a compiled function of its own, which is traced when it is first needed. All other steps run the same
    function as without the callback. Neither the weights nor what is saved with them depend on it.

    Args:
        csv: the path of the CSV file.
        tensorboard: the folder of TensorBoard's event file. It needs the package `tensorboard`, but not TensorFlow.
        every: how many updates there are from one that is logged to the next.
        append: whether to go on with a CSV file that is there already, as after an interruption. Without it, the first training
            with this callback begins a new file. A line that an interruption has cut short is taken out.

    Attributes:
        last: what the last logged update did, a list of objects with the attributes `variable`, `gradient_norm`, `update_norm`,
            `weight_norm`, `update_to_weight`, `rate_min`, `rate_mean` and `rate_max`; see `RecordedVariable`.
        last_step: the number of that update; `None` before the first.

    Raises:
        ValueError: neither `csv` nor `tensorboard` is given, or `every` is no whole number from 1 on. As training begins: the
            model's optimizer is none of this package; it runs under a `tf.distribute` strategy; the CSV file is there, but no
            such log.
        ImportError: `tensorboard` is given, and the package is not installed.
    """

    def __init__(self, csv=None, tensorboard=None, every: int = 100, append: bool = False):
        super().__init__()
        if csv is None and tensorboard is None:
            raise ValueError("StepLogger needs to know where to log: give csv, the path of a file, or tensorboard, a folder.")
        for name, path in (("csv", csv), ("tensorboard", tensorboard)):
            if path is not None and not isinstance(path, (str, os.PathLike)):
                raise ValueError(f"{name} must be a path; received {shown(path)}.")
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise ValueError(f"every must be a whole number of updates, at least 1; received {shown(every)}.")
        self.every = every
        self.last: list[RecordedVariable] = []
        self.last_step: int | None = None
        self._files: list = [] if csv is None else [CSVFile(csv, append)]
        self._files += [] if tensorboard is None else [TensorBoardFile(tensorboard)]
        # From on_train_begin on:
        self._trained: Any = None  # the model
        self._recorder: Any = None  # the StepRecorder of its optimizer
        self._plain: Any = None  # its train function
        self._recording: Any = None  # the second one, which can measure
        self._overdue = False
        self._epoch = self._calls_before = 0

    def on_train_begin(self, logs=None):
        """Opens the files."""
        model = self.model
        optimizer = own_optimizer(model)
        if optimizer is None:
            received = type(model.optimizer).__name__
            raise ValueError(f"StepLogger needs a model that is compiled with an optimizer of keras_optims; received {received}.")
        if kernels.is_distributed(optimizer):
            raise ValueError("StepLogger does not work under a tf.distribute strategy: each replica has a gradient of its own.")
        if self._recorder is None or self._recorder.optimizer is not optimizer:
            self._recorder, self._plain = StepRecorder(optimizer, self.every), None
        self._trained = model
        for file in self._files:
            file.open()

    def on_epoch_begin(self, epoch, logs=None):
        """Asks the optimizer how far it is."""
        self._epoch = epoch
        self._calls_before = int(keras.ops.convert_to_numpy(self._recorder.optimizer.number_of_calls))

    # There is no on_train_batch_end: with one, Keras would wait for the result of each step. And `self.model` is not used from
    # here on: on JAX it writes the state, which is on its way from step to step, back to the variables each time.

    def on_train_batch_begin(self, batch, logs=None):
        """Has the step measured if it makes an update that is to be logged."""
        calls = self._calls_before + batch
        period, of_execution = self._recorder.period, getattr(self._trained, "steps_per_execution", 1)
        if self._overdue or (calls + of_execution) // period > calls // period:
            self._record_next_execution()

    def _record_next_execution(self):
        model = self._trained
        plain = model.train_function
        if self._plain is not plain:
            self._plain, self._recording = plain, _second_train_function(model)

        def execute(*arguments):
            model.train_function = plain
            untracked = self._recorder.optimizer._untracked
            untracked.recorder = self._recorder
            try:
                returned = self._recording(*arguments)
            finally:
                untracked.recorder = None
            self._write()
            return returned

        model.train_function = execute

    def _write(self):
        taken = self._recorder.take()
        # The update did not come where it was expected if a loss scale has skipped steps; then the next one is looked at.
        self._overdue = taken is None
        if taken is not None:
            self.last_step, self.last = taken
            for file in self._files:
                file.write(self.last_step, self._epoch, self.last)


def _second_train_function(model):
    """A train function that is traced on its own; the model keeps the one that it has."""
    plain, train_step, of_instance = model.train_function, model.train_step, vars(model)
    shadowed = {name: value for name, value in of_instance.items() if name == "train_step"}
    of_instance["train_step"] = lambda *arguments: train_step(*arguments)  # another function: JAX traces the same one only once
    try:
        model.train_function = None
        model.make_train_function()
        return model.train_function
    finally:
        model.train_function = plain
        del of_instance["train_step"]
        of_instance.update(shadowed)
