"""What an optimizer holds beside its state."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from keras_optims.rules import LiveRule, Settings
from keras_optims.slots import Slot, Slots
from keras_optims.state import PendingState


@dataclasses.dataclass
class Untracked:
    """What is not state: Keras and TensorFlow track, wrap and save every dict and list that is an optimizer's attribute.

    Attributes:
        slots: all slots.
        state_keys: (slot's name, path of the model's variable or `None`) of each of the optimizer's variables, by its id.
        made_by_build: the ids of those that `build` has made.
        shared: what `add_shared` has made, by name.
        unsaved: the names of slots that are not saved.
        prefix: what the names of numbers and shared state begin with; that of a formula in a rule.
        excluded: keys of the variables that are not decayed, and a pattern of their names.
        settings: what the rules say about each variable, by its key.
        given_axes: the argument `axes`.
        axes: the `Axes` of each variable, by its key.
        not_stacked: what keeps the formula from variables of one shape as one; `None` as long as nothing is known to.
        calls_per_update: of a formula in another optimizer, that one's gradient_accumulation_steps.
        rest: the formula of the variables that the algorithm is not for.
        kept: of weights that are averaged now: (kind, the variable's path) → array.
    """

    slots: Slots = dataclasses.field(default_factory=Slots)
    state_keys: dict[int, tuple[str, str | None]] = dataclasses.field(default_factory=dict)
    made_by_build: set[int] = dataclasses.field(default_factory=set)
    shared: dict[str, Any] = dataclasses.field(default_factory=dict)
    unsaved: set[str] = dataclasses.field(default_factory=set)
    prefix: str = ""
    excluded: tuple[frozenset, re.Pattern | None] = (frozenset(), None)
    sparse: set = dataclasses.field(default_factory=set)
    groups: Any = None
    plans: dict = dataclasses.field(default_factory=dict)
    not_stacked: str | None = None
    scratch: Slot | None = None
    average: Any = None
    averaged: Any = None
    accumulated: Any = None
    pending_state: PendingState | None = None
    kept: dict = dataclasses.field(default_factory=dict)
    build_depth: int = 0
    rules: tuple[LiveRule, ...] = ()
    settings: dict[Any, Settings] = dataclasses.field(default_factory=dict)
    recorder: Any = None
    given_axes: dict[str, Any] | None = None
    axes: dict[Any, Any] = dataclasses.field(default_factory=dict)
    rest: Any = None
    calls_per_update: int | None = None

    def remember(self, variable, key: tuple[str, str | None]):
        """Remembers what one of the optimizer's variables is saved as."""
        self.state_keys[id(variable)] = key
        if self.build_depth:
            self.made_by_build.add(id(variable))

    def forget(self, variable):
        """Forgets a variable that is none of the optimizer's any more; its id may become another one's."""
        self.state_keys.pop(id(variable), None)
        self.made_by_build.discard(id(variable))
