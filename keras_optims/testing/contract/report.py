"""The outcome of all checks of one optimizer."""

from __future__ import annotations

import dataclasses
import shutil
import textwrap
from typing import Any

from keras_optims.testing.contract.check import ContractError


@dataclasses.dataclass(frozen=True)
class Result:
    """What one check found.

    Attributes:
        name: the check's name.
        outcome: `"passed"`, `"failed"` or `"skipped"`.
        found: of a passed check the promise that it keeps; of a failed one what was found and why it matters; of a skipped one
            what is not there.
    """

    name: str
    outcome: str
    found: str


@dataclasses.dataclass(frozen=True)
class ContractReport:
    """What the checks found; it prints as a table.

    Attributes:
        optimizer: what was checked, e.g. `"Adam(amsgrad=True)"`.
        backend: the Keras backend that it was checked on.
        results: one for each check, in the order in which they ran.
    """

    optimizer: str
    backend: str
    results: list[Result]

    def _with(self, outcome: str) -> list[Result]:
        return [result for result in self.results if result.outcome == outcome]

    @property
    def passed(self) -> list[Result]:
        """The results of the checks that passed."""
        return self._with("passed")

    @property
    def failed(self) -> list[Result]:
        """The results of the checks that failed."""
        return self._with("failed")

    @property
    def skipped(self) -> list[Result]:
        """The results of the checks that did not apply."""
        return self._with("skipped")

    def raise_if_failed(self) -> None:
        """Raises `ContractError` with one line for each check that failed, if one did."""
        if self.failed:
            lines = "\n".join(f"  {result.name}: {result.found}" for result in self.failed)
            raise ContractError(f"{self.optimizer} fails {len(self.failed)} of {len(self.results)} checks:\n{lines}")

    def to_dict(self) -> dict[str, Any]:
        """The report in what JSON knows."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        names = max((len(result.name) for result in self.results), default=0)
        width = max(shutil.get_terminal_size((130, 24)).columns - names - 11, 40)
        counts = ", ".join(f"{len(self._with(outcome))} {outcome}" for outcome in ("passed", "failed", "skipped"))
        lines = [f"{self.optimizer} on {self.backend}: {counts}"]
        for result in self.results:
            first, *others = textwrap.wrap(result.found, width) or [""]
            lines.append(f"{result.name:{names}}  {result.outcome:7}  {first}")
            lines += [" " * (names + 11) + other for other in others]
        return "\n".join(lines)
