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
from tuning.space.catalogue import check_optimizer
from tuning.space.scale import SCALES, Scale
from tuning.space.schedules import MOMENTA, RANGES, SCHEDULES, Call, numbers_of, scheduled


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
class ScheduleOfSearch:
    """The schedule that the learning rate follows in a search.

    Args:
        name: in `tuning.space.schedules.SCHEDULES`.
        fixed: those of its numbers that are not searched: name -> value.
        momentum: the hyperparameter that goes with it, in one cycle.
        defaults: the value of each hyperparameter that follows a schedule and is neither searched nor fixed.
        steps_per_epoch: how many batches an epoch has.
    """

    name: str
    fixed: dict[str, float]
    momentum: str | None
    defaults: dict[str, float]
    steps_per_epoch: int | None = None


@dataclasses.dataclass(frozen=True)
class Space:
    """What is searched and what is pinned.

    Args:
        optimizer: the class.
        axes: name -> `SearchRange`: hyperparameters, in the order in which the optimizer declares them, then numbers of the
            schedule.
        fixed: name of a hyperparameter or option -> its value.
        schedule: what the learning rate follows; `None`: it is a number.
    """

    optimizer: type[keras_optims.Optimizer]
    axes: dict[str, SearchRange]
    fixed: dict[str, Any]
    schedule: ScheduleOfSearch | None = None

    @classmethod
    def of(
        cls,
        optimizer: str | type[keras_optims.Optimizer],
        search: Mapping[str, Any] | None = None,
        fix: Mapping[str, Any] | None = None,
        schedule: str | None = None,
    ) -> Space:
        """The default space of an optimizer with the user's changes.

        Args:
            optimizer: a name in `keras_optims.OPTIMIZERS` or a subclass of `keras_optims.Optimizer`.
            search: name -> `(low, high)`, `(low, high, scale)`, a `SearchRange`, or `None` for the declared range.
            fix: name -> value.
            schedule: a name in `tuning.space.schedules.SCHEDULES`, whose numbers `search` and `fix` may name, too.

        Raises:
            SearchError: a name or a value is not allowed, or nothing is left to search.
        """
        optimizer = optimizer_class(optimizer)
        search, fix = dict(search or {}), dict(fix or {})
        own = schedule_numbers(optimizer, schedule)
        of_schedule = {name: _range(own[name], search.pop(name)) for name in own if name in search}
        fixed_of_schedule = {name: own[name].validate(fix.pop(name)) for name in own if name in fix}
        both = sorted(set(of_schedule) & set(fixed_of_schedule))
        if both:
            raise SearchError(f"A hyperparameter is either searched or fixed, not both; received both for {', '.join(both)}.")
        declared, options = optimizer.hyperparameters(), optimizer.options()
        for name in search:
            if name not in declared:
                kind = "is an option, not a number, and" if name in options else "is not a hyperparameter of it and"
                raise SearchError(
                    f"{name} {kind} cannot be searched for {optimizer.__name__}, only {', '.join([*declared, *own])} can"
                    f"{_if_scheduled(name, schedule)}; received {name!r}."
                )
        both = sorted(set(search) & set(fix))
        if both:
            raise SearchError(f"A hyperparameter is either searched or fixed, not both; received both for {', '.join(both)}.")
        ranges = {name: _range(declared[name], wanted) for name, wanted in search.items()}
        for name, value in fix.items():
            ranges.pop(name, None)
            fix[name] = _fixed(optimizer, name, value, own, schedule)
        axes = {}
        for name, hyperparameter in declared.items():
            if name in ranges:
                axes[name] = ranges[name]
            elif name not in fix and hyperparameter.search is not None and hyperparameter.search.by_default:
                axes[name] = hyperparameter.search
        if not axes and not of_schedule:
            raise SearchError("Nothing is left to search: every hyperparameter is fixed; fix fewer, or add an axis.")
        try:
            optimizer(**fix)  # some values are valid alone and not together
        except (TypeError, ValueError) as error:
            raise SearchError(f"{optimizer.__name__} does not accept the fixed values {fix}: {error}") from error
        if schedule is None:
            return cls(optimizer, axes, fix)
        momentum = _momentum(optimizer, axes, fix) if schedule == "onecycle" else None
        numbers = numbers_of(schedule, momentum)
        for name in [*of_schedule, *fixed_of_schedule]:
            if name not in numbers:
                raise SearchError(f"{name} is of the momentum, which {optimizer.__name__} does not have on; received {name!r}.")
        followed = [name for name in ("learning_rate", momentum) if name and name not in axes and name not in fix]
        what = ScheduleOfSearch(
            schedule,
            {name: fixed_of_schedule.get(name, SCHEDULES[schedule][name]) for name in numbers if name not in of_schedule},
            momentum,
            {name: declared[name].default for name in followed},
        )
        space = cls(optimizer, {**axes, **of_schedule}, fix, what)
        for end in ("low", "high"):
            try:
                space.build({name: getattr(axis, end) for name, axis in space.axes.items()}, epochs=1000)
            except ValueError as error:
                raise SearchError(f"{optimizer.__name__} cannot follow the schedule {schedule} there: {error}") from error
        return space

    def in_steps(self, steps_per_epoch: int) -> Space:
        """The same, of a training with so many batches in an epoch."""
        if self.schedule is None:
            return self
        return dataclasses.replace(self, schedule=dataclasses.replace(self.schedule, steps_per_epoch=steps_per_epoch))

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

    def build(self, values: Mapping[str, float], epochs: int | None = None):
        """The optimizer with these values of the axes, for a training of so many epochs."""
        return self.optimizer(**self.settings(values, epochs))

    def settings(self, values: Mapping[str, float], epochs: int | None = None) -> dict[str, Any]:
        """All arguments of the optimizer's constructor: the values of the axes, then what is fixed; schedules as they are."""
        schedule = None if self.schedule is None else dataclasses.asdict(self.schedule)
        found = scheduled(schedule, {**{name: values[name] for name in self.axes}, **self.fixed}, epochs)
        return {name: _made(value) if isinstance(value, Call) else value for name, value in found.items()}

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
            **({} if self.schedule is None else {"schedule": dataclasses.asdict(self.schedule)}),
        }

    def symbol(self, name: str) -> str:
        """As the literature writes it, e.g. `β₁`; nothing for a number of the schedule."""
        declared = self.optimizer.hyperparameters()
        return declared[name].symbol if name in declared else ""


