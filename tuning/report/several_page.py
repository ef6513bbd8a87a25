"""Several searches side by side."""

from __future__ import annotations

import collections
import dataclasses
import pathlib
from collections.abc import Sequence

from tuning.report import comparison_charts, page
from tuning.report.curves import learning_curves
from tuning.report.figure import Chart, of_search
from tuning.report.page import Cell, Content, Table, duration
from tuning.report.parallel import parallel
from tuning.report.response import sensitivity
from tuning.report.search_page import leaderboard, state_text
from tuning.report.trials import link, pages, score_text
from tuning.results.comparison import Comparison, is_comparison
from tuning.results.search import STATES, SearchResult, TrialRecord
from tuning.store import database as stores


@dataclasses.dataclass(frozen=True)
class Column:
    """What stands of one search beside the others."""

    name: str
    search: SearchResult
    best: TrialRecord | None
    best_score: str
    best_link: str
    state: str
    leaderboard: Table
    curves: Chart | None
    sensitivity: Chart | None
    parallel: Chart | None


def make(directories: Sequence[pathlib.Path], live: bool = False) -> Content:
    """The page of these searches; of a comparison its searches are shown."""
    searches = named([search for directory in directories for search in _searches(directory)])
    columns = [_column(name, search, index, live) for index, (name, search) in enumerate(searches)]
    alike = len({(search.objective, search.direction) for _, search in searches}) == 1
    return page.compose(
        "several.html",
        title=f"{len(searches)} search{'es' * (len(searches) != 1)} side by side",
        searches=pages(searches),
        found=[search for _, search in searches],
        overview=_overview(searches),
        columns=columns,
        alike=alike,
        objectives=sorted({f"{search.objective} ({search.direction})" for _, search in searches}),
        progress=comparison_charts.progress(searches, "search") if alike else None,
        best_curves=comparison_charts.best_curves(searches) if alike else None,
        sensitivity=comparison_charts.sensitivities(searches, "search") if alike else None,
    )


def named(searches: Sequence[SearchResult]) -> list[tuple[str, SearchResult]]:
    """Each with what it is called here: what was tuned on what, and its folder where that is not enough."""
    count = collections.Counter(search.name for search in searches)
    names = [
        search.name if count[search.name] == 1 else f"{search.name} in {_place(search.directory, searches)}"
        for search in searches
    ]
    again = collections.Counter(names)
    names = [name if again[name] == 1 else f"{name} ({number})" for number, name in enumerate(names, 1)]
    return list(zip(names, searches, strict=True))


def _place(directory: pathlib.Path, searches: Sequence[SearchResult]) -> str:
    """As much of the end of a folder's path as tells it from the others'."""
    parts = directory.resolve().parts
    others = [search.directory.resolve().parts for search in searches]
    length = next((n for n in range(1, len(parts)) if [other[-n:] for other in others].count(parts[-n:]) == 1), 1)
    return "/".join(parts[-length:])


def _searches(directory: pathlib.Path) -> list[SearchResult]:
    if not is_comparison(directory):
        return [SearchResult.load(directory)]
    found = (directory / str(entry.get("directory")) for entry in Comparison.load(directory).optimizers)
    inside = [path for path in found if path.resolve().is_relative_to(directory.resolve())]
    return [SearchResult.load(path) for path in inside if stores.exists(path)]


def _column(name: str, search: SearchResult, index: int, live: bool) -> Column:
    best = search.best
    return Column(
        name=name,
        search=search,
        best=best,
        best_score="" if best is None else score_text(best),
        best_link="" if best is None else link(best, index),
        state=state_text(search, live),
        leaderboard=leaderboard(search, index=index),
        curves=of_search(learning_curves(search), index),
        sensitivity=of_search(sensitivity(search), index),
        parallel=of_search(parallel(search), index),
    )


def _overview(searches: Sequence[tuple[str, SearchResult]]) -> Table:
    rows = []
    for index, (name, search) in enumerate(searches):
        best = search.best
        spent = sum(trial.seconds or 0.0 for trial in search.trials)
        counts = ", ".join(f"{count} {state}" for state in STATES if (count := search.count(state)))
        rows.append(
            [
                Cell(name, name, "name", f"#search-{index}"),
                Cell(f"{search.objective} ({search.direction})", search.objective, "name"),
                Cell("" if best is None else score_text(best), None if best is None else best.score),
                Cell(counts or "none", len(search.trials), "words"),
                Cell(duration(spent), spent),
                Cell("" if best is None else best.line, kind="long"),
            ]
        )
    heads = ["search", "objective", "best score", "trials", "time in trials", "best setting"]
    return Table("The searches and what each found.", heads, rows, sortable=True)
