"""Training one setting: the only place that builds and trains models, in this process or in a worker.

A trial is a setting of hyperparameters; an execution is one training with it. Everything random in an execution follows from
(search seed, trial number, execution number), so that the same trial alone in a fresh process gives the same numbers. A trial
that continues another one is the training of that one, its root, further on: it has the root's number there, and gives the
numbers of the root trained alone for as many epochs, whether it goes on from a snapshot or trains them all again. In a population
live numbers change on the way, at the same epochs in either case.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import keras_tuner
import numpy as np

from tuning.errors import SearchError
from tuning.problems.callbacks import copied
from tuning.training import epochs
from tuning.training.assignment import Assignment
from tuning.training.curve import Curve, Seeds, averages_validated
from tuning.training.events import Chosen, Noted, Report
from tuning.training.executions import Member, Trained, run_executions
from tuning.training.keeping import Keeper
from tuning.training.live import Changing, Numbers, numbers_of, without_numbers
from tuning.training.measured import numbers
from tuning.training.problem_model import ProblemModel
from tuning.training.snapshot import Continuation, OtherTrainingError, Snapshot
from tuning.training.tensorboard import placed
from tuning.training.warm import WarmModels, reseed, seed_everything


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
        asked: Assignment | None = None,
        *,
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
            asked: how it is to train; by default from its beginning, and its model is not wanted.
            epoch_began, epoch_ended: called with (model, epoch) and (model, epoch, logs).
            fit_args, fit_kwargs: of this trial's `fit`, in the place of the search's.

        Returns:
            For each execution its metrics at the best epoch, with the objective under its name; NaN there if it diverged.
        """
        asked = Assignment(trial, ways=self.ways) if asked is None else asked
        self.ways = asked.ways
        fit_args = self.fit_args if fit_args is None else fit_args
        fit_kwargs = self.fit_kwargs if fit_kwargs is None else fit_kwargs
        member = self.member(trial, hp, asked, report, fit_kwargs)
        way = _Way(report, epoch_began, epoch_ended, fit_args, fit_kwargs)

        def train(members: Sequence[Member], execution: int, seeds: Sequence[int], begins: Sequence[Snapshot | None]):
            try:
                return [self._train(member, way, execution, seeds[0], begins[0])]
            except OtherTrainingError:
                return [self._train(member, way, execution, seeds[0], None)]

        results = run_executions(self, [member], train, report)
        assert results is not None  # one can always train
        return results[0]

    def member(self, number: int, hp, asked: Assignment, report: Report, fit_kwargs: Mapping[str, Any]) -> Member:
        """A trial as `tuning.training.executions` takes it."""
        continues = self.continued(asked, report, fit_kwargs)
        keeper = Keeper(number, self.objective, asked.least, self.executions, continues and asked.leaves)
        return Member(number, hp, asked, keeper, continues)

    def _train(self, of: Member, way: _Way, execution: int, seed: int, begin: Snapshot | None) -> Trained:
        settings, first = of.asked.settings, 0 if begin is None else begin.epoch
        changes = self._changes(of, first, seed)
        model = self.model(_setting_at(of, first), seed)
        if settings:
            changes[first] = numbers_of(model.optimizer)  # a snapshot has those of the trial that left it
        before = () if begin is None else begin.curve
        curve = Curve(of.number, execution, self.objective, way.report, model, way.epoch_began, way.epoch_ended, before)
        keeping = of.keeper.callbacks(before, None if begin is None else begin.best)
        continuation = []
        if begin is not None or of.leaves:
            continuation = [Continuation(begin, of.leaves, curve, keeping, changing=bool(settings))]
        started = keras.callbacks.LambdaCallback(on_train_begin=lambda logs: self.settle(way.report, model))
        kwargs = {**way.fit_kwargs, "verbose": 0}  # the view shows the epochs
        kwargs["callbacks"] = [
            *placed(self._own_callbacks(), of.number, execution, of.hp),
            Seeds(seed),
            *averages_validated(model),
            started,
            *placed(copied(kwargs.get("callbacks") or []), of.number, execution, of.hp),
            *([Changing(changes)] if changes else []),
            curve,
            *keeping,
            *continuation,
        ]
        kwargs |= self.epochs_of(of.hp)
        if begin is not None:
            kwargs["initial_epoch"] = begin.epoch
        try:
            returned = self._fit(of.hp, model, way.fit_args, kwargs)
        except BaseException:
            self.models.drop(model)
            raise
        self.say_means(curve, way.report)
        snapshot = continuation[0].taken if continuation else None
        if settings and of.leaves and snapshot is None and not curve.diverged and not curve.stopped:
            raise SearchError(not_a_population(epochs.left_to_keras(model) or "not all of the model has a configuration"))
        return Trained(model, curve, keeping, snapshot, *best(returned, curve, self.objective))

    def _changes(self, of: Member, after: int, seed: int) -> dict[int, Numbers]:
        """The live numbers that hold from an epoch on, by that epoch, of those after this one."""
        if not any(epoch > after for epoch, _ in of.asked.settings):
            return {}
        built = []
        for epoch, _ in of.asked.settings:
            seed_everything(seed)  # so that names are counted from the start
            built.append((epoch, self._built(_setting_at(of, epoch))))
        if any(without_numbers(model) != without_numbers(built[0][1]) for _, model in built):
            raise SearchError(
                "In a population only numbers may change that are state of the optimizer, and here more of the model does: name "
                f"those alone in live; received trainings with {[dict(values) for _, values in of.asked.settings]}."
            )
        return {epoch: numbers_of(model.optimizer) for epoch, model in built if epoch > after}

    def continued(self, asked: Assignment, report: Report, fit_kwargs: Mapping[str, Any]) -> bool:
        """Whether trainings go on from snapshots and leave them; reports why not, once, if that is asked for."""
        reason = why_not_continued(self.hypermodel, fit_kwargs)
        if reason is not None and asked.settings and asked.leaves:
            raise SearchError(not_a_population(reason))
        if reason is not None and (asked.leaves or asked.begin):
            self._tell_once(f"a trial that goes on trains its first epochs again, as {reason}", report)
        return reason is None

    def begins(self, asked: Assignment, execution: int, hp) -> Snapshot | None:
        """From where an execution goes on; `None`: from its beginning."""
        snapshot = Snapshot.read(asked.begin[execution]) if execution < len(asked.begin) else None
        planned = self.epochs_of(hp).get("epochs")
        return snapshot if snapshot is not None and planned is not None and snapshot.epoch < planned else None

    def _own_callbacks(self) -> list[keras.callbacks.Callback]:
        return self.hypermodel.own_callbacks() if isinstance(self.hypermodel, ProblemModel) else []

    def model(self, hp, seed: int) -> keras.Model:
        """The model with this setting, in the state in which its training begins."""
        seed_everything(seed)
        model = self.models.take(self._built(hp))
        reseed(seed)  # building a model has drawn random numbers, and putting a warm one into its state others
        return model

    def _built(self, hp) -> keras.Model:
        fresh = (self.build or self.hypermodel.build)(hp)
        if not isinstance(fresh, keras.Model):
            raise SearchError(f"The model function must return a keras.Model; received {type(fresh).__name__}.")
        return fresh

    def epochs_of(self, hp) -> dict[str, int]:
        """For how many epochs a setting trains, where Hyperband says so."""
        return {"epochs": hp.values["tuner/epochs"]} if "tuner/epochs" in hp.values else {}

    def structure_of(self, hp) -> tuple[tuple[str, Any], ...]:
        """What of a setting decides how its model is compiled, as far as that is known before it is built.

        Of a HyperModel of one's own all that is searched but floats, which are mostly numbers that an optimizer has as state.
        """
        if isinstance(self.hypermodel, ProblemModel):
            return self.hypermodel.space.structure_of(hp.values)
        names = sorted({axis.name for axis in hp.space} & hp.values.keys())
        return tuple((name, hp.values[name]) for name in names if not isinstance(hp.values[name], float))

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
        if reason is not None:
            self._tell_once(f"epochs run in model.fit, which is slower, as {reason}", report)
        if self.ways is None or len(self.ways) == 1:
            return
        way = epochs.way_of(model)
        self.ways = None if way is None else (way,)
        report(Chosen("way", way, epochs.measurements_of(model)))

    def say_means(self, curve: Curve, report: Report) -> None:
        """Reports which metrics have a value for each class or output, so that their mean is reported, once."""
        for name in curve.means:
            self._tell_once(f"{name.removeprefix('val_')} has several values, of which the mean counts", report)

    def _tell_once(self, text: str, report: Report) -> None:
        if text not in self._told:
            self._told.add(text)
            report(Noted(text))

    def __getstate__(self):
        return {**vars(self), "models": self.ways, "build": None}

    def __setstate__(self, state):
        vars(self).update(state)
        self.models = WarmModels(ways=state["models"])


