"""The tuner: KerasTuner's, with every result kept, resumable at any moment, and indifferent to trials that diverge."""

from __future__ import annotations

import contextlib
import os
from typing import Any

import keras
import keras_tuner
import numpy as np
from keras_tuner.oracles import HyperbandOracle

from tuning.engines import Engine, chief
from tuning.engines.here import HereEngine
from tuning.engines.source import Source
from tuning.errors import SearchError
from tuning.runtime.interruption import Interruption
from tuning.runtime.machine import machine, versions
from tuning.schedulers.pruning import make_pruning
from tuning.store.models import load_model
from tuning.study.ledger import Ledger, Listener
from tuning.training.events import Event
from tuning.training.trainer import Trainer


class Tuner(keras_tuner.Tuner):
    """A `keras_tuner.Tuner` to use with your own HyperModel and oracle.

        tuner = tuning.Tuner(oracle, build_model, directory="results", project_name="mine", seed=0)
        tuner.search(x, y, epochs=3, validation_data=(x_val, y_val))

    What differs from KerasTuner's: every execution of a trial and its learning curve is kept, in the SQLite file
    `directory/project_name/search.sqlite` (see `tuning.store.database`), beside it the models of the best trials,
    and no checkpoints of others. A search that was interrupted, even by kill -9, goes on with the trial it was at. A trial
    follows from (seed, trial number, execution number) alone. Trials that diverge are results, trials that raise are recorded as
    failed, and neither ends the search; only if the first three trials fail with the same error, that error is raised.
    Per-batch hooks (`on_batch_begin`, `on_batch_end`) are not called.

    Args:
        oracle: a `keras_tuner.Oracle`.
        hypermodel: a `keras_tuner.HyperModel` or a function `build(hp)`.
        directory, project_name: where the store is.
        overwrite: delete the store and start over.
        retry_failed: try the trials that failed once more, with the same settings and seeds, when `search` goes on.
        seed: any int >= 0.
        executions_per_trial: trainings per setting; the score is their mean.
        config: what else identifies this search, JSON-serializable: resuming with another one is an error.
        listener: a `Listener`.
        engine: where trials run; `None`: one after the other in this process.
        max_seconds: no trial begins later than this after `search` was called.
        pruner: stops trials that are not promising: a name in `tuning.names.PRUNERS`, an Optuna pruner, or `None`.
        jit: whether the epochs are compiled by XLA: `True`, `False`, `"auto"` (what is usual for the model on this device),
            `"measure"` (the first trial measures what is faster, and all others do the same), or `None`: as each model was
            compiled.
        keep_models: of so many of the best trials the model at its best epoch is kept, as `trial-N.keras` beside the store.
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
        retry_failed=False,
        seed=0,
        executions_per_trial=1,
        config=None,
        listener: Listener | None = None,
        engine=None,
        max_seconds: float | None = None,
        pruner=None,
        jit: bool | str | None = None,
        keep_models: int = 1,
        **kwargs,
    ):
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
            raise SearchError(f"The seed must be an int of at least 0; received {seed!r}.")
        if isinstance(keep_models, bool) or not isinstance(keep_models, (int, np.integer)) or keep_models < 0:
            raise SearchError(f"keep_models must be an int of at least 0; received {keep_models!r}.")
        self.seed = int(seed)
        self.engine = engine
        self.max_seconds = max_seconds
        self._trainer: Trainer | None = None
        self._source: Source | None = None
        self._interruption = Interruption()
        self._role = chief.role()
        super().__init__(
            oracle,
            hypermodel,
            directory=directory,
            project_name=project_name,
            executions_per_trial=executions_per_trial,
            **kwargs,
        )
        self.oracle = oracle  # for a worker of a chief, KerasTuner has put its own client in its place
        pruning = make_pruning(pruner, self.oracle.objective)
        if pruning is not None and isinstance(self.oracle, HyperbandOracle):
            raise SearchError(
                f"Hyperband stops trials itself and takes no pruner: leave it out, or choose another oracle; "
                f"received {pruning.name!r}."
            )
        self.config = config if config is not None else self._default_config(pruning)
        self.ledger = Ledger(
            self.oracle,
            directory=self.project_dir,
            config=self.config,
            pruning=pruning,
            jit=jit,
            keep_models=int(keep_models),
            retry_failed=retry_failed,
            listener=listener,
            interruption=self._interruption,
            seat=self.tuner_id,
            before_trial=self.pre_create_trial,
            trial_began=self.on_trial_begin,
        )
        if self._role == "worker":  # the store is the chief's
            return
        if overwrite:
            self.ledger.remove()
        self.ledger.restore()

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
        """The model of a trial at its best epoch, if it is one of those that are kept."""
        return load_model(self.project_dir, int(trial.trial_id))

    def get_best_models(self, num_models=1):
        """The models of the best trials at their best epochs, best first; fewer if fewer trials completed.

        Raises:
            SearchError: of one of them the model is not kept: the search keeps as many as `keep_models` says.
        """
        if self._role == "worker":
            raise SearchError("The models are in the folder of the chief: ask there.")
        return [load_model(self.project_dir, number) for number in self.ledger.best(num_models)]

    def _populate_initial_space(self):
        if self.oracle.allow_new_entries:  # else the space is known, and building a model to explore it is for nothing
            super()._populate_initial_space()

    def _default_config(self, pruning) -> dict[str, Any]:
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
        """Runs trials until the oracle has no more; resumes what is in the store. The arguments are those of `model.fit`."""
        engine: Engine
        place: contextlib.AbstractContextManager[Source]
        if self._role == "worker":
            engine = HereEngine()
            place = chief.Link(self.oracle, self._interruption, self.pre_create_trial, self.on_trial_begin)
        else:
            engine = chief.Chief() if self._role == "chief" else self.engine or HereEngine()
            place = self.ledger.opened(fit_kwargs.get("epochs"), self.max_seconds)
        self._trainer = None
        with place as self._source, self._interruption.watched():
            try:
                self.on_search_begin()
                trainer = self.trainer(fit_args, fit_kwargs)
                engine.run(self._source, trainer, lambda trial: self.run_trial(trial, *fit_args, **fit_kwargs))
                self.on_search_end()
            finally:
                self._source = None

    def run_trial(self, trial, *fit_args, **fit_kwargs):
        """Trains one setting in this process; see `tuning.training.trainer.Trainer`."""
        trainer = self.trainer(fit_args, fit_kwargs)
        trainer.ways = self._searching.ways
        return trainer.run(
            int(trial.trial_id),
            trial.hyperparameters,
            self.record,
            least=self._searching.least(trial),
            epoch_began=lambda model, epoch: self.on_epoch_begin(trial, model, epoch),
            epoch_ended=lambda model, epoch, logs: self.on_epoch_end(trial, model, epoch, logs),
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
                build=self._build_hypermodel,
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
        """Not called: what becomes of a trial, the listener hears."""
