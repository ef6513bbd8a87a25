"""A parser that says in one sentence what is wrong, and what was probably meant, without the whole usage."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import NoReturn

from tuning.errors import SearchError
from tuning.names import meant, nearest


class Parser(argparse.ArgumentParser):
    """The parser of a command that has subcommands, and of each of them."""

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """The options that the words of a command line say.

        Raises:
            SearchError: a word is wrong.
            SystemExit: help or version was asked for, and is printed.
        """
        (commands,) = (action.choices for action in self._actions if isinstance(action.choices, dict))
        command = next((word for word in words if not word.startswith("-")), None)
        if command is not None and command not in commands:
            raise SearchError(f"COMMAND must be one of {', '.join(commands)}; received {command!r}.{meant(command, commands)}")
        options, unknown = self.parse_known_args(words)
        if unknown:
            raise SearchError(commands[command].not_taken(unknown[0]))
        return options

    def error(self, message: str) -> NoReturn:
        """Raises `SearchError`, with one sentence."""
        found = re.sub(r"^argument (\S+): must", r"\1 must", message)  # these say what is allowed
        text = found if found != message else f"{message}; see `{self.prog} --help`"
        raise SearchError(f"{text}{'' if text.endswith('?') else '.'}")

    def not_taken(self, word: str) -> str:
        """What is wrong with a word that this command does not take."""
        flags = {flag.lstrip("-"): flag for action in self._actions for flag in action.option_strings}
        near = nearest(word.partition("=")[0].lstrip("-"), flags) if word.startswith("-") else None
        guess = f" Did you mean {flags[near]}?" if near else ""
        return f"`{self.prog}` takes no {word!r}, see `{self.prog} --help`.{guess}"
