"""The whole examination: facts are gathered stage by stage, and each check speaks as soon as it has what it needs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

from tuning.doctor import checks_of_the_device, checks_of_the_numbers, checks_of_the_setup
from tuning.doctor.finding import FAIL, Check, Finding
from tuning.doctor.measuring import STAGES
from tuning.doctor.processes import measured
from tuning.doctor.surroundings import machine_facts, package_facts

CHECKS: tuple[Check, ...] = (*checks_of_the_setup.CHECKS, *checks_of_the_device.CHECKS, *checks_of_the_numbers.CHECKS)
"""All checks, in the order of the report."""


@dataclasses.dataclass
class Report:
    """What an examination has found.

    Attributes:
        findings: one for each check, in their order.
        facts: what the checks were made from, by name.
    """

    findings: list[Finding]
    facts: dict[str, Any]

    @property
    def failed(self) -> bool:
        """Whether a check failed."""
        return any(finding.status == FAIL for finding in self.findings)

    def to_json(self) -> dict:
        """Everything, for whoever reads it elsewhere; it has no path of the user's in it."""
        return {
            "keras-optims": self.facts["packages"]["keras-optims"],
            "failed": self.failed,
            "checks": [dataclasses.asdict(finding) for finding in self.findings],
            "facts": self.facts,
        }


def examine(found: Callable[[Finding], None] = lambda finding: None, stage: Callable[[str], None] = lambda name: None) -> Report:
    """Examines this machine, which takes a minute or two.

    Args:
        found: is called with each finding, as soon as it is there.
        stage: is called with the name of what is measured next.
    """
    report = Report([], {})
    for name, facts in _facts(stage):
        report.facts[name] = facts
        while len(report.findings) < len(CHECKS) and set(CHECKS[len(report.findings)].needs) <= report.facts.keys():
            finding = CHECKS[len(report.findings)].of(report.facts)
            report.findings.append(finding)
            found(finding)
    return report


def _facts(stage: Callable[[str], None]) -> Iterable[tuple[str, dict]]:
    """(name, facts), in the order in which they can be had."""
    yield "machine", machine_facts()
    yield "packages", package_facts()
    *together, alone = STAGES
    for name, facts in _measured(together, stage):
        if name == "starting" and "error" in facts:
            yield name, {"problem": facts["error"]}
            yield from ((other, {"skipped": "Keras did not start"}) for other in STAGES if other != name)
            return
        yield name, facts
    yield from _measured([alone], stage)


def _measured(stages: list[str], stage: Callable[[str], None]) -> Iterable[tuple[str, dict]]:
    """As `measured`, with a word before each."""
    upcoming = iter(stages)
    stage(next(upcoming))
    for name, facts in measured(stages):
        yield name, facts
        stage(next(upcoming, ""))
