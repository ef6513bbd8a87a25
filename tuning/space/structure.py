"""What a problem lets a search vary of its model."""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

from keras_optims.hyperparameter import SearchRange
from tuning.errors import SearchError
from tuning.space.axes import Axis

REQUIRED: Any = object()  # the default of an argument that has none


@dataclasses.dataclass(frozen=True)
class Given:
    """An axis that is there only with some values of others; `given` makes it."""

    wanted: Any
    when: Mapping[str, Sequence[Any]]


def given(wanted: Any, **when: Any) -> Given:
    """An axis that a setting has only with these values of other arguments.

        axes = {"layers": (1, 3), "units_2": tuning.given((16, 256, "log"), layers=[2, 3])}

    Args:
        wanted: the axis, as without it.
        **when: name of another axis -> the value or the list of values with which this one is there.
    """
    if not when:
        raise SearchError("given(axis, NAME=VALUES) wants the values of another axis; received none.")
    return Given(wanted, {name: list(values) if isinstance(values, (list, tuple)) else [values] for name, values in when.items()})


@dataclasses.dataclass(frozen=True)
class Structure:
    """The arguments of a problem's model function.

    Args:
        problem: its name.
        defaults: of each argument, `REQUIRED` if it has none; of what a model function declares with `hp`, its default.
        axes: those of which the problem says where a search looks: name -> what `search` takes.
        searched: those that are searched without being asked for.
        native: the axes that a model function declared with KerasTuner's `hp`, by name: class name, configuration, conditions.
    """

    problem: str = "the problem"
    defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    axes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    searched: Sequence[str] = ()
    native: Mapping[str, Axis] = dataclasses.field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Of all arguments."""
        return list(self.defaults)

    def axis(self, argument: str, name: str, wanted: Any = None) -> tuple[Axis, Mapping[str, Sequence[Any]]]:
        """An axis called `name`, and when it is there; `wanted`: where to look, instead of where the problem says.

        Raises:
            SearchError: it is no range and no list of values.
        """
        if argument in self.native and wanted is None:
            axis = self.native[argument]
            return dataclasses.replace(axis, name=name, of="problem", argument=argument, when=()), dict(axis.when)
        declared = self.axes.get(argument)
        when = (
            declared.when if isinstance(declared, Given) else dict(self.native[argument].when) if argument in self.native else {}
        )
        if wanted is None:
            wanted = declared.wanted if isinstance(declared, Given) else declared
        if wanted is None and isinstance(self.defaults.get(argument), bool):
            wanted = [False, True]
        if wanted is None:
            raise SearchError(
                f"{self.problem} does not say where to search {argument}: give a range or values, {argument}=LOW:HIGH."
            )
        like = self._like(declared, self.defaults.get(argument))
        axis = axis_like(name, wanted, like, of="problem", argument=argument)
        for value in (axis.low, axis.high) if axis.is_number else axis.choices:
            self.check_value(argument, value)
        return axis, when

    def check_value(self, argument: str, value: Any) -> None:
        """Raises `SearchError` if what a model function declares with `hp` cannot be this; a number may be out of its range."""
        axis = self.native.get(argument)
        if axis is None:
            return
        if axis.is_number:
            whole, is_number = axis.kind == "int", isinstance(value, numbers.Real) and not isinstance(value, bool)
            holds, allowed = is_number and not (whole and value % 1), f"a{' whole' * whole} number"
        else:
            holds = any(value == each and isinstance(value, bool) == isinstance(each, bool) for each in axis.choices)
            allowed = f"one of {', '.join(map(str, axis.choices))}, which its model declares"
        if not holds:
            raise SearchError(f"{argument} of {self.problem} must be {allowed}; received {value!r}.")

    @staticmethod
    def _like(declared: Any, default: Any) -> Any:
        declared = declared.wanted if isinstance(declared, Given) else declared
        ends = [each for each in declared if isinstance(each, numbers.Real)] if isinstance(declared, (tuple, list)) else []
        if any(each % 1 for each in ends):  # so the default 0 of a share is no whole number
            return 0.5
        if isinstance(default, numbers.Real) and not isinstance(default, bool):
            return default
        return declared[0] if isinstance(declared, (tuple, list)) and declared else default


def axis_like(name: str, wanted: Any, like: Any = None, **others: Any) -> Axis:
    """The axis that a range or a list of values is, of whole numbers if `like`, or else the range, is one."""
    if isinstance(wanted, list):
        return Axis(name, kind="choice", choices=checked_choices(name, wanted), **others)
    if isinstance(wanted, SearchRange):
        wanted = (wanted.low, wanted.high, wanted.scale)
    if not isinstance(wanted, tuple) or len(wanted) not in (2, 3):
        raise SearchError(
            f"The axis {name} must be a range (low, high) or (low, high, scale), or a list of values; received {wanted!r}."
        )
    low, high, scale = (*wanted, "linear")[:3]
    if not all(isinstance(bound, numbers.Real) and not isinstance(bound, bool) for bound in (low, high)):
        raise SearchError(f"The bounds of {name} must be numbers; received {wanted!r}.")
    is_whole = all(isinstance(bound, int) for bound in ([like] if isinstance(like, numbers.Real) else [low, high]))
    if is_whole and scale not in ("linear", "log"):
        raise SearchError(f"The scale of {name}, a whole number, must be linear or log; received {scale!r}.")
    try:
        checked = SearchRange(low, high, scale)
    except ValueError as error:
        raise SearchError(f"{name} cannot be searched there: {error}") from error
    if not is_whole:
        return Axis(name, scale=checked.scale, low=float(low), high=float(high), **others)
    if low != int(low) or high != int(high):
        raise SearchError(f"{name} is a whole number, and so are the bounds of its range; received {wanted!r}.")
    return Axis(name, kind="int", scale=checked.scale, low=int(low), high=int(high), **others)


def checked_choices(name: str, wanted: Sequence[Any]) -> tuple[Any, ...]:
    """The values of a choice, of one kind, each once; whole numbers among others become such."""
    values = list(wanted)
    if any(isinstance(value, float) for value in values):
        values = [float(value) if isinstance(value, int) and not isinstance(value, bool) else value for value in values]
    if len({type(value) for value in values}) != 1 or not isinstance(values[0], (bool, int, float, str)):
        raise SearchError(
            f"The values of {name} must be numbers, or texts, or true and false, all of one kind; received {wanted!r}."
        )
    if len(set(values)) != len(values) or len(values) < 2:
        raise SearchError(f"{name} needs at least two values, each once, to be searched; received {wanted!r}.")
    return tuple(values)
