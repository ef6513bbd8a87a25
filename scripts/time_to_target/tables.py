"""Tables of what was run, as markdown."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np

from scripts.time_to_target.arms import ARMS
from scripts.time_to_target.cases import Case

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
    share = np.mean(np.array(scores) >= case.target)
    return (
        f"{case.problem}, {len(scores)} random settings, {case.epochs} epochs, best validation accuracy by quantile: {shown}; "
        f"the declared defaults: {defaults:.4f}; {share:.0%} reach {case.target:g}"
    )


# -- numbers --------------------------------------------------------------------------------------


def seconds(line: dict[str, Any]) -> float:
    """Until the target; infinite, if it was not reached."""
    return line["seconds"] if line["reached"] else math.inf


def median(lines: Lines) -> float:
    """Of the seconds, where a run that has not reached the target took longer than any other."""
    return statistics.median(map(seconds, lines)) if lines else math.inf


def _shown(value: float, limit: float) -> str:
    return f"{value:.1f}" if math.isfinite(value) else f"> {limit:g}"


def _of(lines: Lines, arm: str) -> list[dict[str, Any]]:
    return [line for line in lines if line["arm"] == arm]


def best_arm(lines: Lines, group: str) -> str | None:
    """The arm of a group that reached the target soonest, by the median; `None` if none ran."""
    ran = [name for name, arm in ARMS.items() if arm.group == group and not arm.whole and _of(lines, name)]
    reached = {name: sum(line["reached"] for line in _of(lines, name)) for name in ran}
    return min(ran, key=lambda name: (median(_of(lines, name)), -reached[name]), default=None)


# -- tables ---------------------------------------------------------------------------------------


def _to_target(lines: Lines) -> str:
    conditions = lines[0]["conditions"]
    limit = conditions["seconds"]
    samples = f", {conditions['samples']:,} samples" if conditions["samples"] else ""
    ours = best_arm(lines, "ours")
    least = median(_of(lines, ours)) if ours else math.inf
    rows = []
    for name, arm in ARMS.items():
        mine = _of(lines, name)
        if arm.whole or not mine:
            continue
        took, trained = sorted(map(seconds, mine)), [line["epochs"] if line["reached"] else math.inf for line in mine]
        middle, epochs = statistics.median(took), statistics.median(trained)
        fewest = min((line["epochs"] for line in mine if not line["reached"]), default=0)
        spread = f"{_shown(took[0], limit)} to {_shown(took[-1], limit)}"
        rows.append(
            (
                arm.label,
                f"{sum(line['reached'] for line in mine)} of {len(mine)}",
                f"{_shown(middle, limit)} ({spread})",
                f"{epochs:g}" if math.isfinite(epochs) else f"> {fewest}",
                _times(middle, least, limit),
            )
        )
    if not rows:
        return ""
    title = (
        f"`{conditions['problem']}`{samples}, accuracy {conditions['target']:g}, at most {limit:g} s, {conditions['cores']} cores"
    )
    return _table((title, "reached", "seconds", "epochs", "times our best"), rows)


def _times(value: float, least: float, limit: float) -> str:
    """How many times as long as the best of ours."""
    if not math.isfinite(least):
        return ""
    return f"{value / least:.1f}" if math.isfinite(value) else f"> {limit / least:.1f}"


def _ratios(lines: Lines, problems: Sequence[str]) -> str:
    rows = []
    for problem in problems:
        mine = [line for line in lines if line["problem"] == problem]
        ours = best_arm(mine, "ours")
        if ours is None:
            continue
        limit, least = mine[0]["conditions"]["seconds"], median(_of(mine, ours))
        row = [f"`{problem}`", f"{ARMS[ours].label}: {_shown(least, limit)}"]
        for group in GROUPS:
            theirs = best_arm(mine, group)
            took = median(_of(mine, theirs)) if theirs else math.inf
            if theirs is None or not math.isfinite(least):
                row.append("")
            elif math.isfinite(took):
                row.append(f"{took:.1f} ({least / took:.2f})")
            else:
                row.append(f"> {limit:g} (< {least / limit:.2f})")
        rows.append(row)
    return _table(("problem", "our best", *(f"best of {group} (ours / theirs)" for group in GROUPS)), rows) if rows else ""


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
