"""The runs that were made, in a file of JSON lines."""

from __future__ import annotations

import json
import os
import pathlib
from typing import Any

from scripts.time_to_target.cases import Case


class Runs:
    """What was run, in `folder/runs.jsonl`.

    Args:
        folder: made if it is not there.
        backend: of Keras; a folder has runs of one.

    Raises:
        ValueError: the file is none of such lines.
    """

    def __init__(self, folder: pathlib.Path, backend: str):
        self._path, self._backend = folder / "runs.jsonl", backend
        self.lines: list[dict[str, Any]] = []
        text = self._path.read_text(encoding="utf-8") if self._path.exists() else ""
        for number, line in enumerate(text.splitlines(), start=1):
            try:
                found = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"{self._path}, line {number}: must be JSON; received {line[:60]!r}.") from error
            self._put(found)

    def check(self, case: Case) -> None:
        """Raises ValueError if runs of this problem are there that do not compare."""
        asked = self._conditions(case)
        for line in self.lines:
            if line["problem"] == case.problem and line["conditions"] != asked:
                raise ValueError(
                    f"{self._path} has runs of {case.problem} under other conditions, {line['conditions']}: choose another "
                    f"--results, or ask for the same; received {asked}."
                )

    def has(self, case: Case, arm: str, seed: int) -> bool:
        """Whether this was run, and not cut off earlier than it is to be now."""
        return any(
            _key(line) == (case.problem, arm, seed)
            and (line["reached"] or line["limit"] is None or line["limit"] >= case.seconds)
            for line in self.lines
        )

    def add(self, case: Case, arm: str, seed: int, found: dict[str, Any]) -> None:
        """Keeps a run, at once."""
        line = {"problem": case.problem, "arm": arm, "seed": seed, "conditions": self._conditions(case), **found}
        self._put(line)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def _put(self, line: dict[str, Any]) -> None:
        """A run takes the place of the same one that was cut off earlier."""
        self.lines = [each for each in self.lines if _key(each) != _key(line)] + [line]

    def _conditions(self, case: Case) -> dict[str, Any]:
        return {**case.conditions(), "backend": self._backend, "cores": os.cpu_count()}


def _key(line: dict[str, Any]) -> tuple[str, str, int]:
    return line["problem"], line["arm"], line["seed"]
