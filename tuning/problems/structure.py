"""The arguments of a problem's model function, and what it declares with KerasTuner's `hp`."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from tuning.errors import SearchError, missing_packages_explained, one_line
from tuning.space.axes import Axis, of_keras_tuner
from tuning.space.structure import REQUIRED, Structure

_HP = "hp"
_MOST_BUILDS = 64  # of a model function, to learn what it declares


def structure_of(
    problem: str, model: Callable[..., keras.Model], axes: Mapping[str, Any], searched: Sequence[str] | None, explore: bool = True
) -> Structure:
    """What a search may vary of a model; `SearchError` if a problem says it wrongly."""
    defaults = _defaults(model)
    takes_hp = _takes_hp(model)
    for what, names in (("axes", axes), ("searched", searched or ())):
        for name in names:
            if name not in (defaults if what == "axes" else axes) and not (what == "searched" and takes_hp):
                known = defaults if what == "axes" else axes
                raise SearchError(
                    f"The {what} of {problem} are of {', '.join(known) or 'no arguments of its model'}; received {name!r}."
                )
    native: dict[str, Axis] = {}
    if takes_hp and explore:
        native = _native(problem, model)
        same = sorted(set(native) & set(defaults))
        if same:
            raise SearchError(f"The model of {problem} has {', '.join(same)} both as an argument and in hp: rename one of them.")
        defaults |= {name: axis.native[1].get("default") for name, axis in native.items()}
    structure = Structure(problem, defaults, dict(axes), [*axes, *native] if searched is None else list(searched), native)
    for name in axes:  # what is wrong with them is said when the problem is made
        _, when = structure.axis(name, name)
        for parent in when:
            if parent not in defaults:
                raise SearchError(f"{name} of {problem} depends on {parent}, which is no argument of its model.")
    return structure


def make_model(model: Callable[..., keras.Model], setting: Mapping[str, Any]) -> keras.Model:
    """What a model function returns with these arguments and values of `hp`."""
    if not _takes_hp(model):
        return model(**setting)
    import keras_tuner

    hp, arguments = keras_tuner.HyperParameters(), _defaults(model)
    hp.values.update({name: value for name, value in setting.items() if name not in arguments})
    given = set(hp.values)
    made = model(hp, **{name: value for name, value in setting.items() if name in arguments})
    new = [each.name for each in hp.space if each.name not in given and _is_searched(each) and hp.is_active(each)]
    if new and given:
        raise SearchError(
            f"The model declares {', '.join(new)} with some settings alone, so that the search does not know it: declare it "
            "always, or in a hp.conditional_scope."
        )
    return made


def _is_searched(each) -> bool:
    return of_keras_tuner(type(each).__name__, each.get_config()) is not None


def _parameters(model) -> dict[str, inspect.Parameter]:
    try:
        return dict(inspect.signature(model).parameters)
    except (TypeError, ValueError):
        return {}


def _takes_hp(model) -> bool:
    return next(iter(_parameters(model)), None) == _HP


def _defaults(model) -> dict[str, Any]:
    """Argument -> its default."""
    return {
        name: REQUIRED if parameter.default is parameter.empty else parameter.default
        for name, parameter in _parameters(model).items()
        if name != _HP and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }


def _native(problem: str, model) -> dict[str, Axis]:
    """What a model function declares, in all its branches: it is called with the ends and the choices of what it declares."""
    with missing_packages_explained():
        import keras_tuner

    found: dict[str, Axis] = {}
    waiting: list[dict[str, Any]] = [{}]
    tried: list[dict[str, Any]] = []
    while waiting and len(tried) < _MOST_BUILDS:
        values = waiting.pop(0)
        if values in tried:
            continue
        tried.append(values)
        hp = keras_tuner.HyperParameters()
        hp.values.update(values)
        arguments = {name: default for name, default in _defaults(model).items() if default is not REQUIRED}
        try:
            model(hp, **arguments)
        except Exception as error:
            raise SearchError(f"The model of {problem} cannot be built with hp = {values}: {one_line(error)}") from error
        for each in hp.space:
            axis = _axis_of(each)
            if axis is None:
                continue
            known = found.get(axis.name)
            if known is None:
                found[axis.name] = axis
                waiting += [{**values, **_conditions(each), axis.name: value} for value in _corners(axis)]
            elif known != axis:
                raise SearchError(
                    f"The model of {problem} declares {axis.name} in two ways: give them names of their own; received "
                    f"{known.to_json()} and {axis.to_json()}."
                )
        waiting += [{condition.name: condition.values[0] for condition in scope} for scope in hp.inactive_scopes]
    return found


def _axis_of(each) -> Axis | None:
    config = each.get_config()
    axis = of_keras_tuner(type(each).__name__, config)
    if axis is None:
        return None
    plain = {name: value for name, value in config.items() if name != "conditions"}
    when = tuple((condition.name, tuple(condition.values)) for condition in each.conditions)
    return dataclasses.replace(axis, when=when, native=[type(each).__name__, {**plain, "default": each.default}])


def _conditions(each) -> dict[str, Any]:
    return {condition.name: condition.values[0] for condition in each.conditions}


def _corners(axis: Axis) -> Sequence[Any]:
    return (axis.high, axis.low) if axis.is_number else axis.choices
