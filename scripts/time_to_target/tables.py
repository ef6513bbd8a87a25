"""Tables of what was run, as markdown."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np

from scripts.time_to_target.arms import ARMS
from scripts.time_to_target.cases import DIGITS, Case

Lines = Sequence[dict[str, Any]]
GROUPS = ("KerasTuner", "Optuna", "Ray Tune")


def report(lines: Lines) -> str:
    """Of each problem a table of all arms; then ours against the peers; then those that searched to their own end."""
    problems = list(dict.fromkeys(line["problem"] for line in lines))
    if not problems:
        return "Nothing was run yet."
    parts = []
    for problem in problems:
        mine = [line for line in lines if line["problem"] == problem]
        parts += [_to_target(mine), _whole(mine)]
    parts.append(_ratios(lines, problems))
    return "\n\n".join(part for part in parts if part)


def quantiles(case: Case, found: tuple[list[float], float]) -> str:
    """What random settings reach, and how many of them the target."""
    scores, defaults = found
    shown = ", ".join(f"{share:.0%}: {np.quantile(scores, share):.4f}" for share in (0.25, 0.5, 0.75, 0.9, 0.95, 1.0))
    share = np.mean(np.round(scores, DIGITS) >= case.target)
    return (
        f"{case.problem}, {len(scores)} random settings, {case.epochs} epochs, best validation accuracy by quantile: {shown}; "
        f"the declared defaults: {defaults:.4f}; {share:.0%} reach {case.target:g}"
    )


# -- numbers --------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Middle:
    """The median of what an arm took until the target.

    Args:
        value: in seconds, or epochs.
        is_bound: it took more than that: half of its runs, or more of them, did not reach the target.
    """

    value: float
    is_bound: bool

    @classmethod
    def of(cls, lines: Lines, what: str) -> Middle | None:
        """Of some runs of one arm; a run that did not reach the target took longer than all others. `None`: none is known."""
        if not lines or any(line[what] is None for line in lines):
            return None
        missed = sum(not line["reached"] for line in lines)
        if 2 * missed >= len(lines):
            return cls(statistics.median(line[what] for line in lines), True)
        return cls(statistics.median(line[what] if line["reached"] else math.inf for line in lines), False)

    def __str__(self):
        return f"{'> ' * self.is_bound}{self.value:.{0 if self.value >= 100 else 1}f}".replace(".0", "")

    def times(self, least: Middle | None) -> str:
        """How many times as much as `least`."""
        return "" if least is None or least.is_bound else f"{'> ' * self.is_bound}{self.value / least.value:.1f}"

    def share_of(self, other: Middle | None) -> str:
        """Which part of the other it is."""
        return "" if other is None or self.is_bound else f"{'< ' * other.is_bound}{self.value / other.value:.2f}"


def _of(lines: Lines, arm: str | None) -> list[dict[str, Any]]:
    return [line for line in lines if line["arm"] == arm]


def best_arm(lines: Lines, group: str) -> str | None:
    """The arm of a group that reached the target soonest, by the median; `None` if none ran."""

    def order(name: str):
        mine = _of(lines, name)
        middle = Middle.of(mine, "seconds")
        assert middle is not None
        return middle.is_bound, -sum(line["reached"] for line in mine) if middle.is_bound else 0, middle.value

    ran = [name for name, arm in ARMS.items() if arm.group == group and not arm.whole and _of(lines, name)]
    return min(ran, key=order, default=None)


# -- tables ---------------------------------------------------------------------------------------


def _to_target(lines: Lines) -> str:
    conditions = lines[0]["conditions"]
    samples = f", {conditions['samples']:,} samples" if conditions["samples"] else ""
    title = f"`{conditions['problem']}`{samples}, accuracy {conditions['target']:g}"
    least = Middle.of(_of(lines, best_arm(lines, "ours")), "seconds")
    rows = []
    for name, arm in ARMS.items():
        mine = _of(lines, name)
        if arm.whole or not mine:
            continue
        took = sorted((not line["reached"], line["seconds"]) for line in mine)
        fastest, slowest = (f"{'> ' * missed}{seconds:.1f}" for missed, seconds in (took[0], took[-1]))
        spread = f" ({fastest} to {slowest})" if len(mine) > 1 else ""
        middle = Middle.of(mine, "seconds")
        assert middle is not None
        rows.append(
            (
                *(arm.label, f"{sum(line['reached'] for line in mine)} of {len(mine)}"),
                *(f"{middle}{spread}", str(Middle.of(mine, "processor_seconds") or "")),
                *(str(Middle.of(mine, "epochs")), middle.times(least)),
            )
        )
    head = (title, "reached", "seconds", "of processors", "epochs", "times our best")
    return _table(head, rows) if rows else ""


def _ratios(lines: Lines, problems: Sequence[str]) -> str:
    rows = []
    for problem in problems:
        mine = [line for line in lines if line["problem"] == problem]
        best = {group: _of(mine, best_arm(mine, group)) for group in ("ours", *GROUPS)}
        if not best["ours"]:
            continue
        took = {group: Middle.of(found, "seconds") for group, found in best.items()}
        used = {group: Middle.of(found, "processor_seconds") for group, found in best.items()}
        row = [f"`{problem}`", f"{ARMS[best['ours'][0]['arm']].label}: {took['ours']}"]
        for group in GROUPS:
            parts = [took["ours"].share_of(took[group]), used["ours"].share_of(used[group])]
            row.append(f"{took[group] or ''}{''.join(f'; {part}' for part in parts if part)}")
        rows.append(row)
    head = ("problem", "our best", *(f"best of {group}; our share of its seconds; of its processors'" for group in GROUPS))
    return _table(head, rows) if rows else ""


def _whole(lines: Lines) -> str:
    rows = []
    for name, arm in ARMS.items():
        mine = _of(lines, name)
        if arm.whole and mine:
            took, best = [line["seconds"] for line in mine], [line["best"] for line in mine]
            rows.append(
                (
                    *(arm.label, f"{statistics.median(took):.1f} ({min(took):.1f} to {max(took):.1f})"),
                    f"{statistics.median(line['epochs'] for line in mine):g}",
                    *(f"{statistics.median(best):.4f} ({min(best):.4f} to {max(best):.4f})", str(len(mine))),
                )
            )
    return (
        _table((f"`{lines[0]['problem']}`, to the search's own end", "seconds", "epochs", "best", "seeds"), rows) if rows else ""
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))
