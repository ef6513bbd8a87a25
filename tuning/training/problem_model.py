"""A problem and an optimizer's space together, as the HyperModel that a tuner trains."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import keras
import keras_tuner

from keras_optims.callbacks import averaging_optimizer
from tuning.errors import SearchError
from tuning.problems import make_problem
from tuning.problems.callbacks import Callbacks, make_callbacks
from tuning.problems.problem import Data, Problem, in_batches, validation_batch_size
from tuning.problems.streams import batches_of, is_stream
from tuning.space.setting import BATCH_SIZE, Setting
from tuning.space.space import Space
from tuning.training import epochs

_KEPT_BATCH_SIZES = 4  # whose data stay on the device


class ProblemModel(keras_tuner.HyperModel):
    """Builds the model of a problem with an optimizer of the space, and trains it on the problem's data.

    It can be sent to another process: there it loads the data again, unless the problem is an object that holds them.

    Args:
        space: of the optimizer.
        problem: as `make_problem` takes it.
        data_dir: the folder with the data sets.
        train_samples: use only so many training samples.
        made: the `Problem` that `make_problem` has made already.
        reports_test: evaluate the test data too, if the problem has any, after each epoch, and report it as `test_*`.
        callbacks: of the search, as `make_callbacks` takes them; the problem's own come before them.
        epochs: of a training, unless Hyperband says otherwise: what schedules are the whole of.
        data: what has been loaded already.
    """

    def __init__(
        self,
        space: Space,
        problem: str | Problem,
        data_dir=None,
        train_samples: int | None = None,
        made: Problem | None = None,
        reports_test: bool = False,
        callbacks: Callbacks | None = None,
        epochs: int | None = None,
        data: Data | None = None,
    ):
        self._arguments = (space, problem, data_dir, train_samples, None, reports_test, callbacks, epochs)
        self.callbacks = callbacks
        self._epochs = epochs
        self.reports_test = reports_test
        self.space = space
        self.source = problem
        self.problem = make_problem(problem, data_dir) if made is None else made
        self.train_samples = train_samples
        self._data = data
        self._in_batches: dict[int, Data] = {}
        super().__init__(name=self.problem.name)

    def __reduce__(self):
        return ProblemModel, self._arguments

    def load(self) -> Data:
        """The data, read at the first call; all of them if the batch size is searched."""
        if self._data is None:
            self._data = load(self.space, self.problem, self.train_samples)
        return self._data

    @property
    def searches_batch_size(self) -> bool:
        """Whether trials have batch sizes of their own."""
        return self.space.searches_batch_size

    @property
    def follows_schedule(self) -> bool:
        """Whether the first epochs of a training depend on how many it has."""
        return self.space.follows_schedule

    def declare_hyperparameters(self, hp):
        """The axes of the space."""
        self.space.declare(hp)

    def build(self, hp):
        """A compiled model."""
        setting = self._setting(hp)
        return compiled(self.problem, self.space.optimizer_of(setting), setting.model)

    def fit(self, hp, model, **kwargs):
        """Trains on the training data, and reports the validation data after each epoch."""
        batch_size = self._batch_size(self._setting(hp))
        arguments, test = self._arguments_in(batch_size), self.load().test
        if self.reports_test and test is not None:  # first, so that the others hear of its metrics
            kwargs["callbacks"] = [_TestData(test, batch_size), *kwargs.get("callbacks", ())]
        return epochs.fit(model, **arguments, **kwargs)

    def own_callbacks(self) -> list[keras.callbacks.Callback]:
        """New callbacks of the problem and of the search, which whoever calls `fit` gives to it."""
        return [*make_callbacks(self.problem.callbacks), *make_callbacks(self.callbacks)]

    def fit_arguments(self):
        """What `fit` gives to `tuning.training.epochs.fit`, whatever the setting, unless the batch size is searched."""
        return self._arguments_in(self.space.batch_size or self.problem.batch_size)

    def _setting(self, hp) -> Setting:
        return self.space.setting(hp.values, hp.values.get("tuner/epochs", self._epochs))

    def _batch_size(self, setting: Setting) -> int:
        return self.problem.batch_size if setting.batch_size is None else setting.batch_size

    def _arguments_in(self, batch_size: int) -> dict[str, Any]:
        data = self.load()
        if self.searches_batch_size:
            if batch_size not in self._in_batches:  # the same arrays again, as these are kept on the device
                self._in_batches = dict([*self._in_batches.items()][1 - _KEPT_BATCH_SIZES :])
                self._in_batches[batch_size] = in_batches(data, batch_size)
            data = self._in_batches[batch_size]
        return fit_arguments(batch_size, data)


def load(space: Space, problem: Problem, train_samples: int | None) -> Data:
    """The data of a search, in whole batches, unless the batch size is searched.

    Raises:
        SearchError: they are missing, or are batches already, whose size is not to be chosen.
    """
    chosen = space.searches_batch_size or space.batch_size is not None
    data = problem.load(train_samples, 1 if space.searches_batch_size else space.batch_size)
    if chosen and is_stream(data.train):
        raise SearchError(
            f"The training data of {problem.name} are batches already, so {BATCH_SIZE} can be neither searched nor fixed."
        )
    return data


def fit_arguments(batch_size: int, data: Data) -> dict[str, Any]:
    """The arguments of `tuning.training.epochs.fit` that make it train on a problem's data."""
    if is_stream(data.train):
        arguments = {"x": data.train}
    else:
        x, y = data.train
        arguments = {"x": x, "y": y, "batch_size": batch_size}
    if data.validation is None:
        return arguments
    if is_stream(data.validation):
        return arguments | {"validation_data": data.validation}
    size = validation_batch_size(len(keras.tree.flatten(data.validation)[0]), batch_size)
    return arguments | {"validation_data": data.validation, "validation_batch_size": size}


