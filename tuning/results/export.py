"""`keras-optims export`: a search as tables, as JSON, or as an Optuna study.

- csv: `trials.csv`, one row per trial, and beside it `trials-curves.csv`, one row per epoch and metric.
- json: `search.json`, what `keras-optims show --json` prints.
- optuna: `optuna.db`, an Optuna storage on SQLite with one study, named after the search. It holds every trial with its
  distributions, its learning curve as intermediate values, and user attributes; `optuna-dashboard` opens it. Diverged
  trials are FAIL there, as Optuna has them, with the user attribute `state`. Optuna knows no scale that is logarithmic in
  1-x, so a hyperparameter NAME that was searched on it becomes the parameter `1 - NAME` on a logarithmic scale, and its own
  value is the user attribute NAME.

A file is written whole or not at all; a file that is not an earlier export is not overwritten.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import pathlib
import sqlite3
from collections.abc import Callable, Iterable
from typing import Any

from tuning.errors import SearchError
from tuning.results.comparison import Comparison, is_comparison
from tuning.results.search import SearchResult
from tuning.results.worth import as_json
from tuning.store.files import replacing

_TRIAL_COLUMNS = ("trial", "state", "score")
_CURVE_COLUMNS = ("trial", "execution", "epoch", "metric", "value")


def export_search(directory: str | os.PathLike, to: str, output: str | os.PathLike | None = None) -> list[pathlib.Path]:
    """Writes a search in another format.

    Args:
        directory: of the search.
        to: `"csv"`, `"json"` or `"optuna"`.
        output: the file; by default `trials.csv`, `search.json` or `optuna.db` in `directory`.

    Returns:
        The paths of the files written.

    Raises:
        SearchError: there is no search, the format is unknown, or the file is somebody else's.
    """
    if to not in FORMATS:
        raise SearchError(f"A search can be exported to {', '.join(FORMATS)}; received {to!r}.")
    write, name = FORMATS[to]
    if is_comparison(directory):
        names = [entry["directory"] for entry in Comparison.load(directory).optimizers]
        one = pathlib.Path(directory) / names[0] if names else directory
        raise SearchError(f"{directory} holds a comparison: export its searches one by one, such as {one}.")
    search = SearchResult.load(directory)
    return write(search, pathlib.Path(output) if output is not None else pathlib.Path(directory) / name)


def _to_csv(search: SearchResult, path: pathlib.Path) -> list[pathlib.Path]:
    curves = path.with_name(f"{path.stem}-curves{path.suffix or '.csv'}")
    names = [axis.name for axis in search.axes]
    header = [*_TRIAL_COLUMNS, "half_interval_95", *names, "epochs", "seconds", "begun", "executions", "seeds", "message"]
    _write_table(path, header, _trial_rows(search, names))
    _write_table(curves, list(_CURVE_COLUMNS), _curve_rows(search))
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


def _write_table(path: pathlib.Path, header: list[str], rows: Iterable[list]) -> None:
    columns = _TRIAL_COLUMNS if tuple(header[:3]) == _TRIAL_COLUMNS else _CURVE_COLUMNS

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


def _to_json(search: SearchResult, path: pathlib.Path) -> list[pathlib.Path]:
    def is_ours(existing: pathlib.Path) -> bool:
        with contextlib.suppress(ValueError):
            content = json.loads(existing.read_text(encoding="utf-8"))
            return isinstance(content, dict) and {"directory", "counts", "trials", "config"} <= content.keys()
        return False

    content = as_json(search)
    with replacing(path, is_ours) as temporary:
        temporary.write_text(json.dumps(content, ensure_ascii=False, allow_nan=False, indent=1) + "\n", encoding="utf-8")
    return [path]


def _to_optuna(search: SearchResult, path: pathlib.Path) -> list[pathlib.Path]:
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise SearchError("An export to Optuna needs the package optuna: pip install 'keras-optims[tuning]'.") from error
    from tuning.results.optuna_study import add_trials
    from tuning.space.in_optuna import quietly

    with replacing(path, _is_our_study) as temporary, quietly():
        storage = optuna.storages.RDBStorage(f"sqlite:///{temporary.resolve()}")
        try:
            study = optuna.create_study(
                study_name=search.name,
                direction="maximize" if search.direction == "max" else "minimize",
                storage=storage,
            )
            study.set_metric_names([search.objective])
            study.set_user_attr("exported_by", "keras-optims")
            for name in ("command", "problem", "oracle", "seed", "backend"):
                if search.config.get(name) is not None:
                    study.set_user_attr(name, search.config[name])
            add_trials(study, search)
        finally:
            storage.remove_session()
            storage.engine.dispose()
    return [path]


def _is_our_study(path: pathlib.Path) -> bool:
    with contextlib.suppress(sqlite3.Error):
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        try:
            query = "SELECT count(*) FROM study_user_attributes WHERE key = 'exported_by'"
            return connection.execute(query).fetchone()[0] > 0
        finally:
            connection.close()
    return False


FORMATS: dict[str, tuple[Callable[[SearchResult, pathlib.Path], list[pathlib.Path]], str]] = {
    "csv": (_to_csv, "trials.csv"),
    "json": (_to_json, "search.json"),
    "optuna": (_to_optuna, "optuna.db"),
}
