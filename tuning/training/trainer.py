"""Training one setting: the only place that builds and trains models, in this process or in a worker.

A trial is a setting of hyperparameters; an execution is one training with it. Everything random in an execution follows from
(search seed, trial number, execution number), so that the same trial alone in a fresh process gives the same numbers.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import keras_tuner
import numpy as np

from tuning.errors import SearchError
from tuning.training import epochs
from tuning.training.curve import Curve, Seeds, averages_validated
from tuning.training.events import Chosen, ExecutionEnded, Noted, Report
from tuning.training.keeping import Keeper
from tuning.training.problem_model import ProblemModel
from tuning.training.tensorboard import placed
from tuning.training.warm import WarmModels, reseed, seed_everything


def execution_seed(search_seed: int, trial: int, execution: int) -> int:
    """The seed of an execution, in [0, 2**32)."""
    return int(np.random.SeedSequence([search_seed, trial, execution]).generate_state(1)[0])


class Trainer:
    """All that a process needs to know to train the trials of a search; it can be sent to another process.

    Args:
        hypermodel: `build(hp)` returns a compiled model, `fit(hp, model, *fit_args, **fit_kwargs)` trains it.
        objective: the KerasTuner Objective.
        search_seed: of the search.
        executions: trainings per setting.
        fit_args, fit_kwargs: of `fit`.
        ways: how `tuning.training.epochs.fit` may compile epochs: if there are several, the first trial measures which is
            fastest. `None`: as each model was compiled.
        build: takes the place of the HyperModel's, in this process alone.
    """

    def __init__(
        self,
        hypermodel,
        *,
        objective,
        search_seed: int,
        executions: int,
        fit_args: Sequence[Any],
        fit_kwargs: Mapping[str, Any],
        ways: tuple[str, ...] | None = None,
        build: Callable[[Any], keras.Model] | None = None,
    ):
        self.hypermodel = hypermodel
        self.objective = objective
        self.search_seed = search_seed
        self.executions = executions
        self.fit_args = fit_args
        self.fit_kwargs = dict(fit_kwargs)
        self.models = WarmModels(ways=ways)
        self.build = build
        self._told: set[str] = set()
        epochs.forget_data()

    def run(
        self,
        trial: int,
        hp,
        report: Report,
        *,
        least: float | None = None,
        epoch_began: Callable[[Any, int], None] | None = None,
        epoch_ended: Callable[[Any, int, dict], None] | None = None,
        fit_args: Sequence[Any] | None = None,
        fit_kwargs: Mapping[str, Any] | None = None,
    ) -> list[dict[str, float]]:
        """Trains one setting `executions` times, each from another seed.

        A training whose loss or objective is not finite at the end of an epoch stops there, and no further execution begins; so
        does a trial that `report` stops.

        Args:
            trial: its number.
            hp: the KerasTuner HyperParameters with the setting. Hyperband's "tuner/epochs" says for how many epochs.
            report: hears of every epoch and execution as they end; if it returns True for an epoch, the trial stops.
            least: what the trial must score at least for its model to be reported; `None`: it is not, whatever it scores.
            epoch_began, epoch_ended: called with (model, epoch) and (model, epoch, logs).
            fit_args, fit_kwargs: of this trial's `fit`, in the place of the search's.

        Returns:
            For each execution its metrics at the best epoch, with the objective under its name; NaN there if it diverged.
        """
        fit_args = self.fit_args if fit_args is None else fit_args
        fit_kwargs = self.fit_kwargs if fit_kwargs is None else fit_kwargs
        results = []
        keeper = Keeper(trial, self.objective, least, self.executions)
        for execution in range(self.executions):
            begun, clock = time.time(), time.perf_counter()
            seed = execution_seed(self.search_seed, trial, execution)
            model = self.model(hp, seed)
            curve = Curve(trial, execution, self.objective, report, model, epoch_began, epoch_ended)
            kwargs = {**fit_kwargs, "verbose": 0}  # the view shows the epochs
            started = keras.callbacks.LambdaCallback(on_train_begin=lambda logs, model=model: self.settle(report, model))
            given = copy.deepcopy(kwargs.get("callbacks") or [])
            own = self.hypermodel.own_callbacks() if isinstance(self.hypermodel, ProblemModel) else []
            kwargs["callbacks"] = [
                *placed(own, trial, execution, hp),
                Seeds(seed),
                *averages_validated(model),
                started,
                *placed(given, trial, execution, hp),
                curve,
                *(keeping := keeper.callbacks()),
            ]
            kwargs |= self.epochs_of(hp)
            try:
                returned = self._fit(hp, model, fit_args, kwargs)
            except BaseException:
                self.models.drop(model)
                raise
            metrics, best_epoch = best(returned, curve, self.objective)
            score = metrics[self.objective.name]
            report(ExecutionEnded(trial, execution, seed, score, best_epoch, begun, time.perf_counter() - clock))
            results.append(metrics)
            if curve.stopped or not math.isfinite(score):
                return results
            keeper.execution_ended(model, keeping, score, best_epoch)
        keeper.trial_ended(results, report)
        return results

    def model(self, hp, seed: int) -> keras.Model:
        """The model with this setting, in the state in which its training begins."""
        seed_everything(seed)
        fresh = (self.build or self.hypermodel.build)(hp)
        if not isinstance(fresh, keras.Model):
            raise SearchError(f"The model function must return a keras.Model; received {type(fresh).__name__}.")
        model = self.models.take(fresh)
        reseed(seed)  # building a model has drawn random numbers, and putting a warm one into its state others
        return model

    def epochs_of(self, hp) -> dict[str, int]:
        """For how many epochs a setting trains, where Hyperband says so.

        No weights are kept between trials, so one that Hyperband promotes trains all its epochs again, from epoch 0.
        """
        return {"epochs": hp.values["tuner/epochs"]} if "tuner/epochs" in hp.values else {}

    def _fit(self, hp, model, args, kwargs):
        if type(self.hypermodel).fit is keras_tuner.HyperModel.fit:  # which calls model.fit
            return epochs.fit(model, *args, **kwargs)
        with epochs.compiled_fit(model):
            return self.hypermodel.fit(hp, model, *args, **kwargs)

    @property
    def ways(self) -> tuple[str, ...] | None:
        """How the epochs of models that are not compiled yet may be compiled."""
        return self.models.ways

    @ways.setter
    def ways(self, ways):
        self.models.ways = ways

    def settle(self, report: Report, model: keras.Model) -> None:
        """Reports how the epochs of this model are compiled, if that was open, and compiles those of all others in this way.

        Also why they are not compiled, where that is so, once.
        """
        reason = epochs.left_to_keras(model)
        if reason is not None and reason not in self._told:
            self._told.add(reason)
            report(Noted(f"epochs run in model.fit, which is slower, as {reason}"))
        if self.ways is None or len(self.ways) == 1:
            return
        way = epochs.way_of(model)
        self.ways = None if way is None else (way,)
        report(Chosen("way", way, epochs.measurements_of(model)))

    def __getstate__(self):
        return {**vars(self), "models": self.ways, "build": None}

    def __setstate__(self, state):
        vars(self).update(state)
        self.models = WarmModels(ways=state["models"])


def diverged(results: Sequence[dict[str, float]], objective) -> bool:
    """Whether the objective of any execution is not finite."""
    return not all(math.isfinite(metrics[objective.name]) for metrics in results)


def epochs_of(history: keras.callbacks.History) -> list[dict[str, float]]:
    """The metrics of each epoch."""
    return [{name: float(values[i]) for name, values in history.history.items()} for i in range(len(history.epoch))]


def best_epoch(epochs: Sequence[dict[str, float]], curve: Curve | None, objective) -> tuple[dict[str, float], int]:
    """(metrics, epoch) at the best one of the epochs; at the last one, with NaN for the objective, if the training diverged."""
    if curve is not None and curve.diverged:
        return {**curve.epochs[-1], objective.name: math.nan}, len(curve.epochs) - 1
    if not epochs or not objective.has_value(epochs[0]):
        raise SearchError(
            f"The objective must be one of the metrics that training reports, {', '.join(epochs[0]) if epochs else 'none'}; "
            f"received {objective.name!r}."
        )
    scores = [objective.get_value(metrics) for metrics in epochs]
    best = int(np.argmax(scores) if objective.direction == "max" else np.argmin(scores))
    return {**epochs[best], objective.name: scores[best]}, best


def best(returned, curve: Curve, objective) -> tuple[dict[str, float], int]:
    """(metrics, epoch) at the best epoch, from whatever `fit` of a HyperModel may return."""
    if curve.diverged:
        return best_epoch(curve.epochs, curve, objective)
    if isinstance(returned, keras.callbacks.History):
        return best_epoch(epochs_of(returned), curve, objective)
    last = max(len(curve.epochs) - 1, 0)
    if isinstance(returned, dict) and objective.name in returned:
        return {name: float(value) for name, value in returned.items()}, last
    if isinstance(returned, (int, float, np.floating)):
        return {objective.name: float(returned)}, last
    raise SearchError(
        f"fit of the HyperModel must return a History, a number, or a dict with {objective.name!r}; "
        f"received {type(returned).__name__}."
    )
