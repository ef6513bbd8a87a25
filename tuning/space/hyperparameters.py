"""An axis of a space as a KerasTuner hyperparameter, so that all its oracles sample the same scales."""

from __future__ import annotations

import contextlib

import keras
import keras_tuner
from keras_tuner.engine.hyperparameters import Boolean, Choice
from keras_tuner.engine.hyperparameters import Float as _Float
from keras_tuner.engine.hyperparameters import HyperParameter as _HyperParameter
from keras_tuner.engine.hyperparameters import Int as _Int

from tuning.space.axes import Axis
from tuning.space.scale import SCALES, Scale


class SearchAxis(_Float):
    """A KerasTuner float whose scale is linear, log or log1m.

    `sampling="reverse_log"` of KerasTuner mirrors a log range within its own bounds; log1m is uniform in log(1−x), whatever
    the bounds, as decay rates need it. Sampled values are rounded to 6 significant digits (log1m: those of 1−x).

    Args:
        name: of the hyperparameter.
        min_value, max_value: both included.
        scale: `"linear"`, `"log"` or `"log1m"`.
        points: how many values a grid has along this axis, the first and last being the bounds.
    """

    def __init__(self, name, min_value, max_value, scale="linear", points=10, default=None, conditions=None):
        super().__init__(name, min_value, max_value, sampling="linear", default=default, conditions=conditions)
        self.scale = scale
        self.points = points

    def prob_to_value(self, prob: float) -> float:
        """The value at `prob` in [0, 1] of the way along the scale."""
        low, high = self._scale.forward(self.min_value), self._scale.forward(self.max_value)
        value = self._scale.backward(low + float(prob) * (high - low))
        return min(max(value, self.min_value), self.max_value)

    def value_to_prob(self, value: float) -> float:
        """The inverse of `prob_to_value`, but for its rounding."""
        low, high = self._scale.forward(self.min_value), self._scale.forward(self.max_value)
        return (self._scale.forward(value) - low) / (high - low)

    @property
    def _scale(self) -> Scale:
        return SCALES.get(self.scale, SCALES["linear"])

    @property
    def values(self):
        """The grid's values, ascending."""
        if self.points == 1:
            return (self.prob_to_value(0.5),)
        return tuple(self.prob_to_value(i / (self.points - 1)) for i in range(self.points))

    def get_config(self):
        """The constructor's arguments."""
        config = super().get_config()
        for unused in ("step", "sampling"):
            config.pop(unused)
        return {**config, "scale": self.scale, "points": self.points}


class WholeAxis(_Int):
    """A KerasTuner int, linear or log, both ends included, of which a grid has some values only.

    Args:
        name: of the hyperparameter.
        min_value, max_value: both included.
        sampling: `"linear"` or `"log"`.
        points: how many values a grid has along this axis, the first and last being the bounds; `None`: all.
        **kwargs: of KerasTuner's `Int`.
    """

    def __init__(self, name, min_value, max_value, sampling="linear", points=None, **kwargs):
        kwargs.pop("step", None)
        super().__init__(name, min_value, max_value, sampling=sampling, **kwargs)
        self.points = points

    def prob_to_value(self, prob: float) -> int:
        """The value at `prob` in [0, 1] of the way along the scale."""
        return min(max(super().prob_to_value(prob), self.min_value), self.max_value)

    @property
    def values(self):
        """The grid's values, ascending."""
        if self.points is None:
            return tuple(super().values)
        if self.points == 1:
            return (self.prob_to_value(0.5),)
        return tuple(dict.fromkeys(self.prob_to_value(i / (self.points - 1)) for i in range(self.points)))

    def get_config(self):
        """The constructor's arguments."""
        return {**super().get_config(), "points": self.points}


# KerasTuner copies a space by writing and reading its configuration, and finds classes of others by this registry.
for _own in (SearchAxis, WholeAxis):
    keras.saving.get_custom_objects()[_own.__name__] = _own


def as_keras_tuner(axis: Axis, points: int | None = None) -> _HyperParameter:
    """The axis in KerasTuner's terms; `points`: of a number, how many values a grid has."""
    conditions = _conditions(axis)
    if axis.native is not None:
        return _native(axis, conditions)
    if axis.kind == "choice":
        if all(isinstance(choice, bool) for choice in axis.choices):
            return Boolean(axis.name, conditions=conditions)
        return Choice(axis.name, list(axis.choices), conditions=conditions)
    found = _number(axis, conditions, points)
    return _number(axis, conditions, points, default=found.values[0]) if points else found  # with which a grid begins


def _conditions(axis: Axis) -> list:
    """When the axis is there, as KerasTuner says it of what is declared in its `conditional_scope`."""
    hp = keras_tuner.HyperParameters()
    with contextlib.ExitStack() as scopes:
        for name, values in axis.when:
            hp.Choice(name, list(values))
            scopes.enter_context(hp.conditional_scope(name, list(values)))
        hp.Boolean(axis.name)
    return hp.space[-1].conditions


def _number(axis: Axis, conditions, points: int | None, default=None) -> SearchAxis | WholeAxis:
    bounds = (axis.name, axis.low, axis.high, axis.scale)
    if axis.kind == "int":
        return WholeAxis(*bounds, points, default=default, conditions=conditions)
    return SearchAxis(*bounds, points or 10, default=default, conditions=conditions)


def _native(axis: Axis, conditions) -> _HyperParameter:
    """The hyperparameter that a model function declared, under the conditions of the axis."""
    kind, config = axis.native
    return getattr(keras_tuner.engine.hyperparameters, kind)(**{**config, "name": axis.name, "conditions": conditions})