def optimizer_class(optimizer: str | type) -> type[keras_optims.Optimizer]:
    """The class that a command-line name or a class stands for, or `SearchError`."""
    if isinstance(optimizer, str):
        check_optimizer(optimizer)
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


def _fixed(optimizer, name, value, of_schedule, schedule):
    declared = {**optimizer.hyperparameters(), **optimizer.options()}
    if name not in declared:
        known = ", ".join([*declared, *of_schedule])
        raise SearchError(
            f"{name} cannot be fixed: {optimizer.__name__} has {known}{_if_scheduled(name, schedule)}; received {name!r}."
        )
    try:
        value = declared[name].validate(value)
    except ValueError as error:
        raise SearchError(str(error)) from error
    if callable(value):
        raise SearchError(f"{name} can be fixed to a number only, not to a schedule; received {value!r}.")
    return value


# -- the schedule ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _NumberOfSchedule:
    """A number of a schedule, as `_range` takes a hyperparameter."""

    name: str
    search: SearchRange

    def validate(self, value: Any) -> float:
        known = keras_optims.schedules
        arguments = {**known.OneCycleMomentum.arguments, **known.OneCycle.arguments, **known.WarmupStableDecay.arguments}
        try:
            return arguments[self.name].validate(self.name, value)
        except ValueError as error:
            raise SearchError(str(error)) from error


def schedule_numbers(optimizer: type[keras_optims.Optimizer], schedule: str | None) -> dict[str, _NumberOfSchedule]:
    """The numbers of a schedule that the learning rate of an optimizer may follow, by name."""
    if schedule is None:
        return {}
    if schedule not in SCHEDULES:
        raise SearchError(f"schedule must be one of {', '.join(SCHEDULES)}; received {schedule!r}.")
    declared = {**optimizer.hyperparameters(), **optimizer.options()}
    names = numbers_of(schedule, next((name for name in MOMENTA if name in declared), None))
    same = [name for name in names if name in declared]
    if same:
        raise SearchError(
            f"{optimizer.__name__} has {', '.join(same)} of its own, and so has the schedule {schedule}: they could not be told "
            "apart; choose another schedule."
        )
    low_high = {name: RANGES[name] for name in names}
    return {name: _NumberOfSchedule(name, SearchRange(*ends, by_default=False)) for name, ends in low_high.items()}


def _momentum(optimizer, axes, fixed) -> str | None:
    """The hyperparameter that is the momentum, if it is on."""
    declared = optimizer.hyperparameters()
    has = [name for name in MOMENTA if name in declared]
    return next((name for name in has if name in axes or fixed.get(name, declared[name].default)), None)


def _if_scheduled(name: str, schedule: str | None) -> str:
    """That a name is a number of a schedule, if it is."""
    having = [each for each, numbers in SCHEDULES.items() if name in numbers]
    if not having or schedule in having:
        return ""
    given = "without --schedule" if schedule is None else f"with --schedule {schedule}"
    return f" {given}; it is a number of the schedules {', '.join(having)}"


def _made(call: Call):
    return getattr(keras_optims.schedules, call.name)(call.value, **call.others)
