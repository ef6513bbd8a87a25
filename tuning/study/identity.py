"""Whether a stored search is the one that is wanted."""

from __future__ import annotations

import json
from typing import Any

from tuning.errors import SearchError

IDENTITY_EXCLUDES = ("batch_trials", "trials", "versions", "machine", "command", "data_dir", "oracle_seed")


def check_same_search(stored: dict[str, Any], wanted: dict[str, Any], directory, what: str = "search") -> None:
    """Raises `SearchError` naming what differs, if the stored search (or comparison) is not the one that is wanted."""
    wanted = json.loads(json.dumps(wanted))  # as the store has it: tuples are lists there
    differences = []
    for name in sorted({*stored, *wanted} - set(IDENTITY_EXCLUDES)):
        old, new = stored.get(name), wanted.get(name)
        if old != new:
            differences.append(f"{name} ({_brief(old)} there, {_brief(new)} now)")
    if differences:
        raise SearchError(
            f"The {what} in {directory} is another one: it differs in {', '.join(differences)}; "
            f"choose another --directory, or --fresh to delete it and start over."
        )


def _brief(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else f"{text[:197]}..."
