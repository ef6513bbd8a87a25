"""What a search found: the one reader of its store. Importing this needs neither Keras nor pandas."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tuning.errors import SearchError, StoreError, one_line
from tuning.names import JIT_WAYS, counted
from tuning.results.notebook import html_of, text_of
from tuning.results.statistics import Summary, summary
from tuning.space.axes import Axis, axes_of
from tuning.space.scale import SCALES
from tuning.space.setting import Setting, setting_of
from tuning.store import database as stores
from tuning.store.files import replacing
from tuning.store.lock import is_running
from tuning.store.models import load_model

if TYPE_CHECKING:
    import keras

STATES = ("completed", "pruned", "diverged", "failed", "running")
SHOWN = 10  # trials in a notebook


@dataclasses.dataclass(frozen=True)
class Execution:
    """One training of a trial.

    Args:
        seed: of all that is random in it.
        score: the objective at its best epoch; `None` if it diverged.
        best_epoch: from 0: the epoch whose objective is its score.
        begun: in seconds since 1970.
        seconds: how long it took.
    """

    seed: int
    score: float | None
    best_epoch: int | None
    begun: float
    seconds: float


@dataclasses.dataclass(frozen=True, repr=False)
class TrialRecord:
    """One trial.

    Args:
        number: 0, 1, ... in the order of beginning.
        state: `"running"` (or interrupted), `"completed"`, `"pruned"`, `"diverged"` or `"failed"`.
        hyperparameters: the searched ones, by name.
        epochs: how many it trains.
        score: mean over executions of the objective at its best epoch, of a pruned trial the best until it was stopped; `None`
            unless completed or pruned.
        trainings: an `Execution` for each that has ended; `executions`, `seeds` and `best_epochs` list their scores, seeds and
            best epochs.
        curves: for each execution, metric -> its value after each epoch; `None` where it was not a number.
        message: why it failed.
        begun: in seconds since 1970.
        seconds: how long it took; `None` while it runs.
        line: the setting as a line of Python.
        traceback: where it failed.
        directory: of the search.
        continues: the number of the trial whose training it continues.
        settings: where numbers changed while it trained, as in a population: each setting that it had, and from which
            epoch on; `hyperparameters` are the last ones. Empty: it had one setting.
    """

    number: int
    state: str
    hyperparameters: dict[str, Any]
    epochs: int | None
    score: float | None
    trainings: list[Execution]
    curves: list[dict[str, list[float | None]]]
    message: str | None
    begun: float
    seconds: float | None
    line: str
    traceback: str | None = None
    directory: pathlib.Path | None = None
    continues: int | None = None
    settings: list[tuple[int, dict[str, Any]]] = dataclasses.field(default_factory=list)

    def __repr__(self) -> str:
        score = "" if self.score is None else f", {self.score:.6g}"
        setting = "".join(f", {name}={text_of(value)}" for name, value in self.hyperparameters.items())
        return f"TrialRecord({self.number}, {self.state}{score}{setting})"

    def _repr_html_(self) -> str:
        """In a notebook: the setting, and what came of it."""
        score = text_of(self.score) if self.summary is None or len(self.executions) < 2 else str(self.summary)
        rows = [*([name, text_of(value)] for name, value in self.hyperparameters.items()), ["state", self.state]]
        rows += [["score", score]] if score else []
        rows += [["epochs", self.epochs_text], ["seeds", ", ".join(map(str, self.seeds))]]
        rows += [] if self.seconds is None else [["seconds", f"{self.seconds:.1f}"]]
        rows += [["message", self.message]] if self.message else []
        return html_of(f"Trial {self.number}", ["", ""], [row for row in rows if row[1]], self.line)

    def model(self, **arguments: Any) -> keras.Model:
        """The trained model at the epoch that its score is of, if it is one of those that the search keeps.

        Of several trainings it is the best one's.

        Args:
            **arguments: of `keras.saving.load_model`, such as `custom_objects`.

        Raises:
            SearchError: (a ValueError) the model is not kept, or cannot be loaded.
        """
        return load_model(self.directory or ".", self.number, **arguments)

    @property
    def setting(self) -> dict[str, Any] | list[list[Any]]:
        """All that it was trained with: name -> value, or of several settings each with the epoch from which on it held."""
        return [[epoch, values] for epoch, values in self.settings] or self.hyperparameters

    @property
    def executions(self) -> list[float | None]:
        """The score of each training; `None` if it diverged."""
        return [training.score for training in self.trainings]

    @property
    def seeds(self) -> list[int]:
        """Of each training."""
        return [training.seed for training in self.trainings]

    @property
    def best_epochs(self) -> list[int | None]:
        """Of each training, from 0."""
        return [training.best_epoch for training in self.trainings]

    @property
    def trained(self) -> list[int]:
        """How many epochs each training has had so far, or had when it was stopped or stopped itself."""
        return [max(map(len, curve.values()), default=0) for curve in self.curves]

    @property
    def epochs_text(self) -> str:
        """How many epochs it trained: `20`, or `4 of 20` (of several trainings `4 to 7 of 20`) if it stopped earlier."""
        planned, trained = self.epochs, sorted({*self.trained})
        if self.state not in ("completed", "pruned", "diverged") or not trained or trained == [planned]:
            return "" if planned is None else str(planned)
        each = " to ".join(map(str, dict.fromkeys((trained[0], trained[-1]))))
        return each if planned is None else f"{each} of {planned}"

    @property
    def ended(self) -> float:
        """When it ended, or when a running one was last heard of."""
        if self.seconds is not None:
            return self.begun + self.seconds
        return max([self.begun, *(training.begun + training.seconds for training in self.trainings)])

    @property
    def summary(self) -> Summary | None:
        """Mean, standard deviation and 95 % interval over the executions; `None` unless the trial has a score."""
        scores = [score for score in self.executions if score is not None and math.isfinite(score)]
        return summary(scores) if self.score is not None and scores else None

    @property
    def half(self) -> float | None:
        """Half the width of the 95 % interval of the score; `None` unless it is the mean of several trainings."""
        return None if self.summary is None else self.summary.half

    @property
    def spread(self) -> dict[str, float | None]:
        """The standard deviation (`sd`) and the 95 % interval (`low`, `high`) of the score; `None` from a single training."""
        found = self.summary
        return {name: getattr(found, name, None) for name in ("sd", "low", "high")}

    def to_json(self) -> dict[str, Any]:
        """As plain JSON; infinities, which JSON does not have, become null."""
        own = dataclasses.asdict(self)
        del own["trainings"], own["traceback"], own["directory"]
        listed = {name: getattr(self, name) for name in ("executions", "seeds", "best_epochs", "trained")}
        return json_ready({**own, **listed, **self.spread})


class SearchResult:
    """The trials of a search, running or ended.

    Args:
        directory: of the store.
        config: what was searched, how, and with which versions.
        trials: all `TrialRecord`s, in the order of beginning.
        axes: what was searched; by default what follows from the others.
        created: when the search began, in seconds since 1970.
        choices: what the first trial measured: name -> `{"value": ..., "seconds_per_step": ...}`.
        ended: why the search ended: `by`, one of `"trials"`, `"epochs"`, `"minutes"`, `"target"`, `"failures"` and `"oracle"`
            (which has nothing more to propose), and `text`, a sentence; `None`: it runs, was broken off, or is of an older store.
        epochs_trained: in all trials; a trial that continues another one has trained its own.
    """

    def __init__(
        self,
        directory: str | os.PathLike,
        config: dict[str, Any],
        trials: list[TrialRecord],
        *,
        axes: list[Axis] | None = None,
        created: float = 0.0,
        choices: dict[str, Any] | None = None,
        ended: dict[str, str] | None = None,
        epochs_trained: int = 0,
    ):
        self.directory = pathlib.Path(directory)
        self.config = config
        self.trials = trials
        self.axes = axes_of(config, {}, (trial.hyperparameters for trial in trials)) if axes is None else axes
        self.created = created
        self.choices = {} if choices is None else choices
        self.ended = ended
        self.epochs_trained = epochs_trained

    def __repr__(self) -> str:
        best = self.best
        found = f"best {self.objective} {best.score:.6g}: {best.line}" if best and best.score is not None else "none completed"
        return f"SearchResult({self.directory}, {counted(len(self.trials), 'trial')}, {found})"

    def _repr_html_(self) -> str:
        """In a notebook: the best trials, and the best setting to copy."""
        ranked, names = self.ranking(), [axis.name for axis in self.axes]
        rows = [
            [
                str(trial.number),
                *(text_of(trial.hyperparameters.get(name)) for name in names),
                trial.epochs_text,
                str(trial.summary) if len(trial.executions) > 1 else text_of(trial.score),
            ]
            for trial in ranked[:SHOWN]
        ]
        counts = ", ".join(f"{self.count(state)} {state}" for state in STATES if self.count(state))
        notes = [f"the best {SHOWN} of {len(ranked)} completed trials"] if len(ranked) > SHOWN else []
        heads = ["trial", *names, "epochs", self.objective]
        title = f"{self.name}: {counted(len(self.trials), 'trial')} ({counts or 'none began'})"
        return html_of(title, heads, rows, ranked[0].line if ranked else "", [*notes, f"in {self.directory}"])

    @classmethod
    def load(cls, directory: str | os.PathLike) -> SearchResult:
        """Reads a store, without disturbing a search that is writing it."""
        try:
            return cls._load(directory)
        except SearchError:
            raise
        except (LookupError, TypeError, AttributeError, ValueError) as error:
            path = pathlib.Path(directory) / stores.FILE_NAME
            raise StoreError(
                f"{path} is damaged ({one_line(error)}): restore it from a copy, or start over with --fresh."
            ) from error

    @classmethod
    def _load(cls, directory: str | os.PathLike) -> SearchResult:
        with stores.Store.open(directory, read_only=True) as store:
            config, trials = store.config, store.rows("trials")
            executions, epochs = store.rows("executions"), store.rows("curves")
            oracle, created, choices = store.oracle_state, store.created, store.choices()
            trained = sum(store.epochs_trained().values())
        ended = choices.pop("ended", None)
        _check_config(config)
        _check_ended(ended)
        fields = [field.name for field in dataclasses.fields(Execution)]
        trainings: dict[int, list[Execution]] = {}
        for row in executions:
            trainings.setdefault(row["trial"], []).append(Execution(**{name: row[name] for name in fields}))
        curves: dict[int, dict[int, dict[str, list]]] = {}
        for row in epochs:
            curve = curves.setdefault(row["trial"], {}).setdefault(row["execution"], {})
            curve.setdefault(row["metric"], []).append(row["value"])
        settings = _settings(trials, config)
        records = [
            TrialRecord(
                number=row["number"],
                state=row["state"],
                hyperparameters=(setting := json.loads(row["hyperparameters"])),
                epochs=row["epochs"],
                score=row["score"],
                trainings=trainings.get(row["number"], []),
                curves=list(curves.get(row["number"], {}).values()),
                message=row["message"],
                begun=row["begun"],
                seconds=None if row["ended"] is None else row["ended"] - row["begun"],
                line=python_line(config, setting, row["epochs"], settings.get(row["number"], ())),
                traceback=row["traceback"],
                directory=pathlib.Path(directory),
                continues=row.get("continues"),
                settings=settings.get(row["number"], []),
            )
            for row in trials
        ]
        axes = axes_of(config, oracle, (trial.hyperparameters for trial in records))
        return cls(
            *(directory, config, records), axes=axes, created=created, choices=choices, ended=ended, epochs_trained=trained
        )

    @property
    def direction(self) -> str:
        """`"max"` or `"min"`."""
        return self.config.get("direction") or "max"

    @property
    def name(self) -> str:
        """What was tuned on what; of a user's own class of models its name and the folder, of a function the folder."""
        optimizer, problem = self.config.get("optimizer"), self.config.get("problem")
        if not optimizer:
            folder, model = self.directory.resolve().name, str(self.config.get("hypermodel") or "").rpartition(".")[2]
            return folder if model in ("", "HyperModel", "DefaultHyperModel") else f"{model} in {folder}"
        return f"{optimizer} on {problem}" if problem else str(optimizer)

    @property
    def way(self) -> str | None:
        """How epochs were compiled, if that was measured or said; `None`: in the usual way."""
        said = JIT_WAYS.get((str(self.config.get("backend")), str(self.config.get("jit"))))
        return self.choices.get("way", {}).get("value") or said

    @property
    def is_running(self) -> bool:
        """Whether a process on this machine searches there now."""
        return is_running(self.directory)

    @property
    def heard(self) -> float:
        """Until when the trials that run are known to have run, in seconds since 1970: of a search that runs, until now."""
        return time.time() if self.is_running else max((trial.ended for trial in self.trials), default=self.created)

    @property
    def objective(self) -> str:
        """The name of the metric that was made best."""
        return self.config.get("objective", "score")

    @property
    def best(self) -> TrialRecord | None:
        """The completed trial with the best score, which is that of its best epoch; `None` if none completed.

        Of equal ones it is the one that trained longest (those of Hyperband do not train equally long), and then the earliest.
        """
        ranked = self.ranking()
        return ranked[0] if ranked else None

    def ranking(self) -> list[TrialRecord]:
        """The completed trials, best first."""
        completed = [trial for trial in self.trials if trial.state == "completed"]
        return sorted(completed, key=lambda trial: rank(trial.number, trial.epochs, trial.score, self.direction))

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
        if isinstance(self.config.get("space"), dict):
            names = list(self.config["space"].get("axes", {}))
        else:
            names = list(dict.fromkeys(name for trial in self.trials for name in trial.hyperparameters))
        columns = ["number", *names, "epochs", "state", "score", "sd", "low", "high", "seconds"]
        return pandas.DataFrame(rows, columns=columns).set_index("number")

    def to_json(self) -> dict[str, Any]:
        """All of it as one JSON-serializable dict."""
        best = self.best
        return {
            "directory": str(self.directory),
            "objective": self.objective,
            "best": best.to_json() if best else None,
            "counts": {state: self.count(state) for state in STATES},
            "ended": self.ended,
            "epochs_trained": self.epochs_trained,
            "trials": [trial.to_json() for trial in self.trials],
            "config": json_ready(self.config),
        }

    def write_best(self) -> pathlib.Path | None:
        """Writes `best.json` beside the store, all of it or nothing; returns its path, or `None` if no trial completed."""
        best = self.best
        if best is None:
            return None
        space, setting = self.config["space"], setting_in(self.config, best.hyperparameters, best.epochs, best.settings)
        schedule = (space if setting.optimizer is None else space["optimizers"][setting.optimizer]).get("schedule")
        content = {
            "optimizer": setting.call,
            "settings": setting.given,
            **({} if schedule is None else {"schedule": schedule}),
            **({"settings_by_epoch": best.setting} if best.settings else {}),
            **({"model": setting.model} if setting.model else {}),
            **({} if setting.batch_size is None else {"batch_size": setting.batch_size}),
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


def _settings(rows: Sequence[Mapping[str, Any]], config: Mapping[str, Any]) -> dict[int, list[tuple[int, dict[str, Any]]]]:
    """By the number of a trial, the settings that it had one after the other and from which epochs on, if it had several."""
    confirmed, epochs = config.get("confirms"), {row["number"]: row["epochs"] or 0 for row in rows}
    known: dict[int, list[tuple[int, dict[str, Any]]]] = {}
    for row in rows:  # a trial comes after the one that it continues
        parent = row.get("continues")
        before = [] if parent is None else known.get(parent, [])
        own = json.loads(row["hyperparameters"])
        changed = [] if before and before[-1][1] == own else [(epochs[parent] if before and parent is not None else 0, own)]
        known[row["number"]] = [*before, *changed]
        if isinstance(confirmed, list):
            known[row["number"]] = [(int(epoch), dict(values)) for epoch, values in confirmed]
    return {number: settings for number, settings in known.items() if len(settings) > 1}


def _check_config(config: Mapping[str, Any]) -> None:
    """Raises TypeError or ValueError if a part of a configuration that is read later is not what it must be."""
    for name in ("optimizer", "problem", "objective", "direction", "oracle", "backend"):
        if not isinstance(config.get(name), (str, type(None))):
            raise TypeError(f"{name} is no text")
    _check_beginning(config.get("first"), config.get("warm_start"))
    if not all(isinstance(config.get(name), (int, type(None))) for name in ("population", "ready", "steps_per_epoch")):
        raise TypeError("the population, its interval or the steps of an epoch are no numbers")
    for each in config.get("further") or ():
        if not all(isinstance(number, int) for number in (each["epochs"], each["at"], *each["continues"])):
            raise TypeError("what is continued is no number")
    space = config.get("space")
    if not isinstance(space, (dict, list, type(None))):
        raise TypeError("space is no object")
    axes = space["axes"] if isinstance(space, dict) else {}
    for name, axis in axes.items():
        if not isinstance(axis.get("symbol", ""), str) or axis.get("scale", "linear") not in SCALES:
            raise ValueError(f"the axis {name} has no symbol or scale")
        if any(isinstance(axis.get(end, 0), bool) or not isinstance(axis.get(end, 0), (int, float)) for end in ("low", "high")):
            raise TypeError(f"the ends of the axis {name} are no numbers")


def _check_beginning(first: Any, warm: Any) -> None:
    """Raises TypeError, LookupError or ValueError unless it says with what a search began."""
    if not all(isinstance(each["of"], str) and isinstance(each["values"], dict) for each in first or ()):
        raise TypeError("a first trial is no setting")
    if warm is not None and not (isinstance(warm["note"], str) and isinstance(warm["directory"], str)):
        raise TypeError("the warm start is no text")
    for values, score in (warm or {}).get("told", ()):
        if not isinstance(values, dict) or not isinstance(score, (int, float, type(None))):
            raise TypeError("an earlier trial is no setting with a score")


def _check_ended(ended: Any) -> None:
    """Raises TypeError or LookupError unless it says why a search ended, or nothing."""
    if ended is not None and not all(isinstance(ended[name], str) for name in ("by", "text")):
        raise TypeError("why it ended is no text")


def rank(number: int, epochs: int | None, score: float | None, direction: str) -> tuple[float, int, int]:
    """By which completed trials are sorted, best first: see `SearchResult.best`.

    A score is that of the best epoch, so more epochs could only make it better: who reached it with fewer need not stand behind.
    """
    return (-1 if direction == "max" else 1) * (score or 0.0), -(epochs or 0), number


def mean_curve(curves: Sequence[Mapping[str, list[float | None]]], metric: str) -> list[float | None]:
    """After each epoch the mean over the trainings that went on so long; `None` where one was not a number."""
    found = [curve[metric] for curve in curves if metric in curve]
    means: list[float | None] = []
    for epoch in range(max(map(len, found), default=0)):
        values = [curve[epoch] for curve in found if epoch < len(curve)]
        known = [value for value in values if value is not None]
        means.append(sum(known) / len(known) if len(known) == len(values) else None)
    return means


def python_line(
    config: dict[str, Any],
    hyperparameters: dict[str, Any],
    epochs: int | None = None,
    settings: Sequence[tuple[int, dict[str, Any]]] = (),
) -> str:
    """The setting as a line to paste: `keras_optims.Adam(learning_rate=0.00123, beta_1=0.93)`."""
    return setting_in(config, hyperparameters, epochs, settings).line


def setting_in(
    config: dict[str, Any],
    hyperparameters: dict[str, Any],
    epochs: int | None = None,
    settings: Sequence[tuple[int, dict[str, Any]]] = (),
) -> Setting:
    """The setting of a trial of a search with this configuration; `settings` as of a `TrialRecord`."""
    space = config["space"] if isinstance(config.get("space"), dict) else {"call": "dict", "fixed": {}, "axes": {}}
    return setting_of(space, hyperparameters, epochs, config.get("steps_per_epoch"), settings)


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
