"""How the command line writes search axes and fixed values. Light, so that a slip in them is answered at once."""

from __future__ import annotations

from typing import Any

from tuning.errors import SearchError


def parse_search(text: str) -> tuple[str, tuple[float, float] | tuple[float, float, str] | None]:
    """`NAME`, `NAME=LOW:HIGH` or `NAME=LOW:HIGH:SCALE` -> (name, range for `Space.of`), or `SearchError`."""
    name, equals, bounds = text.partition("=")
    parts = bounds.split(":")
    try:
        if name and not equals:
            return name, None
        if name and len(parts) == 2:
            return name, (float(parts[0]), float(parts[1]))
        if name and len(parts) == 3:
            return name, (float(parts[0]), float(parts[1]), parts[2])
    except ValueError:
        pass
    raise SearchError(f"--search takes NAME, NAME=LOW:HIGH or NAME=LOW:HIGH:SCALE with numbers LOW and HIGH; received {text!r}.")


def parse_fix(text: str) -> tuple[str, Any]:
    """`NAME=VALUE` -> (name, value): true, false, none, a number, or the text itself; or `SearchError`."""
    name, _, value = text.partition("=")
    if not (name and value):
        raise SearchError(f"--fix takes NAME=VALUE; received {text!r}.")
    words = {"true": True, "false": False, "none": None}
    if value.lower() in words:
        return name, words[value.lower()]
    for number in (int, float):
        try:
            return name, number(value)
        except ValueError:
            continue
    return name, value
