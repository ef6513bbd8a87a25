"""One training as a search does it, for those who want to have the model of a trial, or to try a setting."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from tuning.errors import SearchError
from tuning.problems import make_problem
from tuning.problems.callbacks import Callbacks, make_callbacks
from tuning.problems.problem import Data, Problem
from tuning.training import epochs as compiled_epochs
from tuning.training.curve import Seeds, averages_validated
from tuning.training.problem_model import compiled, fit_arguments
from tuning.training.warm import reseed, seed_everything


def train(
    problem: Any,
    optimizer: keras.optimizers.Optimizer,
    *,
    seed: int,
    epochs: int | None = None,
    train_samples: int | None = None,
    data_dir: str | os.PathLike | None = None,
    way: str | None = None,
    callbacks: Callbacks | None = None,
    model: Mapping[str, Any] | None = None,
    batch_size: int | None = None,
) -> keras.Model:
    """Trains a problem's model, from a seed, exactly as an execution of a trial does.

        model = tuning.train("digits_mlp", keras_optims.Adam(learning_rate=0.01), seed=1, epochs=5)
        model.history.history["val_accuracy"]

    The same optimizer, seed, epochs and way as those of an execution in the store give the same numbers, bit for bit on a CPU.

    Args:
        problem: as `tuning.search` takes it.
        optimizer: a new one.
        seed: any int in [0, 2**32); the store has that of each execution.
        epochs: by default what the problem suggests.
        train_samples, data_dir: as `tuning.search` takes them.
        way: how the epochs are compiled (see `tuning.training.epochs.WAYS`); by default what is usual for
            the model on this device, as in a search.
        callbacks: as `tuning.search` takes them.
        model: arguments of the problem's model function, or values of its `hp`.
        batch_size: by default the problem's own.

    Returns:
        The trained model; its `history` is the learning curve.

    Raises:
        SearchError: (a ValueError) an argument is wrong, or data is missing.
    """
    if way is not None and way not in compiled_epochs.ways():
        raise SearchError(f"The way must be one of {', '.join(compiled_epochs.ways())}; received {way!r}.")
    made = make_problem(problem, data_dir)
    check_batch_size(batch_size)
    data = made.load(train_samples, batch_size)
    own = make_callbacks(callbacks)
    return train_made(
        *(made, data, optimizer),
        seed=seed,
        epochs=epochs or made.epochs,
        way=way,
        callbacks=own,
        setting=model,
        batch_size=batch_size,
    )


def check_batch_size(batch_size: Any) -> None:
    """Raises `SearchError` unless it is one, or `None`."""
    if batch_size is not None and (isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1):
        raise SearchError(f"batch_size must be an int of at least 1; received {batch_size!r}.")


def train_made(
    made: Problem,
    data: Data,
    optimizer: keras.optimizers.Optimizer,
    *,
    seed: int,
    epochs: int,
    way: str | None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    setting: Mapping[str, Any] | None = None,
    batch_size: int | None = None,
) -> keras.Model:
    """What `train` does with a problem that is made and data that are loaded.

    Args:
        made, data: the problem and its data.
        optimizer, seed, epochs, way: as `train` takes them.
        callbacks: further ones beside the problem's, the last that are called.
        setting: of the model.
        batch_size: by default the problem's own.
    """
    seed_everything(seed)
    model = compiled(made, optimizer, setting)
    reseed(seed)
    compiled_epochs.set_way(model, compiled_epochs.USUAL if way is None else way)
    called = [*make_callbacks(made.callbacks), Seeds(seed), *averages_validated(model), *callbacks]
    compiled_epochs.fit(model, **fit_arguments(batch_size or made.batch_size, data), epochs=epochs, callbacks=called)
    return model
