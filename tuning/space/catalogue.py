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
from tuning.space.schedules import SCHEDULES

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
    """Raises `SearchError` unless it is one of ours."""
    if name not in optimizers():
        raise SearchError(
            f"OPTIMIZER must be one of {', '.join(optimizers())}; received {name!r}.{meant(name.lower(), optimizers())}"
        )


def check_names(names: Iterable[str], of: Iterable[str], also: Iterable[str] = ()) -> None:
    """Raises `SearchError` if a name is none of any of the optimizers nor of a schedule, and one can tell what was meant.

    The space says it of all others, when the optimizers are imported.

    Args:
        names: of what is searched or fixed.
        of: the names of the optimizers.
        also: further names that are known.
    """
    entries = [optimizers()[name] for name in of if name in optimizers()]
    known = dict.fromkeys(
        [
            *(name for entry in entries for name in [*entry["hyperparameters"], *entry["options"]]),
            *(number for numbers in SCHEDULES.values() for number in numbers),
            *also,
        ]
    )
    for name in names:
        guess = "" if name in known or not entries else hint(name, known)
        if guess:
            raise SearchError(f"There is no {name!r} in {' or '.join(entry['class'] for entry in entries)}.{guess}")
