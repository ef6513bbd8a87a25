"""Tables of a search or a comparison, as CSV."""

from __future__ import annotations

import csv
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tuning.results.comparison import Comparison
from tuning.results.search import SearchResult
from tuning.store.files import replacing

_TRIAL_COLUMNS = ("trial", "state", "score")
_CURVE_COLUMNS = ("trial", "execution", "epoch", "metric", "value")
_SAMPLE = ("mean", "sd", "low", "high")
_COMPARED_COLUMNS = (
    *("optimizer", "metric", "mean", "sd", "low_95", "high_95", "seeds"),
    *("validation_metric", "validation_mean", "validation_sd", "validation_low_95", "validation_high_95"),
    *("search_score", "completed", "diverged", "failed", "pruned", "seconds", "line"),
)
_SEED_COLUMNS = ("optimizer", "seed", "validation", "test")
_DIFFERENCE_COLUMNS = ("one", "other", "metric", "difference", "low", "high", "p", "p_adjusted", "significant", "paired")


def search_to_csv(search: SearchResult, path: pathlib.Path) -> list[pathlib.Path]:
    """A row per trial, and beside that a row per epoch and metric; returns the paths."""
    curves = path.with_name(f"{path.stem}-curves{path.suffix or '.csv'}")
    names = [axis.name for axis in search.axes]
    header = [*_TRIAL_COLUMNS, "half_interval_95", *names, "epochs", "seconds", "begun", "executions", "seeds", "message"]
    _write_table(path, header, _trial_rows(search, names), begins=_TRIAL_COLUMNS)
    _write_table(curves, _CURVE_COLUMNS, _curve_rows(search))
    return [path, curves]


def _trial_rows(search: SearchResult, names: list[str]) -> Iterable[list]:
    for trial in search.trials:
        yield [
            trial.number,
            trial.state,
            trial.score,
            trial.half,
            *(trial.hyperparameters.get(name) for name in names),
            trial.epochs,
            trial.seconds,
            trial.begun,
            " ".join("" if score is None else repr(score) for score in trial.executions),
            " ".join(map(str, trial.seeds)),
            trial.message,
        ]


def _curve_rows(search: SearchResult) -> Iterable[list]:
    for trial in search.trials:
        for execution, curve in enumerate(trial.curves):
            for metric, values in curve.items():
                for epoch, value in enumerate(values):
                    yield [trial.number, execution, epoch, metric, value]


def comparison_to_csv(comparison: Comparison, path: pathlib.Path) -> list[pathlib.Path]:
    """A row per optimizer; beside that a row per optimizer and fresh seed, and one per pair of optimizers; returns the paths."""
    seeds, differences = (path.with_name(f"{path.stem}-{what}{path.suffix or '.csv'}") for what in ("seeds", "differences"))
    _write_table(path, _COMPARED_COLUMNS, _optimizer_rows(comparison))
    _write_table(seeds, _SEED_COLUMNS, _seed_rows(comparison))
    rows = ([pair.get(name) for name in _DIFFERENCE_COLUMNS] for pair in comparison.differences)
    _write_table(differences, _DIFFERENCE_COLUMNS, rows)
    return [path, seeds, differences]


def _optimizer_rows(comparison: Comparison) -> Iterable[list]:
    content = comparison.content
    for entry in comparison.optimizers:
        test, validation = entry.get("test"), entry.get("validation")
        shown = test or validation or {}
        yield [
            entry["optimizer"],
            (content.get("test_metric") if test else content["objective"]) if shown else None,
            *(shown.get(name) for name in _SAMPLE),
            shown.get("count"),
            content["objective"],
            *((validation or {}).get(name) for name in _SAMPLE),
            entry.get("search_score"),
            *((entry.get("trials") or {}).get(state, 0) for state in ("completed", "diverged", "failed", "pruned")),
            entry.get("seconds"),
            entry.get("line"),
        ]


def _seed_rows(comparison: Comparison) -> Iterable[list]:
    for entry in comparison.optimizers:
        tests = _by_seed(entry.get("test"))
        for seed, value in _by_seed(entry.get("validation")).items():
            yield [entry["optimizer"], seed, value, tests.get(seed)]


def _by_seed(sample: Mapping[str, Any] | None) -> dict[int, float]:
    return dict(zip(sample["seeds"], sample["values"], strict=True)) if sample else {}


def _write_table(path: pathlib.Path, header: Sequence[str], rows: Iterable[list], begins: Sequence[str] | None = None) -> None:
    """Writes it in the place of one whose header begins so, by default as this one."""
    columns = header if begins is None else begins

    def is_ours(existing: pathlib.Path) -> bool:
        with existing.open(encoding="utf-8", errors="replace") as file:
            return file.readline().startswith(",".join(columns))

    with replacing(path, is_ours) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([_cell(name) for name in header])
        writer.writerows([_cell(value) for value in row] for row in rows)


def _cell(value: Any) -> Any:
    """A text that a spreadsheet would run as a formula is made a text for it as well."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return value
