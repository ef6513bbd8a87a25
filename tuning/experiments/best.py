"""`tuning.train_best`: the best setting of a search, trained anew."""

from __future__ import annotations

import dataclasses
import importlib
import math
import os
import pathlib
import sys
import zipfile
from typing import Any

import keras
import numpy as np

from tuning.errors import NoUsableTrialError, SearchError
from tuning.experiments.arguments import objective_of
from tuning.experiments.training import train_made
from tuning.problems import make_problem
from tuning.problems.callbacks import Callbacks, make_callbacks
from tuning.problems.problem import Data
from tuning.problems.streams import is_stream
from tuning.results.comparison import is_comparison
from tuning.results.search import SearchResult, TrialRecord
from tuning.space.part import made as made_arguments
from tuning.space.setting import Setting, setting_of
from tuning.store.files import replacing
from tuning.training import epochs as compiled_epochs
from tuning.training.keeping import BestEpoch, put_evaluated
from tuning.training.keras_seam import saved
from tuning.training.live import Changing, numbers_of
from tuning.training.measured import numbers
from tuning.training.problem_model import evaluated_as, steps_per_epoch


@dataclasses.dataclass(frozen=True)
class Trained:
    """A model with the best setting of a search.

    Args:
        model: trained; without `all_data` it is in the state of its best epoch.
        line: its setting as a line of Python.
        trial: the number of the search's best trial, whose setting it is.
        seed: of all that was random.
        samples: how many it was trained on; `None` if they came in batches.
        epochs: how many it trained.
        best_epoch: from 0; with `all_data` there is nothing to choose it by, and it is the last one.
        metrics: what it reached at that epoch on the training data, the validation data (`val_*`) and the test data (`test_*`),
            if there are any.
    """

    model: keras.Model
    line: str
    trial: int
    seed: int
    samples: int | None
    epochs: int
    best_epoch: int
    metrics: dict[str, float]

    def save(self, path: str | os.PathLike) -> pathlib.Path:
        """Writes the model to a `.keras` file, all of it or nothing."""
        path = checked_output(path)
        content = saved(self.model)
        with replacing(path) as temporary:
            temporary.write_bytes(content)
        return path

    def to_json(self) -> dict[str, Any]:
        """All but the model."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "model"}


def train_best(
    directory: str | os.PathLike,
    *,
    problem: Any = None,
    epochs: int | None = None,
    all_data: bool = False,
    seed: int | None = None,
    data_dir: str | os.PathLike | None = None,
    callbacks: Callbacks | None = None,
) -> Trained:
    """Trains the best setting of a search anew, and evaluates the test data, if the problem has any.

        trained = tuning.train_best("results/adam-digits_mlp")
        trained.save("model.keras")

    With the defaults it is the best training of the best trial once more: the same seed and epochs, and so the same numbers, bit
    for bit on a CPU.

    Args:
        directory: of the search.
        problem: as `tuning.search` takes it; by default what the search says.
        epochs: by default as many as the trial had; with `all_data` as many as were best in the search.
        all_data: train on the training and the validation data together.
        seed: any int in [0, 2**32); by default that of the trial's best training.
        data_dir: the folder with the data sets.
        callbacks: as `tuning.search` takes them; by default those of the search, if it had them as `"module:function"`.

    Raises:
        SearchError: (a ValueError) an argument is wrong, there is no search with a completed trial, or data is missing.
    """
    result, best = _best_of(directory)
    chosen = max((training for training in best.trainings), key=lambda training: _goodness(training.score, result.direction))
    for name, value, least in (("epochs", epochs, 1), ("seed", seed, 0)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**32):
            raise SearchError(f"{name} must be an int of at least {least}; received {value!r}.")
    made = make_problem(_problem_of(result, problem), data_dir)
    space = result.config["space"]
    began_with = best.settings[0][1] if best.settings else best.hyperparameters
    setting = setting_of(space, began_with, best.epochs)
    data = made.load(result.config.get("train_samples"), setting.batch_size)
    if epochs is None:
        epochs = best.epochs or made.epochs
        if all_data:
            reached = [training.best_epoch + 1 for training in best.trainings if training.best_epoch is not None]
            epochs = round(sum(reached) / len(reached)) if reached else epochs
    seed = chosen.seed if seed is None else seed
    objective, own = objective_of(made), make_callbacks(_callbacks_of(result, callbacks))
    at_best = BestEpoch(objective, -math.inf if objective.direction == "max" else math.inf)
    if all_data:
        data = together(data)
    else:
        own.append(at_best)
    batch_size = setting.batch_size or made.batch_size
    follows = (space if setting.optimizer is None else space["optimizers"][setting.optimizer]).get("schedule") is not None
    steps = steps_per_epoch(batch_size, data) if follows else None  # the schedule is of this training, whatever its length
    optimizer = _optimizer_of(result, setting_of(space, began_with, epochs, steps))
    if best.settings:  # a population has changed numbers of the optimizer on the way
        later = {epoch: _optimizer_of(result, setting_of(space, values)) for epoch, values in best.settings[1:]}
        own.append(Changing({epoch: numbers_of(changed) for epoch, changed in later.items()}))
    model = train_made(
        *(made, data, optimizer),
        seed=seed,
        epochs=epochs,
        way=_way_of(result),
        callbacks=own,
        setting=setting.model,
        batch_size=batch_size,
    )
    history = model.history.history
    trained = len(next(iter(history.values())))
    at = trained - 1
    if not all_data:
        if at_best.state is None or at_best.epoch is None:
            reported = ", ".join(history)
            raise NoUsableTrialError(f"The training diverged, or does not report {objective.name}: it reports {reported}.")
        at = at_best.epoch
        put_evaluated(model, at_best.state)
    else:
        put_evaluated(model)
        if not math.isfinite(history["loss"][-1]):
            raise NoUsableTrialError("The training diverged: its loss is not a number at the end.")
    metrics = numbers({name: values[at] for name, values in history.items()}) | _test_metrics(model, batch_size, data)
    count = None if is_stream(data.train) else len(keras.tree.flatten(data.train)[0])
    return Trained(model, best.line, best.number, seed, count, trained, at, metrics)


def together(data: Data) -> Data:
    """The training data and the validation data as training data, without any for validation."""
    if is_stream(data.train) or is_stream(data.validation):
        raise SearchError("Batches cannot be put together: all_data wants arrays; make a problem whose training data are all.")
    train = keras.tree.map_structure(lambda *arrays: np.concatenate(arrays), tuple(data.train), tuple(data.validation or ()))
    return dataclasses.replace(data, train=train, validation=None)


def checked_output(path: str | os.PathLike) -> pathlib.Path:
    """The path of a `.keras` file that can be written; `SearchError` if it cannot."""
    found = pathlib.Path(path)
    if found.suffix != ".keras":
        raise SearchError(f"The output must be a file whose name ends in .keras; received {str(path)!r}.")
    if not found.absolute().parent.is_dir():
        raise SearchError(f"{found} cannot be written: there is no folder {found.absolute().parent}.")
    if found.exists() and not zipfile.is_zipfile(found):
        raise SearchError(f"{found} exists and is not a model: move it away, or choose another --output.")
    return found


def _best_of(directory) -> tuple[SearchResult, TrialRecord]:
    if is_comparison(directory):
        raise SearchError(f"{directory} holds a comparison: name the search of one of its optimizers, which is a folder in it.")
    result = SearchResult.load(directory)
    if not isinstance(result.config.get("space"), dict):
        raise SearchError(
            f"The search in {directory} is of a HyperModel of your own: train its build(hp) with "
            f"hp = tuner.get_best_hyperparameters()[0]."
        )
    if result.best is None:
        raise SearchError(f"The search in {directory} has no completed trial.")
    return result, result.best


def _goodness(score: float | None, direction: str) -> float:
    if score is None:
        return -math.inf
    return score if direction == "max" else -score


def _problem_of(result: SearchResult, problem: Any) -> Any:
    from tuning.problems import PROBLEMS

    if problem is not None:
        return problem
    found = result.config.get("problem")
    if isinstance(found, str) and found not in PROBLEMS and ":" not in found:
        raise SearchError(
            f"The problem of the search in {result.directory} was an object, called {found!r}: name it as module:function, or "
            f"give the object to tuning.train_best(..., problem=...)."
        )
    return found


def _callbacks_of(result: SearchResult, callbacks: Callbacks | None) -> Callbacks | None:
    found = result.config.get("callbacks") if callbacks is None else callbacks
    if callbacks is None and found is not None and not (isinstance(found, str) and ":" in found):
        raise SearchError(
            f"The callbacks of the search in {result.directory} were objects: give them to "
            f"tuning.train_best(..., callbacks=...), or name them as module:function; [] are none."
        )
    return found


def _optimizer_of(result: SearchResult, setting: Setting) -> keras.optimizers.Optimizer:
    module, _, name = setting.call.rpartition(".")
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)  # as for a problem of one's own
    try:
        cls = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise SearchError(f"The optimizer {setting.call} of the search in {result.directory} is not found: {error}.") from error
    if not (isinstance(cls, type) and issubclass(cls, keras.optimizers.Optimizer)):
        raise SearchError(f"{setting.call} is no subclass of keras.optimizers.Optimizer.")
    return cls(**made_arguments(setting.arguments))


def _way_of(result: SearchResult) -> str | None:
    """How the search compiled epochs, where this backend can."""
    return result.way if result.way in compiled_epochs.ways() else None


def _test_metrics(model: keras.Model, batch_size: int, data: Data) -> dict[str, float]:
    if data.test is None:
        return {}
    found = compiled_epochs.evaluate(model, **evaluated_as(data.test, batch_size))
    return numbers({f"test_{name}": value for name, value in found.items()})
