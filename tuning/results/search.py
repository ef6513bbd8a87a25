"""What a search found, read from its store; importing this needs neither Keras nor pandas."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import pathlib
from typing import Any

from tuning.results.statistics import Summary, summary
from tuning.store import database as stores
from tuning.store.files import replacing

STATES = ("completed", "pruned", "diverged", "failed", "running")


@dataclasses.dataclass(frozen=True)
class TrialRecord:
    """One trial.

    Args:
        number: 0, 1, ... in the order of beginning.
        state: `"running"` (or interrupted), `"completed"`, `"pruned"`, `"diverged"` or `"failed"`.
        hyperparameters: the searched ones, by name.
        epochs: how many it trains.
        score: mean over executions of the objective at its best epoch, of a pruned trial the best until it was stopped; `None`
            unless completed or pruned.
        executions: the score of each training; `None` if it diverged.
        curves: for each execution, metric -> its value after each epoch; `None` where it was not a number.
        message: why it failed.
        begun: in seconds since 1970.
        seconds: how long it took; `None` while it runs.
        line: the setting as a line of Python.
        seeds: of each training.
        best_epochs: of each training, from 0: the epoch whose objective is its score.
    """

    number: int
    state: str
    hyperparameters: dict[str, Any]
    epochs: int | None
    score: float | None
    executions: list[float | None]
    curves: list[dict[str, list[float | None]]]
    message: str | None
    begun: float
    seconds: float | None
    line: str
    seeds: list[int] = dataclasses.field(default_factory=list)
    best_epochs: list[int | None] = dataclasses.field(default_factory=list)

    @property
    def summary(self) -> Summary | None:
        """Mean, standard deviation and 95 % interval over the executions; `None` unless the trial has a score."""
        scores = [score for score in self.executions if score is not None and math.isfinite(score)]
        return summary(scores) if self.score is not None and scores else None

    @property
    def spread(self) -> dict[str, float | None]:
        """The standard deviation (`sd`) and the 95 % interval (`low`, `high`) of the score; `None` from a single training."""
        found = self.summary
        return {name: getattr(found, name, None) for name in ("sd", "low", "high")}

    def to_json(self) -> dict[str, Any]:
        """As plain JSON; infinities, which JSON does not have, become null."""
        return json_ready({**dataclasses.asdict(self), **self.spread})


class SearchResult:
    """The trials of a search, running or ended.

    Args:
        directory: of the store.
        config: what was searched, how, and with which versions.
        trials: all `TrialRecord`s, in the order of beginning.
    """

    def __init__(self, directory: str | os.PathLike, config: dict[str, Any], trials: list[TrialRecord]):
        self.directory = pathlib.Path(directory)
        self.config = config
        self.trials = trials

    def __repr__(self) -> str:
        best = self.best
        found = f"best {self.objective} {best.score:.6g}: {best.line}" if best and best.score is not None else "none completed"
        return f"SearchResult({self.directory}, {len(self.trials)} trials, {found})"

    @classmethod
    def load(cls, directory: str | os.PathLike) -> SearchResult:
        """Reads a store, without disturbing a search that is writing it."""
        with stores.Store.open(directory, read_only=True) as store:
            config, trials = store.config, store.rows("trials")
            executions, epochs = store.rows("executions"), store.rows("epochs")
        executed: dict[int, list] = {}
        for row in executions:
            executed.setdefault(row["trial"], []).append(row)
        curves: dict[int, dict[int, dict[str, list]]] = {}
        for row in epochs:
            curve = curves.setdefault(row["trial"], {}).setdefault(row["execution"], {})
            curve.setdefault(row["metric"], []).append(row["value"])
        records = [
            TrialRecord(
                number=row["number"],
                state=row["state"],
                hyperparameters=json.loads(row["hyperparameters"]),
                epochs=row["epochs"],
                score=row["score"],
                executions=[execution["score"] for execution in executed.get(row["number"], [])],
                curves=list(curves.get(row["number"], {}).values()),
                message=row["message"],
                begun=row["begun"],
                seconds=None if row["ended"] is None else row["ended"] - row["begun"],
                line=python_line(config, json.loads(row["hyperparameters"])),
                seeds=[execution["seed"] for execution in executed.get(row["number"], [])],
                best_epochs=[execution["best_epoch"] for execution in executed.get(row["number"], [])],
            )
            for row in trials
        ]
        return cls(directory, config, records)

    @property
    def objective(self) -> str:
        """The name of the metric that was made best."""
        return self.config.get("objective", "score")

    @property
    def best(self) -> TrialRecord | None:
        """The completed trial with the best score, the earliest of equal ones; `None` if none completed.

        With Hyperband, only trials that trained longest compare.
        """
        ranked = self.ranking()
        return ranked[0] if ranked else None

    def ranking(self) -> list[TrialRecord]:
        """The completed trials, best first; those that trained for more epochs stand before all that trained for fewer."""
        sign = -1 if self.config.get("direction", "max") == "max" else 1
        completed = [trial for trial in self.trials if trial.state == "completed"]
        return sorted(completed, key=lambda trial: (-(trial.epochs or 0), sign * (trial.score or 0.0), trial.number))

    def count(self, state: str) -> int:
        """How many trials are in a state."""
        return sum(trial.state == state for trial in self.trials)

    def to_dataframe(self):
        """A pandas DataFrame: one row per trial, indexed by its number, one column per hyperparameter.

        `sd`, `low` and `high` are the standard deviation and the 95 % interval of the score over the trainings of a trial.
        """
        import pandas

        rows = [
            {
                "number": trial.number,
                **trial.hyperparameters,
                "epochs": trial.epochs,
                "state": trial.state,
                "score": trial.score,
                **trial.spread,
                "seconds": trial.seconds,
            }
            for trial in self.trials
        ]
        names = list(self.config.get("space", {}).get("axes", {})) if isinstance(self.config.get("space"), dict) else []
        columns = ["number", *names, "epochs", "state", "score", "sd", "low", "high", "seconds"]
        return pandas.DataFrame(rows, columns=columns if names or not rows else None).set_index("number")

    def to_json(self) -> dict[str, Any]:
        """All of it as one JSON-serializable dict."""
        best = self.best
        return {
            "directory": str(self.directory),
            "objective": self.objective,
            "best": best.to_json() if best else None,
            "counts": {state: self.count(state) for state in STATES},
            "trials": [trial.to_json() for trial in self.trials],
            "config": json_ready(self.config),
        }

    def write_best(self) -> pathlib.Path | None:
        """Writes `best.json` beside the store, all of it or nothing; returns its path, or `None` if no trial completed."""
        best = self.best
        if best is None:
            return None
        content = {
            "optimizer": self.config["space"]["call"],
            "settings": {**best.hyperparameters, **self.config["space"]["fixed"]},
            "line": best.line,
            "objective": self.objective,
            "score": best.score,
            **best.spread,
            "executions": best.executions,
            "trial": best.number,
            "epochs": best.epochs,
            "problem": self.config.get("problem"),
            "seed": self.config.get("seed"),
            "versions": self.config.get("versions"),
        }
        return write_json(self.directory / "best.json", content)


def python_line(config: dict[str, Any], hyperparameters: dict[str, Any]) -> str:
    """The setting as a line to paste: `keras_optims.Adam(learning_rate=0.00123, beta_1=0.93)`."""
    space = config.get("space")
    call, fixed = (space["call"], space["fixed"]) if isinstance(space, dict) else ("dict", {})
    arguments = ", ".join(f"{name}={value!r}" for name, value in {**hyperparameters, **fixed}.items())
    return f"{call}({arguments})"


def write_json(path: pathlib.Path, content: dict[str, Any]) -> pathlib.Path:
    """Writes a JSON file, all of it or nothing, and returns its path."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(json_ready(content), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def json_ready(value: Any) -> Any:
    """The same with tuples as lists and numbers that JSON does not have as null."""
    if isinstance(value, dict):
        return {str(name): json_ready(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_ready(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
