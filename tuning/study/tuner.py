"""The tuner: KerasTuner's, with every result kept, resumable at any moment, and indifferent to trials that diverge."""

from __future__ import annotations

import contextlib
import math
import os
import time
from typing import Any, Protocol

import keras
import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial, TrialStatus
from keras_tuner.oracles import GridSearchOracle, HyperbandOracle

from tuning.engines import chief
from tuning.engines.here import HereEngine
from tuning.errors import NoUsableTrialError, SearchError, StoreError, one_line
from tuning.oracles import UNDERSTAND_INFINITY, GridOracle, find_place
from tuning.oracles import state as oracle_state
from tuning.runtime.interruption import Interruption
from tuning.runtime.machine import machine, versions
from tuning.schedulers.pruning import make_pruning
from tuning.store import database as stores
from tuning.store.lock import Lock
from tuning.study.identity import check_same_search
from tuning.training import epochs
from tuning.training import trainer as trials
from tuning.training.events import Chosen, EpochEnded, ExecutionEnded

SAME_FAILURES = 3  # trials that fail alike, and none that does not: the error is not in the hyperparameters


class Listener(Protocol):
    """What hears how a search goes: the live view, or anything else."""

    def trial_began(self, number: int, hyperparameters: dict[str, Any], epochs: int | None) -> None:
        """A trial begins; it will train `epochs` epochs, if that is known."""

    def epoch_ended(self, event: EpochEnded) -> None:
        """A running trial has trained one more epoch."""

    def execution_ended(self, event: ExecutionEnded) -> None:
        """One training of a running trial is over."""

    def chosen(self, event: Chosen) -> None:
        """The first trial has measured how all of them are trained."""

    def trial_ended(self, number: int, state: str, score: float | None, message: str | None) -> None:
        """A trial is `completed` or `pruned` with a score, `diverged`, or `failed` with a message."""


