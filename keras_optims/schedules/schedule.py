"""What all schedules have in common: arguments that become state of the optimizer that follows them.

A schedule that somebody makes is a recipe: it has numbers, and nothing changes them. An optimizer that is given one makes a
schedule of its own like it, whose numbers are scalar variables of the optimizer. A compiled step reads them, so that others
compile nothing, and they are saved and loaded as the optimizer's own hyperparameters are.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import types
from collections.abc import Iterator
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from keras_optims.hyperparameter import (
    Interval,
    LiveValue,
    Option,
    as_number,
    deserialized,
    exactly,
    rounded,
    scalar,
    shown,
    state_dtype,
)
from keras_optims.names import did_you_mean

FINITE = Interval(-math.inf, math.inf, low_open=True, high_open=True)
SHARE = Interval(0, math.inf, high_open=True)  # of the peak; it may be more than all of it
SHARE_OF_STEPS = Interval(0, 1, high_open=True)
STEPS = Interval(1, math.inf, high_open=True)


@dataclasses.dataclass(frozen=True)
class Number:
    """A number among the arguments of a schedule.

    Args:
        domain: the `Interval` of valid ones.
        meaning: one line.
        whole: whether it must be a whole number.
        is_a_value: whether it is one that the hyperparameter takes, so that it must be in the hyperparameter's domain.
        several: whether the argument is a list of such numbers.
        or_schedule: whether it may be a schedule as well.
    """

    domain: Interval
    meaning: str = ""
    whole: bool = False
    is_a_value: bool = False
    several: bool = False
    or_schedule: bool = False

    def validate(self, name: str, value: Any) -> Any:
        """The value of the argument as Python has it, or raises `ValueError`."""
        if self.or_schedule and isinstance(value, keras.optimizers.schedules.LearningRateSchedule):
            return copy.copy(value) if isinstance(value, Schedule) else value
        if not self.several:
            return self._number(name, value)
        if not isinstance(value, (list, tuple, range, np.ndarray)) or len(value) == 0:
            raise ValueError(f"{name} must be a list of numbers, at least one; received {shown(value)}.")
        return [self._number(f"{name}[{i}]", each) for i, each in enumerate(value)]

    def of(self, variable: keras.Variable, given: int | float) -> int | float:
        """The number that a variable holds: as it was given, unless it has changed since."""
        number = exactly(variable, given)
        return int(number) if self.whole else number

    def _number(self, name, value):
        number = as_number(value)
        if number is None or number not in self.domain or rounded(number) not in self.domain or self._is_broken(number):
            kind = "a whole number" if self.whole else "a number"
            or_schedule = ", or a schedule" if self.or_schedule else ""
            raise ValueError(f"{name} must be {kind} in {self.domain}{or_schedule}; received {shown(value)}.")
        return int(number) if self.whole else number

    def _is_broken(self, number) -> bool:
        return self.whole and number != int(number)


class Schedule(LiveValue, keras.optimizers.schedules.LearningRateSchedule):
    """The base of the schedules, for one of your own, too.

    A subclass declares `arguments`, a constructor that passes them on by name, `reach` and `formula`; register it with
    `keras.saving.register_keras_serializable`. The arguments can be read as attributes. They are set where they have an effect,
    in the optimizer that follows the schedule:

        optimizer.schedules["learning_rate"].peak = 0.01
        optimizer.schedules["learning_rate"].change(steps=2000, warmup=0.05)  # several at once

    Each call of the optimizer with a batch is a step, the first one is step 0.
    """

    arguments: ClassVar[dict[str, Any]] = {}
    """What it declares: name → `Number`, or an `Option` for what is compiled."""

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        for name, declared in cls.arguments.items():
            if isinstance(declared, Option):
                declared.__set_name__(cls, name)

    def __init__(self, **arguments: Any):
        given = {}
        for name, declared in self.arguments.items():
            if isinstance(declared, Option):
                given[name] = declared.validate(arguments[name])
            else:
                given[name] = declared.validate(name, arguments[name])
        self.__dict__.update(_given=given, _held={}, _optimizer=None, _hyperparameter=None, _holder=None, _prefix="")
        self.check()

    # -- what a schedule defines ------------------------------------------------------------------

    def formula(self, step, of: types.SimpleNamespace):
        """The value at a step.

        Args:
            step: a scalar tensor in the dtype of hyperparameters.
            of: the arguments by name: scalar tensors, lists of them, schedules, and options as they are.
        """
        raise NotImplementedError(f"{type(self).__name__} must define formula(step, of).")

    def reach(self) -> list[float]:
        """The numbers between which its values lie, as far as they are known."""
        return []

    def check(self) -> None:
        """Raises `ValueError` where arguments contradict one another."""

    # -- values -----------------------------------------------------------------------------------

    def __call__(self, step):
        """The value at a step, a scalar tensor."""
        step = ops.cast(step, state_dtype())
        return self.formula(step, types.SimpleNamespace(**{name: self._tensors(name) for name in self.arguments}))

    def at(self, steps) -> Any:
        """What it gives at a step, a Python number; of a list of steps an array, for a picture.

        Args:
            steps: a whole number of at least 0, or several.
        """
        numbers = np.asarray(steps)
        if numbers.dtype.kind not in "iuf" or numbers.size == 0 or not np.all(numbers >= 0) or not np.all(np.isfinite(numbers)):
            raise ValueError(f"at() takes a step, a number of at least 0, or a list of them; received {shown(steps)}.")
        values = [float(ops.convert_to_numpy(self(step))) for step in numbers.reshape(-1).tolist()]
        return values[0] if numbers.shape == () else np.reshape(values, numbers.shape)

    def _tensors(self, name):
        held = self._held.get(name, self._given[name])
        declared = self.arguments[name]
        if isinstance(declared, Option) or isinstance(held, keras.optimizers.schedules.LearningRateSchedule):
            return held
        return [_tensor(each) for each in held] if declared.several else _tensor(held)

    # -- arguments --------------------------------------------------------------------------------

    def __getattr__(self, name):
        own = vars(self)
        if name in own.get("_given", ()):
            return own["_held"].get(name, own["_given"][name])
        raise AttributeError(f"{type(self).__name__} has no {name!r}.{did_you_mean(name, type(self).arguments)}")

    def __setattr__(self, name, value):
        if name not in self.arguments:
            raise AttributeError(
                f"{type(self).__name__} has no {name!r}, so setting it would change nothing."
                f"{did_you_mean(name, self.arguments)} It has {', '.join(self.arguments)}; received {shown(value)}."
            )
        self.change(**{name: value})

    def change(self, **arguments: Any) -> None:
        """Sets arguments, all at once, of the schedule that an optimizer follows; a compiled step uses them from now on.

        Raises:
            AttributeError: no optimizer follows this one, so nothing would change.
            ValueError: a value is not allowed, or changes more than numbers.
        """
        if self._optimizer is None:
            raise AttributeError(
                "The numbers of a schedule are set in the optimizer that follows it, as in "
                f"optimizer.schedules['learning_rate'].change(...); this {type(self).__name__} is one that was given to it, or "
                f"that none has: received {', '.join(f'{name}={shown(value)}' for name, value in arguments.items())}."
            )
        for name in arguments:
            if name not in self.arguments:
                raise ValueError(
                    f"{type(self).__name__} has no {name!r}.{did_you_mean(name, self.arguments)} It has "
                    f"{', '.join(self.arguments)}."
                )
        self.change_to(type(self)(**{**self._arguments_now(), **arguments}))

    def change_to(self, other: Any) -> None:
        """Takes over the numbers of another schedule of the same structure, or raises `ValueError`."""
        self._hyperparameter.check_reach(other)
        if other.structure() != self.structure():
            raise ValueError(
                f"{self._hyperparameter.name} follows a schedule of which the numbers can change and nothing else, as steps may "
                f"be compiled that follow it: {shown(self)}; received {shown(other)}."
            )
        self._take(other.now())

    def _take(self, other: Schedule) -> None:
        for name, value in other._given.items():
            held = self._held.get(name)
            if isinstance(held, Schedule):
                held._take(value)
            elif isinstance(held, list):
                for variable, number in zip(held, value, strict=True):
                    variable.assign(rounded(number))
            elif held is not None:
                held.assign(rounded(value))
            if not isinstance(value, keras.optimizers.schedules.LearningRateSchedule):
                self._given[name] = value

    def _arguments_now(self) -> dict[str, Any]:
        """The arguments as the constructor takes them, with the numbers of now: exactly as they were given, if they still are."""
        now: dict[str, Any] = {}
        for name, given in self._given.items():
            held = self._held.get(name)
            if isinstance(held, Schedule):
                now[name] = held.now()
            elif isinstance(held, list):
                now[name] = [self.arguments[name].of(variable, number) for variable, number in zip(held, given, strict=True)]
            else:
                now[name] = given if held is None else self.arguments[name].of(held, given)
        return now

    # -- in an optimizer --------------------------------------------------------------------------

    def held_by(self, optimizer, holder, hyperparameter, prefix: str | None = None) -> Schedule:
        """A schedule like this one whose numbers are variables of the optimizer."""
        own = type(self)(**self._arguments_now())
        prefix = f"{holder.state_name(hyperparameter.name)}_schedule" if prefix is None else prefix
        held: dict[str, Any] = {}
        for name, value in own._given.items():
            if isinstance(value, Schedule):
                held[name] = value.held_by(optimizer, holder, hyperparameter, f"{prefix}_{name}")
            elif isinstance(value, list):
                held[name] = [scalar(optimizer, f"{prefix}_{name}_{i}", number) for i, number in enumerate(value)]
            elif not isinstance(own.arguments[name], Option) and not callable(value):
                held[name] = scalar(optimizer, f"{prefix}_{name}", value)
        # Kept, as while Keras saves a model, it takes objects of one id for the same.
        recipe = type(self)(**own._arguments_now())
        own.__dict__.update(_held=held, _optimizer=optimizer, _hyperparameter=hyperparameter, _holder=holder, _prefix=prefix)
        own.__dict__.update(_recipe=recipe)
        return own

    def drop(self) -> None:
        """Takes its variables from the optimizer."""
        for held in self._held.values():
            if isinstance(held, Schedule):
                held.drop()
                continue
            for variable in held if isinstance(held, list) else [held]:
                self._optimizer.drop_variable(variable)
        self.__dict__.update(_given=self._arguments_now(), _held={}, _optimizer=None)

    def now(self) -> Schedule:
        """The schedule that one would make, with the numbers of now."""
        if self._optimizer is None:
            return self
        self._recipe._given.update(self._arguments_now())
        return self._recipe

    def copy_given(self, source: Schedule) -> None:
        """Remembers the exact numbers that `source` was given; its variables are copied with all others."""
        for name, given in source._given.items():
            held = self._held.get(name)
            if isinstance(held, Schedule):
                held.copy_given(source._held[name])
            elif held is not None:
                self._given[name] = given

    def numbers(self) -> Iterator[tuple[str, Interval]]:
        """(name in the optimizer's state, allowed interval) of each of its variables."""
        for name, held in self._held.items():
            if isinstance(held, Schedule):
                yield from held.numbers()
                continue
            declared = self.arguments[name]
            domain = self._hyperparameter.domain if declared.is_a_value else declared.domain
            names = [f"{name}_{i}" for i in range(len(held))] if isinstance(held, list) else [name]
            yield from ((f"{self._prefix}_{each}", domain) for each in names)

    def structure(self) -> Any:
        """What a compiled step knows of it: all but the numbers."""
        parts: dict[str, Any] = {}
        for name, value in self._given.items():
            if isinstance(value, Schedule):
                parts[name] = value.structure()
            elif isinstance(value, keras.optimizers.schedules.LearningRateSchedule):
                parts[name] = keras.saving.serialize_keras_object(value)
            elif isinstance(self.arguments[name], Option):
                parts[name] = value
            else:
                parts[name] = len(value) if isinstance(value, list) else "live"
        return [f"{type(self).__module__}.{type(self).__qualname__}", parts]

    # -- saving -----------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """The arguments, with the numbers of now."""
        return {
            name: keras.saving.serialize_keras_object(value) if callable(value) else value
            for name, value in self._arguments_now().items()
        }

    @classmethod
    def from_config(cls, config):
        """The inverse of `get_config`."""
        return cls(**{name: deserialized(value, name, "a number or a schedule") for name, value in config.items()})

    def __reduce__(self):
        return _made, (type(self), self._arguments_now())

    def __repr__(self):
        shown_arguments = [f"{name}={_text(value)}" for name, value in self._arguments_now().items()]
        return f"{type(self).__name__}({', '.join(shown_arguments)})"


def _text(value) -> str:
    if isinstance(value, keras.optimizers.schedules.LearningRateSchedule) and not isinstance(value, Schedule):
        return type(value).__name__
    return repr(value)


def _made(cls, arguments):
    return cls(**arguments)


def _tensor(number):
    return ops.convert_to_tensor(number if isinstance(number, keras.Variable) else float(number), state_dtype())
