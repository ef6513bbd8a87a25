"""The folder of a search, and the lock that keeps a second process from searching there."""

from __future__ import annotations

import os
import pathlib
import time
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


FILE_NAME = "search.lock"
_TRIES, _PAUSE = 4, 0.05  # seconds: who only looks whether a search runs holds the lock for a moment


class Lock:
    """Keeps a second process from searching in the same directory. The system releases it when the process ends, however."""

    def __init__(self, directory: str | os.PathLike):
        self.path = make_directory(directory) / FILE_NAME
        self._file: Any = None

    def __enter__(self) -> Lock:
        try:
            self._file = open(self.path, "a+")
        except OSError as error:
            raise SearchError(f"{self.path} cannot be written: {error.strerror}; choose another --directory.") from error
        if not _locks(self._file):
            self._file.seek(0)
            owner = self._file.read().strip() or "unknown"
            self._file.close()
            raise SearchError(
                f"Another process (number {owner}) is searching in {self.path.parent}: wait for it, stop it, "
                f"or choose another --directory."
            )
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()
        return self

    def __exit__(self, *exception) -> None:
        self._file.close()


def is_running(directory: str | os.PathLike) -> bool:
    """Whether a process on this machine searches in a directory. It is looked at without writing anything."""
    try:
        with open(pathlib.Path(directory) / FILE_NAME) as file:
            return _is_locked(file)
    except OSError:
        return False


def _is_locked(file) -> bool:
    """Whether another one has locked `file`."""
    try:
        _lock(file, shared=True)
    except OSError:
        return True
    return False


def _locks(file) -> bool:
    """Whether `file` could be locked for this process."""
    for attempt in range(_TRIES):
        try:
            _lock(file)
        except OSError:
            if attempt + 1 < _TRIES:
                time.sleep(_PAUSE)
        else:
            return True
    return False


def _lock(file, shared: bool = False) -> None:
    """Locks `file` for this process, or raises OSError at once."""
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        file.seek(1 << 30)  # beyond the text, which others must be able to read
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        file.seek(0)
    else:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
