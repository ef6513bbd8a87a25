"""The schedules of a search: their numbers, in shares of the training, and the lines of Python that they are.

Light: a stored search is read without Keras. `Space` makes the schedules themselves.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

SCHEDULES: dict[str, dict[str, float]] = {
    "constant": {"warmup": 0.0},
    "cosine": {"warmup": 0.0, "final": 0.0},
    "linear": {"warmup": 0.0, "final": 0.0},
    "wsd": {"warmup": 0.0, "decay": 0.2, "final": 0.0},
    "onecycle": {"warmup": 0.3, "start": 0.04, "final": 4e-6, "low": 0.9},
}
"""Name -> its numbers, and what they are unless they are searched or fixed."""

RANGES: dict[str, tuple[float, float, str]] = {
    "warmup": (0.0, 0.2, "linear"),
    "decay": (0.05, 0.5, "linear"),
    "final": (1e-3, 1.0, "log"),
    "start": (1e-2, 1.0, "log"),
    "low": (0.5, 1.0, "linear"),
}
"""Where a search looks for a number that it is told the name of alone."""

MOMENTA = ("momentum", "beta_1")  # what one cycle moves beside the learning rate: the first that the optimizer has
_OF_THE_MOMENTUM = ("low",)
_CLASSES = {"cosine": "Cosine", "linear": "Linear", "wsd": "WarmupStableDecay", "onecycle": "OneCycle"}


@dataclasses.dataclass(frozen=True)
class Call:
    """A schedule, as one calls it.

    Args:
        name: of the class in `keras_optims.schedules`.
        value: its first argument.
        others: the other ones by name.
    """

    name: str
    value: Any
    others: Mapping[str, Any]

    def __repr__(self) -> str:
        others = "".join(f", {name}={value!r}" for name, value in self.others.items())
        return f"keras_optims.schedules.{self.name}({self.value!r}{others})"


def piecewise(steps: Sequence[int], values: Sequence[Any]) -> Any:
    """What has these values from these steps on, ascending from 0: a `Call`, or the value, if it is always the same."""
    kept = [i for i, value in enumerate(values) if i == 0 or value != values[i - 1]]
    if len(kept) < 2:
        return values[0]
    return Call("Piecewise", [steps[i] for i in kept], {"values": [values[i] for i in kept]})


def momentum_of(names: Iterable[str]) -> str | None:
    """What one cycle takes along of an optimizer with hyperparameters of these names, if it is on."""
    names = list(names)
    return next((name for name in MOMENTA if name in names), None)


def numbers_of(schedule: str, momentum: str | None) -> list[str]:
    """The names of a schedule's numbers, for an optimizer that has this momentum or none."""
    return [name for name in SCHEDULES[schedule] if momentum is not None or name not in _OF_THE_MOMENTUM]


def scheduled(
    schedule: Mapping[str, Any] | None, arguments: Mapping[str, Any], epochs: int | None, steps_per_epoch: int | None = None
) -> dict[str, Any]:
    """The arguments of an optimizer of which some follow a schedule, each of these a `Call`.

    Args:
        schedule: what `Space.get_config` says of it; `None`: there is none.
        arguments: the values of the search's axes, and what is fixed of the optimizer.
        epochs: of the training.
        steps_per_epoch: if it is another one than that of the schedule.
    """
    if schedule is None:
        return dict(arguments)
    own = numbers_of(schedule["name"], schedule["momentum"])
    numbers = {**schedule["fixed"], **{name: arguments[name] for name in own if name in arguments}}
    found = {name: value for name, value in arguments.items() if name not in own}
    values = {**schedule["defaults"], **found}
    steps = (epochs or 1) * (steps_per_epoch or schedule["steps_per_epoch"] or 1)
    rate = values["learning_rate"]
    if schedule["name"] == "constant":
        return {**found, "learning_rate": Call("Warmup", rate, {"steps": round(numbers["warmup"] * steps)})}
    of_the_rate = {name: numbers[name] for name in own if name not in _OF_THE_MOMENTUM}
    found["learning_rate"] = Call(_CLASSES[schedule["name"]], rate, {"steps": steps, **of_the_rate})
    momentum = schedule["momentum"]
    if momentum is not None:
        others = {"steps": steps, "warmup": numbers["warmup"], "low": numbers["low"]}
        found[momentum] = Call("OneCycleMomentum", values[momentum], others)
    return found
