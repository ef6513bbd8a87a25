"""The part of a space that one optimizer has: its own axes, those of its schedule, and what is fixed of both."""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Mapping
from typing import Any

import keras_optims
from keras_optims.hyperparameter import SearchRange
from tuning.errors import SearchError
from tuning.space.axes import Axis
from tuning.space.optimizers import Tunable, public_name
from tuning.space.schedules import MOMENTA, RANGES, SCHEDULES, Call, momentum_of, numbers_of, scheduled
from tuning.space.structure import checked_choices


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
class Part:
    """What is searched and what is pinned of one optimizer.

    Args:
        optimizer: what is tuned.
        axes: name -> axis: hyperparameters and options, in the order in which the optimizer declares them, then numbers of the
            schedule.
        fixed: name of a hyperparameter or option -> its value.
        schedule: what the learning rate follows; `None`: it is a number.
    """

    optimizer: Tunable
    axes: dict[str, Axis]
    fixed: dict[str, Any]
    schedule: ScheduleOfSearch | None = None

    @classmethod
    def of(cls, optimizer: Tunable, search: Mapping[str, Any], fix: Mapping[str, Any], schedule: str | None) -> Part:
        """The default axes of an optimizer with the user's changes, all names of which it has."""
        name_of_class = optimizer.cls.__name__
        search, fix = dict(search), dict(fix)
        own = schedule_numbers(optimizer, schedule)
        both = sorted(set(search) & set(fix))
        if both:
            raise SearchError(f"A hyperparameter is either searched or fixed, not both; received both for {', '.join(both)}.")
        of_schedule = {name: _axis(own[name], search.pop(name)) for name in own if name in search}
        fixed_of_schedule = {name: own[name].validate(fix.pop(name)) for name in own if name in fix}
        asked = {name: _axis(optimizer.declared[name], wanted) for name, wanted in search.items()}
        fix = {name: _fixed(optimizer, name, value) for name, value in fix.items()}
        axes = {}
        for name, hyperparameter in optimizer.declared.items():
            declared = getattr(hyperparameter, "search", None)
            if name in asked:
                axes[name] = asked[name]
            elif name not in fix and declared is not None and declared.by_default:
                axes[name] = _axis(hyperparameter, None)
        try:
            optimizer.cls(**fix)  # some values are valid alone and not together
        except (TypeError, ValueError) as error:
            raise SearchError(f"{name_of_class} does not accept the fixed values {fix}: {error}") from error
        if schedule is None:
            return cls(optimizer, axes, fix)
        momentum = _momentum(optimizer, axes, fix) if schedule == "onecycle" else None
        numbers = numbers_of(schedule, momentum)
        for name in [*of_schedule, *fixed_of_schedule]:
            if name not in numbers:
                raise SearchError(f"{name} is of the momentum, which {name_of_class} does not have on; received {name!r}.")
        followed = [name for name in ("learning_rate", momentum) if name and name not in axes and name not in fix]
        what = ScheduleOfSearch(
            schedule,
            {name: fixed_of_schedule.get(name, SCHEDULES[schedule][name]) for name in numbers if name not in of_schedule},
            momentum,
            {name: optimizer.hyperparameters[name].default for name in followed},
        )
        part = cls(optimizer, {**axes, **of_schedule}, fix, what)
        for end in ("low", "high"):
            ends = {name: _end(axis, end) for name, axis in part.axes.items()}
            try:
                optimizer.cls(**made(scheduled(dataclasses.asdict(what), {**ends, **fix}, epochs=1000)))
            except ValueError as error:
                raise SearchError(f"{name_of_class} cannot follow the schedule {schedule} there: {error}") from error
        return part

    def in_steps(self, steps_per_epoch: int) -> Part:
        """The same, of a training with so many batches in an epoch."""
        if self.schedule is None:
            return self
        return dataclasses.replace(self, schedule=dataclasses.replace(self.schedule, steps_per_epoch=steps_per_epoch))

    def named(self, name: str) -> dict[str, Axis]:
        """Its axes as those of one of several optimizers, which are there when this one is chosen."""
        when = (("optimizer", (name,)),)
        return {
            f"{name}.{own}": dataclasses.replace(axis, name=f"{name}.{own}", of=name, argument=own, when=when)
            for own, axis in self.axes.items()
        }

    def get_config(self) -> dict[str, Any]:
        """JSON-serializable; what is not an axis."""
        cls = self.optimizer.cls
        return {
            "optimizer": f"{cls.__module__}.{cls.__qualname__}",
            "call": public_name(cls),
            "fixed": self.fixed,
            **({} if self.schedule is None else {"schedule": dataclasses.asdict(self.schedule)}),
        }

    @property
    def constants(self) -> list[str]:
        """The axes of which each value is another compiled step, though they are numbers: those of an optimizer of Keras."""
        if self.optimizer.is_ours:
            return []
        return [name for name in self.axes if name != "learning_rate" and name in self.optimizer.hyperparameters]

    @property
    def structural(self) -> list[str]:
        """The axes of which each value is another compiled step: options, and `constants`."""
        schedule = None if self.schedule is None else self.schedule.name
        numbers = {*self.optimizer.hyperparameters, *schedule_numbers(self.optimizer, schedule)}
        return [name for name in self.axes if name not in numbers or name in self.constants]


