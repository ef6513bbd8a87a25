"""The search in Optuna's terms: its studies, what a sampler sees of a hyperparameter, and what a reader sees of it.

A sampler sees each hyperparameter by its place along its scale, whatever the scale is. A reader of an exported study sees its
value; Optuna has linear and logarithmic scales only, so of one that was searched in log(1-x) the parameter is `1 - NAME`.
"""

from __future__ import annotations

import contextlib
import json
import math
import warnings
from collections.abc import Iterator
from typing import Any

from tuning.space.axes import Axis
from tuning.space.scale import SCALES

# -- studies --------------------------------------------------------------------------------------


def new_study(objective, **arguments):
    """A study in memory with KerasTuner's objective: its storage, itself, and its number there."""
    import optuna

    with quietly():
        storage = optuna.storages.InMemoryStorage()
        directions = optuna.study.StudyDirection
        direction = directions.MAXIMIZE if objective.direction == "max" else directions.MINIMIZE
        study = optuna.create_study(storage=storage, study_name="search", direction=direction, **arguments)
    return storage, study, storage.get_study_id_from_name("search")


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Optuna logs each study, and warns of whatever is experimental."""
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(level)


# -- what a sampler sees --------------------------------------------------------------------------


def is_numeric(hp) -> bool:
    """Whether its values have a distance from each other."""
    from keras_tuner.engine import hyperparameters as kinds

    return not isinstance(hp, (kinds.Fixed, kinds.Boolean)) and (not isinstance(hp, kinds.Choice) or hp.ordered)


def _is_log_int(hp) -> bool:
    from keras_tuner.engine import hyperparameters as kinds

    return isinstance(hp, kinds.Int) and hp.step is None and hp.sampling == "log"


def _count(hp) -> int | None:
    """How many values a discrete hyperparameter has; `None` for the others."""
    from keras_tuner.engine import hyperparameters as kinds

    if isinstance(hp, kinds.Boolean):
        return 2
    if isinstance(hp, kinds.Choice) or getattr(hp, "step", None) is not None:
        return len(tuple(hp.values))
    return None


def distribution(hp):
    """On which the sampler draws its place; `None` for one that is fixed."""
    from keras_tuner.engine import hyperparameters as kinds
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(hp, kinds.Fixed):
        return None
    count = _count(hp)
    if count is not None:
        return IntDistribution(0, count - 1) if is_numeric(hp) else CategoricalDistribution(tuple(range(count)))
    if _is_log_int(hp):
        return IntDistribution(hp.min_value, hp.max_value, log=True)
    return FloatDistribution(0.0, 1.0)


def suggest(asked, name: str, hp) -> Any:
    """What the sampler proposes for one hyperparameter, as its value."""
    from keras_tuner.engine import hyperparameters as kinds

    drawn = distribution(hp)
    if drawn is None:
        return hp.value
    if not hasattr(drawn, "low"):
        place = asked.suggest_categorical(name, drawn.choices)
    elif isinstance(drawn.low, int):
        place = asked.suggest_int(name, drawn.low, drawn.high, log=drawn.log)
    else:
        place = asked.suggest_float(name, drawn.low, drawn.high)
    count = _count(hp)
    if count is not None:
        return hp.prob_to_value((place + 0.5) / count)
    if _is_log_int(hp):
        return place
    if isinstance(hp, kinds.Int):  # KerasTuner's range for its places excludes the end
        place = min(place, math.nextafter(1.0, 0.0))
    return hp.prob_to_value(place)


def coordinate(hp, value) -> float:
    """The inverse of what `suggest` makes of a place."""
    count = _count(hp)
    if count is not None:
        return int(hp.value_to_prob(value) * count)
    return value if _is_log_int(hp) else min(max(hp.value_to_prob(value), 0.0), 1.0)


# -- what a reader sees ---------------------------------------------------------------------------


def parameter_name(axis: Axis) -> str:
    """What the axis is called in Optuna."""
    return SCALES[axis.scale].in_optuna(axis.name) if axis.is_number else axis.name


def parameter(axis: Axis, value: Any):
    """(value, distribution) of one hyperparameter."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if not axis.is_number:
        return _category(value), CategoricalDistribution([_category(choice) for choice in axis.choices])
    placed, low, high, logarithmic = SCALES[axis.scale].as_optuna(value, axis.low, axis.high)
    if axis.kind == "int":
        return value, IntDistribution(int(axis.low), int(axis.high), log=logarithmic)
    return placed, FloatDistribution(low, high, log=logarithmic)


def _category(value: Any) -> Any:
    return value if value is None or isinstance(value, (bool, int, float, str)) else json.dumps(value)