@dataclasses.dataclass(frozen=True)
class _Way:
    """How a trial trains alone, the same in all its executions: the arguments of `Trainer.run`."""

    report: Report
    epoch_began: Callable[[Any, int], None] | None
    epoch_ended: Callable[[Any, int, dict], None] | None
    fit_args: Sequence[Any]
    fit_kwargs: Mapping[str, Any]


def why_not_continued(hypermodel, fit_kwargs: Mapping[str, Any]) -> str | None:
    """Why a training cannot go on from a snapshot; `None` if it can, as far as is known before it begins."""
    ours = isinstance(hypermodel, ProblemModel)
    for reason, holds in (
        ("callbacks may have a state of their own", fit_kwargs.get("callbacks") or (ours and hypermodel.own_callbacks())),
        ("the HyperModel has a fit of its own", type(hypermodel).fit is not keras_tuner.HyperModel.fit and not ours),
        ("its schedule is of all its epochs", ours and hypermodel.follows_schedule),
        ("initial_epoch is given", fit_kwargs.get("initial_epoch")),
    ):
        if holds:
            return reason
    return None


def not_a_population(reason: str) -> str:
    """What is to say where trainings cannot go on from the states of others."""
    return f"Members of a population go on from each other's states, which they cannot here, as {reason}: choose another oracle."


def _setting_at(of: Member, epoch: int) -> Any:
    """The hyperparameters that a trial has from an epoch on."""
    values = next((values for begins, values in reversed(of.asked.settings) if begins <= epoch), None)
    if values is None or all(of.hp.values.get(name) == value for name, value in values.items()):
        return of.hp
    hp = of.hp.copy()
    hp.values = {**of.hp.values, **values}
    return hp


def diverged(results: Sequence[dict[str, float]], objective) -> bool:
    """Whether the objective of any execution is not finite."""
    return not all(math.isfinite(metrics[objective.name]) for metrics in results)


def epochs_of(history: keras.callbacks.History) -> list[dict[str, float]]:
    """The metrics of each epoch."""
    return [numbers({name: values[i] for name, values in history.history.items()}) for i in range(len(history.epoch))]


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
        return best_epoch([*curve.begun, *epochs_of(returned)], curve, objective)
    last = max(len(curve.epochs) - 1, 0)
    if isinstance(returned, dict) and objective.name in returned:
        return numbers(returned), last
    if isinstance(returned, (int, float, np.floating)):
        return {objective.name: float(returned)}, last
    raise SearchError(
        f"fit of the HyperModel must return a History, a number, or a dict with {objective.name!r}; "
        f"received {type(returned).__name__}."
    )
