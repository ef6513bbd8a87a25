"""The search space: the axes of an optimizer or of several, of its schedule, of the problem's model, and of the training.

Every hyperparameter with a default `SearchRange` is an axis; `search` adds or changes axes, `fix` takes them out and pins
their values. Each axis becomes a KerasTuner hyperparameter, so that all its oracles sample the same scales.
"""

from __future__ import annotations

import dataclasses
import graphlib
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import keras_tuner

from tuning.errors import SearchError
from tuning.space.axes import Axis
from tuning.space.hyperparameters import as_keras_tuner
from tuning.space.optimizers import Tunable, tunable
from tuning.space.part import Part, made, names_of
from tuning.space.setting import BATCH_SIZE, CHOICE, OPTIMIZER, PROBLEM, TRAINING, Holders, Setting, setting_of
from tuning.space.structure import REQUIRED, Structure, axis_like


@dataclasses.dataclass(frozen=True)
class Space:
    """What is searched and what is pinned.

    Args:
        parts: name of an optimizer -> what is searched of it.
        axes: all that is searched, by name: of the optimizer, or `optimizer` and `NAME.HYPERPARAMETER` if there are several; then
            of the problem's model and of the training.
        model: arguments of the problem's model that are fixed.
        batch_size: if it is fixed.
        samples: how many the training data have, if a schedule depends on the batch size.
    """

    parts: dict[str, Part]
    axes: dict[str, Axis]
    model: dict[str, Any] = dataclasses.field(default_factory=dict)
    batch_size: int | None = None
    samples: int | None = None

    @classmethod
    def of(
        cls,
        optimizer: str | type | Sequence[str | type],
        search: Mapping[str, Any] | None = None,
        fix: Mapping[str, Any] | None = None,
        schedule: str | None = None,
        structure: Structure | None = None,
    ) -> Space:
        """The default space of an optimizer with the user's changes.

        Args:
            optimizer: a name such as `"adam"` or `"keras:adam"`, a class, or a list of such: then which one is an axis, too.
            search: name -> `(low, high)`, `(low, high, scale)`, a `SearchRange`, a list of values, or `None` for what is
                declared. A name is one of the optimizer, of the schedule, of the problem's model, or `batch_size`; with
                `OPTIMIZER.` or `problem.` before it of that one alone.
            fix: name -> value.
            schedule: a name in `tuning.space.schedules.SCHEDULES`, whose numbers `search` and `fix` may name, too.
            structure: what the problem lets vary.

        Raises:
            SearchError: a name or a value is not allowed, or nothing is left to search.
        """
        structure = Structure() if structure is None else structure
        tunables = tunables_of([optimizer] if isinstance(optimizer, (str, type)) else optimizer)
        holders = holders_of(tunables, structure, schedule)
        searched = _by_holder(holders, search or {}, "searched")
        fixed = _by_holder(holders, fix or {}, "fixed")
        parts = {name: Part.of(each, searched.get(name, {}), fixed.get(name, {}), schedule) for name, each in tunables.items()}
        axes: dict[str, Axis] = {}
        if len(parts) == 1:
            (part,) = parts.values()
            axes |= part.axes
        else:
            axes[OPTIMIZER] = Axis(OPTIMIZER, kind="choice", choices=tuple(parts), of=CHOICE)
            for name, part in parts.items():
                axes |= part.named(name)
        taken = {BATCH_SIZE, OPTIMIZER, *(name for names in holders.optimizers.values() for name in names)}
        of_problem, model = _of_problem(structure, searched.get(PROBLEM, {}), fixed.get(PROBLEM, {}), taken)
        axes |= of_problem
        training, batch_size = searched.get(TRAINING, {}), fixed.get(TRAINING, {}).get(BATCH_SIZE)
        if training and batch_size is not None:
            raise SearchError(f"A hyperparameter is either searched or fixed, not both; received both for {BATCH_SIZE}.")
        if training:
            axes[BATCH_SIZE] = _batch_sizes(training[BATCH_SIZE])
        if batch_size is not None and not _is_count(batch_size):
            raise SearchError(f"{BATCH_SIZE} must be an int of at least 1; received {batch_size!r}.")
        if not axes:
            raise SearchError("Nothing is left to search: every hyperparameter is fixed; fix fewer, or add an axis.")
        return cls(parts, axes, model, batch_size)

    @property
    def optimizer(self) -> type:
        """The class of the only optimizer."""
        (part,) = self.parts.values()
        return part.optimizer.cls

    @property
    def fixed(self) -> dict[str, Any]:
        """Of the only optimizer: name of a hyperparameter or option -> its value."""
        (part,) = self.parts.values()
        return part.fixed

    @property
    def title(self) -> str:
        """What is tuned, for people."""
        names = [
            f"{'Keras ' * part.optimizer.name.startswith('keras:')}{part.optimizer.cls.__name__}" for part in self.parts.values()
        ]
        return " or ".join(names)

    @property
    def searches_batch_size(self) -> bool:
        """Whether trials have batch sizes of their own."""
        return BATCH_SIZE in self.axes

    @property
    def follows_schedule(self) -> bool:
        """Whether learning rates follow a schedule."""
        return any(part.schedule is not None for part in self.parts.values())

    def in_steps(self, steps_per_epoch: int, samples: int | None = None) -> Space:
        """The same, of a training with so many batches in an epoch; `samples`: of its data, if that depends on the batch size."""
        if not self.follows_schedule:
            return self
        parts = {name: part.in_steps(steps_per_epoch) for name, part in self.parts.items()}
        return dataclasses.replace(self, parts=parts, samples=samples)

    def hyperparameters(self, grid_points: Mapping[str, int] | None = None) -> keras_tuner.HyperParameters:
        """The space as KerasTuner's oracles take it; `grid_points`: name -> number of values on a grid."""
        hp = keras_tuner.HyperParameters()
        self.declare(hp, grid_points)
        return hp

    def declare(self, hp: keras_tuner.HyperParameters, grid_points: Mapping[str, int] | None = None) -> None:
        """Adds the axes to `hp`; call it in the `build` of a HyperModel of your own."""
        known = {axis.name for axis in hp.space}
        for name, axis in self.axes.items():
            if name not in known:
                hp.merge([as_keras_tuner(axis, (grid_points or {}).get(name))], overwrite=False)

    def setting(self, values: Mapping[str, Any], epochs: int | None = None) -> Setting:
        """The setting that these values of the axes are, for a training of so many epochs."""
        return setting_of(self.get_config(), {name: values[name] for name in self.axes if name in values}, epochs)

    def build(self, values: Mapping[str, Any], epochs: int | None = None):
        """The optimizer with these values of the axes, for a training of so many epochs."""
        return self.optimizer_of(self.setting(values, epochs))

    def optimizer_of(self, setting: Setting):
        """The optimizer of a setting."""
        part = next(iter(self.parts.values())) if setting.optimizer is None else self.parts[setting.optimizer]
        return part.optimizer.cls(**made(setting.arguments))

    def structure_of(self, values: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
        """What of a setting decides how its model is compiled: settings in which this is equal train on one compiled model."""
        several = len(self.parts) > 1
        of_parts = {f"{holder}.{name}" if several else name for holder, part in self.parts.items() for name in part.structural}
        names = [name for name, axis in self.axes.items() if axis.of in (PROBLEM, TRAINING, CHOICE) or name in of_parts]
        return tuple((name, values[name]) for name in names if name in values)

    def check_setting(self, values: Mapping[str, Any]) -> None:
        """Raises `SearchError` unless there is a value for each axis that such a setting has, and for no other."""
        wanted = [name for name, axis in self.axes.items() if axis.is_active(values)]
        if set(values) != set(wanted):
            raise SearchError(f"A setting to confirm has values of {', '.join(wanted)}; received {dict(values)}.")

    def grid_points(self, trials: int) -> dict[str, int]:
        """How many values each axis gets on the finest regular grid that has at most `trials` points."""
        conditional = [name for name, axis in self.axes.items() if axis.when]
        if conditional:
            raise SearchError(
                f"A grid is of axes that every setting has, and {', '.join(conditional)} depend on others: choose another oracle."
            )
        counts = {name: _count(axis) for name, axis in self.axes.items()}
        points = {name: 1 if axis.is_number else counts[name] for name, axis in self.axes.items()}
        numbers = [name for name, axis in self.axes.items() if axis.is_number]
        if math.prod(points.values()) > trials:
            raise SearchError(
                f"A grid of these values has {math.prod(points.values())} points at least: ask for as many trials, or choose "
                f"another oracle; received {trials}."
            )
        free = trials // math.prod(points.values())
        for name in numbers:
            points[name] = min(counts[name], max(1, int(free ** (1 / len(numbers)) + 1e-9)))
        for name in numbers:  # the first axes, above all the learning rate, get one more where the budget allows
            while points[name] < counts[name] and math.prod(points.values()) // points[name] * (points[name] + 1) <= trials:
                if points[name] > min(points[each] for each in numbers):
                    break
                points[name] += 1
        return points

    def live(self) -> list[str]:
        """The axes that are numbers in the state of an optimizer, and so may change while a model trains.

        Raises:
            SearchError: there are none.
        """
        found = []
        for name, axis in self.axes.items():
            if axis.is_number and axis.of not in (PROBLEM, TRAINING, CHOICE):
                part = self.parts[axis.of] if axis.of else next(iter(self.parts.values()))
                argument = axis.argument or name
                if argument in part.optimizer.hyperparameters and argument not in part.constants:
                    found.append(name)
        if not found:
            raise SearchError(
                "A population changes numbers of the optimizer while it trains, in a range such as learning_rate=1e-4:1e-1, and "
                f"none is searched: search one, or choose another oracle; received the axes {', '.join(self.axes)}."
            )
        return found

    def get_config(self) -> dict[str, Any]:
        """JSON-serializable; equal for equal spaces."""
        if len(self.parts) == 1:
            (part,) = self.parts.values()
            found = part.get_config()
        else:
            found = {"optimizers": {name: part.get_config() for name, part in self.parts.items()}, "fixed": {}}
        others = {"model": self.model, BATCH_SIZE: self.batch_size, "samples": self.samples}
        return found | {
            "axes": {name: axis.to_json() for name, axis in self.axes.items()},
            **{name: value for name, value in others.items() if value not in (None, {})},
        }

    def notes(self) -> list[str]:
        """What whoever searches should know of the space."""
        structure = ", ".join(name for name, axis in self.axes.items() if axis.of == PROBLEM)
        compiled = "each structure of the model is compiled when it first comes, and kept while memory allows"
        return [
            *([f"{structure}: {compiled}"] if structure else []),
            *[
                f"{name} is compiled anew for each value of {', '.join(part.constants)}; optimizers of keras_optims are not"
                for name, part in self.parts.items()
                if part.constants
            ],
        ]


def tunables_of(optimizers: Sequence[str | type]) -> dict[str, Tunable]:
    """Name -> optimizer, each once."""
    found: dict[str, Tunable] = {}
    for optimizer in optimizers:
        one = tunable(optimizer)
        if one.name in found:
            raise SearchError(f"Each optimizer is named once, and has a name of its own; received {one.name} twice.")
        found[one.name] = one
    return found


def holders_of(tunables: Mapping[str, Tunable], structure: Structure, schedule: str | None) -> Holders:
    """Whose each name is."""
    names = {name: names_of(each, schedule) for name, each in tunables.items()}
    return Holders(names, structure.problem, structure.names, schedule)


def _by_holder(holders: Holders, words: Mapping[str, Any], done: str) -> dict[str, dict[str, Any]]:
    """Holder -> its name for it -> what is wanted; what is said of one holder wins over what is said of all."""
    found: dict[str, dict[str, Any]] = {}
    narrow: set[tuple[str, str]] = set()
    for word, wanted in words.items():
        for holder, name in holders.of(word, done):
            alone = word != name
            if alone or (holder, name) not in narrow:
                found.setdefault(holder, {})[name] = wanted
            if alone:
                narrow.add((holder, name))
    return found


def _of_problem(
    structure: Structure, search: Mapping[str, Any], fix: Mapping[str, Any], taken: set[str]
) -> tuple[dict[str, Axis], dict[str, Any]]:
    """The axes of the problem's model, by name, and what is fixed of it."""
    both = sorted(set(search) & set(fix))
    if both:
        raise SearchError(f"A hyperparameter is either searched or fixed, not both; received both for {', '.join(both)}.")
    for name, value in fix.items():
        structure.check_value(name, value)
    wanted = {
        name: search.get(name) for name in structure.names if name in search or (name in structure.searched and name not in fix)
    }
    missing = [name for name, value in structure.defaults.items() if value is REQUIRED and name not in wanted and name not in fix]
    if missing:
        raise SearchError(
            f"The model of {structure.problem} needs {', '.join(missing)}: search it (--search {missing[0]}=LOW:HIGH) or fix it."
        )
    known = {**{name: value for name, value in structure.defaults.items() if value is not REQUIRED}, **fix}
    names = {argument: f"{PROBLEM}.{argument}" if argument in taken else argument for argument in wanted}
    found = {argument: structure.axis(argument, names[argument], value) for argument, value in wanted.items()}
    after = {argument: [parent for parent in when if parent in wanted] for argument, (_, when) in found.items()}
    try:
        order = list(graphlib.TopologicalSorter(after).static_order())  # a parent comes before those that depend on it
    except graphlib.CycleError as error:
        raise SearchError(
            f"The axes {', '.join(error.args[1])} of {structure.problem} depend on each other in a circle."
        ) from error
    axes: dict[str, Axis] = {}
    for argument in order:
        axis, when = found[argument]
        searched = {parent: values for parent, values in when.items() if parent in wanted}
        if all(names[parent] in axes for parent in searched) and all(
            known.get(parent) in values for parent, values in when.items() if parent not in searched
        ):
            conditions = tuple((names[parent], tuple(values)) for parent, values in searched.items())
            axes[names[argument]] = dataclasses.replace(axis, when=conditions)
        elif argument in search:
            said = " and ".join(f"{parent} {' or '.join(map(str, values))}" for parent, values in when.items())
            raise SearchError(f"{argument} of {structure.problem} is there only with {said}: search or fix that, too.")
    unsearched = {name: structure.defaults[name] for name in structure.native if name not in wanted}
    return axes, {**unsearched, **fix}


def _batch_sizes(wanted: Any) -> Axis:
    if wanted is None:
        raise SearchError(f"{BATCH_SIZE} has no usual range: give its values, {BATCH_SIZE}=16,32,64.")
    axis = axis_like(BATCH_SIZE, wanted, 1, of=TRAINING)
    if not all(_is_count(value) for value in (axis.choices or (axis.low, axis.high))):
        raise SearchError(f"{BATCH_SIZE} must be an int of at least 1; received {wanted!r}.")
    return axis


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _count(axis: Axis) -> int:
    """How many values an axis has."""
    if not axis.is_number:
        return len(axis.choices)
    return int(axis.high - axis.low) + 1 if axis.kind == "int" else sys.maxsize
