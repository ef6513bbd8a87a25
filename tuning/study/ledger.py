"""The ledger of a search: oracle, scheduler and store in step, and taken up again where they stood.

KerasTuner's oracle keeps its state in files of its own and has opinions about trials that fail; here the store has the state,
and every outcome is a result. So the oracle's own keeping is switched off, in this file and nowhere else.
"""

from __future__ import annotations

import bisect
import contextlib
import dataclasses
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, cast

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial, TrialStatus
from keras_tuner.oracles import GridSearchOracle

from tuning.errors import NoUsableTrialError, ObjectiveError, SearchError, StoreError, one_line
from tuning.names import JIT, counted
from tuning.oracles import UNDERSTAND_INFINITY, GridOracle, find_place, keras_tuner_seam, proposes_ahead
from tuning.oracles import state as oracle_state
from tuning.oracles.halving import SCHEDULED
from tuning.problems.objective import oddly_directed
from tuning.results.search import rank
from tuning.runtime.interruption import Interruption
from tuning.schedulers.pruning import Pruning
from tuning.store import database
from tuning.store.lock import Lock
from tuning.store.models import Models
from tuning.study.budget import WAIT, Budget, Ended, Spending
from tuning.study.continuing import Continuing
from tuning.study.identity import check_same_search
from tuning.study.listening import Careful
from tuning.training import epochs
from tuning.training.assignment import Assignment
from tuning.training.events import BestModel, Chosen, EpochEnded, Event, ExecutionEnded, Left, Noted
from tuning.training.trainer import diverged

SAME_FAILURES = 3  # trials that fail alike, and none that does not: the error is not in the hyperparameters


class Listener(Protocol):
    """What hears how a search goes: the live view, or anything else."""

    def trial_began(self, number: int, hyperparameters: dict[str, Any], epochs: int | None) -> None:
        """A trial begins, or begins again; it will train `epochs` epochs, if that is known."""

    def epoch_ended(self, event: EpochEnded) -> None:
        """A running trial has trained one more epoch."""

    def execution_ended(self, event: ExecutionEnded) -> None:
        """One training of a running trial is over."""

    def chosen(self, event: Chosen) -> None:
        """The first trial has measured how all of them are trained."""

    def noted(self, text: str) -> None:
        """There is something to know: one sentence without a full stop, perhaps again and again."""

    def trial_grew(self, number: int, hyperparameters: dict[str, Any]) -> None:
        """A trial that is about to end has declared more hyperparameters than it began with: these are all."""

    def trial_ended(self, number: int, state: str, score: float | None, message: str | None) -> None:
        """A trial is `completed` or `pruned` with a score, `diverged`, or `failed` with a message."""


