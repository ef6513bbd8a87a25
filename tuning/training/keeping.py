"""The model of a trial at its best epoch, held in memory until the trial ends, then given away if it is among the best."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence

import keras
import numpy as np

from keras_optims.callbacks import averaging_optimizer
from tuning.errors import one_line
from tuning.training.events import BestModel, Noted, Report
from tuning.training.keras_seam import saved
from tuning.training.measured import numbers

State = list[np.ndarray]  # of the variables of a model, trainable first, then of its optimizer


def state_of(model: keras.Model) -> State:
    """A copy of all that training changes, in this process's own memory."""
    return [np.array(keras.ops.convert_to_numpy(variable.value)) for variable in _variables(model)]


def put_state(model: keras.Model, state: State) -> None:
    """Puts a model into a state."""
    for variable, value in zip(_variables(model), state, strict=True):
        variable.assign(value)


def put_evaluated(model: keras.Model, state: State | None = None) -> None:
    """Puts a model into a state, or leaves it in its own, with the weights that were validated: averages, if there are any."""
    if state is not None:
        put_state(model, state)
    optimizer = averaging_optimizer(model)
    if optimizer is not None and not optimizer.weights_are_averaged:
        optimizer.swap_averaged_weights()


def _variables(model):
    slots = () if model.optimizer is None else model.optimizer.variables
    return [*model.trainable_variables, *model.non_trainable_variables, *slots]


class BestEpoch(keras.callbacks.Callback):
    """Takes the state of a model at each epoch that is the best so far.

    Args:
        objective: the KerasTuner Objective.
        least: an epoch that is worse than this one does not count.
        begun: the metrics of the epochs that came before.
        best: of these the best one, and the state there; `None`: unknown.
    """

    def __init__(self, objective, least: float, begun: Sequence[dict[str, float]] = (), best: tuple[int, State] | None = None):
        super().__init__()
        self._objective, self._least = objective, least
        self._begun, self._best = begun, best
        self.on_train_begin()

    def on_train_begin(self, logs=None):
        """Nothing is taken yet but what was there before."""
        self.epoch: int | None = None
        self.state: State | None = None
        self._value = math.nan
        if self._best is not None:
            epoch, state = self._best
            self.heard(epoch, self._begun[epoch], lambda: state)

    def on_epoch_end(self, epoch, logs=None):
        """Takes the state, if this is the best epoch."""
        self.heard(epoch, logs, lambda: state_of(self.model))

    def heard(self, epoch: int, logs, take: Callable[[], State]) -> None:
        """The same of a model that `take` knows."""
        if not self._objective.has_value(logs or {}):
            return
        value = self._objective.get_value(numbers(logs))
        better = self._objective.better_than
        if math.isfinite(value) and not better(self._least, value) and (self.epoch is None or better(value, self._value)):
            self.epoch, self._value, self.state = epoch, value, take()


class Keeper:
    """Holds the model of a trial: of its best execution, at the best epoch.

    Args:
        trial: its number.
        objective: the KerasTuner Objective.
        least: what the trial must score at least for its model to be kept; `None`: its model is not kept whatever it scores.
        executions: of the trial; its score is their mean.
        leaves: whether another trial may go on from where it ends, and be the one whose best epoch is of this one.
    """

    def __init__(self, trial: int, objective, least: float | None, executions: int, leaves: bool = False):
        self._trial, self._objective, self._least, self._leaves = trial, objective, least, leaves
        # The mean may be good enough although an execution is not.
        self._least_of_each = -math.inf if objective.direction == "max" else math.inf
        if executions == 1 and least is not None and not leaves:
            self._least_of_each = least
        self._score = math.nan
        self._held: tuple[keras.Model, State] | None = None

    def callbacks(self, begun: Sequence[dict[str, float]] = (), best: tuple[int, State] | None = None) -> list[BestEpoch]:
        """The last callbacks of an execution, which goes on after the epochs `begun`, of which `best` is the best."""
        wanted = self._least is not None or self._leaves
        return [BestEpoch(self._objective, self._least_of_each, begun, best)] if wanted else []

    def execution_ended(self, model: keras.Model, callbacks: list[BestEpoch], score: float, best_epoch: int) -> None:
        """Takes the model if this execution is the best one."""
        if self._least is None or not math.isfinite(score) or self._objective.better_than(self._least_of_each, score):
            return
        if self._held is not None and not self._objective.better_than(score, self._score):
            return
        (taken,) = callbacks
        trained = taken.model or model
        # A HyperModel's own fit may say a score that is of no epoch; then it is of the model as it is now.
        state = taken.state if taken.epoch == best_epoch and taken.state is not None else state_of(trained)
        self._score, self._held = score, (trained, state)

    def trial_ended(self, results: list[dict[str, float]], report: Report) -> None:
        """Reports the model, if the trial is good enough."""
        if self._held is None or self._least is None:
            return
        score = float(np.mean([metrics[self._objective.name] for metrics in results]))
        if not math.isfinite(score) or self._objective.better_than(self._least, score):
            return
        model, state = self._held
        report_model(self._trial, model, state, report)


def report_model(trial: int, model: keras.Model, state: State, report: Report) -> None:
    """Reports the model of a trial in a state, or why it cannot be kept."""
    put_state(model, state)
    optimizer = averaging_optimizer(model)
    try:
        with optimizer.averaged_weights() if optimizer is not None else contextlib.nullcontext():  # what was validated
            content = saved(model)
    except Exception as error:
        report(Noted(f"the model of trial {trial} cannot be kept, as it cannot be saved: {one_line(error)}"))
    else:
        report(BestModel(trial, content))
