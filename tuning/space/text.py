"""How the command line writes search axes, fixed values, points, and optimizers with their settings.

Light, so that a slip in them is answered at once.
"""

from __future__ import annotations

from typing import Any

from tuning.errors import SearchError


def parse_search(text: str) -> tuple[str, tuple | list | None]:
    """`NAME`, `NAME=LOW:HIGH`, `NAME=LOW:HIGH:SCALE` or `NAME=VALUE,VALUE` -> (name, axis for `Space.of`), or `SearchError`."""
    name, equals, bounds = text.partition("=")
    parts, values = bounds.split(":"), bounds.split(",")
    if name and not equals:
        return name, None
    if name and len(values) > 1 and all(values):
        return name, [parse_value(value) for value in values]
    if name and len(parts) in (2, 3):
        low, high = map(parse_value, parts[:2])
        if all(isinstance(bound, (int, float)) and not isinstance(bound, bool) for bound in (low, high)):
            return name, (low, high, *parts[2:])
    raise SearchError(
        "--search takes NAME, NAME=LOW:HIGH or NAME=LOW:HIGH:SCALE with numbers LOW and HIGH, or NAME=VALUE,VALUE; "
        f"received {text!r}."
    )


def parse_fix(text: str) -> tuple[str, Any]:
    """`NAME=VALUE` -> (name, value): true, false, none, a number, or the text itself; or `SearchError`."""
    name, _, value = text.partition("=")
    if not (name and value):
        raise SearchError(f"--fix takes NAME=VALUE; received {text!r}.")
    return name, parse_value(value)


def parse_start(text: str) -> dict[str, Any]:
    """`NAME=VALUE,NAME=VALUE` -> name -> value, as `parse_fix` has them; or `SearchError`."""
    found: dict[str, Any] = {}
    for pair in text.split(","):
        name, _, value = pair.partition("=")
        if not (name and value) or name in found:
            raise SearchError(f"--start-with takes NAME=VALUE,NAME=VALUE, each name once; received {text!r}.")
        found[name] = parse_value(value)
    return found


def parse_value(text: str) -> Any:
    """true, false, none, a number, or the text itself."""
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def parse_contestant(text: str) -> tuple[str, dict[str, Any]]:
    """`NAME` or `NAME:SETTING=VALUE,SETTING=VALUE`, with `keras:` before NAME or not -> (name, settings), or `SearchError`."""
    prefix = "keras:" if text.startswith("keras:") else ""
    name, _, listed = text.removeprefix(prefix).partition(":")
    settings: dict[str, Any] = {}
    for pair in listed.split(",") if listed else []:
        setting, _, value = pair.partition("=")
        if not (setting and value) or setting in settings:
            raise SearchError(
                f"An optimizer is written NAME or NAME:SETTING=VALUE,SETTING=VALUE, each setting once; received {text!r}."
            )
        settings[setting] = parse_value(value)
    return prefix + name, settings


def parse_point(flag: str, text: str) -> tuple[float, float]:
    """`X,Y` -> two numbers, or `SearchError`."""
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError:
        raise SearchError(f"{flag} takes two numbers, X,Y; received {text!r}.") from None
    return x, y
