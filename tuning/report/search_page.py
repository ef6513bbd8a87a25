"""The report of one search."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

from tuning.names import sentence
from tuning.report import page, reproduction
from tuning.report.curves import learning_curves
from tuning.report.importance import Importance, importance
from tuning.report.page import Cell, Content, Table, duration, moment
from tuning.report.parallel import parallel
from tuning.report.population import population
from tuning.report.progress import budget
from tuning.report.range_tests import drawn_tests
from tuning.report.response import divergence, main_axes, maps, sensitivity
from tuning.report.trials import key, link, pages, progress_text, score_text
from tuning.results.search import STATES, SearchResult, TrialRecord
from tuning.results.worth import worth
from tuning.space.axes import number, value_text
from tuning.store.database import FILE_NAME as STORE

MOST_TRACEBACKS = 20
MOST_ROWS = 1000  # of a table: with more of them a page opens slowly


def make(directory: pathlib.Path, live: bool = False, told: Callable[[SearchResult], Importance] = importance) -> Content:
    """The page of the search in `directory`; `told` says which hyperparameters are important."""
    search = SearchResult.load(directory)
    best = search.best
    axes = main_axes(search)
    return page.compose(
        "search.html",
        title=search.name,
        searches=pages([(search.name, search)]),
        found=[search],
        search=search,
        state=state_text(search, live),
        sentence=sentence,
        worth=worth(search),
        best=best,
        best_score=score_text(best) if best else None,
        first_axis=axes[0].label if axes else "the first number",
        summary=_summary(search),
        running=_running(search),
        leaderboard=leaderboard(search),
        curves=learning_curves(search),
        population=population(search),
        sensitivity=sensitivity(search),
        parallel=parallel(search),
        maps=maps(search),
        importance=told(search),
        budget=budget(search),
        divergence=divergence(search),
        range_tests=drawn_tests(directory),
        troubles=_troubles(search),
        tracebacks=_tracebacks(search),
        command=search.config.get("command"),
        snippet=reproduction.snippet(search, best) if best else None,
        seeds=_seeds(search, best) if best else None,
        plan=reproduction.plan(search.config),
        facts=reproduction.facts(search.config),
        store=STORE,
        created=moment(search.created),
    )


def state_text(search: SearchResult, live: bool) -> str:
    """Whether the search runs, or was interrupted; empty if it has ended."""
    if search.is_running:
        return "it is running" if live else "it was running when this report was written"
    return "it was interrupted" if search.count("running") else ""


def leaderboard(search: SearchResult, most: int | None = None, index: int = 0) -> Table:
    """The trials, best first, then those without a rank; all of them or the best few. `index`: of the search on its page."""
    ranked = search.ranking()
    others = sorted((trial for trial in search.trials if trial.state != "completed"), key=_state_order)
    repeats = any(len(trial.executions) > 1 for trial in search.trials)
    heads = ["rank", "trial", "state", search.objective + (" (mean ± 95 %)" if repeats else "")]
    heads += [*(axis.label for axis in search.axes), "epochs", "seconds"]
    rows = [_row(search, trial, rank, index) for rank, trial in enumerate(ranked, 1)]
    rows += [_row(search, trial, None, index) for trial in others]
    count = min(MOST_ROWS if most is None else most, len(rows))
    caption = f"The first {count} of {len(rows)} trials" if count < len(rows) else f"All {len(rows)} trials"
    caption = "The only trial" if len(rows) == 1 else caption
    return Table(
        f"{caption}{', best first' if len(rows) > 1 else ''}.",
        heads,
        rows[:count],
        most is None,
        [key(trial, index) for trial in [*ranked, *others]][:count],
    )


def _state_order(trial: TrialRecord) -> tuple[int, int]:
    return (STATES.index(trial.state) if trial.state in STATES else len(STATES), trial.number)


def _row(search: SearchResult, trial: TrialRecord, rank: int | None, index: int) -> list[Cell]:
    cells = [
        Cell("" if rank is None else str(rank), rank),
        Cell(str(trial.number), trial.number, link=link(trial, index)),
        Cell(trial.state, trial.state, f"state {trial.state if trial.state in STATES else ''}"),
        Cell(score_text(trial), trial.score),
    ]
    for axis in search.axes:
        value = trial.hyperparameters.get(axis.name)
        shown = value_text(value) if axis.name in trial.hyperparameters else ""
        position = axis.position(value)
        cells.append(Cell(shown, position if position is not None else shown))
    cells.append(Cell(progress_text(trial), trial.epochs))
    cells.append(Cell("" if trial.seconds is None else f"{trial.seconds:.1f}", trial.seconds))
    return cells


def _summary(search: SearchResult) -> list[tuple[str, str]]:
    counts = ", ".join(f"{count} {state}" for state in STATES if (count := search.count(state)))
    wanted = search.config.get("trials")
    spent = sum(trial.seconds or 0.0 for trial in search.trials)
    aim = "highest" if search.direction == "max" else "lowest"
    return [
        ("trials", f"{len(search.trials)}{f' of {wanted}' if wanted else ''}" + (f" ({counts})" if counts else "")),
        ("objective", f"{search.objective}, {aim} is best"),
        ("trainings per setting", str(search.config.get("repeats", 1))),
        ("searcher", str(search.config.get("oracle", "unknown"))),
        *_members(search),
        ("epochs trained", str(search.epochs_trained)),
        ("time in trials", duration(spent)),
        *([] if search.ended is None else [("ended", search.ended["text"])]),
        *([("warm start", warm["note"])] if (warm := search.config.get("warm_start")) else []),
    ]


def _members(search: SearchResult) -> list[tuple[str, str]]:
    members, ready = search.config.get("population"), search.config.get("ready")
    return [("population", f"{members} members, intervals of {ready} epoch{'s' * (ready != 1)}")] if members and ready else []


def _troubles(search: SearchResult) -> Table | None:
    troubled = [trial for trial in search.trials if trial.state in ("failed", "pruned")]
    if not troubled:
        return None
    left_out = len(troubled) - MOST_ROWS
    troubled = troubled[:MOST_ROWS]
    rows = []
    for trial in troubled:
        trained = max((len(values) for curve in trial.curves for values in curve.values()), default=0)
        setting = ", ".join(f"{name}={value_text(value)}" for name, value in trial.hyperparameters.items())
        rows.append(
            [
                Cell(str(trial.number), trial.number, link=link(trial)),
                Cell(trial.state, trial.state, f"state {trial.state}"),
                Cell(f"{trained} of {trial.epochs}" if trial.epochs else str(trained), trained),
                Cell(score_text(trial), trial.score),
                Cell(setting, setting, "long"),
                Cell(trial.message or "", trial.message or "", "long"),
            ]
        )
    heads = ["trial", "state", "epochs trained", search.objective, "setting", "message"]
    keys = [key(trial) for trial in troubled]
    caption = "Trials that failed or were stopped early" + (f"; {left_out} more are in {STORE}." if left_out > 0 else ".")
    return Table(caption, heads, rows, sortable=True, trials=keys)


def _running(search: SearchResult) -> Table | None:
    """What runs now, or ran when the search was interrupted."""
    trials = [trial for trial in search.trials if trial.state == "running"]
    if not trials:
        return None
    rows = []
    for trial in trials:
        last = trial.curves[-1].get(search.objective) if trial.curves else None
        setting = ", ".join(f"{name}={value_text(value)}" for name, value in trial.hyperparameters.items())
        rows.append(
            [
                Cell(str(trial.number), trial.number, link=link(trial)),
                Cell(progress_text(trial)),
                Cell("" if not last or last[-1] is None else number(last[-1], 4)),
                Cell(moment(trial.begun)),
                Cell(setting, kind="long"),
            ]
        )
    caption = "The trials that run now." if search.is_running else "The trials that were interrupted; they begin again."
    return Table(caption, ["trial", "epochs", search.objective, "begun", "setting"], rows, trials=list(map(key, trials)))


def _tracebacks(search: SearchResult) -> list[tuple[int, str]]:
    failed = [(trial.number, trial.traceback[-6000:]) for trial in search.trials if trial.traceback]
    return failed[:MOST_TRACEBACKS]


def _seeds(search: SearchResult, best: TrialRecord) -> Table:
    rows: list[list[Cell]] = []
    for i, execution in enumerate(best.trainings, 1):
        epoch: Any = "" if execution.best_epoch is None else execution.best_epoch + 1
        score = "" if execution.score is None else number(execution.score)
        rows.append([Cell(str(i)), Cell(str(execution.seed)), Cell(score), Cell(str(epoch)), Cell(f"{execution.seconds:.1f}")])
    heads = ["training", "seed", search.objective, "best epoch", "seconds"]
    return Table(f"The trainings of the best setting (trial {best.number}).", heads, rows)
