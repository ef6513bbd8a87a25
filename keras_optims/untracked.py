"""What an optimizer holds beside its state."""

from __future__ import annotations

import dataclasses
from typing import Any

from keras_optims.rules import LiveRule, Settings
from keras_optims.slots import Slot
from keras_optims.state import PendingState


@dataclasses.dataclass
class Untracked:
    """What is not state: Keras and TensorFlow track, wrap and save every dict and list that is an optimizer's attribute."""

    state_keys: dict[int, tuple[str, str | None]] = dataclasses.field(default_factory=dict)
    unsaved: set[str] = dataclasses.field(default_factory=set)
    sparse: set = dataclasses.field(default_factory=set)
    groups: Any = None
    scratch: Slot | None = None
    pending_state: PendingState | None = None
    averages_of_halves: dict = dataclasses.field(default_factory=dict)
    build_depth: int = 0
    keeps_half: bool = False
    rules: tuple[LiveRule, ...] = ()
    settings: dict[Any, Settings] = dataclasses.field(default_factory=dict)
    active: Settings | None = None
    scalars_of_step: dict | None = None
    recorder: Any = None
