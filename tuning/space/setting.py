"""A setting of a search: whose each value is, and the line of Python that it makes. A stored search is read without Keras."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tuning.errors import SearchError
from tuning.space.catalogue import hint
from tuning.space.schedules import SCHEDULES, piecewise, scheduled

PROBLEM, TRAINING, CHOICE = "problem", "training", "choice"
BATCH_SIZE, OPTIMIZER = "batch_size", "optimizer"


@dataclasses.dataclass(frozen=True)
class Setting:
    """One setting.

    Args:
        optimizer: its name, if it was chosen among several.
        call: its class, as one calls it.
        given: what was searched and fixed of it and of its schedule, by name.
        arguments: of its constructor; one that follows a schedule is a `tuning.space.schedules.Call`.
        model: arguments of the problem's model function, or values of its `hp`.
        batch_size: `None`: the problem's own.
    """

    optimizer: str | None
    call: str
    given: dict[str, Any]
    arguments: dict[str, Any]
    model: dict[str, Any]
    batch_size: int | None

    @property
    def code(self) -> str:
        """The optimizer in Python: `keras_optims.Adam(learning_rate=0.00123, beta_1=0.93)`."""
        return f"{self.call}({', '.join(f'{name}={value!r}' for name, value in self.arguments.items())})"

    @property
    def line(self) -> str:
        """The same, and the others as its comment."""
        others = [f"{name}={value!r}" for name, value in self.model.items()]
        others += [] if self.batch_size is None else [f"{BATCH_SIZE}={self.batch_size}"]
        return f"{self.code}  # {', '.join(others)}" if others else self.code


def setting_of(
    space: Mapping[str, Any],
    values: Mapping[str, Any],
    epochs: int | None = None,
    steps_per_epoch: int | None = None,
    settings: Sequence[tuple[int, Mapping[str, Any]]] = (),
) -> Setting:
    """The setting that the values of the axes are.

    Args:
        space: as `Space.get_config` says it.
        values: of the axes that are active; Hyperband's `tuner/...` are none.
        epochs: of the training.
        steps_per_epoch: if it is another one than that of the search.
        settings: where values change while it trains, each setting and the epoch from which on it holds: the numbers of the
            optimizer that change follow a schedule.
    """
    optimizer = values.get(OPTIMIZER) if "optimizers" in space else None
    one = space if optimizer is None else space["optimizers"][optimizer]
    model, batch_size, own = dict(space.get("model", {})), space.get(BATCH_SIZE), {}
    for name, value in values.items():
        axis = space["axes"].get(name, {})
        of, argument = axis.get("of"), axis.get("argument") or name
        if of == PROBLEM:
            model[argument] = value
        elif of == TRAINING:
            batch_size = value
        elif of != CHOICE and of in (None, optimizer) and not name.startswith("tuner/"):
            own[argument] = value
    given = {**own, **one["fixed"]}
    if steps_per_epoch is None and batch_size is not None and space.get("samples") is not None:
        steps_per_epoch = max(1, space["samples"] // batch_size)
    arguments = scheduled(one.get("schedule"), given, epochs, steps_per_epoch)
    if settings:
        steps = [epoch * (steps_per_epoch or 1) for epoch, _ in settings]
        each = [setting_of(space, changed, epochs, steps_per_epoch).arguments for _, changed in settings]
        arguments = {name: piecewise(steps, [one[name] for one in each]) for name in arguments}
    return Setting(optimizer, one["call"], given, arguments, model, batch_size)


@dataclasses.dataclass(frozen=True)
class Holders:
    """Whose the names are that `search` and `fix` may have.

    Args:
        optimizers: name of an optimizer -> its names, and those of its schedule.
        problem: its name.
        arguments: of its model.
        schedule: of the optimizers.
    """

    optimizers: Mapping[str, Sequence[str]]
    problem: str = "the problem"
    arguments: Sequence[str] = ()
    schedule: str | None = None

    def of(self, word: str, done: str) -> list[tuple[str, str]]:
        """(holder, its name for it) of each holder that a word means.

        `problem.NAME`, `training.batch_size` and `OPTIMIZER.NAME` mean one holder; NAME means all optimizers that have it, or
        else the problem.

        Args:
            word: as `search` and `fix` name it.
            done: what is done to it, `"searched"` or `"fixed"`.

        Raises:
            SearchError: nobody has it, or both an optimizer and the problem do.
        """
        prefix, _, name = word.rpartition(".")
        if prefix == PROBLEM and name in self.arguments:
            return [(PROBLEM, name)]
        if prefix == TRAINING and name == BATCH_SIZE:
            return [(TRAINING, name)]
        if prefix in self.optimizers and name in self.optimizers[prefix]:
            return [(prefix, name)]
        found = [(optimizer, word) for optimizer, names in self.optimizers.items() if word in names]
        kinds = [found] if found else []
        kinds += [[(PROBLEM, word)]] if word in self.arguments else []
        kinds += [[(TRAINING, word)]] if word == BATCH_SIZE else []
        if len(kinds) > 1:
            words = [f"{holder}.{name}" for holders in kinds for holder, name in holders]
            raise SearchError(f"{word} is a name of more than one: write {' or '.join(words)}; received {word!r}.")
        if not kinds:
            raise self._unknown(word, done)
        return kinds[0]

    def check(self, search: Iterable[str], fix: Iterable[str]) -> None:
        """Raises `SearchError` if a name is nobody's, or more than one's."""
        for done, words in (("searched", search), ("fixed", fix)):
            for word in words:
                self.of(word, done)

    def _unknown(self, word: str, done: str) -> SearchError:
        prefix, _, name = word.rpartition(".")
        optimizers = {prefix: self.optimizers[prefix]} if prefix in self.optimizers else self.optimizers
        having = [f"{optimizer} has {', '.join(names)}" for optimizer, names in optimizers.items()]
        having += [f"{self.problem} has {', '.join(self.arguments)}"] if self.arguments else []
        own = {**optimizers, PROBLEM: self.arguments, TRAINING: [BATCH_SIZE]}
        known = [f"{holder}.{each}" if prefix else each for holder, names in own.items() for each in names]
        guess = hint(word, known) or hint(name, known)
        return SearchError(
            f"{word} cannot be {done}{if_scheduled(word, self.schedule)}: {'; '.join(having)}; and there is {BATCH_SIZE}; "
            f"received {word!r}.{guess}"
        )


def if_scheduled(name: str, schedule: str | None) -> str:
    """That a name is a number of a schedule, if it is."""
    having = [each for each, numbers in SCHEDULES.items() if name in numbers]
    if not having or schedule in having:
        return ""
    given = "without --schedule" if schedule is None else f"with --schedule {schedule}"
    return f" {given}; it is a number of the schedules {', '.join(having)}"
