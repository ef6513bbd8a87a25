"""A problem and an optimizer's space together, as the HyperModel that a tuner trains."""

from __future__ import annotations

import contextlib
from typing import Any

import keras
import keras_tuner

from keras_optims.callbacks import averaging_optimizer
from tuning.errors import SearchError
from tuning.problems import make_problem
from tuning.problems.callbacks import Callbacks, make_callbacks
from tuning.problems.problem import Data, Problem, validation_batch_size
from tuning.problems.streams import is_stream
from tuning.space.space import Space
from tuning.training import epochs


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
        super().__init__(name=self.problem.name)

    def __reduce__(self):
        return ProblemModel, self._arguments

    def load(self) -> Data:
        """The data, read at the first call."""
        if self._data is None:
            self._data = self.problem.load(self.train_samples)
        return self._data

    def declare_hyperparameters(self, hp):
        """The axes of the space."""
        self.space.declare(hp)

    def build(self, hp):
        """A compiled model."""
        return compiled(self.problem, self.space.build(hp.values, hp.values.get("tuner/epochs", self._epochs)))

    def fit(self, hp, model, **kwargs):
        """Trains on the training data, and reports the validation data after each epoch."""
        arguments, test = self.fit_arguments(), self.load().test
        kwargs["callbacks"] = [*self.own_callbacks(), *kwargs.get("callbacks", ())]
        if self.reports_test and test is not None:  # first, so that the others hear of its metrics
            kwargs["callbacks"] = [_TestData(test, self.problem.batch_size), *kwargs["callbacks"]]
        return epochs.fit(model, **arguments, **kwargs)

    def own_callbacks(self) -> list[keras.callbacks.Callback]:
        """New callbacks of the problem and of the search."""
        return [*make_callbacks(self.problem.callbacks), *make_callbacks(self.callbacks)]

    def fit_arguments(self):
        """What `fit` gives to `tuning.training.epochs.fit`, whatever the setting."""
        return fit_arguments(self.problem, self.load())


def fit_arguments(problem: Problem, data: Data) -> dict[str, Any]:
    """The arguments of `tuning.training.epochs.fit` that make it train on a problem's data."""
    if is_stream(data.train):
        arguments = {"x": data.train}
    else:
        x, y = data.train
        arguments = {"x": x, "y": y, "batch_size": problem.batch_size}
    if data.validation is None:
        return arguments
    if is_stream(data.validation):
        return arguments | {"validation_data": data.validation}
    size = validation_batch_size(len(keras.tree.flatten(data.validation)[0]), problem.batch_size)
    return arguments | {"validation_data": data.validation, "validation_batch_size": size}


def evaluated_as(part, batch_size: int) -> dict[str, Any]:
    """The arguments of `tuning.training.epochs.evaluate` for a part of a problem's data."""
    if is_stream(part):
        return {"x": part, "y": None, "batch_size": None}
    x, y = part
    return {"x": x, "y": y, "batch_size": validation_batch_size(len(keras.tree.flatten(part)[0]), batch_size)}


def steps_per_epoch(problem: Problem, data: Data) -> int:
    """How many batches an epoch has.

    Raises:
        SearchError: the data are batches of which nobody knows how many there are.
    """
    if is_stream(data.train):
        try:
            return len(data.train)
        except TypeError:
            raise SearchError(
                "A schedule is of the whole training, so the number of its batches must be known: give the data a length, of "
                "a tf.data.Dataset by .apply(tf.data.experimental.assert_cardinality(n)); received a "
                f"{type(data.train).__name__} without one."
            ) from None
    return -(-len(keras.tree.flatten(data.train)[0]) // problem.batch_size)


def compiled(problem: Problem, optimizer) -> keras.Model:
    """A new model of a problem with this optimizer."""
    model = problem.model()
    if isinstance(model, keras.Model):  # the caller says what is wrong otherwise
        model.compile(optimizer=optimizer, loss=problem.loss, metrics=list(map(_anew, problem.metrics)))
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


def _anew(metric):
    """A metric object counts; one that the previous trial has used would begin with what it counted there."""
    return type(metric).from_config(metric.get_config()) if isinstance(metric, keras.metrics.Metric) else metric
