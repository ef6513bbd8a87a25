"""A problem: data, model, loss, metric and batch size in one small object."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from tuning.errors import SearchError, one_line
from tuning.problems.objective import usual_metrics, usual_objective
from tuning.problems.streams import batches_of, is_stream
from tuning.problems.structure import make_model, structure_of
from tuning.space.structure import Structure

SPLIT_SEED = 20  # of the split into training and validation data: the same for every search, so that searches compare
VALIDATION_BATCH = 1024  # at most; evaluation needs no gradients, so its batches can be large


@dataclasses.dataclass(frozen=True)
class Data:
    """Arrays, in memory, or batches that need not be there all at once.

    A part may be a `tf.data.Dataset`, a `keras.utils.PyDataset` or a torch `DataLoader`, which gives batches `(x, y)` as
    `model.fit` takes them. Such a part is trained and evaluated by Keras, in its own batches and its own order.

    Args:
        train: `(x, y)`; x is an array or a tuple or dict of arrays, all with the samples along the first axis.
        validation: `(x, y)`, what settings are selected on; `None`: a fifth of `train`, always the same, is held out.
        test: `(x, y)`, never looked at by a search, for the number that one reports in the end.
    """

    train: Any
    validation: Any = None
    test: Any = None


@dataclasses.dataclass(frozen=True)
class Problem:
    """What a trial trains.

    Args:
        name: a word for tables and folder names.
        data: a `Data`, or a function of no arguments that returns one (called once per process, when the first trial starts).
        model: a function that returns a new Keras model, not compiled. It may take arguments with defaults, which a search may
            vary; or KerasTuner's `hp`, and declare there what is searched.
        loss: as `model.compile` takes it.
        loss_weights: of the losses of several outputs, as `model.compile` takes them.
        metrics: as `model.compile` takes them; `None`: accuracy, if the loss is a cross-entropy, else none.
        objective: what a search makes best: the name of a metric as `model.fit` reports it; `None`: `"val_accuracy"` if accuracy
            is among the metrics, else `"val_loss"`.
        direction: `"max"` or `"min"`; `None`: what KerasTuner knows of the metric.
        batch_size: samples per step.
        epochs: of a trial, where the user says nothing.
        description: one line.
        callbacks: Keras callbacks of every training: a list, which is copied for each, or a function of no arguments that returns
            new ones.
        axes: where to search for arguments of `model`: name -> `(low, high)`, `(low, high, scale)`, a list of values, or such an
            axis that depends on others, see `tuning.given`.
        searched: the names of those that are searched without being asked for; `None`: all of `axes`.
    """

    name: str
    data: Data | Callable[[], Data]
    model: Callable[..., keras.Model]
    loss: Any
    metrics: Sequence[Any] | Mapping[str, Any] = None  # type: ignore[assignment]  # it and the next one are never None afterwards
    objective: str = None  # type: ignore[assignment]
    direction: str | None = None
    batch_size: int = 32
    epochs: int = 5
    description: str = ""
    callbacks: Any = None
    axes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    searched: Sequence[str] | None = None
    loss_weights: Any = None

    def __post_init__(self):
        wrong = None
        if not (isinstance(self.name, str) and self.name):
            wrong = f"name must be a word; received {self.name!r}"
        elif not (isinstance(self.data, Data) or callable(self.data)):
            wrong = f"data must be a tuning.Data or a function that returns one; received {type(self.data).__name__}"
        elif not callable(self.model) or isinstance(self.model, keras.Model):
            wrong = f"model must be a function that returns a new Keras model; received {type(self.model).__name__}"
        elif self.direction not in (None, "min", "max"):
            wrong = f"direction must be 'min', 'max' or None; received {self.direction!r}"
        for name in ("batch_size", "epochs"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                wrong = f"{name} must be an int of at least 1; received {value!r}"
        if not (self.objective is None or (isinstance(self.objective, str) and self.objective)):
            wrong = f"objective must be the name of a metric, such as val_loss, or None; received {self.objective!r}"
        if wrong:
            raise SearchError(f"A Problem's {wrong}.")
        if self.metrics is None:
            object.__setattr__(self, "metrics", usual_metrics(self.loss))
        if self.objective is None:
            object.__setattr__(self, "objective", usual_objective(self.metrics))
        self.structure(explore=False)

    def structure(self, explore: bool = True) -> Structure:
        """What a search may vary of its model; `explore`: also what the model function declares with `hp`."""
        return structure_of(self.name, self.model, self.axes, self.searched, explore)

    def build(self, setting: Mapping[str, Any] | None = None) -> keras.Model:
        """A new model, with these arguments or values of `hp`."""
        return make_model(self.model, setting or {})

    def load(self, train_samples: int | None = None, batch_size: int | None = None) -> Data:
        """The arrays that a search trains and validates on.

        The samples that would make a short last batch are left out of the training data: a short batch gives its samples more
        weight, and costs a second compilation.

        Args:
            train_samples: use only so many training samples (rounded down to whole batches).
            batch_size: if it is not the problem's own; 1 leaves out none.
        """
        batch_size = self.batch_size if batch_size is None else batch_size
        try:
            data = self.data if isinstance(self.data, Data) else self.data()
        except SearchError:
            raise
        except Exception as error:
            raise SearchError(f"The data of {self.name} could not be loaded: {one_line(error)}") from error
        if not isinstance(data, Data):
            raise SearchError(f"The data function of {self.name} must return a tuning.Data; received {type(data).__name__}.")
        for part in ("train", "validation", "test"):
            _check_part(self.name, part, getattr(data, part))
        train, validation = data.train, data.validation
        if is_stream(train):
            if validation is None:
                raise SearchError(f"The training data of {self.name} are batches, so it needs validation data of its own.")
            if train_samples is not None:
                raise SearchError(
                    f"The training data of {self.name} are batches, which train_samples={train_samples} cannot cut."
                )
            return data
        if validation is None:
            train, validation = split(train, round(0.2 * _count(train)))
        available = _count(train)
        wanted = available if train_samples is None else train_samples
        if not 1 <= wanted <= available:
            raise SearchError(f"{self.name} has {available} training samples: ask for 1 to {available}; received {wanted}.")
        return in_batches(Data(take(train, slice(wanted)), validation, data.test), batch_size)


def in_batches(data: Data, batch_size: int) -> Data:
    """The same without the training samples that would make a short last batch, unless there is no other."""
    available = _count(data.train)
    return dataclasses.replace(data, train=take(data.train, slice(available // batch_size * batch_size or available)))


def split(part: tuple[Any, Any], held_out: int) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """Two parts of `(x, y)`: the rest, shuffled, and `held_out` samples; always the same ones."""
    order = np.random.default_rng(SPLIT_SEED).permutation(_count(part))
    return take(part, order[held_out:]), take(part, order[:held_out])


def take(part, index):
    """The samples `index` (a slice or an array of ints) of `(x, y)`."""
    return tuple(keras.tree.map_structure(lambda array: np.asarray(array)[index], side) for side in part)


def validation_batch_size(count: int, smallest: int) -> int:
    """The largest batch of at most 1,024 samples that divides `count`, so that none is short; `smallest` if that is tiny."""
    for size in range(min(count, VALIDATION_BATCH), 0, -1):
        if count % size == 0:
            return max(size, min(smallest, count))
    return smallest


def _count(part) -> int:
    return len(keras.tree.flatten(part)[0])


def _check_part(name, which, part):
    if part is None and which != "train":
        return
    if is_stream(part):
        if batches_of(part) == math.inf:
            raise SearchError(
                f"The {which} data of {name} never end, and so no epoch would: let them end, a tf.data.Dataset by "
                f".take(BATCHES); received a {type(part).__name__}."
            )
        return
    if not isinstance(part, (tuple, list)) or len(part) != 2:
        parts = f" of {len(part)} (weights of samples are taken in batches (x, y, weights))" if isinstance(part, tuple) else ""
        raise SearchError(
            f"The {which} data of {name} must be a pair (x, y) of arrays, or batches of them: "
            f"a tf.data.Dataset, a keras.utils.PyDataset or a torch DataLoader; received a {type(part).__name__}{parts}."
        )
    counts = set()
    for array in keras.tree.flatten(part):
        if not hasattr(array, "__len__") or not hasattr(array, "shape"):
            raise SearchError(f"The {which} data of {name} must be arrays; received {type(array).__name__}.")
        counts.add(len(array))
    if len(counts) != 1 or 0 in counts:
        raise SearchError(
            f"The arrays of the {which} data of {name} must have equally many samples, at least 1; received {sorted(counts)}."
        )