class Tuner(keras_tuner.Tuner):
    """A `keras_tuner.Tuner` to use with your own HyperModel and oracle.

        tuner = tuning.Tuner(oracle, build_model, directory="results", project_name="mine", seed=0)
        tuner.search(x, y, epochs=3, validation_data=(x_val, y_val))

    What differs from KerasTuner's: every execution of a trial and its learning curve is kept, in the SQLite file
    `directory/project_name/search.sqlite` (see `tuning.store.database`), and there are no other files, no checkpoints of
    weights among them. A search that was interrupted, even by kill -9, goes on with the trial it was at. A trial follows from
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
        pruner: stops trials that are not promising: a name in `tuning.names.PRUNERS`, an Optuna pruner, or `None`.
        jit: whether the epochs are compiled by XLA: `True`, `False`, `"auto"` (the first trial measures what is faster, and all
            others do the same), or `None`: as each model was compiled.
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
        pruner=None,
        jit: bool | str | None = None,
        **kwargs,
    ):
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
            raise SearchError(f"The seed must be an int of at least 0; received {seed!r}.")
        self.seed = int(seed)
        self.listener = listener
        self.engine = engine
        self.max_seconds = max_seconds
        self.jit = jit
        self._deadline = math.inf
        self._epochs: int | None = None
        self._store: stores.Store | None = None
        self._trainer: trials.Trainer | None = None
        self._pruned: set[int] = set()  # the numbers of trials that were stopped, or are to stop
        self._outcomes: set[tuple[str, str | None]] = set()  # (state, message) of the trials that ended, as far as they differ
        self._ended = 0
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
        self._pruning = make_pruning(pruner, self.oracle.objective)
        if self._pruning is not None and isinstance(self.oracle, HyperbandOracle):
            raise SearchError(
                f"Hyperband stops trials itself and takes no pruner: leave it out, or choose another oracle; "
                f"received {self._pruning.name!r}."
            )
        self.config = config if config is not None else self._default_config()
        self.oracle.verbose = 0
        self.oracle.max_consecutive_failed_trials = math.inf
        # The oracle writes JSON files beside each other, which a kill can leave torn; its state goes to the store instead.
        self.oracle.save = self.oracle.reload = lambda: None
        self.oracle._save_trial = lambda trial: None
        # It reads all trials whenever one ends, to count what has no limit here.
        self.oracle._check_consecutive_failures = lambda: None
        if self._pruning is not None:
            self._oracles_best = self.oracle.get_best_trials
            self.oracle.get_best_trials = self._best_trials
        if self._role == "worker":  # the store is the chief's
            return
        if overwrite:
            with Lock(self.project_dir):
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
            "sampler": getattr(self.oracle, "sampler_name", None),
            "pruner": self._pruning.name if self._pruning is not None else None,
            "versions": versions(),
            "machine": machine(),
        }

    @property
    def prunes(self) -> bool:
        """Whether a trial may be stopped early: then `record` has an answer for which it must wait."""
        return self._pruning is not None

    def _best_trials(self, num_trials=1):
        """As KerasTuner's, but a trial that was stopped early ranks below all that were not."""
        ranked = self._oracles_best(num_trials + len(self._pruned))
        return sorted(ranked, key=lambda trial: int(trial.trial_id) in self._pruned)[:num_trials]

    # -- the search -------------------------------------------------------------------------------

    def search(self, *fit_args, **fit_kwargs):
        """Runs trials until the oracle has no more; resumes what is in the store. The arguments are those of `model.fit`."""
        self._deadline = time.monotonic() + self.max_seconds if self.max_seconds is not None else math.inf
        self._epochs = fit_kwargs.get("epochs")
        if self._role == "worker":
            self._run_for_chief(fit_args, fit_kwargs)
            return
        engine = chief.Chief() if self._role == "chief" else self.engine
        self._trainer = None
        with contextlib.ExitStack() as stack:
            stack.enter_context(Lock(self.project_dir))
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
            (engine or HereEngine()).run(self, fit_args, fit_kwargs)
            self.on_search_end()

    def _run_for_chief(self, fit_args, fit_kwargs):
        with self._interruption.watched(), chief.Link(self) as link:
            self._chief = link
            try:
                self.on_search_begin()
                HereEngine().run(self, fit_args, fit_kwargs, source=link)
                self.on_search_end()
            finally:
                self._chief = None

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
        values, trained = split_values(trial.hyperparameters.values, self._epochs)
        number = int(trial.trial_id)
        state, record = oracle_state.split(self.oracle, trial)
        self._opened.begin_trial(number, values, trained, record, state)
        if self._pruning is not None:
            self._pruned.discard(number)
            self._pruning.began(number, trained)
        self.on_trial_begin(trial)
        if self.listener is not None:
            self.listener.trial_began(number, values, trained)
        return trial

    def run_trial(self, trial, *fit_args, **fit_kwargs):
        """Trains one setting in this process; see `tuning.training.trainer.Trainer`."""
        return self.trainer(fit_args, fit_kwargs).run(
            int(trial.trial_id),
            trial.hyperparameters,
            self.record,
            build=self._build_hypermodel,
            epoch_began=lambda model, epoch: self.on_epoch_begin(trial, model, epoch),
            epoch_ended=lambda model, epoch, logs: self.on_epoch_end(trial, model, epoch, logs),
        )

    def trainer(self, fit_args, fit_kwargs) -> trials.Trainer:
        """What a process needs to train this search's trials; the same one for the whole search."""
        if self._trainer is None:
            self._trainer = trials.Trainer(
                self.hypermodel,
                objective=self.oracle.objective,
                search_seed=self.seed,
                executions=self.executions_per_trial,
                fit_args=fit_args,
                fit_kwargs=fit_kwargs,
                ways=self.ways,
            )
        return self._trainer

    def check_interruption(self) -> None:
        """Raises KeyboardInterrupt if Ctrl-C or SIGTERM came during the search."""
        self._interruption.check()

    @property
    def choices(self) -> dict[str, Any]:
        """What the first trial has measured: name -> `{"value": ..., "seconds_per_step": ...}`."""
        return self._opened.choices()

    def begin_again(self, trial: Trial) -> None:
        """Drops what a running trial has reported."""
        self._opened.forget(int(trial.trial_id))

    @property
    def ways(self) -> tuple[str, ...] | None:
        """How epochs may be compiled: in one way, if the search has settled that; `None`: as each model was compiled."""
        if self.jit is None or self._role == "worker":
            return None
        chosen = self.choices.get("way")
        if chosen is not None:
            return None if chosen["value"] is None else (chosen["value"],)
        return epochs.ways(None if self.jit == "auto" else bool(self.jit))

    @property
    def measuring(self) -> bool:
        """Whether the next trial measures how all are trained, so that no other one may begin before it has."""
        return len(self.ways or ()) > 1

    def record(self, event: EpochEnded | ExecutionEnded | Chosen) -> bool:
        """Writes what a running trial reports to the store, or sends it to the chief; whether the trial is to stop here."""
        self._interruption.check()
        if self._chief is not None:
            return self._chief.record(event)
        if isinstance(event, EpochEnded):
            self._opened.add_epoch(event.trial, event.execution, event.epoch, event.metrics)
            if self.listener is not None:
                self.listener.epoch_ended(event)
            if self._pruning is not None and self._pruning.stops(event.trial, event.execution, event.epoch, event.metrics):
                self._pruned.add(event.trial)
            return event.trial in self._pruned
        elif isinstance(event, Chosen):
            self._opened.set_choice(event.name, {"value": event.value, "seconds_per_step": event.seconds_per_step})
            if self.listener is not None:
                self.listener.chosen(event)
            return False
        else:
            self._opened.add_execution(
                event.trial, event.execution, event.seed, event.score, event.best_epoch, event.begun, event.seconds
            )
            if self.listener is not None:
                self.listener.execution_ended(event)
            return False

    def trial_done(self, trial: Trial, results: list[dict[str, float]]) -> None:
        """A trial came to its end: completed, stopped by `record`, or diverged."""
        self._interruption.check()
        objective = self.oracle.objective
        if trials.diverged(results, objective):
            self._pruned.discard(int(trial.trial_id))
            self._end(trial, "diverged", None)
            return
        metrics = {name: float(np.mean([result[name] for result in results])) for name in results[0]}
        state = "pruned" if int(trial.trial_id) in self._pruned else "completed"
        self._end(trial, state, metrics[objective.name], metrics)

    def trial_failed(self, trial: Trial, message: str, trace: str) -> None:
        """A trial raised. The search goes on, unless all its trials so far raised the same."""
        self._interruption.check()
        self._pruned.discard(int(trial.trial_id))
        self._end(trial, "failed", None, message=message, trace=trace)
        if self._ended >= SAME_FAILURES and self._outcomes == {("failed", message)}:
            raise NoUsableTrialError(
                f"All {self._ended} trials so far failed with the same error, so the search stops: {message}"
            )

    def _end(self, trial, state, score, metrics=None, message=None, trace=None):
        objective, number = self.oracle.objective, int(trial.trial_id)
        trial.status = TrialStatus.COMPLETED
        if state in ("completed", "pruned"):
            self.oracle.update_trial(trial.trial_id, metrics, step=0)
        elif isinstance(self.oracle, UNDERSTAND_INFINITY):
            worst = -math.inf if objective.direction == "max" else math.inf
            parts = getattr(objective, "name_to_direction", ())  # of a multi-objective
            self.oracle.update_trial(trial.trial_id, dict.fromkeys([*parts, objective.name], worst), step=0)
        else:
            trial.status = TrialStatus.FAILED
        trial.message = message
        if self._pruning is not None and state == "pruned" and hasattr(self.oracle, "tell_pruned"):
            self.oracle.tell_pruned(trial.trial_id, self._pruning.curve(number))
        self.oracle.end_trial(trial)
        oracles, record = oracle_state.split(self.oracle, self.oracle.get_trial(trial.trial_id))
        self._opened.end_trial(number, state, score, record, oracles, message, trace)
        if self._pruning is not None:
            self._pruning.ended(number, state, score)
        self._note(state, message)
        if self.listener is not None:
            self.listener.trial_ended(number, state, score, message)

    def _note(self, state, message):
        self._ended += 1
        if len(self._outcomes) < 2:  # with two it is known that they differ
            self._outcomes.add((state, message))

    def on_trial_end(self, trial):
        """Not called: a trial ends in `trial_done` or `trial_failed`."""

    @property
    def _opened(self) -> stores.Store:
        if self._store is None:
            raise SearchError("The store is open only during search().")
        return self._store

    def _restore(self, store: stores.Store) -> None:
        check_same_search(store.config, self.config, self.project_dir)
        rows, ended = store.rows("trials"), store.ended()
        state, records = store.oracle_state, store.oracle_trials()
        try:
            oracle_state.restore(self.oracle, state, records, ended)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise StoreError(
                f"{store.path} is damaged, or the oracle is not the one that wrote it ({one_line(error)}): restore it from a "
                f"copy, or start over with --fresh."
            ) from error
        self._pruned = {row["number"] for row in rows if row["state"] == "pruned"}
        self._ended, self._outcomes = 0, set()
        for row in rows:
            if row["state"] != "running":
                self._note(row["state"], row["message"])
        if self._pruning is not None:
            self._pruning.restart(rows, store.rows("epochs"), ended)
        if isinstance(self.oracle, GridSearchOracle) and not isinstance(self.oracle, GridOracle):
            find_place(self.oracle)
        self.oracle.verbose = 0
        # Trials that were running when the search ended run again, with their numbers and values; the first one first.
        interrupted = sorted({trial.trial_id for trial in self.oracle.ongoing_trials.values()}, key=int, reverse=True)
        self.oracle._retry_queue.extend(interrupted)
        self.oracle.ongoing_trials = {}


def split_values(values: dict[str, Any], epochs: int | None) -> tuple[dict[str, Any], int | None]:
    """The hyperparameters without Hyperband's bookkeeping, and for how many epochs this trial trains."""
    return {name: value for name, value in values.items() if not name.startswith("tuner/")}, values.get("tuner/epochs", epochs)
