"""A record of the runs that lie in a folder, for clients that cannot be asked: a line for each thing that happens.

A kill tears at most the last line, which then counts as not written.
"""

from __future__ import annotations

import json
import pathlib
from typing import Any

from tuning.errors import SearchError

FILE_NAME = "keras-optims.jsonl"


class Record:
    """The runs of one search: (trial, execution) -> state.

    Args:
        folder: where the file is.
        owner: of the runs: what must be the same for the record to go on.
        replaces: whether it may take the place of another owner's.

    Raises:
        SearchError: another owner's is there, and is not to be replaced.
    """

    def __init__(self, folder: pathlib.Path, owner: dict[str, Any], replaces: bool = True):
        self._path = folder / FILE_NAME
        self.runs: dict[tuple[int, int], str] = {}
        self.before: tuple[dict[str, Any], list[tuple[int, int]]] = ({}, [])  # another owner that was there, and its runs
        found = _lines(self._path)
        there = found[0] if found else {}
        for line in found[1:]:
            if line["state"] is None:
                self.runs.pop((line["trial"], line["execution"]), None)
            else:
                self.runs[line["trial"], line["execution"]] = line["state"]
        if there and there != owner and not replaces:
            raise SearchError(f"{folder} has the runs of another search: choose another folder.")
        if there != owner:
            self.before, self.runs = (there, list(self.runs)), {}
            folder.mkdir(parents=True, exist_ok=True)
            self._path.write_text(json.dumps(owner) + "\n", encoding="utf-8")
        elif not self._path.read_bytes().endswith(b"\n"):
            self._append("\n")

    def note(self, key: tuple[int, int], state: str | None) -> None:
        """A run has this state now; `None`: it is gone."""
        if state is None:
            self.runs.pop(key, None)
        else:
            self.runs[key] = state
        self._append(json.dumps({"trial": key[0], "execution": key[1], "state": state}) + "\n")

    def _append(self, text: str) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(text)


def _lines(path: pathlib.Path) -> list[dict[str, Any]]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    found: list[dict[str, Any]] = []
    for line in lines:
        try:
            content = json.loads(line)
        except ValueError:
            continue
        if isinstance(content, dict) and (not found or {"trial", "execution", "state"} <= content.keys()):
            found.append(content)
    return found
