"""MLflow: where MLFLOW_TRACKING_URI says, else the SQLite file `DIRECTORY/mlflow/mlflow.db`.

The experiment is MLFLOW_EXPERIMENT_NAME, else named after the directory. Runs are found again by their tags.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tuning.errors import SearchError, one_line
from tuning.trackers.tracker import RUNNING, Outcome, Place, Run, Tracked

SEARCH, GROUP, TRIAL, EXECUTION, STATE = (f"keras_optims.{name}" for name in ("search", "group", "trial", "execution", "state"))
AT_ONCE = 100  # metrics that are kept back at most; MLflow takes up to 1000 at once, and 100 parameters
LONGEST = 5000  # characters of a tag or a parameter

_STATUS = {"completed": "FINISHED", "diverged": "FINISHED", "pruned": "KILLED", "interrupted": "KILLED", "failed": "FAILED"}


class MLflow:
    """See `tuning.trackers.tracker.Tracker`."""

    def __init__(self, place: Place):
        # Else the client prints an address for each run that ends, to stdout.
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
        with _told("MLflow cannot be used", "mend that"):
            with _quiet():
                import mlflow

            given = mlflow.is_tracking_uri_set() and not place.only_here
            folder = place.directory / "mlflow"
            database = (folder / "mlflow.db").absolute()
            self._uri = mlflow.get_tracking_uri() if given else f"sqlite:///{database.as_posix()}"
        self._is_ours, self._replaces = not given, not given and not place.only_here
        self._shown = re.sub(r"//[^/@]*@", "//", self._uri)  # without a password
        self.where = self._shown if given else f"mlflow ui --backend-store-uri sqlite:///{(folder / 'mlflow.db').as_posix()}"
        remedy = "make that a folder that can be written to" if self._is_ours else "start it, change MLFLOW_TRACKING_URI"
        with _told(f"MLflow cannot be reached at {self._shown}", remedy):
            if self._is_ours:
                folder.mkdir(parents=True, exist_ok=True)
            with _quiet(), _impatient():
                self._client = mlflow.MlflowClient(tracking_uri=self._uri)
                self._experiment = self._find_experiment(place.experiment, folder)
        self._runs: dict[tuple[int, int], str] = {}  # those that are there -> MLflow's id
        self._waiting: dict[str, list[Any]] = {}  # metrics that are kept back, by run

    def _find_experiment(self, name: str, folder: pathlib.Path) -> str:
        if os.environ.get("MLFLOW_EXPERIMENT_ID"):
            return self._client.get_experiment(os.environ["MLFLOW_EXPERIMENT_ID"]).experiment_id
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or name
        there = self._client.get_experiment_by_name(name)
        if there is None:
            artifacts = (folder / "artifacts").absolute().as_uri() if self._is_ours else None
            return self._client.create_experiment(name, artifact_location=artifacts)
        if there.lifecycle_stage == "deleted":
            raise SearchError(
                f"The MLflow experiment {name!r} at {self._shown} is deleted: restore it "
                f"(mlflow experiments restore --experiment-id {there.experiment_id}), or name another in MLFLOW_EXPERIMENT_NAME."
            )
        return there.experiment_id

    def begin(self, search: Tracked) -> dict[tuple[int, int], str]:
        """Those that have the search's tag."""
        self._search = search
        self._runs, self._waiting, states = {}, {}, {}
        if self._replaces:  # runs of a search that was deleted, or of a setting that was surpassed
            for run in self._found(f"tags.`{GROUP}` = '{search.group}' and tags.`{SEARCH}` != '{search.id}'"):
                self._client.delete_run(run.info.run_id)
        for run in self._found(f"tags.`{SEARCH}` = '{search.id}'"):
            key = int(run.data.tags[TRIAL]), int(run.data.tags[EXECUTION])
            states[key], self._runs[key] = run.data.tags.get(STATE, RUNNING), run.info.run_id
        return states

    def _found(self, wanted: str) -> Iterator[Any]:
        page = None
        while True:
            found = self._client.search_runs([self._experiment], wanted, max_results=1000, page_token=page)
            yield from list(found)
            page = found.token
            if not page:
                return

    def trial_began(self, trial: int) -> None:
        """Its runs are deleted; MLflow can restore them."""
        for key in [key for key in self._runs if key[0] == trial]:
            identity = self._runs.pop(key)
            self._waiting.pop(identity, None)
            self._client.delete_run(identity)

    def run_began(self, run: Run) -> None:
        """A run with its parameters."""
        search = self._search
        tags = {f"keras_optims.{name}": value for name, value in search.about.items()}
        tags |= {SEARCH: search.id, GROUP: search.group, TRIAL: str(run.trial), EXECUTION: str(run.execution)}
        optimizer = run.hyperparameters.get("optimizer") or search.about.get("optimizer")  # of several, that of the trial
        tags |= {"phase": search.about["phase"], **({} if optimizer is None else {"optimizer": str(optimizer)})}
        tags |= {"mlflow.note.content": run.line} if run.line else {}
        made = self._client.create_run(
            self._experiment,
            start_time=_milliseconds(run.begun),
            run_name=run.name,
            tags={name: value[:LONGEST] for name, value in tags.items()},
        )
        self._runs[run.key] = made.info.run_id
        own = {"epochs": run.epochs, "optimizer": optimizer}
        self._log_parameters(run, {name: value for name, value in own.items() if value is not None} | dict(run.hyperparameters))

    def _log_parameters(self, run: Run, values: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        parameters = [Param(_key(name), str(value)[:LONGEST]) for name, value in values.items()]
        for first in range(0, len(parameters), AT_ONCE):
            self._client.log_batch(self._runs[run.key], params=parameters[first : first + AT_ONCE])

    def epoch_ended(self, run: Run, epoch: int, metrics: Mapping[str, float], when: float) -> None:
        """Kept back until there are many, or nothing else is to be done."""
        self._keep(self._runs[run.key], metrics, when, epoch)

    def _keep(self, identity: str, metrics: Mapping[str, float], when: float, step: int) -> None:
        from mlflow.entities import Metric

        waiting = self._waiting.setdefault(identity, [])
        waiting += [Metric(_key(name), float(value), _milliseconds(when), step) for name, value in metrics.items()]
        if len(waiting) >= AT_ONCE:
            self._send(identity)

    def _send(self, identity: str) -> None:
        waiting = self._waiting.pop(identity, [])
        for first in range(0, len(waiting), 1000):
            self._client.log_batch(identity, metrics=waiting[first : first + 1000])

    def run_ended(self, run: Run, outcome: Outcome) -> None:
        """Its score, state and status."""
        from mlflow.entities import RunTag

        identity = self._runs[run.key]
        self._log_parameters(run, run.hyperparameters)  # those that it has now; the same value again is allowed
        numbers = {name: value for name, value in outcome.numbers.items() if math.isfinite(value)}
        self._keep(identity, numbers, outcome.ended, outcome.best_epoch or 0)
        self._send(identity)
        about = {STATE: outcome.state, "state": outcome.state, "seed": outcome.seed, "message": outcome.message}
        tags = [RunTag(name, str(value)[:LONGEST]) for name, value in about.items() if value is not None]
        self._client.log_batch(identity, tags=tags)
        self._client.set_terminated(identity, _STATUS[outcome.state], _milliseconds(outcome.ended))

    def flush(self) -> None:
        """Sends the metrics that were kept back."""
        for identity in list(self._waiting):
            self._send(identity)


def _key(name: str) -> str:
    """A name as MLflow allows it."""
    return re.sub(r"[^\w\-. :/]", "_", name)[:250]


def _milliseconds(seconds: float) -> int:
    return int(1000 * seconds)


@contextlib.contextmanager
def _told(what: str, remedy: str) -> Iterator[None]:
    """Turns whatever MLflow raises when it begins into one sentence."""
    try:
        yield
    except (SearchError, ModuleNotFoundError):
        raise
    except Exception as error:
        first: BaseException = error
        while (before := first.__cause__ or first.__context__) is not None:
            first = before
        raise SearchError(f"{what} ({one_line(first)}): {remedy}, or leave out --log mlflow.") from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """MLflow tells how it makes its tables."""
    loggers = [logging.getLogger(name) for name in ("mlflow", "alembic")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def _impatient() -> Iterator[None]:
    """Before the search a server that is not there is said soon, and not after minutes of trying again."""
    wanted = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
    ours = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)
