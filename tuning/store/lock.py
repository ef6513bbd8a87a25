"""The folder of a search, and the lock that keeps a second process from searching there."""

from __future__ import annotations

import os
import pathlib
from typing import Any

from tuning.errors import SearchError


def make_directory(directory: str | os.PathLike) -> pathlib.Path:
    """The folder of a search, made if it does not exist; `SearchError` if it cannot be made or written to."""
    path = pathlib.Path(directory)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SearchError(f"The directory {path} for the results cannot be made: {error.strerror}.") from error
    if not os.access(path, os.W_OK):
        raise SearchError(f"The directory {path} for the results cannot be written to: choose another with --directory.")
    return path


class Lock:
    """Keeps a second process from searching in the same directory. The system releases it when the process ends, however."""

    def __init__(self, directory: str | os.PathLike):
        self.path = make_directory(directory) / "search.lock"
        self._file: Any = None

    def __enter__(self) -> Lock:
        try:
            self._file = open(self.path, "a+")
        except OSError as error:
            raise SearchError(f"{self.path} cannot be written: {error.strerror}; choose another --directory.") from error
        try:
            _lock(self._file)
        except OSError:
            self._file.seek(0)
            owner = self._file.read().strip() or "unknown"
            self._file.close()
            raise SearchError(
                f"Another process (number {owner}) is searching in {self.path.parent}: wait for it, stop it, "
                f"or choose another --directory."
            ) from None
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()
        return self

    def __exit__(self, *exception) -> None:
        self._file.close()


def _lock(file) -> None:
    """Locks `file` for this process, or raises OSError at once."""
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        file.seek(1 << 30)  # beyond the text, which others must be able to read
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        file.seek(0)
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
