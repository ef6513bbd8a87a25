"""The tuner: KerasTuner's, with every result kept, resumable at any moment, and indifferent to trials that diverge."""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
import traceback
from typing import Any, Protocol

import keras
import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial, TrialStatus
from keras_tuner.oracles import GridSearchOracle

from tuning import store as stores
from tuning import trial as trials
from tuning.engines import chief
from tuning.errors import NoUsableTrialError, SearchError, one_line
from tuning.interruption import Interruption
from tuning.oracles import UNDERSTAND_INFINITY, GridOracle, find_place

SAME_FAILURES = 3  # trials that fail alike, and none that does not: the error is not in the hyperparameters


class Listener(Protocol):
    """What hears how a search goes: the live view, or anything else."""

    def trial_began(self, number: int, hyperparameters: dict[str, Any], epochs: int | None) -> None:
        """A trial begins; it will train `epochs` epochs, if that is known."""

    def epoch_ended(self, event: trials.EpochEnded) -> None:
        """A running trial has trained one more epoch."""

    def trial_ended(self, number: int, state: str, score: float | None, message: str | None) -> None:
        """A trial is `completed` with a score, `diverged`, or `failed` with a message."""


class Tuner(keras_tuner.Tuner):
    """A `keras_tuner.Tuner` to use with your own HyperModel and oracle.

        tuner = tuning.Tuner(oracle, build_model, directory="results", project_name="mine", seed=0)
        tuner.search(x, y, epochs=3, validation_data=(x_val, y_val))

    What differs from KerasTuner's: every execution of a trial and its learning curve is kept, in the SQLite file
    `directory/project_name/search.sqlite` (see `tuning.store`), and there are no other files, no checkpoints of weights among
    them. A search that was interrupted, even by kill -9, goes on with the trial it was at. A trial follows from
    (seed, trial number, execution number) alone. Trials that diverge are results, trials that raise are recorded as
    failed, and neither ends the search; only if the first three trials fail with the same error, that error is raised.
    Per-batch hooks (`on_batch_begin`, `on_batch_end`) are not called.

    Args:
        oracle: a `keras_tuner.Oracle`.
        hypermodel: a `keras_tuner.HyperModel` or a function `build(hp)`.
        directory, project_name: where the store is.
        overwrite: delete the store and start over.
        seed: any int >= 0.
        executions_per_trial: trainings per setting; the score is their mean.
        config: what else identifies this search, JSON-serializable: resuming with another one is an error.
        listener: a `Listener`.
        engine: where trials run; `None`: one after the other in this process.
        max_seconds: no trial begins later than this after `search` was called.
        **kwargs: of `keras_tuner.Tuner`.

    Raises:
        SearchError: the store in the directory is of another search, damaged, or in use.
    """

    def __init__(
        self,
        oracle,
        hypermodel=None,
        *,
        directory=None,
        project_name=None,
        overwrite=False,
        seed=0,
        executions_per_trial=1,
        config=None,
        listener: Listener | None = None,
        engine=None,
        max_seconds: float | None = None,
        **kwargs,
    ):
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
            raise SearchError(f"The seed must be an int of at least 0; received {seed!r}.")
        self.seed = int(seed)
        self.listener = listener
        self.engine = engine
        self.max_seconds = max_seconds
        self._deadline = math.inf
        self._epochs: int | None = None
        self._store: stores.Store | None = None
        self._interruption = Interruption()
        self._role = chief.role()
        self._chief: chief.Link | None = None
        super().__init__(
            oracle,
            hypermodel,
            directory=directory,
            project_name=project_name,
            executions_per_trial=executions_per_trial,
            **kwargs,
        )
        self.oracle = oracle  # for a worker of a chief, KerasTuner has put its own client in its place
        self.config = config if config is not None else self._default_config()
        self.oracle.verbose = 0
        self.oracle.max_consecutive_failed_trials = math.inf
        # The oracle writes JSON files beside each other, which a kill can leave torn; its state goes to the store instead.
        self.oracle.save = self.oracle.reload = lambda: None
        self.oracle._save_trial = lambda trial: None
        if self._role == "worker":  # the store is the chief's
            return
        if overwrite:
            with stores.Lock(self.project_dir):
                stores.remove(self.project_dir)
        if stores.exists(self.project_dir):
            with stores.Store.open(self.project_dir, read_only=True) as store:
                self._restore(store)

    # -- KerasTuner's files -----------------------------------------------------------------------

    @property
    def project_dir(self):
        """The folder of the store; unlike KerasTuner's it is made when the search begins, not when it is asked for."""
        return os.path.join(str(self.directory), self.project_name)

    def save(self):
        """Does nothing: the store has everything already."""

    def reload(self):
        """Does nothing: the constructor has reloaded what the store has."""

    def load_model(self, trial):
        """Raises: no weights are kept. Train `hypermodel.build(get_best_hyperparameters()[0])` again."""
        raise SearchError("No weights are kept during a search: build the best setting with hypermodel.build(hp) and train it.")

    def _populate_initial_space(self):
        if self.oracle.allow_new_entries:  # else the space is known, and building a model to explore it is for nothing
            super()._populate_initial_space()

    def _default_config(self) -> dict[str, Any]:
        return {
            "hypermodel": type(self.hypermodel).__qualname__,
            "oracle": type(self.oracle).__qualname__,
            "objective": self.oracle.objective.name,
            "direction": self.oracle.objective.direction,
            "space": [[axis.__class__.__name__, axis.get_config()] for axis in self.oracle.get_space().space],
            "oracle_seed": self.oracle.seed if self.oracle.seed != 0 else None,
            "seed": self.seed,
            "repeats": self.executions_per_trial,
            "backend": keras.backend.backend(),
        }

    # -- the search -------------------------------------------------------------------------------

    def search(self, *fit_args, **fit_kwargs):
        """Runs trials until the oracle has no more; resumes what is in the store. The arguments are those of `model.fit`."""
        self._deadline = time.monotonic() + self.max_seconds if self.max_seconds is not None else math.inf
        self._epochs = fit_kwargs.get("epochs")
        if self._role == "worker":
            self._run_for_chief(fit_args, fit_kwargs)
            return
        engine = chief.Chief() if self._role == "chief" else self.engine
        with contextlib.ExitStack() as stack:
            stack.enter_context(stores.Lock(self.project_dir))
            if stores.exists(self.project_dir):
                self._store = stack.enter_context(stores.Store.open(self.project_dir))
                self._restore(self._store)
                if self._store.config != self.config:
                    self._store.set_config(self.config)
            else:
                self._store = stack.enter_context(stores.Store.create(self.project_dir, self.config, self.oracle.get_state()))
            stack.callback(setattr, self, "_store", None)
            stack.enter_context(self._interruption.watched())
            self.on_search_begin()
            if engine is None:
                self._run_here(fit_args, fit_kwargs, self)
            else:
                engine.run(self, fit_args, fit_kwargs)
            self.on_search_end()

    def _run_for_chief(self, fit_args, fit_kwargs):
        with self._interruption.watched(), chief.Link(self) as link:
            self._chief = link
            try:
                self.on_search_begin()
                self._run_here(fit_args, fit_kwargs, link)
                self.on_search_end()
            finally:
                self._chief = None

    def _run_here(self, fit_args, fit_kwargs, source):
        """Runs trials in this process; `source` gives them and takes the results: this tuner, or the link to its chief."""
        while (trial := source.next_trial(self.tuner_id)) is not None:
            if trial.status == TrialStatus.IDLE:
                raise SearchError(f"{type(self.oracle).__name__} waits for a trial, and none is running.")
            try:
                results = self.run_trial(trial, *fit_args, **fit_kwargs)
            except keras_tuner.errors.FatalError:
                raise
            except Exception as error:
                self._interruption.check()
                source.trial_failed(trial, one_line(error), traceback.format_exc())
            else:
                self._interruption.check()
                source.trial_done(trial, _as_list(results, self.oracle.objective))

    def next_trial(self, worker: str) -> Trial | None:
        """The next trial for `worker`: `None` if there are no more; with status IDLE if it must wait for others to end."""
        self._interruption.check()
        if time.monotonic() >= self._deadline:
            return None
        self.pre_create_trial()
        trial = self.oracle.create_trial(worker)
        if trial.status == TrialStatus.STOPPED:
            return None
        if trial.status == TrialStatus.IDLE:
            return trial
        values, epochs = split_values(trial.hyperparameters.values, self._epochs)
        number = int(trial.trial_id)
        self._opened.begin_trial(number, values, epochs, trial.get_state(), self.oracle.get_state())
        self.on_trial_begin(trial)
        if self.listener is not None:
            self.listener.trial_began(number, values, epochs)
        return trial

    def run_trial(self, trial, *fit_args, **fit_kwargs):
        """Trains one setting in this process; see `tuning.trial.Trainer`."""
        return self.trainer(fit_args, fit_kwargs).run(
            int(trial.trial_id),
            trial.hyperparameters,
            self.record,
            build=self._build_hypermodel,
            epoch_began=lambda model, epoch: self.on_epoch_begin(trial, model, epoch),
            epoch_ended=lambda model, epoch, logs: self.on_epoch_end(trial, model, epoch, logs),
        )

    def trainer(self, fit_args, fit_kwargs) -> trials.Trainer:
        """What a process needs to train this search's trials."""
        return trials.Trainer(
            self.hypermodel,
            objective=self.oracle.objective,
            search_seed=self.seed,
            executions=self.executions_per_trial,
            fit_args=fit_args,
            fit_kwargs=fit_kwargs,
        )

    def record(self, event: trials.EpochEnded | trials.ExecutionEnded) -> bool | None:
        """Writes what a running trial reports to the store, or sends it to the chief."""
        self._interruption.check()
        if self._chief is not None:
            return self._chief.record(event)
        if isinstance(event, trials.EpochEnded):
            self._opened.add_epoch(event.trial, event.execution, event.epoch, event.metrics)
            if self.listener is not None:
                self.listener.epoch_ended(event)
        else:
            self._opened.add_execution(
                event.trial, event.execution, event.seed, event.score, event.best_epoch, event.begun, event.seconds
            )
        return None

    def trial_done(self, trial: Trial, results: list[dict[str, float]]) -> None:
        """A trial came to its end: completed, or diverged."""
        self._interruption.check()
        objective = self.oracle.objective
        if trials.diverged(results, objective):
            self._end(trial, "diverged", None)
            return
        metrics = {name: float(np.mean([result[name] for result in results])) for name in results[0]}
        self._end(trial, "completed", metrics[objective.name], metrics)

    def trial_failed(self, trial: Trial, message: str, trace: str) -> None:
        """A trial raised. The search goes on, unless all its trials so far raised the same."""
        self._interruption.check()
        self._end(trial, "failed", None, message=message, trace=trace)
        rows = [row for row in self._opened.rows("trials") if row["state"] != "running"]
        if len(rows) >= SAME_FAILURES and {(row["state"], row["message"]) for row in rows} == {("failed", message)}:
            raise NoUsableTrialError(f"All {len(rows)} trials so far failed with the same error, so the search stops: {message}")

    def _end(self, trial, state, score, metrics=None, message=None, trace=None):
        objective = self.oracle.objective
        trial.status = TrialStatus.COMPLETED
        if state == "completed":
            self.oracle.update_trial(trial.trial_id, metrics, step=0)
        elif isinstance(self.oracle, UNDERSTAND_INFINITY):
            worst = -math.inf if objective.direction == "max" else math.inf
            parts = getattr(objective, "name_to_direction", ())  # of a multi-objective
            self.oracle.update_trial(trial.trial_id, dict.fromkeys([*parts, objective.name], worst), step=0)
        else:
            trial.status = TrialStatus.FAILED
        trial.message = message
        self.oracle.end_trial(trial)
        ended = self.oracle.get_trial(trial.trial_id)
        number = int(trial.trial_id)
        self._opened.end_trial(number, state, score, ended.get_state(), self.oracle.get_state(), message, trace)
        if self.listener is not None:
            self.listener.trial_ended(number, state, score, message)

    def on_trial_end(self, trial):
        """Not called: a trial ends in `trial_done` or `trial_failed`."""

    @property
    def _opened(self) -> stores.Store:
        if self._store is None:
            raise SearchError("The store is open only during search().")
        return self._store

    def _restore(self, store: stores.Store) -> None:
        check_same_search(store.config, self.config, self.project_dir)
        self.oracle.trials = {}
        for state in store.oracle_trials():
            restored = Trial.from_state(state)
            self.oracle.trials[restored.trial_id] = restored
        self.oracle.set_state(store.oracle_state)
        if isinstance(self.oracle, GridSearchOracle) and not isinstance(self.oracle, GridOracle):
            find_place(self.oracle)
        self.oracle.verbose = 0
        # Trials that were running when the search ended run again, with their numbers and values; the first one first.
        interrupted = sorted({trial.trial_id for trial in self.oracle.ongoing_trials.values()}, key=int, reverse=True)
        self.oracle._retry_queue.extend(interrupted)
        self.oracle.ongoing_trials = {}


