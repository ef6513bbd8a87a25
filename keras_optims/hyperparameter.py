"""Hyperparameters as optimizer state, declared once on the class.

A learning rate or a β that is a Python number gets baked into the compiled training step: assigning
another one later changes nothing, and says nothing. Here each hyperparameter is a float32 scalar
*variable* that the step reads, so assigning takes effect at once and recompiles nothing. From the one
declaration on the class come the argument of the constructor, its validation, the live variable, the
property, the entry in `get_config`, the default search space and the label of a plot's axis.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import numbers
from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops


@dataclasses.dataclass(frozen=True)
class Interval:
    """A range of allowed numbers; `str()` writes it as in mathematics, e.g. `[0, 1)`."""

    low: float
    high: float
    low_open: bool = False
    high_open: bool = False

    def __contains__(self, number: float) -> bool:
        above = number > self.low if self.low_open else number >= self.low
        below = number < self.high if self.high_open else number <= self.high
        return above and below  # NaN compares false, so NaN is in no interval

    def __str__(self) -> str:
        left, right = "(" if self.low_open else "[", ")" if self.high_open else "]"
        low, high = (
            "−∞" if end < 0 and math.isinf(end) else "∞" if math.isinf(end) else f"{end:g}" for end in (self.low, self.high)
        )
        return f"{left}{low}, {high}{right}"


NON_NEGATIVE = Interval(0, math.inf, high_open=True)
POSITIVE = Interval(0, math.inf, low_open=True, high_open=True)
UNIT = Interval(0, 1)
DECAY_RATE = Interval(0, 1, high_open=True)  # of an exponential moving average: 1 would never move


SCALES = ("linear", "log", "log1m")


@dataclasses.dataclass(frozen=True)
class SearchRange:
    """Where a search looks for a good value.

    Args:
        low, high: the smallest and the largest value, both included.
        scale: `"linear"`; `"log"`: uniform in log(x), for rates, whose order of magnitude matters; `"log1m"`:
            uniform in log(1−x), for decay rates such as γ and β, where 0.9 → 0.99 averages over ten times as many steps.
        by_default: whether a search looks along this axis without being asked to.
    """

    low: float
    high: float
    scale: str = "linear"
    by_default: bool = True

    def __post_init__(self):
        if self.scale not in SCALES:
            raise ValueError(f"The scale of a search range is one of {', '.join(SCALES)}; received {self.scale!r}.")
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"A search range needs finite LOW < HIGH; received {self.low!r}:{self.high!r}.")
        if self.scale == "log" and self.low <= 0:
            raise ValueError(f"A log search range needs LOW > 0; received {self.low!r}:{self.high!r}.")
        if self.scale == "log1m" and self.high >= 1:
            raise ValueError(f"A log1m search range (log in 1−x) needs HIGH < 1; received {self.low!r}:{self.high!r}.")


class LiveValue:
    """A value of a hyperparameter that has numbers of its own, which are to be state: a schedule of `keras_optims.schedules`."""

    def reach(self) -> list[float]:
        """The numbers between which its values lie."""
        raise NotImplementedError

    def held_by(self, optimizer, holder, hyperparameter) -> Any:
        """One like it whose numbers are variables of the optimizer."""
        raise NotImplementedError

    def drop(self) -> None:
        """Takes its variables from the optimizer."""
        raise NotImplementedError

    def now(self) -> Any:
        """One as somebody would make it, with the numbers of now."""
        raise NotImplementedError

    def change_to(self, other: Any) -> None:
        """Takes over the numbers of another one of the same structure, or raises `ValueError`."""
        raise NotImplementedError

    def copy_given(self, source: Any) -> None:
        """Remembers the exact numbers that `source` was given."""
        raise NotImplementedError

    def numbers(self) -> Iterable[tuple[str, Interval]]:
        """(name in the optimizer's state, allowed interval) of each of its variables."""
        raise NotImplementedError

    def structure(self) -> Any:
        """What a compiled step knows of it: all but the numbers."""
        raise NotImplementedError


class Declared:
    """What an optimizer declares on its class: a name, a default and the private attribute that holds the value."""

    name: str
    default: Any
    keyword_only: bool = False

    def __set_name__(self, owner, name):
        self.name = name
        self._held = f"_{name}"  # the attribute of its holder; Keras itself keeps the learning rate there


class Hyperparameter(Declared):
    """A number that steers the algorithm and may change while it trains.

    Declared in the class body, `beta_1 = Hyperparameter(0.9, symbol="β₁", domain=DECAY_RATE)`, it becomes an argument of
    the constructor and a property. It takes a float, an int, a NumPy scalar, a
    `keras.optimizers.schedules.LearningRateSchedule`, of which those in `keras_optims.schedules` have numbers that stay live,
    or a callable of the step (an int64 or int32
    scalar, 0 at the first step) that returns the value. Reading the property gives the float32 scalar variable (or, of a
    schedule, its value at the current step); assigning a number changes it without a retrace. Assigning a number where there is
    a schedule or a callable is a `TypeError`, as of Keras's learning rate.

    Args:
        default: the value where none is given.
        symbol: as the literature writes it, e.g. `"β₁"`.
        domain: the `Interval` of valid numbers.
        search: the `SearchRange` of a search, or `None` where searching makes no sense.
        meaning: one line for tables and help.
        off: the value that leaves the term out altogether (`None` for weight decay, 0.0 for RMSprop's momentum).
            An optimizer built with it has neither the variable nor the slots of that term, so turning it on after `build`
            is an error.
    """

    _NEVER_OFF: Any = object()

    def __init__(
        self,
        default: float | None,
        *,
        symbol: str,
        domain: Interval,
        search: SearchRange | None = None,
        meaning: str = "",
        off: Any = _NEVER_OFF,
    ):
        self.default = default
        self.symbol = symbol
        self.domain = domain
        self.search = search
        self.meaning = meaning
        self.off = off
        self._has_residual = domain.high == 1  # see `complement`

    def __repr__(self) -> str:
        return f"Hyperparameter({self.name}, {self.symbol} in {self.domain}, default {self.default})"

    # -- validation -------------------------------------------------------------------------------

    def _is_off(self, value: Any) -> bool:
        return value is self.off or (isinstance(value, numbers.Real) and value == self.off)

    def validate(self, value: Any) -> Any:
        """Returns `value` as a Python number (or the schedule, callable or `None` it is), or raises `ValueError`."""
        if value is None and self.off is None:
            return None
        if isinstance(value, LiveValue):
            self.check_reach(value)
        if callable(value) and not isinstance(value, (type, keras.Variable)) and not keras.ops.is_tensor(value):
            return value  # a schedule is callable too
        number = as_number(value)
        # What the variable will hold must be valid as well: float32(0.99999999) is 1.
        if number is None or number not in self.domain or rounded(number) not in self.domain:
            or_none = "None, " if self.off is None else ""
            raise ValueError(
                f"{self.name} ({self.symbol}) must be {or_none}a number in {self.domain} (as {state_dtype()}), a "
                f"LearningRateSchedule or a callable of the step; received {shown(value)}."
            )
        return number

    def check_reach(self, value: LiveValue) -> None:
        """Raises `ValueError` if a schedule gives what is not in the domain."""
        for number in value.reach():
            if number not in self.domain or rounded(number) not in self.domain:
                raise ValueError(
                    f"{self.name} ({self.symbol}) must stay in {self.domain} (as {state_dtype()}); received {shown(value)}, "
                    f"which reaches {number:g}."
                )

    # -- the property -----------------------------------------------------------------------------

    def __get__(self, optimizer, owner=None):
        return self if optimizer is None else self.value(optimizer, optimizer.holder(self.name))

    def __set__(self, optimizer, value):
        if hasattr(optimizer, "_untracked"):  # else in the constructor of keras.optimizers.Optimizer; ours assigns after it
            self.set(optimizer, optimizer, value)

    # -- the value, held by the optimizer itself or by one of its rules ---------------------------

    def value(self, optimizer, holder):
        """What the property gives."""
        held = getattr(holder, self._held)
        if not callable(held) or isinstance(held, keras.Variable):
            return held
        value = held(optimizer.number_of_calls) if takes_the_step(held) else held()
        return ops.cast(value, state_dtype())

    def variable_of(self, holder) -> keras.Variable | None:
        """The variable that holds the value, where it is a number."""
        held = getattr(holder, self._held)
        return held if isinstance(held, keras.Variable) else None

    def set(self, optimizer, holder, value):
        """What assigning to the property does."""
        held = getattr(holder, self._held, None)
        if isinstance(held, keras.Variable) and _is_symbolic(value):
            self._change(optimizer, holder, value)  # inside a traced function a value cannot be looked at, only passed on
            return
        value = self.validate(value)
        of = type(optimizer).__name__
        follows = callable(held) and not isinstance(held, keras.Variable) and hasattr(holder, f"{self._held}_given")
        if follows and isinstance(value, numbers.Real):  # built or not: callbacks assign before the first step
            raise TypeError(
                f"{self.name} of this {of} follows {_kind(held)}, so no number can be set in its place, neither by hand nor by a "
                f"callback as LearningRateScheduler; give the constructor a number, which stays settable"
                f"{self._or_its_numbers(held)}. Received {value!r}."
            )
        if optimizer.built and isinstance(held, LiveValue) and isinstance(value, LiveValue):
            held.change_to(value)
            return
        if isinstance(held, keras.Variable) and isinstance(value, numbers.Real):
            self._change(optimizer, holder, rounded(value))
            if self._has_residual:
                getattr(holder, f"{self._held}_residual").assign(_residual(value))
        elif optimizer.built and _kind(held) != _kind(value):
            raise ValueError(
                f"{self.name} was {_kind(held)} when this {of} was built and cannot become {_kind(value)} now: its compiled step "
                f"would not see it. Make a new optimizer, or give the constructor a number, which stays settable; received "
                f"{value!r}."
            )
        elif optimizer.built and held != value:
            raise ValueError(
                f"The {_kind(held)} of {self.name} cannot be exchanged once {of} is built: its compiled step would not see it. "
                f"Make a new optimizer; received {value!r}."
            )
        else:
            self._hold(optimizer, holder, value)
        setattr(holder, f"{self._held}_given", value)

    def _or_its_numbers(self, held) -> str:
        return f", or set the schedule's own, such as schedules[{self.name!r}].peak" if isinstance(held, LiveValue) else ""

    def _change(self, optimizer, holder, value):
        held = getattr(holder, self._held)
        if optimizer.built:
            optimizer.before_change(self.name, held, value, optimizer.variables_of(holder, self.name))
        held.assign(value)

    def _hold(self, optimizer, holder, value):
        """Makes (or drops) the variables for `value`; only before the optimizer is built."""
        for attribute in (self._held, f"{self._held}_residual"):
            previous = getattr(holder, attribute, None)
            if isinstance(previous, keras.Variable):
                optimizer.drop_variable(previous)
            elif isinstance(previous, LiveValue):
                previous.drop()
        if isinstance(value, LiveValue):
            setattr(holder, self._held, value.held_by(optimizer, holder, self))
            return
        if not isinstance(value, numbers.Real) or self._is_off(value):
            setattr(holder, self._held, value)
            return
        name = holder.state_name(self.name)
        setattr(holder, self._held, scalar(optimizer, name, value))
        if self._has_residual:
            setattr(holder, f"{self._held}_residual", scalar(optimizer, f"{name}_residual", _residual(value)))

    def copy_given(self, source, target) -> None:
        """Makes the holder `target` remember the exact number that `source` was given; its variable is copied with all others."""
        schedule = self.schedule_of(target)
        if schedule is not None:
            schedule.copy_given(self.schedule_of(source))
        if self.is_constant(target):
            setattr(target, f"{self._held}_given", getattr(source, f"{self._held}_given"))

    def is_on(self, holder) -> bool:
        """Whether the holder has this term."""
        held = getattr(holder, self._held)
        return isinstance(held, keras.Variable) or not (held is None or isinstance(held, numbers.Real))

    def complement(self, optimizer, holder):
        """1 − value, as a float32 scalar that is exact to the last bit.

        float32(0.999) lies 1.3e-8 beside 0.999. That is nothing to β₂, but a relative error of 1.3e-5 to
        1 − β₂ = 0.001. So what the rounding lost is kept in a second scalar and subtracted here.
        """
        value, residual = 1.0 - ops.convert_to_tensor(self.value(optimizer, holder)), self.residual(holder)
        return value if residual is None else value - residual

    def residual(self, holder):
        """What rounding to float32 took from the value: a scalar variable, or `None` where that is not kept."""
        return getattr(holder, f"{self._held}_residual") if self._has_residual and self.is_constant(holder) else None

    def is_constant(self, holder) -> bool:
        """Whether the value is a number that changes only when it is set."""
        return isinstance(getattr(holder, self._held), keras.Variable)

    def schedule_of(self, holder) -> Any:
        """The schedule that the value follows, if it is one whose numbers are state; else `None`."""
        held = getattr(holder, self._held, None)
        return held if isinstance(held, LiveValue) else None

    def numbers(self, holder) -> list[tuple[str, Interval]]:
        """(name in the state, allowed interval) of the number, or of those of the schedule that it follows."""
        schedule = self.schedule_of(holder)
        return [(holder.state_name(self.name), self.domain)] if schedule is None else list(schedule.numbers())

    def now(self, holder):
        """The current value as the constructor takes it: the number exactly as it was given, unless the variable has changed."""
        held, given = getattr(holder, self._held), getattr(holder, f"{self._held}_given")
        if isinstance(held, LiveValue):
            return held.now()
        return exactly(held, given) if isinstance(held, keras.Variable) else held

    # -- the config -------------------------------------------------------------------------------

    def to_config(self, optimizer):
        """`now`, as `get_config` wants it."""
        now = self.now(optimizer)
        return keras.saving.serialize_keras_object(now) if callable(now) else now

    def from_config(self, value, custom_objects=None):
        """The inverse of `to_config`."""
        return deserialized(
            value, self.name, "a number or what serialize_keras_object makes of a schedule or a callable", custom_objects
        )


class Option(Declared):
    """A choice that decides which slots and terms a step has (AMSGrad, Nesterov): fixed once the optimizer is built.

    Args:
        default: the value where none is given. A default of `True` or `False` makes the option a flag.
        choices: for a text, the valid ones.
        domain: for a number, the `Interval` of valid ones.
        integer: whether the number must be an int.
        optional: whether `None` (off) is allowed.
        meaning: one line for tables and help.
        keyword_only: whether the constructor takes it by name only, as what Keras's optimizer of this name does not have.
    """

    def __init__(
        self,
        default: Any,
        *,
        choices: tuple[str, ...] = (),
        domain: Interval | None = None,
        integer: bool = False,
        optional: bool = False,
        meaning: str = "",
        keyword_only: bool = False,
    ):
        self.default = default
        self.choices = tuple(choices)
        self.domain = domain
        self.integer = integer
        self.optional = optional
        self.meaning = meaning
        self.keyword_only = keyword_only

    def validate(self, value: Any) -> Any:
        """Returns `value` as a Python object, or raises `ValueError`."""
        if value is None and self.optional:
            return None
        if self.choices:
            if isinstance(value, str) and value in self.choices:
                return str(value)
            allowed = " or ".join([*(["None"] if self.optional else []), *map(repr, self.choices)])
            raise ValueError(f"{self.name} must be {allowed}; received {shown(value)}.")
        if self.domain is None:
            if isinstance(value, (bool, np.bool_)):
                return bool(value)
            raise ValueError(f"{self.name} must be True or False; received {shown(value)}.")
        number = as_number(value)
        if number is None or number not in self.domain or (self.integer and not isinstance(number, int)):
            or_none, kind = "None or " if self.optional else "", "an int" if self.integer else "a number"
            raise ValueError(f"{self.name} must be {or_none}{kind} in {self.domain}; received {shown(value)}.")
        return number

    def __get__(self, optimizer, owner=None):
        return self if optimizer is None else getattr(optimizer, self._held)

    def __set__(self, optimizer, value):
        value = self.validate(value)
        if getattr(optimizer, "built", False) and value != getattr(optimizer, self._held):
            raise ValueError(
                f"{self.name} cannot change once {type(optimizer).__name__} is built: its slots and its compiled step depend "
                f"on it. Make a new optimizer; received {value!r}."
            )
        setattr(optimizer, self._held, value)

    def to_config(self, optimizer):
        """The value for `get_config`."""
        return getattr(optimizer, self._held)

    def from_config(self, value, custom_objects=None):
        """The inverse of `to_config`."""
        return value


class Switch(Option):
    """An option, on or off, that a rule may set for its variables."""

    def __init__(self, *, meaning: str):
        super().__init__(False, meaning=meaning)

    def __get__(self, optimizer, owner=None):
        return self if optimizer is None else self.value(optimizer, optimizer.holder(self.name))

    def __set__(self, optimizer, value):
        self.set(optimizer, optimizer, value)

    def value(self, optimizer, holder) -> bool:
        """What the property gives."""
        return self.now(holder)

    def set(self, optimizer, holder, value):
        """What assigning to the property does."""
        value = self.validate(value)
        if getattr(optimizer, "built", False) and value != self.now(holder):
            raise ValueError(
                f"{self.name} cannot change once {type(optimizer).__name__} is built: its slots and its compiled step depend "
                f"on it. Make a new optimizer; received {value!r}."
            )
        setattr(holder, self._held, value)

    def now(self, holder) -> bool:
        """The value of the optimizer or rule that holds it."""
        return getattr(holder, self._held)


def epsilon(default: float = 1e-7) -> Hyperparameter:
    """ε, the same in every algorithm that divides."""
    return Hyperparameter(
        default,
        symbol="ε",
        domain=NON_NEGATIVE,
        search=SearchRange(1e-10, 1e-1, "log", by_default=False),
        meaning="keeps the division finite",
    )


def weight_decay(low: float, high: float) -> Hyperparameter:
    """λ, off unless asked for, with the range in which a search looks that is asked to."""
    return Hyperparameter(
        None,
        symbol="λ",
        domain=NON_NEGATIVE,
        search=SearchRange(low, high, "log", by_default=False),
        meaning="weight decay",
        off=None,
    )


# -- numbers --------------------------------------------------------------------------------------


def state_dtype() -> str:
    """The dtype of hyperparameter variables: float32, unless Keras computes in float64 throughout."""
    return "float64" if keras.config.floatx() == "float64" else "float32"


def scalar(optimizer, name: str, value: Any) -> keras.Variable:
    """A variable of the optimizer that holds a number."""
    return optimizer.add_variable(
        shape=(),
        initializer=keras.initializers.Constant(rounded(value)),  # an int may be too large for the backend's integers
        dtype=state_dtype(),
        aggregation="only_first_replica",
        name=name,
    )


def exactly(variable: keras.Variable, given: int | float) -> int | float:
    """The number that a variable holds: as it was given, unless it has changed since."""
    current = ops.convert_to_numpy(variable)
    return given if float(current) == rounded(given) else _shortest(current)


def _residual(value: Any) -> float:
    """What rounding to the variable's dtype takes from `value`."""
    return float(value) - rounded(value)


def rounded(value: Any) -> float:
    """`value` as the variable will hold it; zero for what is too small to be a normal number, as TensorFlow has it."""
    dtype = np.dtype(state_dtype())
    with np.errstate(over="ignore", under="ignore"):
        rounded = float(dtype.type(value))
    return rounded if abs(rounded) >= np.finfo(dtype).tiny or rounded != rounded else 0.0


def as_number(value: Any) -> int | float | None:
    """A real scalar of any library as a Python int or float; `None` for anything else, strings and bools included."""
    if isinstance(value, keras.Variable) or keras.ops.is_tensor(value):
        value = keras.ops.convert_to_numpy(value)
    if isinstance(value, (np.generic, np.ndarray)):
        if value.shape != () or value.dtype.kind not in "iuf":
            return None
        return _shortest(value)
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return None
    try:
        as_float = float(value)
    except OverflowError:  # an int or a fraction beyond the largest float, of either sign: in no domain
        return math.inf
    return value if isinstance(value, (int, float)) else as_float


def deserialized(value: Any, name: str, allowed: str, custom_objects=None) -> Any:
    """What `serialize_keras_object` was given, in the config of the argument `name`; raises `ValueError` if it cannot be made."""
    if not isinstance(value, dict):
        return value
    try:
        return keras.saving.deserialize_keras_object(value, custom_objects=custom_objects)
    except Exception as error:  # Keras raises whatever its look into the config ran into
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise ValueError(
            f"The config of {name} must be {allowed}; received {shown(value)}, of which Keras says {reason}"
        ) from error


def shown(value: Any) -> str:
    """`repr(value)` on one line, and not more of it than a message has room for."""
    return _on_one_line(repr(value))


def as_argument(value: Any) -> str:
    """A value of an argument as one would write it, a schedule with what it is made of; on one line, as `shown`."""
    if isinstance(value, keras.optimizers.schedules.LearningRateSchedule) and not isinstance(value, LiveValue):
        config = {name: its for name, its in value.get_config().items() if name != "name" and its is not None}
        return _on_one_line(f"{type(value).__name__}({', '.join(f'{name}={its!r}' for name, its in config.items())})")
    return _on_one_line(getattr(value, "__qualname__", None) or repr(value))


def _on_one_line(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 100 else f"{text[:97]}..."


def schedules_of(holder, hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    """The schedules whose numbers are state, by the names of the hyperparameters that follow them."""
    found = {name: h.schedule_of(holder) for name, h in hyperparameters.items() if isinstance(h, Hyperparameter)}
    return {name: schedule for name, schedule in found.items() if schedule is not None}


def is_like_an_argument(value: Any) -> bool:
    """Whether a value may be meant for an argument: a number, `None`, a text, a schedule or a callable; not a slot or a list."""
    return value is None or isinstance(value, (str, bool)) or callable(value) or _is_a_number(value)


def _is_a_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) or (isinstance(value, np.ndarray) and value.shape == ())


def _shortest(value) -> int | float:
    """The shortest decimal that rounds to this NumPy scalar: 0.1 for float32(0.1), not 0.10000000149011612."""
    return int(value) if value.dtype.kind in "iu" else float(np.format_float_positional(value[()], unique=True))


def _is_symbolic(value: Any) -> bool:
    if not keras.ops.is_tensor(value):
        return False
    try:
        keras.ops.convert_to_numpy(value)
    except Exception:  # each backend has its own error for "this value is not known yet"
        return True
    return False


def takes_the_step(function) -> bool:
    """Whether a callable wants the step; Keras's own convention for a learning rate is a callable of nothing."""
    try:
        inspect.signature(function).bind(0)
    except TypeError:
        return False
    except ValueError:  # builtins without a signature
        return True
    return True


def _kind(value: Any) -> str:
    if value is None:
        return "None"
    if isinstance(value, (keras.Variable, numbers.Real)):
        return "a number" if value != 0 or isinstance(value, keras.Variable) else "off (0)"
    if isinstance(value, keras.optimizers.schedules.LearningRateSchedule):
        return "a schedule"
    return "a callable"
