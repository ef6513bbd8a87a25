"""The report of a comparison of optimizers, from its `comparison.json` and the stores beside it."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from typing import Any

from tuning.errors import SearchError
from tuning.report import comparison_charts, page, reproduction
from tuning.report.page import Cell, Content, Table, duration
from tuning.report.range_tests import drawn_tests
from tuning.report.search_page import leaderboard
from tuning.report.trials import pages
from tuning.results.comparison import Comparison, budget
from tuning.results.search import SearchResult
from tuning.space.axes import number

LEADERS = 5


@dataclasses.dataclass(frozen=True)
class Compared:
    """One optimizer: what the comparison says of it, and its stores, as far as they are there."""

    name: str
    found: dict[str, Any]
    search: SearchResult | None
    confirmation: SearchResult | None
    link: str | None
    leaders: Table | None = None


def make(directory: pathlib.Path, live: bool = False) -> Content:
    """The page of the comparison in `directory`."""
    comparison = _known_now(Comparison.load(directory)).content
    compared = [_compared(directory, found) for found in comparison["optimizers"]]
    objective, direction = comparison.get("objective") or "score", comparison.get("direction") or "max"
    test = comparison.get("test_metric") if any(each.found.get("test") for each in compared) else None
    kind = "test" if test else "validation"
    best = direction if kind == "validation" else _direction(test, direction)
    compared = _numbered(sorted(compared, key=lambda each: _rank(each, kind, best)))
    rows = [(each.name, each.found[kind]) for each in compared if each.found.get(kind)]
    searches = [(each.name, each.search) for each in compared if each.search is not None]
    confirmations = [(each.name, each.confirmation) for each in compared if each.confirmation is not None]
    return page.compose(
        "comparison.html",
        title=f"{_listed([each.name for each in compared])} on {comparison.get('problem', 'a problem')}",
        searches=pages(searches),
        found=[search for _, search in searches],
        comparison=comparison,
        live=live,
        budget=budget(comparison),
        compared=compared,
        metric=test or objective,
        kind=kind,
        objective=objective,
        table=_table(comparison, compared, objective, test),
        intervals=comparison_charts.intervals(test or objective, rows),
        differences=_differences(comparison),
        undecided=[entry for entry in comparison.get("differences") or [] if not entry.get("significant")],
        progress=comparison_charts.progress(searches),
        curves=comparison_charts.confirmed_curves(confirmations),
        sensitivity=comparison_charts.sensitivities(searches),
        range_tests=drawn_tests(directory),
        command=comparison.get("command"),
        snippets=[(each.name, _snippet(each)) for each in compared],
        plan=_plan(comparison),
        facts=reproduction.facts(comparison),
    )


def _compared(directory: pathlib.Path, found: dict[str, Any]) -> Compared:
    search = _store(directory, found.get("directory"))
    link = None
    if search is not None and (pathlib.Path(search.directory) / "report.html").is_file():
        link = pathlib.PurePath(os.path.relpath(search.directory, directory.resolve()), "report.html").as_posix()
    return Compared(
        name=str(found["optimizer"]),
        found=found,
        search=search,
        confirmation=_store(directory, found.get("confirmation")),
        link=link,
    )


def _numbered(compared: list[Compared]) -> list[Compared]:
    """With the leaders of each search, which lead to the pages of their trials."""
    numbered, index = [], 0
    for each in compared:
        if each.search is not None:
            each = dataclasses.replace(each, leaders=leaderboard(each.search, LEADERS, index))
            index += 1
        numbered.append(each)
    return numbered


def _known_now(comparison: Comparison) -> Comparison:
    """Of one that is not complete what its stores say: its file is written only after each search."""
    content, needed = comparison.content, {"objective", "direction", "confirmations"}
    if content.get("complete") is not False or not needed <= content.keys():
        return comparison
    names = [str(entry["optimizer"]) for entry in comparison.optimizers]
    try:
        return Comparison.of(comparison.directory, content, names)
    except (LookupError, TypeError, ValueError):  # a store that cannot be read, or stores that do not fit
        return comparison


def _store(directory: pathlib.Path, relative: Any) -> SearchResult | None:
    """A store beside the comparison; `None` if it is not there (yet) or cannot be read."""
    path = (directory / relative).resolve() if isinstance(relative, str) else None
    if path is not None and not path.is_relative_to(directory.resolve()):
        return None
    if path is None:
        return None
    try:
        return SearchResult.load(path)
    except SearchError:
        return None


def _rank(each: Compared, kind: str, direction: str) -> float:
    found = each.found.get(kind)
    if not found or found.get("mean") is None:
        return float("inf")
    return -found["mean"] if direction == "max" else found["mean"]


def _direction(metric: str | None, otherwise: str) -> str:
    """Whether the test metric is to be large: a loss never is, else it goes with the objective."""
    return "min" if metric is not None and metric.endswith("loss") else otherwise


def _table(comparison: dict[str, Any], compared: list[Compared], objective: str, test: str | None) -> Table:
    heads = ["optimizer", *([f"{test} (mean, 95 %)"] if test else []), f"{objective} (mean, 95 %)", f"best {objective} in search"]
    heads += ["trials", "confirmations", "time"]
    rows = []
    for each in compared:
        found = each.found
        cells = [Cell(each.name, each.name, "name")]
        for kind in ("test", "validation") if test else ("validation",):
            measured = found.get(kind) or {}
            cells.append(Cell(_with_interval(measured), measured.get("mean")))
        score = found.get("search_score")
        cells += [
            Cell("" if score is None else number(score), score),
            _counted(found.get("trials")),
            _counted(found.get("confirmations")),
            Cell(duration(found.get("seconds")), found.get("seconds")),
        ]
        rows.append(cells)
    seeds = comparison.get("confirmations")
    caption = f"The best setting of each, trained again with {seeds} fresh seeds" if seeds else "The best setting of each"
    return Table(f"{caption}; best first.", heads, rows, sortable=True)


def _counted(counts: Any) -> Cell:
    """How many trials are in each state."""
    counts = counts if isinstance(counts, dict) else {}
    return Cell(", ".join(f"{count} {state}" for state, count in counts.items() if count), sum(counts.values()))


def _with_interval(measured: dict[str, Any]) -> str:
    if measured.get("mean") is None:
        return ""
    low, high = measured.get("low"), measured.get("high")
    interval = f" [{number(low, 4)}, {number(high, 4)}]" if low is not None and high is not None else ""
    return f"{number(measured['mean'], 4)}{interval}"


def _differences(comparison: dict[str, Any]) -> Table | None:
    entries = comparison.get("differences") or []
    if not entries:
        return None
    rows = []
    for entry in entries:
        p = entry.get("p_adjusted")
        low, high = entry.get("low"), entry.get("high")
        interval = "" if low is None or high is None else f"[{number(low, 3)}, {number(high, 3)}]"
        difference = entry.get("difference")
        rows.append(
            [
                Cell(f"{entry.get('one')} − {entry.get('other')}", str(entry.get("one")), "name"),
                Cell("" if difference is None else f"{difference:+.3g}", difference),
                Cell(interval),
                Cell("" if p is None else f"{p:.2g}", p),
                Cell("yes" if entry.get("significant") else "no", "yes" if entry.get("significant") else "no"),
            ]
        )
    metric = entries[0].get("metric") or "score"
    heads = ["difference", metric, "95 % interval", "p (adjusted)", "significant"]
    return Table(
        f"The differences of the means of {metric}; each interval is of its pair alone, p is adjusted for the number of pairs.",
        heads,
        rows,
        sortable=True,
    )


def _plan(comparison: dict[str, Any]) -> list[tuple[str, str]]:
    of_search = ("problem", "objective", "direction", "test_metric", "oracle", "trials", "max_epochs", "target")
    names = (*of_search, "epochs", "repeats", "confirmations", "seed")
    return [(name.replace("_", " "), str(comparison[name])) for name in names if comparison.get(name) is not None]


def _snippet(each: Compared) -> str | None:
    search = each.confirmation
    if search is None:
        return None
    return next((reproduction.snippet(search, trial) for trial in search.trials if trial.state == "completed"), None)


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else "A comparison"
