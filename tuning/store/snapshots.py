"""The snapshots of a search: where trainings ended that may go on, as `.npz` files in a folder beside its store.

A file is written whole under another name, then gets its own; then the store has its row, with the digest of its content. A file
without a row is swept, and a row without its file, or with another one, is as none: what it would have spared is trained again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import re
from collections.abc import Container

from tuning.errors import SearchError
from tuning.store.files import replacing

FOLDER = "snapshots"
_NAME, _PART = re.compile(r"(\d+)-(\d+)\.npz"), re.compile(r"\.\d+-\d+\.npz\.\d+\.part")


class Snapshots:
    """The files. Only the process that holds the directory's lock writes there.

    Args:
        directory: of the search.
    """

    def __init__(self, directory: str | os.PathLike):
        self.folder = pathlib.Path(directory) / FOLDER

    def put(self, trial: int, execution: int, content: bytes) -> str:
        """Writes the snapshot of an execution; its digest."""
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise SearchError(f"{self.folder} cannot be made: {error.strerror or error}.") from error
        with replacing(self._path(trial, execution)) as temporary:
            temporary.write_bytes(content)
        return digest(content)

    def get(self, trial: int, execution: int, wanted: str) -> bytes | None:
        """The content of a snapshot; `None` if it is not there, or has another digest than it is to have."""
        try:
            content = self._path(trial, execution).read_bytes()
        except OSError:
            return None
        return content if digest(content) == wanted else None

    def keep(self, trials: Container[int]) -> None:
        """Deletes those of all other trials, and what was not written whole."""
        for name in os.listdir(self.folder) if self.folder.is_dir() else ():
            match = _NAME.fullmatch(name)
            if _PART.fullmatch(name) or (match and int(match[1]) not in trials):
                try:
                    (self.folder / name).unlink(missing_ok=True)
                except OSError as error:
                    raise SearchError(f"{self.folder / name} cannot be deleted: {error.strerror}.") from error

    def remove(self) -> None:
        """Deletes them all, and the folder if nothing else is in it."""
        self.keep(())
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def _path(self, trial: int, execution: int) -> pathlib.Path:
        return self.folder / f"{trial}-{execution}.npz"


def digest(content: bytes) -> str:
    """By which a content is known."""
    return hashlib.sha256(content).hexdigest()
