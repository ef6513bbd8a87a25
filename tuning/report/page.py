"""The page around the charts: Jinja2 fills the templates and escapes what it inserts; plotly.js stands in it once, compressed."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import functools
import gzip
import hashlib
import importlib.metadata
import importlib.resources
import pathlib
from collections.abc import Sequence
from typing import Any

from tuning.report.figure import Chart
from tuning.space.axes import number, value_text

GENERATOR = "keras-optims report"


@dataclasses.dataclass(frozen=True)
class Cell:
    """A cell of a table: its text, what it is sorted by, and its CSS class."""

    text: str
    key: float | str | None = None
    kind: str = ""


@dataclasses.dataclass(frozen=True)
class Table:
    """A table with a caption; `sortable` ones have buttons in their heads."""

    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    sortable: bool = False


def render(template: str, more_scripts: Sequence[str] = (), **values: Any) -> str:
    """The whole page; `more_scripts` are names of templates that run after the page's own script."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_template),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":"), "sort_keys": False}
    charts = _Charts()
    # The scripts are this package's and Plotly's own; the policy lets no other script run and nothing be fetched.
    scripts = {name: _script(text) for name, text in (("theme", _THEME), ("plotly", _plotly()), ("page", _template("page.js")))}
    scripts |= {name: _script(_template(name)) for name in more_scripts}
    hashes = " ".join(f"'sha256-{_sha256(text)}'" for text in scripts.values())
    return environment.get_template(template).render(
        generator=GENERATOR,
        version=version(),
        written=moment(datetime.datetime.now().timestamp()),
        style=jinja2.utils.markupsafe.Markup(_template("page.css")),
        scripts={name: jinja2.utils.markupsafe.Markup(text) for name, text in scripts.items() if name != "plotly"},
        plotly=_packed(scripts["plotly"]),
        policy=f"default-src 'none'; script-src {hashes} 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:",
        charts=charts,
        number=number,
        value_text=value_text,
        **values,
    )


class _Charts:
    """Numbers the charts as the templates place them, and keeps their figures for the end of the page."""

    def __init__(self) -> None:
        self.figures: dict[str, Any] = {}

    def place(self, chart: Chart) -> str:
        """The id of the chart's element."""
        name = f"chart-{len(self.figures) + 1}"
        self.figures[name] = {"choices": chart.choices or {"": chart.figure}}
        return name


def is_report(path: pathlib.Path) -> bool:
    """Whether a file is a report that was written earlier."""
    with path.open(encoding="utf-8", errors="replace") as file:
        return f'<meta name="generator" content="{GENERATOR}' in file.read(4096)


def version() -> str:
    """Of this package."""
    try:
        return importlib.metadata.version("keras-optims")
    except importlib.metadata.PackageNotFoundError:
        return ""


def moment(seconds: float) -> str:
    """A time of day in local time."""
    return datetime.datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M %Z")


def duration(seconds: float | None) -> str:
    """A duration in words."""
    if seconds is None:
        return ""
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


# Before anything is painted: the theme chosen here earlier, else the system's.
_THEME = """
(function () {
  var chosen = null;
  try { chosen = localStorage.getItem("keras-optims-theme"); } catch (error) { /* storage is off */ }
  var dark = chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "dark" : "light";
})();
"""


@functools.cache
def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    return get_plotlyjs()


@functools.cache
def _packed(text: str) -> str:
    """As page.js unpacks it: plotly.js is most of a page, and is a third of its size then."""
    return base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode()


@functools.cache
def _template(name: str) -> str:
    return (importlib.resources.files("tuning.report") / "templates" / name).read_text(encoding="utf-8")


def _script(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")  # as a browser reads it, so that its hash is the same


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
