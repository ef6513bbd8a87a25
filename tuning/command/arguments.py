"""How the words of a command line become values, and with which status a command ends."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from tuning.errors import SearchError
from tuning.experiments.plan import Kind
from tuning.names import meant

DONE, NO_USABLE_TRIAL, WRONG_INPUT, INTERRUPTED = 0, 1, 2, 130
CHECK_FAILED = 1  # of the doctor
PORT = Kind("an int from 0 to 65535", lambda value: isinstance(value, int) and 0 <= value < 2**16, int)


def reading(kind: Kind) -> Callable[[str], Any]:
    """Reads a word as a value of a kind."""

    def read(text: str) -> Any:
        try:
            value = kind.read(text)
        except ValueError:
            value = None
        if not kind.holds(value):
            guess = meant(text, kind.names or ())
            raise argparse.ArgumentTypeError(f"must be {kind.allowed}; received {text!r}{'.' if guess else ''}{guess}")
        return value

    return read


class Interrupted(SearchError):
    """Ctrl-C or SIGTERM came; the same command goes on."""

    exit_status = INTERRUPTED
