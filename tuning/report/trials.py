"""The page of each trial, as data that the page's script lays out: curve, setting, seeds, error, and how to run it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tuning.names import counted
from tuning.report import reproduction
from tuning.report.figure import plain, rounded
from tuning.report.page import moment
from tuning.results.search import SearchResult, TrialRecord
from tuning.space.axes import number, value_text

MOST_VALUES = 60_000  # of all curves together in a file: with more of them, only every so many epochs are in it
MOST_OF_A_TRACEBACK = 6000  # characters, from its end
_DIGITS = 5


def key(trial: TrialRecord, index: int = 0) -> str:
    """What a trial is called on a page with several searches."""
    return f"{index}.{trial.number}"


def link(trial: TrialRecord, index: int = 0) -> str:
    """To the page of a trial."""
    return f"#trial-{key(trial, index)}"


def pages(searches: Sequence[tuple[str, SearchResult]]) -> list[dict[str, Any]]:
    """For each of these named searches what the pages of its trials say."""
    values = sum(len(of) for _, search in searches for trial in search.trials for curve in trial.curves for of in curve.values())
    step = -(-values // MOST_VALUES) or 1
    return [_search(name, search, step) for name, search in searches]


def curves(trial: TrialRecord, step: int = 1) -> dict[str, list[Any]]:
    """Metric -> of each training how many epochs it had, and the values after epochs 1, 1 + step, ... and the last one."""
    found: dict[str, list[Any]] = {}
    for curve in trial.curves:
        for name, values in curve.items():
            kept = values[::step] if (len(values) - 1) % step == 0 else [*values[::step], values[-1]]
            found.setdefault(name, []).append([len(values), [rounded(value, _DIGITS) for value in kept]])
    return found


def _search(name: str, search: SearchResult, step: int) -> dict[str, Any]:
    metrics = dict.fromkeys(metric for trial in search.trials for curve in trial.curves for metric in curve)
    ranks = {trial.number: rank for rank, trial in enumerate(search.ranking(), 1)}
    wanted = search.config.get("trials")
    return {
        "name": name,
        "objective": search.objective,
        "metrics": {metric: plain(metric) for metric in sorted(metrics, key=lambda metric: metric != search.objective)},
        "axes": [axis.label for axis in search.axes],
        "facts": reproduction.facts(search.config),
        "step": step,
        "running": search.is_running,
        "ended": len(search.trials) - search.count("running"),
        "wanted": wanted if isinstance(wanted, int) else None,
        "trials": [_trial(search, trial, ranks, step) for trial in search.trials],
    }


def _trial(search: SearchResult, trial: TrialRecord, ranks: Mapping[int, int], step: int) -> dict[str, Any]:
    of = trial.hyperparameters
    page = {
        "number": trial.number,
        "state": trial.state,
        "score": score_text(trial),
        "rank": ranks.get(trial.number),
        "epochs": progress_text(trial),
        "seconds": "" if trial.seconds is None else f"{trial.seconds:.1f} s",
        "begun": moment(trial.begun),
        "continues": trial.continues,
        "line": trial.line,
        "values": [value_text(of[axis.name]) if axis.name in of else None for axis in search.axes],
        "trainings": [
            [
                training.seed,
                None if training.score is None else number(training.score),
                None if training.best_epoch is None else training.best_epoch + 1,
                f"{training.seconds:.1f}",
            ]
            for training in trial.trainings
        ],
        "message": trial.message,
        "traceback": trial.traceback[-MOST_OF_A_TRACEBACK:] if trial.traceback else None,
        "again": reproduction.snippet(search, trial),
        "curves": curves(trial, step),
    }
    return {name: value for name, value in page.items() if value not in (None, "", [], {})}


def score_text(trial: TrialRecord) -> str:
    """The score with its interval, if it has one."""
    if trial.score is None:
        return ""
    half = trial.half
    return number(trial.score) + (f" ± {half:.2g}" if half is not None else "")


def progress_text(trial: TrialRecord) -> str:
    """How many epochs it trained, of a trial that runs how many so far."""
    if trial.state != "running":
        return trial.epochs_text
    so_far = f"{trial.trained[-1] if trial.trained else 0}" + (f" of {trial.epochs}" if trial.epochs else "")
    return so_far if len(trial.curves) < 2 else f"{so_far}, {counted(len(trial.curves) - 1, 'training')} before"
