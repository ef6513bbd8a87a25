"""Writing files for people: all of a file or nothing, and nobody else's file overwritten."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Callable, Iterator

from tuning.errors import SearchError


@contextlib.contextmanager
def replacing(path: pathlib.Path, is_ours: Callable[[pathlib.Path], bool] | None = None) -> Iterator[pathlib.Path]:
    """Gives a temporary path to write to, which takes the place of `path` when the block ends well.

    Args:
        path: the file.
        is_ours: whether a file that is there already was written by the same command earlier; `None`: nobody else writes it.

    Raises:
        SearchError: `path` is something else, or cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        if is_ours is not None and path.exists() and not (path.is_file() and (path.stat().st_size == 0 or is_ours(path))):
            raise SearchError(f"{path} exists and was not written by this command: move it away, or choose another --output.")
        try:
            yield temporary
            os.replace(temporary, path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
    except OSError as error:
        raise SearchError(f"{path} cannot be written: {error.strerror or error}.") from error
