"""The tuner: KerasTuner's, with every result kept, resumable at any moment, and indifferent to trials that diverge."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import keras_tuner
import numpy as np
from keras_tuner.engine.tuner import maybe_distribute
from keras_tuner.oracles import HyperbandOracle

from tuning.console.live import View
from tuning.console.search_table import table
from tuning.console.space_table import space_table
from tuning.engines import Engine, chief
from tuning.engines.here import HereEngine
from tuning.engines.local import LocalEngine
from tuning.engines.source import Source
from tuning.errors import SearchError
from tuning.oracles import QuasirandomOracle, oracle_seed
from tuning.oracles.halving import SCHEDULED
from tuning.oracles.keras_tuner_seam import TunerOfKerasTuner
from tuning.oracles.population import PopulationOracle
from tuning.problems.callbacks import copied
from tuning.results.search import SearchResult, rank
from tuning.runtime.interruption import Interruption
from tuning.runtime.machine import machine, versions
from tuning.schedulers.pruning import make_pruning
from tuning.store import database
from tuning.store.models import load_model, model_path
from tuning.study.budget import Budget
from tuning.study.ledger import Ledger, Listener
from tuning.study.listening import Several
from tuning.trackers import checked
from tuning.trackers.following import Trackers
from tuning.training import keras_seam
from tuning.training.events import Event
from tuning.training.problem_model import ProblemModel, anew
from tuning.training.trainer import Trainer, not_a_population, why_not_continued

VERBOSE = (0, 1, 2, "auto")
KEPT_MODELS = 3  # of the best trials: enough for `get_best_models(2)` of KerasTuner's guides

# What a user may overwrite to train, or hear of training, in the process of the search.
_OF_THIS_PROCESS = ("run_trial", "on_epoch_begin", "on_epoch_end", "on_batch_begin", "on_batch_end")


class Tuner(TunerOfKerasTuner):
    """A `keras_tuner.Tuner` to use with your own HyperModel and oracle.

        tuner = tuning.Tuner(build_model, objective="val_loss", max_trials=20, directory="results", project_name="mine")
        tuner.search(x, y, epochs=3, validation_data=(x_val, y_val))
        model = tuner.get_best_models()[0]

    What differs from KerasTuner's: every execution of a trial and its learning curve is kept, in the SQLite file
    `directory/project_name/search.sqlite` (see `tuning.store.database`), beside it the models of the best trials,
    and no checkpoints of others. A search that was interrupted, even by kill -9, goes on with the trial it was at. A trial
    follows from (seed, trial number, execution number) alone. Trials that diverge are results, trials that raise are recorded as
    failed, and neither ends the search; only if the first three trials fail with the same error, that error is raised.
    `search` shows how it goes on stderr, unless it is called with `verbose=0`.

    Args:
        oracle: a `keras_tuner.Oracle`. Without one, a scrambled Sobol sequence proposes the settings, and the HyperModel may
            come first.
        hypermodel: a `keras_tuner.HyperModel` or a function `build(hp)`.
        objective, max_trials, hyperparameters, tune_new_entries, allow_new_entries: without an oracle, as KerasTuner's oracles
            take them.
        directory, project_name: where the store is.
        overwrite: delete the store and start over.
        retry_failed: try the trials that failed once more, with the same settings and seeds, when `search` goes on.
        seed: any int >= 0; `None` is 0.
        workers: how many processes of this machine train trials.
        max_consecutive_failed_trials: so many trials that fail one after the other end the search.
        max_model_size, optimizer, loss, metrics, distribution_strategy, tuner_id: as of `keras_tuner.Tuner`.
        executions_per_trial: trainings per setting; the score is their mean.
        config: what else identifies this search, JSON-serializable: resuming with another one is an error.
        listener: a `Listener`, which hears how the search goes in the place of the view.
        engine: where trials run; `None`: one after the other in this process, or in the workers.
        max_seconds: no trial begins later than this after `search` was called.
        max_total_epochs: so many epochs are trained at most, in all trials together: no trial begins that would train more.
        target: no trial begins any more when the best one has this objective, or a better one.
        pruner: stops trials that are not promising: a name in `tuning.names.PRUNERS`, an Optuna pruner, or `None`.
        jit: whether the epochs are compiled by XLA: `True`, `False`, `"auto"` (what is usual for the model on this device),
            `"measure"` (the first trial measures what is faster, and all others do the same), or `None`: as each model was
            compiled.
        keep_models: of so many of the best trials the model at its best epoch is kept, as `trial-N.keras` beside the store.
        log: where each training is logged besides, live: `"tensorboard"`, `"mlflow"`, `"wandb"`, or several of them
            (docs/tracking.md).

    Raises:
        SearchError: an argument is wrong, or the store in the directory is of another search, damaged, or in use.
    """

    def __init__(
        self,
        oracle=None,
        hypermodel=None,
        *,
        objective=None,
        max_trials: int | None = None,
        hyperparameters: keras_tuner.HyperParameters | None = None,
        tune_new_entries: bool = True,
        allow_new_entries: bool = True,
        directory=None,
        project_name=None,
        overwrite=False,
        retry_failed=False,
        seed: int | None = 0,
        executions_per_trial=1,
        workers: int = 1,
        max_consecutive_failed_trials: int | None = None,
        max_model_size: int | None = None,
        optimizer=None,
        loss=None,
        metrics=None,
        distribution_strategy=None,
        tuner_id: str | None = None,
        config=None,
        listener: Listener | None = None,
        engine=None,
        max_seconds: float | None = None,
        max_total_epochs: int | None = None,
        target: float | None = None,
        pruner=None,
        jit: bool | str | None = None,
        keep_models: int = KEPT_MODELS,
        log: str | Iterable[str] | None = None,
        **kwargs,
    ):
        if names := self.without_effect(Tuner):
            raise SearchError(
                f"Nothing calls {', '.join(names)} of KerasTuner's tuner here, as the store has the state: "
                f"leave that out, or overwrite run_trial; received a {type(self).__name__} that overwrites it."
            )
        self.seed = 0 if seed is None else int_of_at_least(0, "The seed", seed)
        keep_models = int_of_at_least(0, "keep_models", keep_models)
        workers = int_of_at_least(1, "workers", workers)
        executions_per_trial = int_of_at_least(1, "executions_per_trial", executions_per_trial)
        if max_model_size is not None:
            max_model_size = int_of_at_least(1, "max_model_size", max_model_size)
        if max_total_epochs is not None:
            max_total_epochs = int_of_at_least(1, "max_total_epochs", max_total_epochs)
        budget = Budget(max_seconds, max_total_epochs, target)
        check_hyperparameters(hyperparameters)
        failures = math.inf
        if max_consecutive_failed_trials is not None:
            failures = int_of_at_least(1, "max_consecutive_failed_trials", max_consecutive_failed_trials)
        if engine is not None and workers > 1:
            raise SearchError(f"Workers are those of an engine: give one of the two; received workers={workers} and {engine!r}.")
        if hypermodel is None and oracle is not None and not isinstance(oracle, keras_tuner.Oracle):
            oracle, hypermodel = None, oracle
        space = {
            "objective": objective,
            "max_trials": max_trials,
            "hyperparameters": hyperparameters,
            "tune_new_entries": tune_new_entries,
            "allow_new_entries": allow_new_entries,
        }
        if oracle is None:
            space["max_trials"] = 10 if max_trials is None else int_of_at_least(1, "max_trials", max_trials)
            oracle = QuasirandomOracle(seed=oracle_seed(self.seed), **space)
        elif given := [name for name, value in space.items() if not (value is None or value is True)]:
            raise SearchError(
                f"{' and '.join(given)} belong to an oracle, and the one that was given has its own; received both, with the "
                f"oracle {type(oracle).__name__}."
            )
        if hypermodel is None and type(self).run_trial is Tuner.run_trial:
            raise SearchError("A tuner without a run_trial of its own needs a HyperModel or a function build(hp); received none.")
        of = type(self if hypermodel is None else hypermodel).__name__
        self._title = of if isinstance(hypermodel, keras_tuner.HyperModel) else getattr(hypermodel, "__name__", of)
        self.engine = engine if workers == 1 else LocalEngine(workers)
        self.log = checked(log)
        self.trackers: Trackers | None = None  # of the comparison to which this search belongs
        self.is_shown = True  # whether what the listener is told reaches a person
        self._trainer: Trainer | None = None
        self._source: Source | None = None
        self._interruption = Interruption()
        self._role = chief.role()
        super().__init__(
            oracle,
            hypermodel,
            max_model_size=max_model_size,
            optimizer=optimizer,
            loss=loss,
            metrics=metrics,
            distribution_strategy=distribution_strategy,
            directory=directory,
            project_name=project_name,
            tuner_id=tuner_id,
            executions_per_trial=executions_per_trial,
            **kwargs,
        )
        self._check_engine()
        self.oracle = oracle  # for a worker of a chief, KerasTuner has put its own client in its place
        pruning = make_pruning(pruner, self.oracle.objective)
        if pruning is not None and isinstance(self.oracle, SCHEDULED):
            called = {HyperbandOracle: "Hyperband", PopulationOracle: "Population based training"}
            name = next((name for kind, name in called.items() if isinstance(self.oracle, kind)), "ASHA")
            raise SearchError(
                f"{name} stops trials itself and takes no pruner: leave it out, or choose another oracle; "
                f"received {pruning.name!r}."
            )
        self.config = config if config is not None else self._default_config(pruning)
        self.ledger = Ledger(
            self.oracle,
            directory=self.project_dir,
            config=self.config,
            pruning=pruning,
            jit=jit,
            keep_models=keep_models,
            retry_failed=retry_failed,
            listener=listener,
            interruption=self._interruption,
            seat=self.tuner_id,
            before_trial=self.pre_create_trial,
            trial_began=self.on_trial_begin,
            trial_ended=self.on_trial_end,
            failures_in_a_row=failures,
            budget=budget,
            executions=executions_per_trial,
        )
        if self._role == "worker":  # the store is the chief's
            return
        if overwrite:
            self.ledger.remove()
        self.ledger.restore()
        if isinstance(self.config, dict) and "oracle_seed" in self.config:
            self.config["oracle_seed"] = self.oracle.seed  # the store's, if it has one

    def _check_engine(self) -> None:
        """Raises `SearchError` if trials run where something of this tuner would not."""
        if self.engine is None or (isinstance(self.engine, HereEngine) and self.engine.batch_trials == 1):
            return
        own = [f"{name} of its own" for name in _OF_THIS_PROCESS if self._overwrites(name)]
        if not isinstance(self.engine, HereEngine):
            own += [
                name
                for name in ("optimizer", "loss", "metrics", "max_model_size", "distribution_strategy")
                if getattr(self, name) is not None
            ]
        if own:
            raise SearchError(
                f"Trials that run in other processes, or several at once, train what the HyperModel builds and fits; received a "
                f"tuner with {', '.join(own)}: leave that out, or workers and engine."
            )

    def _overwrites(self, name: str) -> bool:
        return getattr(type(self), name) is not getattr(Tuner, name)

    # -- KerasTuner's files -----------------------------------------------------------------------

    @property
    def project_dir(self):
        """The folder of the store; unlike KerasTuner's it is made when the search begins, not when it is asked for."""
        return os.path.join(str(self.directory), self.project_name)

    def save(self):
        """Does nothing: the store has everything already."""

    def reload(self):
        """Does nothing: the constructor has reloaded what the store has."""

    def state_file(self):
        """Nothing is there: what KerasTuner keeps in this file, the store has."""
        return os.path.join(self.project_dir, "no", "tuner.json")

    # -- what was found ---------------------------------------------------------------------------

    def _best_trials(self, count: int):
        """The best completed trials."""
        known = {int(trial.trial_id): trial for trial in self.oracle.trials.values()}
        if self._role != "worker":
            return [known[number] for number in self.ledger.best(count)]
        direction, ranked = self.oracle.objective.direction, []
        for number, trial in known.items():
            if trial.status == "COMPLETED" and trial.score is not None and math.isfinite(trial.score):
                ranked.append(rank(number, trial.hyperparameters.values.get("tuner/epochs"), trial.score, direction))
        return [known[number] for *_, number in sorted(ranked)[:count]]

    def get_best_hyperparameters(self, num_trials=1):
        """The hyperparameters of the best trials, best first; fewer if fewer trials completed."""
        return [trial.hyperparameters for trial in self._best_trials(num_trials)]

    def get_best_models(self, num_models=1):
        """The models of the best trials at their best epochs, best first; fewer if fewer trials completed.

        Raises:
            SearchError: of one of them the model is not kept: the search keeps as many as `keep_models` says.
        """
        return [self.load_model(trial) for trial in self._best_trials(num_models)]

    def load_model(self, trial):
        """The model of a trial at its best epoch, if it is one of those that are kept.

        One with layers of your own, of which Keras has not been told, is built anew and given its weights.
        """
        number = int(trial.trial_id)
        if not model_path(self.project_dir, number).is_file():
            if self._role == "worker":
                raise SearchError(f"The model of trial {number} is in the folder of the chief: ask there.")
            raise SearchError(
                f"The model of trial {number} is not kept: a search keeps as many of the best as keep_models says. "
                f"Another one is tuner.hypermodel.build(hp), with its hyperparameters, trained anew."
            )
        try:
            return load_model(self.project_dir, number)
        except SearchError:
            if self.hypermodel is None:
                raise
            model = self.build_model(trial.hyperparameters)
            if not model.built:
                raise
            model.load_weights(model_path(self.project_dir, number))
            return model

    def results_summary(self, num_trials=10):
        """Prints the best trials, best first."""
        if not database.exists(self.project_dir):
            print(f"There are no results in {self.project_dir} yet.")
        else:
            print(table(SearchResult.load(self.project_dir), num_trials))

    def search_space_summary(self, extended=False):
        """Prints what is searched; `extended`: with the default values."""
        print(space_table(self.oracle.get_space(), extended))

    # -- models -----------------------------------------------------------------------------------

    def explore_space(self):
        """Builds models until the oracle knows what they declare."""
        if not isinstance(self.hypermodel, ProblemModel):  # whose space is known: exploring it would build models for nothing
            super().explore_space()

    def build_model(self, hp):
        """The HyperModel's model, compiled as the tuner says; an error, if it has too many parameters."""
        with maybe_distribute(self.distribution_strategy):
            model = self.hypermodel.build(hp)
            given = {name: value for name in ("optimizer", "loss", "metrics") if (value := getattr(self, name)) is not None}
            if given and isinstance(model, keras.Model):
                before = keras_seam.compiled_with(model) if model.compiled else {}
                model.compile(**{**before, **{name: anew(value) for name, value in given.items()}})
        if self.max_model_size and isinstance(model, keras.Model) and model.built:
            size = sum(math.prod(variable.shape) for variable in model.trainable_variables)
            if size > self.max_model_size:
                raise keras_tuner.errors.FailedTrialError(
                    f"The model has {size} parameters, and max_model_size allows {self.max_model_size}."
                )
        return model

    def _default_config(self, pruning) -> dict[str, Any]:
        of_population = {}
        if isinstance(self.oracle, PopulationOracle):
            of_population = {"population": self.oracle.population, "ready": self.oracle.ready, "epochs": self.oracle.max_epochs}
        return {
            **of_population,
            "hypermodel": type(self.hypermodel).__qualname__,
            "oracle": type(self.oracle).__qualname__,
            "objective": self.oracle.objective.name,
            "direction": self.oracle.objective.direction,
            "space": [[axis.__class__.__name__, axis.get_config()] for axis in self.oracle.get_space().space],
            "oracle_seed": self.oracle.seed,
            "seed": self.seed,
            "repeats": self.executions_per_trial,
            "backend": keras.backend.backend(),
            "sampler": getattr(self.oracle, "sampler_name", None),
            "pruner": pruning.name if pruning is not None else None,
            "versions": versions(),
            "machine": machine(),
        }

    # -- the search -------------------------------------------------------------------------------

    @property
    def prunes(self) -> bool:
        """Whether a trial may be stopped early: then `record` returns `True` for an epoch at which it is to stop."""
        return self.ledger.prunes

    def search(self, *fit_args, **fit_kwargs):
        """Runs trials until the oracle has no more; resumes what is in the store. The arguments are those of `model.fit`.

        `verbose=0` shows nothing; whatever else it is, the epochs of the trials are in the view, and no progress bars.
        """
        verbose = fit_kwargs.get("verbose", "auto")
        if verbose not in VERBOSE:
            raise SearchError(f"verbose must be one of {', '.join(map(repr, VERBOSE))}; received {verbose!r}.")
        with self._shown(self._role != "worker" and self.ledger.listener is None and verbose != 0):
            self._search(fit_args, fit_kwargs)

    @contextlib.contextmanager
    def _shown(self, wanted: bool) -> Iterator[None]:
        """Shows the search to a person, in this block."""
        if not wanted:
            yield
            return
        population = self.oracle if isinstance(self.oracle, PopulationOracle) else None
        view = View(self._title, self.oracle.objective, self.oracle.max_trials, sys.stderr, population=population)
        self.ledger.listener = view
        try:
            with view.showing(SearchResult.load(self.project_dir) if database.exists(self.project_dir) else None):
                if os.path.exists(os.path.join(self.project_dir, "oracle.json")):
                    view.noted("what KerasTuner left in this folder is not read")
                yield
        finally:
            self.ledger.listener = None

    def _search(self, fit_args, fit_kwargs) -> None:
        copied(fit_kwargs.get("callbacks"))  # what cannot be copied is said now, and not by each trial
        if isinstance(self.oracle, PopulationOracle) and self.hypermodel is not None:
            reason = why_not_continued(self.hypermodel, fit_kwargs)
            if reason is not None:
                raise SearchError(not_a_population(reason))
        engine: Engine
        place: contextlib.AbstractContextManager[Source]
        trackers: contextlib.AbstractContextManager[Trackers | None] = contextlib.nullcontext(self.trackers)
        if self._role == "worker":
            engine = HereEngine()
            place = chief.Link(self.oracle, self._interruption, self.pre_create_trial, self.on_trial_begin, self.on_trial_end)
        else:
            engine = chief.Chief() if self._role == "chief" else self.engine or HereEngine()
            place = self.ledger.opened(fit_kwargs.get("epochs"))
            if self.trackers is None and self.log:
                trackers = Trackers(self.log, self.project_dir)
        self._trainer = None
        with trackers as following, place as self._source, self._interruption.watched(), self._followed_by(following):
            try:
                self.on_search_begin()
                trainer = self.trainer(fit_args, fit_kwargs)
                engine.run(self._source, trainer, lambda trial: self.run_trial(trial, *fit_args, **fit_kwargs))
                self.on_search_end()
            finally:
                self._source = None

    @contextlib.contextmanager
    def _followed_by(self, trackers: Trackers | None) -> Iterator[None]:
        """Lets trackers hear of the search, in this block, beside the listener."""
        if trackers is None:
            yield
            return
        listener = self.ledger.listener
        note = (lambda text: None) if listener is None else listener.noted

        def warn(text: str) -> None:
            if listener is not None and self.is_shown:
                listener.noted(text)
            else:
                warnings.warn(text, RuntimeWarning, stacklevel=2)

        with trackers.following(self.project_dir, note, warn) as following:
            if following is not None:
                self.ledger.listener = Several(*filter(None, (listener, following)))
            try:
                yield
            finally:
                self.ledger.listener = listener

    def run_trial(self, trial, *fit_args, **fit_kwargs):
        """Trains one setting in this process; see `tuning.training.trainer.Trainer`.

        A subclass may call this with other arguments of `fit` than those of the search.
        """
        if self._overwrites("on_batch_begin") or self._overwrites("on_batch_end"):
            fit_kwargs["callbacks"] = [*(fit_kwargs.get("callbacks") or ()), _Batches(self, trial)]
        return self.trainer(fit_args, fit_kwargs).run(
            int(trial.trial_id),
            trial.hyperparameters,
            self.record,
            self._searching.assignment(trial),
            epoch_began=lambda model, epoch: self.on_epoch_begin(trial, model, epoch),
            epoch_ended=lambda model, epoch, logs: self.on_epoch_end(trial, model, epoch, logs),
            fit_args=fit_args,
            fit_kwargs=fit_kwargs,
        )

    def trainer(self, fit_args, fit_kwargs) -> Trainer:
        """What a process needs to train this search's trials; the same one for the whole search."""
        if self._trainer is None:
            self._trainer = Trainer(
                self.hypermodel,
                objective=self.oracle.objective,
                search_seed=self.seed,
                executions=self.executions_per_trial,
                fit_args=fit_args,
                fit_kwargs=fit_kwargs,
                ways=self._searching.ways,
                build=self.build_model,
            )
        return self._trainer

    def record(self, event: Event) -> bool:
        """Writes what a running trial reports to the store, or sends it to the chief; whether the trial is to stop here."""
        return self._searching.record(event)

    @property
    def _searching(self) -> Source:
        if self._source is None:
            raise SearchError("The store is open only during search().")
        return self._source

    def on_trial_end(self, trial):
        """Called when a trial has ended and is in the store. For you to overwrite."""


class _Batches(keras.callbacks.Callback):
    """Calls a tuner's hooks of batches."""

    def __init__(self, tuner: Tuner, trial):
        super().__init__()
        self._tuner, self._trial = tuner, trial

    def __deepcopy__(self, memo):
        return _Batches(self._tuner, self._trial)

    def on_train_batch_begin(self, batch, logs=None):
        """Passes it on."""
        self._tuner.on_batch_begin(self._trial, self.model, batch, logs)

    def on_train_batch_end(self, batch, logs=None):
        """Passes it on."""
        self._tuner.on_batch_end(self._trial, self.model, batch, logs)


def int_of_at_least(least: int, what: str, value) -> int:
    """The value as an int; `SearchError`, if it is another thing."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise SearchError(f"{what} must be an int of at least {least}; received {value!r}.")
    return int(value)


def check_hyperparameters(value) -> None:
    """`SearchError`, if it is no space."""
    if value is not None and not isinstance(value, keras_tuner.HyperParameters):
        raise SearchError(f"hyperparameters must be a keras_tuner.HyperParameters or None; received {value!r}.")
