"""What an update does to each variable, measured inside of the compiled step."""

from __future__ import annotations

import dataclasses

import numpy as np
from keras import ops

from keras_optims import kernels
from keras_optims.dtypes import arithmetic_dtype
from keras_optims.row_gradient import values_of
from keras_optims.stand_in import path_of
from keras_optims.step import Frame, mean_gradients, run_if, step


@dataclasses.dataclass(frozen=True)
class RecordedVariable:
    """What one update did to one variable. The norms are L2 norms.

    Attributes:
        variable: its path.
        gradient_norm: of the gradient as it came: without the loss scale, averaged over an accumulation, before any clipping.
        update_norm: of the change of the weights in this update, with weight decay, clipping, constraints and rounding.
        weight_norm: of the weights before the update.
        rate_min: the smallest effective learning rate of an element, see `Optimizer.effective_learning_rate`. NaN, as the next
            two, where the optimizer does not say it.
        rate_mean: their mean.
        rate_max: the largest.
    """

    variable: str
    gradient_norm: float
    update_norm: float
    weight_norm: float
    rate_min: float
    rate_mean: float
    rate_max: float

    @property
    def update_to_weight(self) -> float:
        """The norm of the update divided by that of the weights; infinite where these were zero, NaN where both are."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(np.divide(self.update_norm, self.weight_norm))


class StepRecorder:
    """Takes the place of an optimizer's step: the same step, and every `every`-th update is measured.

    While `optimizer._untracked.recorder` is one, each step that is traced, or run eagerly, is one that can measure.

    Args:
        optimizer: the optimizer.
        every: the updates whose number is a multiple of it are measured.
    """

    def __init__(self, optimizer, every: int):
        self.optimizer = optimizer
        self._calls_per_update = optimizer.gradient_accumulation_steps or 1
        self.period = every * self._calls_per_update
        self._outlet = kernels.Outlet()

    def step(self, gradients, variables):
        """As `step.step`."""
        optimizer = self.optimizer
        run_if(
            optimizer,
            (optimizer.number_of_calls + 1) % self.period == 0,
            lambda: self._measured_step(gradients, variables),
            lambda: step(optimizer, gradients, variables),
        )

    def _measured_step(self, gradients, variables):
        optimizer = self.optimizer
        before = [ops.copy(_wide(variable)) for variable in variables]  # a copy: torch updates in place
        norms = [_norm(values_of(gradient)) for gradient in mean_gradients(optimizer, gradients, variables)]
        step(optimizer, gradients, variables)
        everything = optimizer.variables_of_the_model()
        places = {optimizer.key_of(variable): place for place, variable in enumerate(everything)}
        rows = [[_NO_GRADIENT] * _COLUMNS for _ in everything]
        with Frame(optimizer):  # in which scalars are computed once
            for variable, old, norm in zip(variables, before, norms, strict=True):
                if np.prod(variable.shape):
                    measured = [norm, _norm(_wide(variable) - old), _norm(old)]
                    measured += _extremes_and_mean(optimizer.effective_learning_rate(variable))
                    rows[places[optimizer.key_of(variable)]] = measured
        numbers = [ops.cast(number, "float32") for row in rows for number in row]
        self._outlet.put(optimizer.number_of_calls, ops.reshape(ops.stack(numbers), (len(rows), _COLUMNS)))

    def take(self) -> tuple[int, list[RecordedVariable]] | None:
        """The number of the last measured update, from 1, and what it did; `None` if none was measured since the last call."""
        taken = self._outlet.take()
        if taken is None:
            return None
        calls_before, table = taken
        recorded = [
            RecordedVariable(path_of(variable), *map(float, row))
            for variable, row in zip(self.optimizer.variables_of_the_model(), table, strict=True)
            if row[0] != _NO_GRADIENT
        ]
        return (calls_before + 1) // self._calls_per_update, recorded


_NO_GRADIENT = -1.0  # no norm is negative
_COLUMNS = len(dataclasses.fields(RecordedVariable)) - 1


def _wide(variable):
    return ops.cast(ops.convert_to_tensor(variable), arithmetic_dtype(variable))


def _norm(tensor):
    """The L2 norm. What is squared is at most 1, so it neither overflows nor vanishes where the norm itself does not."""
    largest = ops.max(ops.abs(tensor), initial=0.0)  # of an empty variable, too
    usable = ops.logical_and(largest > 0, largest < float("inf"))
    unit = ops.where(usable, largest, ops.ones_like(largest))
    return unit * ops.sqrt(ops.sum(ops.square(tensor / unit)))


def _extremes_and_mean(rate):
    if rate is None:
        return [float("nan")] * 3
    return [ops.min(rate), ops.mean(rate), ops.max(rate)]
