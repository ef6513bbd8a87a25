"""A problem and an optimizer's space together, as the HyperModel that a tuner trains."""

from __future__ import annotations

import keras
import keras_tuner

from tuning.problems import make_problem
from tuning.problems.problem import Data, Problem, validation_batch_size
from tuning.space import Space


class ProblemModel(keras_tuner.HyperModel):
    """Builds the model of a problem with an optimizer of the space, and trains it on the problem's data.

    It can be sent to another process: there it loads the data again, unless the problem is an object that holds them.

    Args:
        space: of the optimizer.
        problem: as `make_problem` takes it.
        data_dir: the folder with the data sets.
        train_samples: use only so many training samples.
        made: the `Problem` that `make_problem` has made already.
    """

    def __init__(
        self,
        space: Space,
        problem: str | Problem,
        data_dir=None,
        train_samples: int | None = None,
        made: Problem | None = None,
    ):
        self._arguments = (space, problem, data_dir, train_samples)
        self.space = space
        self.source = problem
        self.problem = make_problem(problem, data_dir) if made is None else made
        self.train_samples = train_samples
        self._data: Data | None = None
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
        model = self.problem.model()
        if isinstance(model, keras.Model):  # the caller says what is wrong otherwise
            optimizer = self.space.build(hp.values)
            model.compile(optimizer=optimizer, loss=self.problem.loss, metrics=list(map(_anew, self.problem.metrics)))
        return model

    def fit(self, hp, model, **kwargs):
        """Trains on the training data, and reports the validation data after each epoch."""
        data = self.load()
        (x, y), validation = data.train, data.validation
        batch_size = self.problem.batch_size
        count = len(keras.tree.flatten(validation)[0])
        return model.fit(
            x,
            y,
            validation_data=validation,
            batch_size=batch_size,
            validation_batch_size=validation_batch_size(count, batch_size),
            **kwargs,
        )


def _anew(metric):
    """A metric object counts; one that the previous trial has used would begin with what it counted there."""
    return type(metric).from_config(metric.get_config()) if isinstance(metric, keras.metrics.Metric) else metric
