"""The models that a search keeps: those of its best trials, as `.keras` files beside its store.

A model is written under another name before its trial ends, and gets its own when the store has the trial: after a kill at any
moment either the trial runs again or its model is there.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tuning.errors import SearchError, missing_packages_explained, one_line

if TYPE_CHECKING:
    import keras

_NAME, _PART = re.compile(r"trial-(\d+)\.keras"), re.compile(r"\.trial-(\d+)\.keras\.part")


def model_path(directory: str | os.PathLike, trial: int) -> pathlib.Path:
    """Where the model of a trial is, if it is kept."""
    return pathlib.Path(directory) / f"trial-{trial}.keras"


def load_model(directory: str | os.PathLike, trial: int, **arguments: Any) -> keras.Model:
    """The kept model of a trial.

    Args:
        directory: of the search.
        trial: its number.
        **arguments: of `keras.saving.load_model`, such as `custom_objects`.

    Raises:
        SearchError: it is not kept, or cannot be loaded.
    """
    path = model_path(directory, trial)
    if not path.is_file():
        raise SearchError(
            f"The model of trial {trial} is not kept: {path} does not exist. A search keeps as many models as keep_models says, "
            f"and `keras-optims train {directory}` trains the best setting anew."
        )
    with missing_packages_explained("A model"):
        import keras

        import keras_optims  # noqa: F401  so that Keras knows its optimizers
    try:
        return keras.saving.load_model(path, **arguments)
    except Exception as error:
        raise SearchError(
            f"{path} cannot be loaded: {one_line(error)} If it has layers or losses of your own, import them first, or give "
            f"custom_objects."
        ) from error


class Models:
    """The models in the directory of a search. Only the process that holds the directory's lock writes there.

    Args:
        directory: of the search.
    """

    def __init__(self, directory: str | os.PathLike):
        self.directory = pathlib.Path(directory)

    def put(self, trial: int, content: bytes) -> None:
        """Writes the model of a trial that has not ended yet, aside."""
        part = self._part(trial)
        try:
            with open(part, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            raise SearchError(f"{part} cannot be written: {error.strerror or error}.") from error

    def ended(self, trial: int, best: Iterable[int]) -> None:
        """A trial has ended, and these are the best: its model is kept if it is one of them, and those of others are deleted."""
        wanted = set(best)
        self._delete(path for number, path in self._found(_NAME) if number not in wanted)
        if trial in wanted and self._part(trial).exists():
            os.replace(self._part(trial), model_path(self.directory, trial))
        self._delete([self._part(trial)])

    def restore(self, best: Iterable[int]) -> list[int]:
        """Does what a killed search did not come to, and deletes what is not of the best trials; those without a model."""
        wanted = set(best)
        for number, _ in self._found(_PART):
            self.ended(number, wanted)
        self._delete(path for number, path in self._found(_NAME) if number not in wanted)
        return sorted(number for number in wanted if not model_path(self.directory, number).exists())

    def remove(self) -> None:
        """Deletes them all."""
        self._delete(path for pattern in (_NAME, _PART) for _, path in self._found(pattern))

    def _part(self, trial: int) -> pathlib.Path:
        return self.directory / f".trial-{trial}.keras.part"

    def _found(self, pattern: re.Pattern[str]) -> list[tuple[int, pathlib.Path]]:
        names = sorted(os.listdir(self.directory)) if self.directory.is_dir() else []
        return [(int(match[1]), self.directory / name) for name in names if (match := pattern.fullmatch(name))]

    def _delete(self, paths: Iterable[pathlib.Path]) -> None:
        for path in list(paths):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise SearchError(f"{path} cannot be deleted: {error.strerror}.") from error
