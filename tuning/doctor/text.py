"""The report for people: a line or more for each finding, as it comes."""

from __future__ import annotations

from types import TracebackType
from typing import TextIO

from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

from tuning.doctor.finding import FAIL, PASS, SKIP, WARN, Finding
from tuning.doctor.report import Report

_STYLES = {PASS: "green", WARN: "yellow", FAIL: "bold red", SKIP: "dim"}
_MEASURING = {
    "starting": "starting Keras in a process of its own",
    "devices": "looking for GPUs",
    "kernels": "tracing the steps of the optimizers",
    "placement": "running each optimizer with soft placement off",
    "elementary": "comparing operations with float64",
    "optimizers": "comparing 100 steps of each optimizer with float64",
    "forward": "comparing layers with float64",
    "synchronized": "comparing steps in a row with synchronized ones",
    "optimizer_speed": "timing the optimizers",
    "model_speed": "timing models",
    "protected": "comparing layers once more, with graph fusion off",
}


class Printed:
    """Prints findings as they come, and in a terminal what is being measured meanwhile.

    Args:
        stream: where to.
    """

    def __init__(self, stream: TextIO):
        # Not a terminal: no colour, and lines as wide as they need to be read in an issue or a log.
        self._console = Console(file=stream, highlight=False, width=None if stream.isatty() else 120)
        self._status: Status | None = None

    def __enter__(self) -> Printed:
        if self._console.is_terminal:
            self._status = self._console.status("")
            self._status.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if self._status:
            self._status.stop()

    def measuring(self, stage: str) -> None:
        """What is measured next."""
        if self._status:
            self._status.update(f"{_MEASURING.get(stage, stage)} ...")

    def finding(self, finding: Finding) -> None:
        """One line for what was found, one for why it matters, and one for what to do, where there is something to do."""
        lines = Table.grid(padding=(0, 2))
        lines.add_column(width=4)
        lines.add_column(width=17)
        lines.add_column(ratio=1)
        lines.add_row(Text(finding.status, _STYLES[finding.status]), finding.check, Text(finding.found))
        if finding.status in (WARN, FAIL):
            lines.add_row("", "", Text(f"Why it matters: {finding.why}", "dim"))
            lines.add_row("", "", Text(f"What to do: {finding.advice}", "bold"))
        self._console.print(lines)

    def summary(self, report: Report) -> None:
        """The last lines."""
        number = {status: sum(each.status == status for each in report.findings) for status in _STYLES}
        told = {PASS: "passed", WARN: "with a warning", FAIL: "failed", SKIP: "not for this machine"}
        counts = ", ".join(f"{number[status]} {words}" for status, words in told.items() if number[status])
        self._console.print(f"\n{len(report.findings)} checks: {counts}.")
        self._console.print("All of it, to send to somebody: keras-optims doctor --json > doctor.json")
