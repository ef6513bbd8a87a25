"""Whether a stored search is the one that is wanted."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tuning.errors import SearchError

BUDGET = ("trials", "max_epochs", "max_minutes", "target")  # with a larger one a search goes on
IDENTITY_EXCLUDES = (*BUDGET, "batch_trials", "versions", "machine", "command", "data_dir", "oracle_seed")


def check_same_search(stored: dict[str, Any], wanted: dict[str, Any], directory, what: str = "search") -> None:
    """Raises `SearchError` naming what differs, if the stored search (or comparison) is not the one that is wanted."""
    wanted = json.loads(json.dumps(wanted))  # as the store has it: tuples are lists there
    there, now = ({name: value for name, value in each.items() if name not in IDENTITY_EXCLUDES} for each in (stored, wanted))
    differences = [f"{name} ({_brief(old)} there, {_brief(new)} now)" for name, old, new in _differences(there, now)]
    if differences:
        raise SearchError(
            f"The {what} in {directory} is another one: it differs in {', '.join(differences)}; "
            f"choose another --directory, or --fresh to delete it and start over."
        )


def _differences(there: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(name, value there, value now) of all that differs; of what both have as mappings, what differs in them."""
    for name in sorted({*there, *now}):
        old, new = there.get(name), now.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _differences(old, new, f"{prefix}{name}.")
        elif old != new:
            yield f"{prefix}{name}", old, new


def _brief(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else f"{text[:197]}..."
