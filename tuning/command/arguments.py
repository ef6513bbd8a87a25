"""How the words of a command line become values, and with which status a command ends."""

from __future__ import annotations

import argparse

from tuning.errors import SearchError

DONE, NO_USABLE_TRIAL, WRONG_INPUT, INTERRUPTED = 0, 1, 2, 130


CHECK_FAILED = 1  # of the doctor


def at_least(least: int):
    """Reads an int that is not smaller."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"must be an int of at least {least}; received {text!r}")
        return value

    return parse


at_least_1, at_least_0 = at_least(1), at_least(0)


def at_least_1_or_auto(text: str) -> int | str:
    """An int of at least 1, or the word."""
    if text == "auto":
        return text
    try:
        return at_least_1(text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"must be an int of at least 1, or auto; received {text!r}") from None


def at_least_0_float(text: str) -> float:
    """A number that is not negative."""
    return 0.0 if text.strip() in ("0", "0.0") else positive(text)


def positive(text: str) -> float:
    """A finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number above 0; received {text!r}")
    return value


class Interrupted(SearchError):
    """Ctrl-C or SIGTERM came; the same command goes on."""

    exit_status = INTERRUPTED