def made(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of an optimizer with its schedules as objects."""
    return {name: _made(value) if isinstance(value, Call) else value for name, value in arguments.items()}


def _made(call: Call):
    return getattr(keras_optims.schedules, call.name)(call.value, **call.others)


def _axis(declared, wanted) -> Axis:
    """The axis of a hyperparameter or an option: a range, or a list of values."""
    name, symbol = declared.name, getattr(declared, "symbol", "")
    is_number = hasattr(declared, "search")
    if wanted is None and not is_number:
        usual = [False, True] if isinstance(declared.default, bool) else list(getattr(declared, "choices", ()))
        if not usual:
            raise SearchError(f"{name} has no usual values to search: list them, {name}=VALUE,VALUE.")
        wanted = usual
    if isinstance(wanted, list):
        return Axis(
            name, symbol=symbol, kind="choice", choices=checked_choices(name, [_valid(declared, each) for each in wanted])
        )
    if not is_number:
        raise SearchError(f"{name} is an option, not a number: search it by its values, {name}=VALUE,VALUE; received {wanted!r}.")
    found = _range(declared, wanted)
    return Axis(name, symbol=symbol, scale=found.scale, low=found.low, high=found.high)


def _valid(declared, value: Any) -> Any:
    try:
        value = declared.validate(value)
    except ValueError as error:
        raise SearchError(f"{declared.name} cannot be searched there: {error}") from error
    if callable(value):
        raise SearchError(f"{declared.name} can be a number only, not a schedule; received {value!r}.")
    return float(value) if hasattr(declared, "search") and isinstance(value, numbers.Real) else value


def _range(hyperparameter, wanted) -> SearchRange:
    name, declared = hyperparameter.name, hyperparameter.search
    try:
        if wanted is None:
            if declared is None:
                raise SearchError(f"{name} declares no search range of its own: give one, {name}=LOW:HIGH.")
            return declared
        if not isinstance(wanted, SearchRange):
            if not isinstance(wanted, tuple) or len(wanted) not in (2, 3):
                raise SearchError(
                    f"The axis {name} must be a range (low, high) or (low, high, scale), or a list of values; "
                    f"received {wanted!r}."
                )
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


def _fixed(optimizer: Tunable, name: str, value: Any) -> Any:
    try:
        value = optimizer.declared[name].validate(value)
    except ValueError as error:
        raise SearchError(str(error)) from error
    if callable(value):
        raise SearchError(f"{name} can be fixed to a number only, not to a schedule; received {value!r}.")
    return value


# -- the schedule ----------------------------------------------------------------------------------


def _end(axis: Axis, end: str) -> Any:
    """The lowest or the highest value of an axis; of an option that is searched the first one."""
    if axis.is_number:
        return getattr(axis, end)
    if any(isinstance(choice, (bool, str)) for choice in axis.choices):
        return axis.choices[0]
    return min(axis.choices) if end == "low" else max(axis.choices)


@dataclasses.dataclass(frozen=True)
class _NumberOfSchedule:
    """A number of a schedule, as `_axis` takes a hyperparameter."""

    name: str
    search: SearchRange

    def validate(self, value: Any) -> float:
        known = keras_optims.schedules
        arguments = {**known.OneCycleMomentum.arguments, **known.OneCycle.arguments, **known.WarmupStableDecay.arguments}
        try:
            return arguments[self.name].validate(self.name, value)
        except ValueError as error:
            raise SearchError(str(error)) from error


def names_of(optimizer: Tunable, schedule: str | None) -> list[str]:
    """What `search` and `fix` may name of an optimizer and its schedule."""
    return [*optimizer.declared, *schedule_numbers(optimizer, schedule)]


def schedule_numbers(optimizer: Tunable, schedule: str | None) -> dict[str, _NumberOfSchedule]:
    """The numbers of a schedule that the learning rate of an optimizer may follow, by name."""
    if schedule is None:
        return {}
    if schedule not in SCHEDULES:
        raise SearchError(f"schedule must be one of {', '.join(SCHEDULES)}; received {schedule!r}.")
    names = numbers_of(schedule, momentum_of(optimizer.declared))
    same = [name for name in names if name in optimizer.declared]
    if same:
        raise SearchError(
            f"{optimizer.cls.__name__} has {', '.join(same)} of its own, and so has the schedule {schedule}: they could not be "
            "told apart; choose another schedule."
        )
    low_high = {name: RANGES[name] for name in names}
    return {name: _NumberOfSchedule(name, SearchRange(*ends, by_default=False)) for name, ends in low_high.items()}


def _momentum(optimizer: Tunable, axes, fixed) -> str | None:
    """The hyperparameter that is the momentum, if it is on."""
    declared = optimizer.hyperparameters
    has = [name for name in MOMENTA if name in declared]
    return next((name for name in has if name in axes or fixed.get(name, declared[name].default)), None)
