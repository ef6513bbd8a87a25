"""The search space of an optimizer, from what its hyperparameters declare.

Every hyperparameter with a default `SearchRange` is an axis; `search` adds or changes axes, `fix` takes them out and pins
their values. Each axis becomes a KerasTuner hyperparameter, so that all its oracles sample the same scales.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import numbers
from collections.abc import Mapping
from typing import Any

import keras
import keras_tuner
from keras_tuner.engine.hyperparameters import Float as _Float

import keras_optims
from keras_optims.hyperparameter import SearchRange
from tuning.errors import SearchError
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


# KerasTuner copies a space by writing and reading its configuration, and finds classes of others by this registry.
keras.saving.get_custom_objects()["SearchAxis"] = SearchAxis


@dataclasses.dataclass(frozen=True)
class Space:
    """What is searched and what is pinned.

    Args:
        optimizer: the class.
        axes: hyperparameter name -> `SearchRange`, in the order in which the optimizer declares them.
        fixed: name of a hyperparameter or option -> its value.
    """

    optimizer: type[keras_optims.Optimizer]
    axes: dict[str, SearchRange]
    fixed: dict[str, Any]

    @classmethod
    def of(
        cls,
        optimizer: str | type[keras_optims.Optimizer],
        search: Mapping[str, Any] | None = None,
        fix: Mapping[str, Any] | None = None,
    ) -> Space:
        """The default space of an optimizer with the user's changes.

        Args:
            optimizer: a name in `keras_optims.OPTIMIZERS` or a subclass of `keras_optims.Optimizer`.
            search: name -> `(low, high)`, `(low, high, scale)`, a `SearchRange`, or `None` for the declared range.
            fix: name -> value.

        Raises:
            SearchError: a name or a value is not allowed, or nothing is left to search.
        """
        optimizer = optimizer_class(optimizer)
        search, fix = dict(search or {}), dict(fix or {})
        declared, options = optimizer.hyperparameters(), optimizer.options()
        for name in search:
            if name not in declared:
                kind = "is an option, not a number, and" if name in options else "is not a hyperparameter of it and"
                raise SearchError(
                    f"{name} {kind} cannot be searched for {optimizer.__name__}, only {', '.join(declared)} can; "
                    f"received {name!r}."
                )
        both = sorted(set(search) & set(fix))
        if both:
            raise SearchError(f"A hyperparameter is either searched or fixed, not both; received both for {', '.join(both)}.")
        ranges = {name: _range(declared[name], wanted) for name, wanted in search.items()}
        for name, value in fix.items():
            ranges.pop(name, None)
            fix[name] = _fixed(optimizer, name, value)
        axes = {}
        for name, hyperparameter in declared.items():
            if name in ranges:
                axes[name] = ranges[name]
            elif name not in fix and hyperparameter.search is not None and hyperparameter.search.by_default:
                axes[name] = hyperparameter.search
        if not axes:
            raise SearchError("Nothing is left to search: every hyperparameter is fixed; fix fewer, or add an axis.")
        try:
            optimizer(**fix)  # some values are valid alone and not together
        except (TypeError, ValueError) as error:
            raise SearchError(f"{optimizer.__name__} does not accept the fixed values {fix}: {error}") from error
        return cls(optimizer, axes, fix)

    def hyperparameters(self, grid_points: Mapping[str, int] | None = None) -> keras_tuner.HyperParameters:
        """The space as KerasTuner's oracles take it; `grid_points`: name -> number of values on a grid."""
        hp = keras_tuner.HyperParameters()
        self.declare(hp, grid_points)
        return hp

    def declare(self, hp: keras_tuner.HyperParameters, grid_points: Mapping[str, int] | None = None) -> None:
        """Adds the axes to `hp`; call it in the `build` of a HyperModel of your own."""
        known = {axis.name for axis in hp.space}
        for name, wanted in self.axes.items():
            if name in known:
                continue
            points = (grid_points or {}).get(name, 10)
            axis = SearchAxis(name, wanted.low, wanted.high, wanted.scale, points)
            if grid_points:  # a grid begins with the default, which must be a point of it
                axis = SearchAxis(name, wanted.low, wanted.high, wanted.scale, points, default=axis.values[0])
            hp.merge([axis], overwrite=False)

    def build(self, values: Mapping[str, float]):
        """The optimizer with these values of the axes."""
        return self.optimizer(**self.settings(values))

    def settings(self, values: Mapping[str, float]) -> dict[str, Any]:
        """All arguments of the optimizer's constructor: the values of the axes, then what is fixed."""
        return {**{name: values[name] for name in self.axes}, **self.fixed}

    def grid_points(self, trials: int) -> dict[str, int]:
        """How many values each axis gets on the finest regular grid that has at most `trials` points."""
        points = dict.fromkeys(self.axes, max(1, int(trials ** (1 / len(self.axes)) + 1e-9)))
        for name in self.axes:  # the first axes, above all the learning rate, get one more where the budget allows
            while math.prod(points.values()) // points[name] * (points[name] + 1) <= trials:
                if points[name] > min(points.values()):
                    break
                points[name] += 1
        return points

    def get_config(self) -> dict[str, Any]:
        """JSON-serializable; equal for equal spaces."""
        return {
            "optimizer": f"{self.optimizer.__module__}.{self.optimizer.__qualname__}",
            "call": public_name(self.optimizer),
            "axes": {
                name: {"low": axis.low, "high": axis.high, "scale": axis.scale, "symbol": self.symbol(name)}
                for name, axis in self.axes.items()
            },
            "fixed": self.fixed,
        }

    def symbol(self, name: str) -> str:
        """As the literature writes it, e.g. `β₁`."""
        return self.optimizer.hyperparameters()[name].symbol


