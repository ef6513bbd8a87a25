"""`keras-optims export`: a search or a comparison as tables, JSON, an Optuna study, or runs of TensorBoard or MLflow.

- csv: `trials.csv`, one row per trial, and beside it `trials-curves.csv`, one row per epoch and metric.
  Of a comparison: `comparison.csv`, one row per optimizer, `comparison-seeds.csv`, one per optimizer and fresh seed, and
  `comparison-differences.csv`, one per pair of optimizers.
- json: `search.json`, what `keras-optims show --json` prints.
- optuna: `optuna.db`, an Optuna storage on SQLite with one study, named after the search. It holds every trial with its
  distributions, its learning curve as intermediate values, and user attributes; `optuna-dashboard` opens it. Diverged
  trials are FAIL there, as Optuna has them, with the user attribute `state`. Optuna knows no scale that is logarithmic in
  1-x, so a hyperparameter NAME that was searched on it becomes the parameter `1 - NAME` on a logarithmic scale, and its own
  value is the user attribute NAME.
- tensorboard, mlflow: what `--log` writes while a search runs. Runs that are there already are not written again.

A file is written whole or not at all; a file that is not an earlier export is not overwritten.
"""

from __future__ import annotations

import os
import pathlib

from tuning.errors import SearchError
from tuning.export.formats import to_json, to_optuna
from tuning.export.runs import to_tracker
from tuning.export.tables import comparison_to_csv, search_to_csv
from tuning.names import EXPORTS, TRACKERS
from tuning.results.comparison import Comparison, is_comparison
from tuning.results.search import SearchResult

_OF_A_SEARCH = {"csv": (search_to_csv, "trials.csv"), "json": (to_json, "search.json"), "optuna": (to_optuna, "optuna.db")}

OF_TRACKERS = [name for name in EXPORTS if name in TRACKERS]


def export_search(directory: str | os.PathLike, to: str, output: str | os.PathLike | None = None) -> list[pathlib.Path | str]:
    """Writes a search or a comparison in another format.

    Args:
        directory: of the search or the comparison.
        to: `"csv"`, `"json"`, `"optuna"`, `"tensorboard"` or `"mlflow"`; of a comparison not `"json"`, which it has as
            `comparison.json`, nor `"optuna"`.
        output: the file; by default `trials.csv`, `comparison.csv`, `search.json` or `optuna.db` in `directory`. Of
            `"tensorboard"` and `"mlflow"` a folder; by default `directory`, or where MLFLOW_TRACKING_URI says.

    Returns:
        The paths of the files written; of `"tensorboard"` and `"mlflow"` the command that shows the runs, or MLflow's URI.

    Raises:
        SearchError: there is no search, the format is unknown, the file is somebody else's, or a client is missing or fails.
    """
    if to not in EXPORTS:
        raise SearchError(f"A search can be exported to {', '.join(EXPORTS)}; received {to!r}.")
    path = None if output is None else pathlib.Path(output)
    comparison = Comparison.load(directory) if is_comparison(directory) else None
    if to in OF_TRACKERS:
        return [to_tracker(to, comparison or SearchResult.load(directory), path)]
    if comparison is not None:
        if to == "csv":
            return [*comparison_to_csv(comparison, path or pathlib.Path(directory) / "comparison.csv")]
        names = [entry["directory"] for entry in comparison.optimizers]
        one = pathlib.Path(directory) / names[0] if names else directory
        raise SearchError(
            f"{directory} holds a comparison, which can be exported to csv, {', '.join(OF_TRACKERS)}; for {to} export its "
            f"searches one by one, such as {one}."
        )
    write, name = _OF_A_SEARCH[to]
    return [*write(SearchResult.load(directory), path or pathlib.Path(directory) / name)]
