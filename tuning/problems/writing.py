"""Writing the file of a problem of one's own, which works as it is, to edit."""

from __future__ import annotations

import importlib.util
import keyword
import os
import pathlib

from tuning.errors import SearchError
from tuning.names import KINDS, check_name

TEMPLATES = pathlib.Path(__file__).parent / "templates"


def write_problem(file: str | os.PathLike, kind: str, force: bool = False) -> pathlib.Path:
    """Writes a working problem of a kind of `tuning.names.KINDS`.

    Raises:
        SearchError: its name is none of a module, or that of another one; there is such a file already, unless `force`; or it
            cannot be written.
    """
    check_name("kind", kind, KINDS)
    path = pathlib.Path(file)
    _check_module(path)
    try:
        with open(path, "w" if force else "x", encoding="utf-8") as written:
            written.write((TEMPLATES / f"{kind}.py").read_text(encoding="utf-8"))
    except FileExistsError:
        raise SearchError(f"{path} exists: choose another name, or --force to write over it.") from None
    except OSError as error:
        raise SearchError(f"{path} cannot be written: {error.strerror or error}.") from error
    return path


def _check_module(path: pathlib.Path) -> None:
    """Whether Python can import the file by its name, and finds no other one under it."""
    if path.suffix != ".py" or not path.stem.isidentifier() or keyword.iskeyword(path.stem):
        raise SearchError(
            f"FILE must be the name of a Python module, such as my_problem.py, of letters, digits and _; received {str(path)!r}."
        )
    try:
        found = importlib.util.find_spec(path.stem)
    except ValueError:  # it is running
        return
    hidden = found is not None and (found.origin is None or pathlib.Path(found.origin).resolve() != path.resolve())
    if hidden:
        raise SearchError(f"{path} would hide the module {path.stem} that Python has already: choose another name.")
