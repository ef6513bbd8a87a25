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
import json
import pathlib
from collections.abc import Sequence
from typing import Any

from tuning.report.figure import Chart
from tuning.results.search import SearchResult
from tuning.space.axes import number, value_text

GENERATOR = "keras-optims report"


@dataclasses.dataclass(frozen=True)
class Cell:
    """A cell of a table: its text, what it is sorted by, its CSS class, and the page that its text leads to."""

    text: str
    key: float | str | None = None
    kind: str = ""
    link: str | None = None


@dataclasses.dataclass(frozen=True)
class Table:
    """A table with a caption; `sortable` ones have buttons in their heads. `trials`: whose each row is, by its key."""

    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    sortable: bool = False
    trials: Sequence[str] | None = None


@dataclasses.dataclass(frozen=True)
class Content:
    """What a page says.

    Args:
        title: a text.
        subtitle, body: HTML.
        noscript: a text for browsers without JavaScript.
        figures: id of an element -> `{"choices": {label: figure}}`.
        searches: for the pages of the trials, see `tuning.report.trials`.
        found: the same searches as they were read.
    """

    title: str
    subtitle: str
    body: str
    noscript: str
    figures: dict[str, Any]
    searches: Sequence[dict[str, Any]] = ()
    found: Sequence[SearchResult] = ()

    @property
    def data(self) -> dict[str, Any]:
        """What the page's scripts draw; a text that several charts have of a trial is there once, and known by its number."""
        numbers: dict[str, int] = {}
        figures = {
            name: {"choices": {label: _numbered(figure, numbers) for label, figure in entry["choices"].items()}}
            for name, entry in self.figures.items()
        }
        return {"figures": figures, "texts": list(numbers), "searches": list(self.searches)}


def _numbered(figure: dict[str, Any], numbers: dict[str, int]) -> dict[str, Any]:
    """The figure with a number for each text of a point, by which it is found in `numbers`."""
    data = [
        {**trace, "text": [numbers.setdefault(text, len(numbers)) for text in trace["text"]]}
        if isinstance(trace.get("text"), list)
        else trace
        for trace in figure["data"]
    ]
    return {**figure, "data": data}


def compose(template: str, title: str, searches=(), found: Sequence[SearchResult] = (), **values: Any) -> Content:
    """Fills a template; `searches` and `found` as in `Content`."""
    charts = _Charts()
    module = (
        _environment()
        .get_template(template)
        .make_module({"title": title, "charts": charts, "number": number, "value_text": value_text, **values})
    )
    noscript = getattr(module, "noscript", "The tables below are complete.")
    return Content(title, str(getattr(module, "subtitle", "")), str(module), noscript, charts.figures, searches, found)


def render(content: Content, more_scripts: Sequence[str] = ()) -> str:
    """The whole file; `more_scripts` are names of templates that run after the page's own script."""
    # Data are compressed where they are many; those of a landscape are read at once by its script.
    packed = _packed(as_json(content.data)) if content.searches else None
    scripts = [_template(name) for name in ("page.js", *(("chosen.js", "trial.js") if content.searches else ()), *more_scripts)]
    return _layout(
        content,
        scripts,
        f"script-src {_hashes(_THEME, plotly(), *scripts)}",
        plotly=_packed_plotly(),
        packed=packed,
        inserted=not packed,
        note="This file needs no network.",
    )


def render_live(content: Content) -> str:
    """The page that a server renews: it fetches plotly.js and its data from there."""
    scripts = [_template(name) for name in ("page.js", "chosen.js", "trial.js", "live.js")]
    policy = f"script-src 'self' {_hashes(_THEME, *scripts)}; connect-src 'self'"
    note = "Renewed while the search goes on, as long as the command that serves this page runs."
    return _layout(content, scripts, policy, plotly=None, packed=None, inserted=False, note=note)


def _layout(content: Content, scripts: Sequence[str], policy: str, **values: Any) -> str:
    import jinja2

    markup = jinja2.utils.markupsafe.Markup
    return (
        _environment()
        .get_template("layout.html")
        .render(
            content=content,
            subtitle=markup(content.subtitle),
            body=markup(content.body),
            generator=GENERATOR,
            version=version(),
            written=moment(datetime.datetime.now().timestamp()),
            style=markup(_template("page.css")),
            theme=markup(_THEME),
            scripts=[markup(script) for script in scripts],
            # Plotly draws with styles and images of its own; nothing else is let in.
            policy=f"default-src 'none'; {policy}; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'",
            **values,
        )
    )


class _Charts:
    """Names the charts as the templates place them, and keeps their figures for the scripts."""

    def __init__(self) -> None:
        self.figures: dict[str, Any] = {}

    def place(self, chart: Chart, key: str | None = None) -> str:
        """The id of the chart's element: with a key the same in each renewal of the page."""
        name = f"chart-{key or len(self.figures) + 1}"
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


def as_json(value: Any) -> str:
    """Compact JSON."""
    return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))


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
def _environment():
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_template),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":"), "sort_keys": False}
    return environment


def packed_plotly() -> bytes:
    """plotly.js with what our charts draw, as gzip; scripts/bundle_plotly.sh makes it."""
    return _file("plotly.js.gz").read_bytes()


@functools.cache
def plotly() -> str:
    """plotly.js."""
    return gzip.decompress(packed_plotly()).decode()


@functools.cache
def _packed_plotly() -> str:
    return base64.b64encode(packed_plotly()).decode()


def _packed(text: str) -> str:
    """As page.js unpacks it."""
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


def _file(name: str):
    return importlib.resources.files("tuning.report") / "templates" / name


@functools.cache
def _template(name: str) -> str:
    # With the ends of lines that a browser reads, so that a script's hash is the same.
    return _file(name).read_text(encoding="utf-8").replace("\r\n", "\n")


def _hashes(*scripts: str) -> str:
    return " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in scripts)
