"""Settings that a search begins with: the declared defaults, what a person names, what an earlier search has found."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from tuning.errors import SearchError
from tuning.names import meant
from tuning.space.axes import Axis
from tuning.space.part import Part
from tuning.space.schedules import SCHEDULES
from tuning.space.setting import CHOICE, OPTIMIZER, PROBLEM, TRAINING
from tuning.space.space import Space
from tuning.space.structure import REQUIRED, Structure


@dataclasses.dataclass(frozen=True)
class Given:
    """A setting.

    Args:
        values: of each axis that it has, in the order of the axes.
        missing: why some axes have no value, each a clause; with any of these it is no setting of the space.
        outside: what is declared to lie outside of its own usual range, each a clause; it is a value all the same.
    """

    values: dict[str, Any]
    missing: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()


def defaults(space: Space, structure: Structure, batch_size: int) -> Given:
    """What is declared of each axis, without a search; of several optimizers of the first one.

    Args:
        space: what is searched.
        structure: of the problem's model.
        batch_size: of the problem.
    """
    return completed(space, structure, batch_size, {})


def completed(space: Space, structure: Structure, batch_size: int, values: Mapping[str, Any]) -> Given:
    """The setting with these values of some axes, and what is declared of the others."""
    found: dict[str, Any] = {}
    missing, outside = [], []
    for name, axis in space.axes.items():
        if not axis.is_active(found):
            continue
        value = values[name] if name in values else _declared(space, structure, batch_size, axis, found)
        if value is REQUIRED:
            missing.append(f"{name} has no default")
            continue
        held = held_by(axis, value)
        if held is None and name not in values and _is_declared_outside(space, axis, value):
            outside.append(f"{name} {value!r}")
            found[name] = float(value)
        elif held is None:
            missing.append(f"the default of {name}, {value!r}, is outside of what is searched")
        else:
            found[name] = held
    return Given(found, tuple(missing), tuple(outside))


def named(space: Space, structure: Structure, batch_size: int, words: Mapping[str, Any]) -> dict[str, Any]:
    """The setting that a person's words mean; what they do not name is as declared.

    Raises:
        SearchError: a name or a value is none of what is searched, or a default is not and must be named.
    """
    said = "start_with"
    values: dict[str, Any] = {}
    for name in space.axes:  # parents come before what depends on them
        values.update({name: words[name]} if name in words else {})
    if OPTIMIZER in space.axes:
        optimizer = words.get(OPTIMIZER, space.axes[OPTIMIZER].choices[0])
        values |= {f"{optimizer}.{name}": words[name] for name in words if f"{optimizer}.{name}" in space.axes}
    known = {*values, *(name.partition(".")[2] for name in values if name not in words)}
    for name in words:
        if name not in known:
            axes = list(space.axes)
            raise SearchError(f"{said} names what is searched: {', '.join(axes)}; received {name!r}.{meant(name, axes)}")
    for name, value in values.items():
        if held_by(space.axes[name], value) is None:
            raise SearchError(f"{said}: {name} must be {_allowed(space.axes[name])}, as that is searched; received {value!r}.")
    given = completed(space, structure, batch_size, values)
    if given.missing:
        raise SearchError(f"{said} must name more, as {' and '.join(given.missing)}; received {_words(words)}.")
    for name in values:
        if name not in given.values:
            when = " and ".join(f"{of}={'|'.join(map(str, of_it))}" for of, of_it in space.axes[name].when)
            raise SearchError(f"{said}: {name} is there only with {when}; received {_words(words)}.")
    return given.values


def shared(space: Space, other: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The axes that a stored search's space has, too, and the names that only one of the two has.

    Args:
        space: of a search.
        other: as the other one's store has it.
    """
    there = {name: Axis.from_json(name, content) for name, content in other.get("axes", {}).items()}
    both: list[str] = []
    for name, axis in space.axes.items():
        if name in there and there[name].is_number == axis.is_number and all(parent in both for parent, _ in axis.when):
            both.append(name)
    return both, [name for name in dict.fromkeys([*space.axes, *there]) if name not in both]


def in_both(space: Space, values: Mapping[str, Any], both: list[str]) -> dict[str, Any]:
    """Of an earlier setting what is a value of the space, too."""
    found: dict[str, Any] = {}
    for name in both:
        if name in values and space.axes[name].is_active(found):
            held = held_by(space.axes[name], values[name])
            if held is not None:
                found[name] = held
    return found


def held_by(axis: Axis, value: Any) -> Any:
    """The value as the axis has it; `None` if it has none such."""
    if axis.kind == "choice":
        same = [choice for choice in axis.choices if choice == value and isinstance(choice, bool) == isinstance(value, bool)]
        return same[0] if same else None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    if not axis.low <= value <= axis.high or (axis.kind == "int" and value != int(value)):
        return None
    return int(value) if axis.kind == "int" else float(value)


def _declared(space: Space, structure: Structure, batch_size: int, axis: Axis, found: Mapping[str, Any]) -> Any:
    argument = axis.argument or axis.name
    if axis.of == CHOICE:
        return axis.choices[0]
    if axis.of == TRAINING:
        return batch_size
    if axis.of == PROBLEM:
        return structure.defaults.get(argument, REQUIRED)
    return _of_optimizer(_part(space, axis), argument)


def _is_declared_outside(space: Space, axis: Axis, default: Any) -> bool:
    """Whether it is the optimizer that declares both a default and a range without it, as SGD does of its momentum."""
    position = axis.position(default)
    if axis.kind != "float" or axis.of in (PROBLEM, TRAINING, CHOICE) or position is None or not math.isfinite(position):
        return False
    declared = _part(space, axis).optimizer.declared.get(axis.argument or axis.name)
    usual = getattr(declared, "search", None)
    return usual is not None and (axis.low, axis.high) == (usual.low, usual.high)


def _part(space: Space, axis: Axis) -> Part:
    return space.parts[axis.of] if axis.of in space.parts else next(iter(space.parts.values()))


def _of_optimizer(part: Part, argument: str) -> Any:
    if argument in part.optimizer.declared:
        return part.optimizer.declared[argument].default
    return SCHEDULES[part.schedule.name][argument] if part.schedule is not None else REQUIRED


def _allowed(axis: Axis) -> str:
    if axis.kind == "choice":
        return f"one of {', '.join(map(str, axis.choices))}"
    return f"{'an int' if axis.kind == 'int' else 'a number'} from {axis.low:g} to {axis.high:g}"


def _words(values: Mapping[str, Any]) -> str:
    return ",".join(f"{name}={value}" for name, value in values.items())
