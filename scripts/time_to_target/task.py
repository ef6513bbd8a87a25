"""What each contestant is given: the same problem, data, space and watch."""

from __future__ import annotations

import dataclasses
from typing import Any

from scripts.time_to_target.cases import Case, Watch


class Skipped(Exception):
    """A contestant is not there: one sentence why."""


@dataclasses.dataclass
class Task:
    """One run of a contestant.

    Args:
        case: what is searched.
        problem: the `tuning.Problem`, with its data in memory.
        space: name -> (low, high), each to be drawn on a logarithmic scale; see `setting`.
        seed: at least 0.
        folder: to write to.
        watch: hears of each epoch.
    """

    case: Case
    problem: Any
    space: dict[str, tuple[float, float]]
    seed: int
    folder: str
    watch: Watch


def prepared(case: Case, seed: int, folder: str, watch: Watch) -> Task:
    """The task of one run; the data are loaded, and are whole batches, the same for all."""
    import keras

    from tuning.problems import make_problem
    from tuning.problems.problem import Data
    from tuning.space.space import Space

    keras.utils.set_random_seed(seed)
    problem = make_problem(case.problem)
    data = problem.load(case.samples)
    problem = dataclasses.replace(problem, data=Data(data.train, data.validation))
    return Task(case, problem, logarithmic(Space.of("adam").axes), seed, folder, watch)


def logarithmic(axes: dict[str, Any]) -> dict[str, tuple[float, float]]:
    """The ranges that are declared, where all of them are logarithmic: of a β that of 1 - β, under the name `1-β`."""
    found = {}
    for name, axis in axes.items():
        if axis.scale not in ("log", "log1m"):
            raise ValueError(f"The space must have logarithmic scales, log or log1m; received {name} with {axis.scale!r}.")
        turned = axis.scale == "log1m"
        found[f"1-{name}" if turned else name] = (1 - axis.high, 1 - axis.low) if turned else (axis.low, axis.high)
    return found


def setting(values: dict[str, float]) -> dict[str, float]:
    """The arguments of Adam, by what was drawn of such a space."""
    return {name.removeprefix("1-"): 1 - value if name.startswith("1-") else value for name, value in values.items()}