IDENTITY_EXCLUDES = ("trials", "versions", "command", "data_dir")


def check_same_search(stored: dict[str, Any], wanted: dict[str, Any], directory) -> None:
    """Raises `SearchError` naming what differs, if the stored search is not the one that is wanted."""
    wanted = json.loads(json.dumps(wanted))  # as the store has it: tuples are lists there
    differences = []
    for name in sorted({*stored, *wanted} - set(IDENTITY_EXCLUDES)):
        old, new = stored.get(name), wanted.get(name)
        if old != new:
            differences.append(f"{name} ({_brief(old)} there, {_brief(new)} now)")
    if differences:
        raise SearchError(
            f"The search in {directory} is another one: it differs in {', '.join(differences)}; "
            f"choose another --directory, or --fresh to delete it and start over."
        )


def split_values(values: dict[str, Any], epochs: int | None) -> tuple[dict[str, Any], int | None]:
    """The hyperparameters without Hyperband's bookkeeping, and for how many epochs this trial trains."""
    return {name: value for name, value in values.items() if not name.startswith("tuner/")}, values.get("tuner/epochs", epochs)


def _as_list(results, objective) -> list[dict[str, float]]:
    """What a `run_trial` may return, as the metrics of each execution."""
    if isinstance(results, list):
        return [metrics for result in results for metrics in _as_list(result, objective)]
    if isinstance(results, dict):
        return [{name: float(value) for name, value in results.items()}]
    if isinstance(results, keras.callbacks.History):
        raise SearchError("run_trial must return numbers or dicts of metrics; received a History.")
    return [{objective.name: float(results)}]


def _brief(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else f"{text[:197]}..."
