"""What a check says, and how the checks are declared."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

PASS, WARN, FAIL, SKIP = "pass", "warn", "fail", "skip"


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What a check makes of its facts.

    Attributes:
        status: `"pass"`, `"warn"`, `"fail"`, or `"skip"` where the check does not apply to this machine.
        found: what was found; for a skipped check why it does not apply.
        advice: what to do; empty where there is nothing to do.
    """

    status: str
    found: str
    advice: str = ""


def passes(found: str) -> Verdict:
    """Nothing to do."""
    return Verdict(PASS, found)


def warns(found: str, advice: str) -> Verdict:
    """It works, but not as well as it could, or in a way that nobody has tried."""
    return Verdict(WARN, found, advice)


def fails(found: str, advice: str) -> Verdict:
    """Results are wrong, or what this machine has for training is not in use."""
    return Verdict(FAIL, found, advice)


def skips(reason: str) -> Verdict:
    """The check does not apply to this machine."""
    return Verdict(SKIP, reason)


@dataclasses.dataclass(frozen=True)
class Finding:
    """One line of the report: a check's name, its `Verdict`, and why it matters."""

    check: str
    status: str
    found: str
    why: str
    advice: str


@dataclasses.dataclass(frozen=True)
class Check:
    """A check: a function of some facts.

    Attributes:
        name: how the report calls it.
        why: why it matters, for the report.
        needs: the names of the facts that the function takes.
        judge: the function; it takes the facts in the order of `needs` and returns a `Verdict`.
    """

    name: str
    why: str
    needs: tuple[str, ...]
    judge: Callable[..., Verdict]

    def of(self, facts: dict[str, Any]) -> Finding:
        """The finding. Facts that could not be had (`{"error": ...}`) or do not apply (`{"skipped": ...}`) are not judged."""
        needed = [facts[name] for name in self.needs]
        verdict = next((_without(each) for each in needed if {"error", "skipped"} & each.keys()), None) or self.judge(*needed)
        return Finding(self.name, verdict.status, verdict.found, self.why, verdict.advice)


def check(name: str, *needs: str, why: str) -> Callable[[Callable[..., Verdict]], Check]:
    """Declares the decorated function as a check of the facts named in `needs`."""
    return lambda judge: Check(name, why, needs, judge)


def _without(fact: dict[str, str]) -> Verdict:
    if "skipped" in fact:
        return skips(fact["skipped"])
    return fails(f"could not be measured: {fact['error']}", "Send this report: what stops a measurement is a finding as well.")
