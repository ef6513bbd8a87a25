"""One cycle of the learning rate, up and down, while the momentum goes down and up (Smith 2018)."""

from __future__ import annotations

from typing import Any, ClassVar

import keras

from keras_optims.hyperparameter import UNIT
from keras_optims.schedules.bends import before, cosine, ratio
from keras_optims.schedules.of_a_training import FINAL, PEAK, TOTAL, WARMUP
from keras_optims.schedules.schedule import FINITE, SHARE, Number, Schedule


@keras.saving.register_keras_serializable(package="keras_optims")
class OneCycle(Schedule):
    """The learning rate of one cycle: up to the peak and down to nearly nothing, each along half a cosine.

        keras_optims.SGD(keras_optims.schedules.OneCycle(0.1, steps=10_000))

    `one_cycle` makes it together with the schedule of the momentum.

    Args:
        peak: the largest value.
        steps: the batches of the whole training: epochs times batches of an epoch.
        warmup: the share of the steps in which it grows, in [0, 1).
        start: the share of the peak that it begins with.
        final: the share of the peak that it ends with.

    Reference: Smith 2018, "A disciplined approach to neural network hyper-parameters: Part 1",
    https://arxiv.org/abs/1803.09820, Section 4. The cosines and the defaults, 1/25 and 1/250000, are those of
    `torch.optim.lr_scheduler.OneCycleLR`, which counts the steps from 1.
    """

    arguments: ClassVar = {
        "peak": PEAK,
        "steps": TOTAL,
        "warmup": WARMUP,
        "start": Number(SHARE, "share of the peak that it begins with"),
        "final": FINAL,
    }

    def __init__(self, peak: float, steps: int, warmup: float = 0.3, start: float = 0.04, final: float = 4e-6):
        super().__init__(peak=peak, steps=steps, warmup=warmup, start=start, final=final)

    def reach(self):  # noqa: D102
        now = self._arguments_now()
        return [now["peak"], now["peak"] * now["start"], now["peak"] * now["final"]]

    def formula(self, step, of):  # noqa: D102
        return of.peak * _cycle(step / of.steps, of.warmup, of.start, 1.0, of.final)


@keras.saving.register_keras_serializable(package="keras_optims")
class OneCycleMomentum(Schedule):
    """The momentum of one cycle: down to a share of it while the learning rate grows, and up again.

        keras_optims.SGD(0.1, momentum=keras_optims.schedules.OneCycleMomentum(0.95, steps=10_000))

    Args:
        high: the value that it begins and ends with.
        steps: the batches of the whole training: epochs times batches of an epoch.
        warmup: the share of the steps in which it falls, in [0, 1).
        low: the share of `high` that it falls to, in [0, 1]; 0.9 by default: from 0.95 to 0.855.

    Reference: as of `OneCycle`.
    """

    arguments: ClassVar = {
        "high": Number(FINITE, "the largest value", is_a_value=True),
        "steps": TOTAL,
        "warmup": WARMUP,
        "low": Number(UNIT, "share of it that it falls to"),
    }

    def __init__(self, high: float, steps: int, warmup: float = 0.3, low: float = 0.9):
        super().__init__(high=high, steps=steps, warmup=warmup, low=low)

    def reach(self):  # noqa: D102
        now = self._arguments_now()
        return [now["high"], now["high"] * now["low"]]

    def formula(self, step, of):  # noqa: D102
        return of.high * _cycle(step / of.steps, of.warmup, 1.0, of.low, 1.0)


def one_cycle(
    learning_rate: float,
    steps: int,
    *,
    warmup: float = 0.3,
    start: float = 0.04,
    final: float = 4e-6,
    low: float = 0.9,
    **momentum: float,
) -> dict[str, Any]:
    """The schedules of one cycle, learning rate and momentum together, as arguments of an optimizer.

        keras_optims.Momentum(**keras_optims.schedules.one_cycle(0.1, steps=10_000, momentum=0.95))
        keras_optims.AdamW(**keras_optims.schedules.one_cycle(1e-2, steps=10_000, beta_1=0.95), weight_decay=0.1)

    Args:
        learning_rate: the largest learning rate.
        steps: the batches of the whole training: epochs times batches of an epoch.
        warmup: the share of the steps in which the learning rate grows and the momentum falls.
        start, final: of `OneCycle`.
        low: of `OneCycleMomentum`.
        **momentum: the hyperparameter that is the momentum, by its name in the optimizer: its largest value.

    Returns:
        {"learning_rate": an `OneCycle`, and of each momentum an `OneCycleMomentum`}.
    """
    return {
        "learning_rate": OneCycle(learning_rate, steps, warmup, start, final),
        **{name: OneCycleMomentum(high, steps, warmup, low) for name, high in momentum.items()},
    }


def _cycle(x, warmup, start, turn, final):
    up = cosine(start, turn, ratio(x, warmup))
    return before(x, warmup, up, cosine(turn, final, ratio(x - warmup, 1.0 - warmup)))
