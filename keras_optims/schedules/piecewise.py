"""Values at certain steps, and what is between them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import ClassVar

import keras
from keras import ops

from keras_optims.hyperparameter import NON_NEGATIVE, Option
from keras_optims.schedules.bends import cosine, ratio, straight
from keras_optims.schedules.schedule import FINITE, Number, Schedule


@keras.saving.register_keras_serializable(package="keras_optims")
class Piecewise(Schedule):
    """Values at certain steps; between them it is constant, or goes from one to the next.

        keras_optims.Momentum(keras_optims.schedules.Piecewise([0, 3000, 6000], [0.1, 0.01, 0.001]))
        keras_optims.Momentum(keras_optims.schedules.Piecewise([0, 1000, 9000], [0.0, 0.1, 0.0], between="linear"))

    Before the first of the steps it has the first value, from the last one on the last.

    Args:
        steps: ascending whole numbers.
        values: as many values. `values[i]` holds from `steps[i]` on.
        between: `"constant"`: each value until the next step; `"linear"` or `"cosine"`: from one value to the next.

    Raises:
        ValueError: steps that do not ascend; not as many values as steps.
    """

    arguments: ClassVar = {
        "steps": Number(NON_NEGATIVE, "where a value is reached", whole=True, several=True),
        "values": Number(FINITE, "the values there", is_a_value=True, several=True),
        "between": Option("constant", choices=("constant", "linear", "cosine"), meaning="what is between two values"),
    }

    def __init__(self, steps: Sequence[int], values: Sequence[float], between: str = "constant"):
        super().__init__(steps=steps, values=values, between=between)

    def check(self):  # noqa: D102
        steps, values = self._given["steps"], self._given["values"]
        if len(steps) != len(values):
            raise ValueError(f"Piecewise has one value for each step; received {len(steps)} steps and {len(values)} values.")
        if any(later <= earlier for earlier, later in itertools.pairwise(steps)):
            raise ValueError(f"The steps of Piecewise must ascend; received {steps!r}.")

    def reach(self):  # noqa: D102
        return list(self._arguments_now()["values"])

    def formula(self, step, of):  # noqa: D102
        value = of.values[0]
        for i, begins in enumerate(of.steps):
            piece = of.values[i]
            if of.between != "constant" and i + 1 < len(of.steps):
                way = ratio(step - begins, of.steps[i + 1] - begins)
                piece = (straight if of.between == "linear" else cosine)(piece, of.values[i + 1], way)
            value = ops.where(step >= begins, piece, value)
        return value