def optimizer_class(optimizer: str | type) -> type[keras_optims.Optimizer]:
    """The class that a command-line name or a class stands for, or `SearchError`."""
    if isinstance(optimizer, str):
        if optimizer not in keras_optims.OPTIMIZERS:
            raise SearchError(f"OPTIMIZER must be one of {', '.join(keras_optims.OPTIMIZERS)}; received {optimizer!r}.")
        return keras_optims.OPTIMIZERS[optimizer]
    if inspect.isclass(optimizer) and issubclass(optimizer, keras_optims.Optimizer):
        return optimizer
    raise SearchError(
        f"The optimizer must be a name ({', '.join(keras_optims.OPTIMIZERS)}) or a subclass of keras_optims.Optimizer; "
        f"received {optimizer!r}."
    )


def public_name(optimizer: type) -> str:
    """How a user's line of Python calls the class: `keras_optims.Adam`, or `their_module.TheirClass`."""
    if getattr(keras_optims, optimizer.__name__, None) is optimizer:
        return f"keras_optims.{optimizer.__name__}"
    return f"{optimizer.__module__}.{optimizer.__qualname__}"


def _range(hyperparameter, wanted) -> SearchRange:
    name, declared = hyperparameter.name, hyperparameter.search
    try:
        if wanted is None:
            if declared is None:
                raise SearchError(f"{name} declares no search range of its own: give one, {name}=LOW:HIGH.")
            return declared
        if not isinstance(wanted, SearchRange):
            if not isinstance(wanted, (tuple, list)) or len(wanted) not in (2, 3):
                raise SearchError(f"The range of {name} must be (low, high) or (low, high, scale); received {wanted!r}.")
            scale = wanted[2] if len(wanted) == 3 else (declared.scale if declared is not None else "linear")
            if not all(isinstance(bound, numbers.Real) for bound in wanted[:2]):
                raise SearchError(f"The bounds of {name} must be numbers; received {wanted!r}.")
            wanted = SearchRange(float(wanted[0]), float(wanted[1]), scale)
        for bound in (wanted.low, wanted.high):
            hyperparameter.validate(bound)
    except SearchError:
        raise
    except ValueError as error:
        raise SearchError(f"{name} cannot be searched there: {error}") from error
    return wanted


def _fixed(optimizer, name, value):
    declared = {**optimizer.hyperparameters(), **optimizer.options()}
    if name not in declared:
        raise SearchError(f"{name} cannot be fixed: {optimizer.__name__} has {', '.join(declared)}; received {name!r}.")
    try:
        value = declared[name].validate(value)
    except ValueError as error:
        raise SearchError(str(error)) from error
    if callable(value):
        raise SearchError(f"{name} can be fixed to a number only, not to a schedule; received {value!r}.")
    return value
