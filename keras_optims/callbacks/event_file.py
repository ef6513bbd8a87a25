"""A file of TensorBoard's. It is opened for each event and closed again, so it is complete whenever its process is killed."""

from __future__ import annotations

import os
import pathlib
import socket
import time
from collections.abc import Mapping
from typing import Any


class EventFile:
    """Events that TensorBoard shows; it needs the package tensorboard, but not TensorFlow.

    Args:
        folder: the folder, made with the first event; TensorBoard finds it in any folder above it.
        suffix: the end of the file's name.

    Raises:
        ImportError: the package tensorboard is missing.
    """

    def __init__(self, folder, suffix: str):
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer import record_writer

        self._event, self._summary, self._writer = event_pb2.Event, summary_pb2.Summary, record_writer.RecordWriter
        self.folder, self._suffix = pathlib.Path(folder), suffix
        self.path: pathlib.Path | None = None

    def open(self):
        """Makes the file, if there is none yet."""
        if self.path is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            # TensorBoard reads files with "tfevents" in their names, in the order of the names.
            name = f"events.out.tfevents.{time.time_ns()}.{socket.gethostname()}.{os.getpid()}.{self._suffix}"
            self.path = self.folder / name
            self._add(self._event(wall_time=time.time(), file_version="brain.Event:2"))

    def scalars(self, step: int, values: Mapping[str, float], when: float | None = None):
        """Adds a point to the chart of each name; `when`: in seconds since 1970, by default now."""
        points = [self._summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        self.summary(self._summary(value=points), step, when)

    def summary(self, summary: Any, step: int = 0, when: float | None = None):
        """Adds a summary in TensorBoard's own form."""
        self.open()
        self._add(self._event(wall_time=time.time() if when is None else when, step=step, summary=summary))

    def _add(self, event):
        assert self.path is not None
        with self.path.open("ab") as file:
            self._writer(file).write(event.SerializeToString())
