"""The report of a search, or of a comparison: one HTML file that needs no network, to read, to show and to keep.

    tuning.write_report("results/adam-digits_mlp")  # the path of report.html

Charts are plotly.js figures; everything that comes from a configuration or a trial is text, escaped where it is inserted.
"""

from __future__ import annotations

import os
import pathlib

from tuning.errors import SearchError
from tuning.store.files import replacing

FILE_NAME = "report.html"


def write_report(directory: str | os.PathLike) -> pathlib.Path:
    """Writes `report.html` into the directory of a search (running or ended) or of a comparison, and returns its path.

    Raises:
        SearchError: there is no search, it cannot be read, or the file cannot be written.
    """
    from tuning.report import comparison_page, page, search_page
    from tuning.results.comparison import is_comparison

    folder = pathlib.Path(directory)
    try:
        made = comparison_page.make(folder) if is_comparison(folder) else search_page.make(folder)
    except ModuleNotFoundError as error:
        if error.name not in ("plotly", "jinja2", "scipy", "numpy"):
            raise
        raise SearchError(f"A report needs the package {error.name}: pip install 'keras-optims[tuning]'.") from error
    path = folder / FILE_NAME
    with replacing(path, page.is_report) as temporary:
        temporary.write_text(made, encoding="utf-8", newline="\n")
    return path
