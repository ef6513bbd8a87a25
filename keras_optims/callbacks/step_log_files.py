"""The files of a step log. Each is opened for a record and closed again, so it is complete whenever a training is killed."""

from __future__ import annotations

import csv
import io
import os
import pathlib

import numpy as np

from keras_optims.callbacks.event_file import EventFile
from keras_optims.callbacks.step_recorder import RecordedVariable

QUANTITIES = ("gradient_norm", "update_norm", "weight_norm", "update_to_weight", "rate_min", "rate_mean", "rate_max")
"""The measured numbers, in the order of the CSV file's columns."""

COLUMNS = ("step", "epoch", "variable", *QUANTITIES)
"""The header of the CSV file."""


class CSVFile:
    """A line for each variable of each record.

    Args:
        path: the file.
        append: whether to go on with a file that is there.
    """

    def __init__(self, path, append: bool):
        self.path = pathlib.Path(path)
        self._append = append

    def open(self):
        """Called as a training begins.

        Raises:
            ValueError: the file is to be gone on with, and it is another one.
        """
        kept = self.path.read_bytes() if self._append and self.path.exists() else b""
        self._append = True  # the next training with this callback goes on
        header = _lines([COLUMNS])
        if kept and not (kept.startswith(header) or header.startswith(kept)):
            first = kept.split(b"\n", 1)[0].decode(errors="replace").strip()
            raise ValueError(
                f"{str(self.path)!r} is no step log to append to: it begins with {first!r} and not with {','.join(COLUMNS)!r}."
            )
        self.path.parent.mkdir(parents=True, exist_ok=True)
        whole = kept[: kept.rfind(b"\n") + 1]
        if not whole:
            self.path.write_bytes(header)
        elif whole != kept:
            os.truncate(self.path, len(whole))

    def write(self, step: int, epoch: int, recorded: list[RecordedVariable]):
        """Adds a record."""
        numbers = [[_text(getattr(variable, name)) for name in QUANTITIES] for variable in recorded]
        lines = [(step, epoch, variable.variable, *row) for variable, row in zip(recorded, numbers, strict=True)]
        with self.path.open("ab") as file:
            file.write(_lines(lines))


def _lines(rows) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _text(number: float) -> str:
    """As short as a float32 can be told from its neighbours."""
    return str(np.float32(number))


class TensorBoardFile:
    """A chart for each quantity and variable, in an event file of its own.

    Args:
        folder: the folder; TensorBoard finds it in any folder above it.
    """

    def __init__(self, folder):
        try:
            self._file = EventFile(folder, "steps")
        except ImportError as error:
            raise ImportError("StepLogger(tensorboard=...) needs the package tensorboard: pip install tensorboard") from error

    def open(self):
        """Called as a training begins; the next one with this callback goes on."""
        self._file.open()

    def write(self, step: int, epoch: int, recorded: list[RecordedVariable]):
        """Adds a record."""
        charts = {f"{name}/{each.variable}": getattr(each, name) for name in QUANTITIES for each in recorded}
        self._file.scalars(step, charts)
