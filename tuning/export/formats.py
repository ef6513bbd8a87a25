"""A search as JSON, and as an Optuna study."""

from __future__ import annotations

import contextlib
import json
import pathlib
import sqlite3

from tuning.errors import SearchError
from tuning.results.search import SearchResult
from tuning.results.worth import as_json
from tuning.store.files import replacing


def to_json(search: SearchResult, path: pathlib.Path) -> list[pathlib.Path]:
    """What `show --json` prints; returns the paths."""

    def is_ours(existing: pathlib.Path) -> bool:
        with contextlib.suppress(ValueError):
            content = json.loads(existing.read_text(encoding="utf-8"))
            return isinstance(content, dict) and {"directory", "counts", "trials", "config"} <= content.keys()
        return False

    content = as_json(search)
    with replacing(path, is_ours) as temporary:
        temporary.write_text(json.dumps(content, ensure_ascii=False, allow_nan=False, indent=1) + "\n", encoding="utf-8")
    return [path]


def to_optuna(search: SearchResult, path: pathlib.Path) -> list[pathlib.Path]:
    """A storage on SQLite with one study; returns the paths."""
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