def evaluated_as(part, batch_size: int) -> dict[str, Any]:
    """The arguments of `tuning.training.epochs.evaluate` for a part of a problem's data."""
    if is_stream(part):
        return {"x": part, "y": None, "batch_size": None}
    x, y = part
    return {"x": x, "y": y, "batch_size": validation_batch_size(len(keras.tree.flatten(part)[0]), batch_size)}


def steps_per_epoch(batch_size: int, data: Data) -> int:
    """How many batches an epoch has.

    Raises:
        SearchError: the data are batches of which nobody knows how many there are.
    """
    if is_stream(data.train):
        count = batches_of(data.train)
        if count is None:
            raise SearchError(
                "A schedule is of the whole training, so the number of its batches must be known: give the data a length, of "
                "a tf.data.Dataset by .apply(tf.data.experimental.assert_cardinality(n)); received a "
                f"{type(data.train).__name__} without one."
            )
        return int(count)
    return -(-samples_of(data) // batch_size)


def samples_of(data: Data) -> int:
    """How many the training data have, which come as arrays."""
    return len(keras.tree.flatten(data.train)[0])


def compiled(problem: Problem, optimizer, setting: Mapping[str, Any] | None = None) -> keras.Model:
    """A new model of a problem with this optimizer; `setting`: of the model."""
    model = problem.build(setting)
    if isinstance(model, keras.Model):  # the caller says what is wrong otherwise
        weights = {} if problem.loss_weights is None else {"loss_weights": problem.loss_weights}
        model.compile(optimizer=optimizer, loss=problem.loss, metrics=anew(problem.metrics), **weights)
    return model


class _TestData(keras.callbacks.Callback):
    """Evaluates the test data after each epoch, and reports its metrics beside those of the validation data."""

    def __init__(self, test, batch_size):
        super().__init__()
        self._arguments = evaluated_as(test, batch_size)

    def on_epoch_end(self, epoch, logs=None):
        optimizer = averaging_optimizer(self.model)
        with optimizer.averaged_weights() if optimizer else contextlib.nullcontext():  # as the validation data
            metrics = epochs.evaluate(self.model, **self._arguments)
        logs.update({f"test_{name}": value for name, value in metrics.items()})


def anew(compiled_with):
    """What `compile` takes, for one model: a metric counts, and an optimizer is of one model's variables."""
    if isinstance(compiled_with, (list, tuple)):
        return [anew(each) for each in compiled_with]
    if isinstance(compiled_with, dict):
        return {name: anew(each) for name, each in compiled_with.items()}
    if isinstance(compiled_with, (keras.metrics.Metric, keras.optimizers.Optimizer)):
        return type(compiled_with).from_config(compiled_with.get_config())
    return compiled_with
