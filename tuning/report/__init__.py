"""The report of a search, of a comparison, or of several searches: one HTML file that needs no network, or a page that lives.

    tuning.write_report("results/adam-digits_mlp")  # the path of report.html

Charts are plotly.js figures; everything that comes from a configuration or a trial is text, escaped where it is inserted.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tuning.errors import SearchError
from tuning.store.files import replacing

if TYPE_CHECKING:
    from tuning.report.page import Content

FILE_NAME = "report.html"


def write_report(*directories: str | os.PathLike, output: str | os.PathLike | None = None) -> pathlib.Path:
    """Writes a report as one HTML file, and returns its path.

    Args:
        *directories: of a search (running or ended) or a comparison, or with such in it, or with range tests; of several, the
            searches stand side by side.
        output: the file; by default `report.html` in the directory, of several directories in the current one.

    Raises:
        SearchError: (a ValueError) there is no search, it cannot be read, or the file cannot be written.
    """
    folders = checked(directories)
    if output is None:
        path = (folders[0] if len(folders) == 1 else pathlib.Path()) / FILE_NAME
    else:
        path = pathlib.Path(output)
        path = path / FILE_NAME if path.is_dir() else path
    with packages_explained():
        from tuning.report import page

        made = page.render(content_of(folders))
        with replacing(path, page.is_report) as temporary:
            temporary.write_text(made, encoding="utf-8", newline="\n")
    return path


def content_of(folders: Sequence[pathlib.Path], live: bool = False, **options) -> Content:
    """What the page of these directories says; `live`: to somebody who sees it change; `options`: of a search's page."""
    from tuning.report import comparison_page, range_tests, search_page, several_page
    from tuning.results.comparison import is_comparison
    from tuning.results.range_tests import kept

    folders = [each for folder in folders for each in _searched(folder)]
    if len(folders) > 1:
        return several_page.make(folders, live)
    if not _holds(folders[0]) and kept(folders[0]):
        return range_tests.make(folders[0])
    return comparison_page.make(folders[0], live) if is_comparison(folders[0]) else search_page.make(folders[0], live, **options)


def _searched(folder: pathlib.Path) -> list[pathlib.Path]:
    """The folder itself; or those in it that hold searches or comparisons, if it holds none."""
    inside = [] if _holds(folder) or not folder.is_dir() else sorted(place for place in folder.iterdir() if _holds(place))
    return inside or [folder]


def _holds(folder: pathlib.Path) -> bool:
    """Whether a search or a comparison is in it."""
    from tuning.results.comparison import is_comparison
    from tuning.store import database as stores

    return stores.exists(folder) or is_comparison(folder)


def checked(directories: Sequence[str | os.PathLike]) -> list[pathlib.Path]:
    """As paths, each once.

    Raises:
        SearchError: there is none.
    """
    folders = list({path.resolve(): path for path in map(pathlib.Path, directories)}.values())
    if not folders:
        raise SearchError("A report is of one or more directories of searches or comparisons; received none.")
    return folders


@contextlib.contextmanager
def packages_explained() -> Iterator[None]:
    """Says which extra brings what a report needs and is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in ("jinja2", "scipy", "numpy"):
            raise
        raise SearchError(f"A report needs the package {error.name}: pip install 'keras-optims[tuning]'.") from error