class Ledger:
    """Gives the trials of a search to an engine, and keeps what becomes of them: a `tuning.engines.source.Source`.

    Args:
        oracle: proposes settings.
        directory: of the store.
        config: what identifies the search, JSON-serializable.
        pruning: stops trials that are not promising, or `None`.
        jit: as of `tuning.Tuner`.
        keep_models: of how many of the best trials the model is kept.
        retry_failed: whether the trials that failed run once more.
        listener: a `Listener`, or `None`.
        interruption: of the search.
        seat: KerasTuner's tuner id of this process.
        before_trial: called before a trial is asked for.
        trial_began, trial_ended: called with each trial.
        failures_in_a_row: so many trials that fail one after the other end the search.
        budget: what the search may spend.
        executions: trainings per setting.
    """

    def __init__(
        self,
        oracle: keras_tuner.Oracle,
        *,
        directory: str | os.PathLike,
        config: dict[str, Any],
        pruning: Pruning | None,
        jit: bool | str | None,
        keep_models: int,
        retry_failed: bool,
        listener: Listener | None,
        interruption: Interruption,
        seat: str,
        before_trial: Callable[[], None],
        trial_began: Callable[[Trial], None],
        trial_ended: Callable[[Trial], None],
        failures_in_a_row: float = math.inf,
        budget: Budget | None = None,
        executions: int = 1,
    ):
        self.oracle = oracle
        self.directory = directory
        self.config = config
        self.pruning = pruning
        self.jit = ("off", "on")[jit] if isinstance(jit, bool) else jit
        if self.jit is not None and self.jit not in JIT:
            raise SearchError(f"jit must be True, False, None, or one of {', '.join(JIT)}; received {jit!r}.")
        self.scores_are_of_epochs = False  # whether a training can report the objective nowhere else
        self.given: Mapping[str, Any] = {}  # choices that another search has measured; what the store has comes first
        self._models, self._keep_models = Models(directory), keep_models
        self._ranked: list[tuple[float, int, int]] = []  # the completed trials, by `rank`
        self._retry_failed = retry_failed
        self.listener = listener
        self.seat = seat
        self._interruption = interruption
        self._before_trial, self._trial_began, self._trial_ended = before_trial, trial_began, trial_ended
        self._failures_in_a_row, self._failed_last = failures_in_a_row, 0
        self._seed_note: str | None = None
        self._ended_by: Ended | None = None
        self._epochs: int | None = None
        self._store: database.Store | None = None
        self._pruned: set[int] = set()  # the numbers of trials that were stopped, or are to stop
        self._outcomes: set[tuple[str, str | None]] = set()  # (state, message) of the trials that ended, as far as they differ
        self._ended = 0
        self._unfinished: set[int] = set()  # the numbers of the trials that were running when the search ended, and wait
        self._begun_with: dict[int, dict[str, Any]] = {}  # the values of the trials that run, or wait for a worker
        self._began: dict[int, float] = {}  # when they began to train, in seconds since 1970
        self._last: dict[int, dict[int, float]] = {}  # of these, execution -> the objective at its last epoch so far
        self._continuing = Continuing(oracle, directory)
        self._spending = Spending(Budget() if budget is None else budget, oracle, executions, self._continuing)
        keras_tuner_seam.keeps_nothing(oracle)
        if pruning is not None:
            self._oracles_best = oracle.get_best_trials
            oracle.get_best_trials = self._best_trials

    @property
    def listener(self) -> Listener | None:
        """Who hears how the search goes."""
        return self._listener

    @listener.setter
    def listener(self, listener: Listener | None) -> None:
        self._listener = None if listener is None else cast(Listener, Careful(listener))

    def _best_trials(self, num_trials=1):
        """As KerasTuner's, but a trial that was stopped early ranks below all that were not."""
        ranked = self._oracles_best(num_trials + len(self._pruned))
        return sorted(ranked, key=lambda trial: int(trial.trial_id) in self._pruned)[:num_trials]

    # -- the store --------------------------------------------------------------------------------

    def remove(self) -> None:
        """Deletes the store."""
        with Lock(self.directory):
            database.remove(self.directory)

    def restore(self) -> None:
        """Takes up what the store has, if there is one."""
        if database.exists(self.directory):
            with database.Store.open(self.directory, read_only=True) as store:
                self._restore(store)

    @contextlib.contextmanager
    def opened(self, epochs: int | None) -> Iterator[Ledger]:
        """Opens the store for a search.

        Args:
            epochs: of a trial, if Hyperband does not say otherwise and that is known.
        """
        self._epochs, self._ended_by = epochs, None
        with contextlib.ExitStack() as stack:
            stack.enter_context(Lock(self.directory))
            if database.exists(self.directory):
                self._store = stack.enter_context(database.Store.open(self.directory))
                if self._retry_failed:
                    check_same_search(self._store.config, self.config, self.directory)
                    self._store.begin_failed_again()
                self._restore(self._store)
                if self._store.config != self.config:
                    self._store.set_config(self.config)
            else:
                store = database.Store.create(self.directory, self.config, self.oracle.get_state())
                self._store = stack.enter_context(store)
            stack.callback(setattr, self, "_store", None)
            self._store.set_ended(None)
            self._spending.open(epochs, self._store.epochs_trained())
            for name in self.given.keys() - self._store.choices().keys():
                self._store.set_choice(name, self.given[name])
            if self._seed_note is not None and self.listener is not None:
                self.listener.noted(self._seed_note)
            self._note_odd_directions()
            self._note_without_model(self._models.restore(self.best(self._keep_models)))
            self._sweep()
            try:
                yield self
            except NoUsableTrialError as error:
                self._opened.set_ended({"by": "failures", "text": str(error).removesuffix(".")})
                raise
            if self._ended_by is not None:
                self._opened.set_ended(dataclasses.asdict(self._ended_by))
                if self.listener is not None and self._ended_by.by != "trials":
                    self.listener.noted(f"the search ended, as {self._ended_by.text}")
            self._sweep()

    @property
    def _opened(self) -> database.Store:
        if self._store is None:
            raise SearchError("The store is open only during search().")
        return self._store

    def _restore(self, store: database.Store) -> None:
        check_same_search(store.config, self.config, self.directory)
        rows, ended = store.rows("trials"), store.ended()
        state, records, seed = store.oracle_state, store.oracle_trials(), self.oracle.seed
        try:
            oracle_state.restore(self.oracle, state, records, ended)
        except oracle_state.DAMAGES as error:
            raise StoreError(
                f"{store.path} is damaged, or the oracle is not the one that wrote it ({one_line(error)}): restore it from a "
                f"copy, or start over with --fresh."
            ) from error
        if self.oracle.seed != seed:  # without one, KerasTuner's oracles draw it anew in each program
            self._seed_note = f"the oracle goes on with the seed {self.oracle.seed}, with which the search began"
        self._continuing.restore(rows, store.rows("snapshots"))
        self._unfinished = {row["number"] for row in rows if row["state"] == "running"}
        self._pruned = {row["number"] for row in rows if row["state"] == "pruned"}
        self._ended, self._failed_last, self._outcomes = 0, 0, set()
        by_number = {row["number"]: row for row in rows}
        for number in ended:
            self._note(by_number[number]["state"], by_number[number]["message"])
        completed = [row for row in rows if row["state"] == "completed"]
        self._ranked = sorted(self._rank(row["number"], row["epochs"], row["score"]) for row in completed)
        if self.pruning is not None:
            self.pruning.restart(rows, store.rows("epochs"), ended)
        if isinstance(self.oracle, GridSearchOracle) and not isinstance(self.oracle, GridOracle):
            find_place(self.oracle)
        self.oracle.verbose = 0
        # Trials that were running when the search ended run again, with their numbers and values; the first one first.
        ids = list(self.oracle.trials)
        running = {ids[row["number"]] for row in rows if row["state"] == "running"}
        running |= {trial.trial_id for trial in self.oracle.ongoing_trials.values()}
        interrupted = sorted(running, key=int, reverse=True)
        keras_tuner_seam.run_again(self.oracle, interrupted)
        self.oracle.ongoing_trials = {}

    # -- models -----------------------------------------------------------------------------------

    def best(self, count: int) -> list[int]:
        """The numbers of the best trials, best first; fewer if fewer completed."""
        return [number for _, _, number in self._ranked[:count]]

    def _rank(self, number: int, epochs: int | None, score: float | None) -> tuple[float, int, int]:
        return rank(number, epochs, score, self.oracle.objective.direction)

    def assignment(self, trial: Trial) -> Assignment:
        """How a trial that begins is to train."""
        number = int(trial.trial_id)
        return Assignment(
            root=self._continuing.root(number),
            ways=self.ways,
            least=self._least(trial),
            begin=self._continuing.begin(number, self._opened),
            leaves=self._continuing.leaves(trial.hyperparameters.values),
            settings=self._continuing.settings(number),
        )

    def _least(self, trial: Trial) -> float | None:
        """What a trial must score at least for its model to be kept; `None`: it is not kept, whatever the trial scores."""
        if self._keep_models == 0:
            return None
        worst = -math.inf if self.oracle.objective.direction == "max" else math.inf
        if len(self._ranked) < self._keep_models:
            return worst
        score, *last = self._ranked[self._keep_models - 1]
        equal = self._rank(int(trial.trial_id), split_values(trial.hyperparameters.values, self._epochs)[1], None)[1:]
        reached = score if equal < tuple(last) else math.nextafter(score, -math.inf)
        return reached if worst > 0 else -reached

    def _note_odd_directions(self) -> None:
        if self.listener is not None:
            for name, direction in oddly_directed(self.oracle.objective):
                size, better = ("small", "large") if direction == "min" else ("large", "small")
                self.listener.noted(f"{name} is made as {size} as possible, as its objective says; a {better} one is better")

    def _note_without_model(self, numbers: list[int]) -> None:
        if numbers and self.listener is not None:
            which = f"trial{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"
            anew = f": `keras-optims train {os.path.normpath(self.directory)}` trains the best setting anew"
            self.listener.noted(f"no model of {which} is kept{anew if 'problem' in self.config else ''}")

    # -- what an engine asks ----------------------------------------------------------------------

    @property
    def prunes(self) -> bool:
        """Whether a trial may be stopped early."""
        return self.pruning is not None

    @property
    def choices(self) -> dict[str, Any]:
        """What the first trial has measured: name -> `{"value": ..., "seconds_per_step": ...}`."""
        return self._opened.choices()

    @property
    def ways(self) -> tuple[str, ...] | None:
        """How epochs may be compiled: in one way, if the search has settled that; `None`: as each model was compiled."""
        if self.jit is None:
            return None
        chosen = self.choices.get("way")
        if chosen is not None:
            return None if chosen["value"] is None else (chosen["value"],)
        return epochs.ways(self.jit)

    @property
    def measuring(self) -> bool:
        """Whether the next trial measures how all are trained."""
        return len(self.ways or ()) > 1

    @property
    def looks_ahead(self) -> bool:
        """Whether trials may be asked for before there is a worker for them: no result changes them, or ends the search."""
        budget = self._spending.budget
        return proposes_ahead(self.oracle) and budget.max_seconds is None and budget.target is None

    def check_interruption(self) -> None:
        """Raises KeyboardInterrupt if Ctrl-C or SIGTERM came during the search."""
        self._interruption.check()

    def next_trial(self, seat: str) -> Trial | None:
        """The next trial for `seat`: `None` if there are no more; with status IDLE if it must wait for others to end."""
        self.check_interruption()
        if seat not in self.oracle.ongoing_trials:  # else its worker died
            ends = self._spending.ends(self._best())
            if ends == WAIT:
                return Trial(self.oracle.get_space(), status=TrialStatus.IDLE)
            if isinstance(ends, Ended):
                self._no_more(ends)
                return None
        self._before_trial()
        trial = self.oracle.create_trial(seat)
        if trial.status == TrialStatus.STOPPED:
            self._no_more(self._oracle_ends())
            return None
        if trial.status == TrialStatus.IDLE:
            return trial
        values, trained = split_values(trial.hyperparameters.values, self._epochs)
        number = int(trial.trial_id)
        state, record = oracle_state.split(self.oracle, trial)
        self._begun_with[number] = values
        self._unfinished.discard(number)
        self._last.pop(number, None)
        continues = self._continuing.began(number, trial.hyperparameters.values)
        self._spending.began(number, trial.hyperparameters.values)
        self._opened.begin_trial(number, values, trained, record, state, continues)
        if self.pruning is not None:
            self._pruned.discard(number)
            self.pruning.began(number, trained)
        return trial

    def begins(self, trial: Trial) -> None:
        """A trial that was asked for begins to train."""
        self._began[int(trial.trial_id)] = time.time()
        self._trial_began(trial)
        if self.listener is not None:
            self.listener.trial_began(int(trial.trial_id), *split_values(trial.hyperparameters.values, self._epochs))

    def _no_more(self, ended: Ended) -> None:
        """No further trial begins; the first reason counts."""
        self._ended_by = self._ended_by or ended

    def _oracle_ends(self) -> Ended:
        """Why the oracle proposes no further trial."""
        most = self.oracle.max_trials
        if most and len(self.oracle.trials) >= most:
            return Ended("trials", f"all of {counted(most, 'trial')} were tried")
        return Ended("oracle", "its schedule is done" if isinstance(self.oracle, SCHEDULED) else "there is no further setting")

    def _best(self) -> tuple[int, float] | None:
        """Number and score of the best trial."""
        if not self._ranked:
            return None
        score, _, number = self._ranked[0]
        return number, -score if self.oracle.objective.direction == "max" else score

    # -- what an engine tells ---------------------------------------------------------------------

    def record(self, event: Event) -> bool:
        """Writes what a running trial reports to the store; whether the trial is to stop here."""
        self.check_interruption()
        if isinstance(event, EpochEnded):
            self._continuing.trained(event.trial, event.epoch, self._opened)
            self._spending.epoch_ended(event.trial)
            self._opened.add_epoch(event.trial, event.execution, event.epoch, event.metrics)
            if self.listener is not None:
                self.listener.epoch_ended(event)
            if self.oracle.objective.has_value(event.metrics):
                self._last.setdefault(event.trial, {})[event.execution] = self.oracle.objective.get_value(event.metrics)
            else:
                self._without_objective(event.metrics)
            if self.pruning is not None and self.pruning.stops(event.trial, event.execution, event.epoch, event.metrics):
                self._pruned.add(event.trial)
            return event.trial in self._pruned
        if isinstance(event, Chosen):
            self._opened.set_choice(event.name, {"value": event.value, "seconds_per_step": event.seconds_per_step})
            if self.listener is not None:
                self.listener.chosen(event)
            return False
        if isinstance(event, BestModel):
            self._models.put(event.trial, event.content)
            return False
        if isinstance(event, Left):
            self._continuing.take(event)
            return False
        if isinstance(event, Noted):
            if self.listener is not None:
                self.listener.noted(event.text)
            return False
        self._opened.add_execution(
            event.trial, event.execution, event.seed, event.score, event.best_epoch, event.begun, event.seconds
        )
        if self.listener is not None:
            self.listener.execution_ended(event)
        return False

    def _without_objective(self, metrics: dict[str, float]) -> None:
        """An epoch has not reported what the search is to make best."""
        name = self.oracle.objective.name
        if self.scores_are_of_epochs:
            raise ObjectiveError(
                f"The objective must be one of the metrics that training reports, {', '.join(metrics)}; received {name!r}."
            )

    def begin_again(self, trial: Trial) -> None:
        """Drops what a running trial has reported."""
        number = int(trial.trial_id)
        self._last.pop(number, None)
        self._opened.forget(number)
        self._spending.forgot(number)
        if self.listener is not None:
            self.listener.trial_began(number, *split_values(trial.hyperparameters.values, self._epochs))

    def trial_done(self, trial: Trial, results: list[dict[str, float]]) -> None:
        """A trial came to its end: completed, stopped by `record`, or diverged."""
        self.check_interruption()
        objective = self.oracle.objective
        if diverged(results, objective):
            self._pruned.discard(int(trial.trial_id))
            self._end(trial, "diverged", None)
            return
        metrics = {name: float(np.mean([result[name] for result in results])) for name in results[0]}
        state = "pruned" if int(trial.trial_id) in self._pruned else "completed"
        self._end(trial, state, metrics[objective.name], metrics)

    def trial_failed(self, trial: Trial, message: str, trace: str) -> None:
        """A trial raised. The search goes on, unless all its trials so far raised the same."""
        self.check_interruption()
        self._pruned.discard(int(trial.trial_id))
        self._end(trial, "failed", None, message=message, trace=trace)
        if self._ended >= SAME_FAILURES and self._outcomes == {("failed", message)}:
            raise NoUsableTrialError(
                f"All {self._ended} trials so far failed with the same error, so the search stops: {message}"
            )
        if self._failed_last >= self._failures_in_a_row:
            raise NoUsableTrialError(f"{self._failed_last} trials failed in a row, so the search stops; the last one: {message}")

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
        if self.pruning is not None and state == "pruned" and hasattr(self.oracle, "tell_pruned"):
            self.oracle.tell_pruned(trial.trial_id, self.pruning.curve(number))
        last = self._last.pop(number, None)
        if last and state == "completed" and hasattr(self.oracle, "tell_last"):
            self.oracle.tell_last(trial.trial_id, float(np.mean([*last.values()])))
        self.oracle.end_trial(trial)
        oracles, record = oracle_state.split(self.oracle, self.oracle.get_trial(trial.trial_id))
        values, _ = split_values(trial.hyperparameters.values, self._epochs)
        grown = values if values != self._begun_with.pop(number, None) else None
        snapshots = self._continuing.ends(number, state)
        if not self._spending.ended(number) and state == "completed" and self.listener is not None:
            self.listener.noted("the epochs of trials are not reported, so that no number of epochs ends the search")
        begun = self._began.pop(number, None)
        self._opened.end_trial(number, state, score, record, oracles, message, trace, grown, snapshots, begun)
        self._sweep()
        if grown is not None and self.listener is not None:
            self.listener.trial_grew(number, grown)
        if state == "completed":
            bisect.insort(self._ranked, self._rank(number, split_values(trial.hyperparameters.values, self._epochs)[1], score))
        if self._keep_models:  # else there are none, since the search was opened
            self._models.ended(number, self.best(self._keep_models))
        if self.pruning is not None:
            if state == "completed" and not self.pruning.curve(number) and self.listener is not None:
                self.listener.noted(f"no trial is pruned, as epochs do not report the objective {objective.name}")
            self.pruning.ended(number, state, score)
        self._note(state, message)
        if self.listener is not None:
            self.listener.trial_ended(number, state, score, message)
        self._trial_ended(trial)

    def _sweep(self) -> None:
        self._continuing.sweep(self._opened, self._begun_with.keys() | self._unfinished)

    def _note(self, state, message):
        self._ended += 1
        self._failed_last = self._failed_last + 1 if state == "failed" else 0
        if len(self._outcomes) < 2:  # with two it is known that they differ
            self._outcomes.add((state, message))


def split_values(values: dict[str, Any], epochs: int | None) -> tuple[dict[str, Any], int | None]:
    """The hyperparameters without Hyperband's bookkeeping, and for how many epochs this trial trains."""
    return {name: value for name, value in values.items() if not name.startswith("tuner/")}, values.get("tuner/epochs", epochs)
