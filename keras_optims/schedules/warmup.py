"""A warm-up before anything."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
from keras import ops

from keras_optims.hyperparameter import NON_NEGATIVE
from keras_optims.schedules.bends import before, ratio, straight
from keras_optims.schedules.schedule import FINITE, SHARE, Number, Schedule


@keras.saving.register_keras_serializable(package="keras_optims")
class Warmup(Schedule):
    """A warm-up, then a number or another schedule, which begins where the warm-up ends (Goyal et al. 2017).

        keras_optims.Adam(keras_optims.schedules.Warmup(1e-3, steps=500))
        keras_optims.Adam(keras_optims.schedules.Warmup(keras.optimizers.schedules.ExponentialDecay(1e-3, 1000, 0.9), steps=500))

    In the first steps it grows linearly from `start` times the first value of what follows to that value:

        value = (start + (1 − start) · step / steps) · then(0)   before `steps`
        value = then(step − steps)                               from there on

    Args:
        then: a number, a schedule of this package, or another `LearningRateSchedule`, whose own numbers are compiled in.
        steps: the batches of the warm-up; 0: there is none.
        start: the share that it begins with.

    Reference: Goyal et al. 2017, "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour",
    https://arxiv.org/abs/1706.02677, Section 2.2.
    """

    arguments: ClassVar = {
        "then": Number(FINITE, "what follows", is_a_value=True, or_schedule=True),
        "steps": Number(NON_NEGATIVE, "batches of the warm-up", whole=True),
        "start": Number(SHARE, "share that it begins with"),
    }

    def __init__(self, then: Any, steps: int, start: float = 0.0):
        super().__init__(then=then, steps=steps, start=start)

    def reach(self):  # noqa: D102
        now = self._arguments_now()
        then, begins = now["then"], [] if now["steps"] == 0 else [now["start"]]
        if isinstance(then, Schedule):
            reached = then.reach()
            return [*reached, *(share * each for share in begins for each in reached)]
        return [] if callable(then) else [then, *(share * then for share in begins)]

    def formula(self, step, of):  # noqa: D102
        share = before(step, of.steps, straight(of.start, 1.0, ratio(step, of.steps)), 1.0)
        after = ops.maximum(step - of.steps, 0.0)
        return share * (ops.cast(of.then(after), share.dtype) if callable(of.then) else of.then)
