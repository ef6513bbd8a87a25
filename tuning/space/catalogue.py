"""What the optimizers declare, without importing them: `optimizers.json`, which `scripts/list_optimizers.py` writes.

So that the list of optimizers, and the answer to a misspelled name, need not wait for a backend.
"""

from __future__ import annotations

import functools
import json
import pathlib
from collections.abc import Iterable
from typing import Any

from tuning.errors import SearchError
from tuning.names import meant
from tuning.space.schedules import momentum_of, numbers_of

FILE = pathlib.Path(__file__).with_name("optimizers.json")


@functools.cache
def _catalogue() -> dict[str, Any]:
    return json.loads(FILE.read_text(encoding="utf-8"))


def optimizers() -> dict[str, dict[str, Any]]:
    """Name -> class, family, summary, the axes that are searched by default, all hyperparameters, all options."""
    return _catalogue()["optimizers"]


def hint(name: str, known: Iterable[str]) -> str:
    """` Did you mean ...?`: what other libraries call so, or what is spelled alike; nothing if nothing is."""
    known = list(known)
    called = [each for each in _catalogue()["called_elsewhere"].get(name, ()) if each in known]
    return f" Did you mean {' and '.join(called)}?" if called else meant(name, known)


def check_optimizer(name: str) -> None:
    """Raises `SearchError` unless it is one of ours, or may be one of Keras's."""
    if name not in optimizers() and not name.startswith("keras:"):
        raise SearchError(
            f"OPTIMIZER must be one of {', '.join(optimizers())}, or keras:NAME of Keras's own; received {name!r}."
            f"{meant(name.lower(), optimizers())}"
        )


def names_of(optimizer: str, schedule: str | None) -> list[str]:
    """What `search` and `fix` may name of one of ours and of its schedule."""
    entry = optimizers()[optimizer]
    declared = [*entry["hyperparameters"], *entry["options"]]
    return declared if schedule is None else [*declared, *numbers_of(schedule, momentum_of(declared))]
