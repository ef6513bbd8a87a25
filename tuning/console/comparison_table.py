"""A comparison as text: the table, which differences are significant, and the settings."""

from __future__ import annotations

import textwrap
from typing import Any

from tuning.names import counted
from tuning.results.comparison import Comparison, budget, with_interval
from tuning.results.statistics import plus_minus

LINE = 120  # of running text, at most


def table(comparison: Comparison, width: int | None = None) -> str:
    """All of it; in a terminal that is less than `width` columns wide, the columns that matter least are left out."""
    content = comparison.content
    searched = content["objective"]
    reported = content["test_metric"] or searched
    text = [_title(comparison), ""]
    columns = [
        ["optimizer", *(entry["optimizer"] for entry in comparison.optimizers)],
        [reported, *(with_interval(_reported(entry)) for entry in comparison.optimizers)],
        ["sd", *(_deviation(_reported(entry)) for entry in comparison.optimizers)],
        ["seeds", *(_seeds(entry, content["confirmations"]) for entry in comparison.optimizers)],
        ["in the search", *(_number(entry["search_score"]) for entry in comparison.optimizers)],
        ["trials", *(_words(entry["trials"]) or "none" for entry in comparison.optimizers)],
    ]
    if content["test_metric"]:
        columns.insert(4, [searched, *(with_interval(entry["validation"]) for entry in comparison.optimizers)])
    while width is not None and len(columns) > 2 and sum(2 + max(map(len, column)) for column in columns) - 2 > width:
        columns.pop()
    widths = [max(map(len, column)) for column in columns]
    for row in zip(*columns, strict=True):
        text.append("  ".join(cell.ljust(size) for cell, size in zip(row, widths, strict=True)).rstrip())
    for note in ("", *_notes(content)):
        text.append(textwrap.fill(note, min(width or LINE, LINE)))
    if comparison.differences:
        text += ["", *_differences(comparison)]
    lines = [entry["line"] for entry in comparison.optimizers if entry["line"]]
    if lines:
        text += ["", f"The best settings by {searched}:", *(f"  {line}" for line in lines)]
    return "\n".join(text)


def _title(comparison: Comparison) -> str:
    content = comparison.content
    parts = [
        f"{budget(content)} each",
        counted(content["epochs"], "epoch"),
        *([f"{content['repeats']} repeats"] if content["repeats"] > 1 else []),
    ]
    count = len(comparison.optimizers)
    return f"{count} optimizer{'s' * (count != 1)} on {content['problem']}, {', '.join(parts)}, in {comparison.directory}"


def _notes(content: dict[str, Any]) -> list[str]:
    searched = content["objective"]
    notes = []
    if content["test_metric"]:
        notes.append(
            f"{content['test_metric']}: mean ± 95 % interval of trainings with fresh seeds, at the epoch with the best "
            f"{searched}. The test data selected nothing, neither settings nor epochs."
        )
    elif any(entry["validation"] for entry in content["optimizers"]):
        notes.append(
            f"{searched}: mean ± 95 % interval of trainings with fresh seeds. {content['problem']} has no test data, so these "
            f"numbers are of the validation data that selected settings and epochs, and may be a little too good."
        )
    if not content["complete"]:
        notes.append("Unfinished: these are the results so far; the same command goes on.")
    for entry in content["optimizers"]:
        ended = entry.get("ended")
        if ended is not None and ended["by"] in ("epochs", "target"):
            notes.append(f"The search of {entry['optimizer']} ended, as {ended['text']}.")
        if entry["line"] is None and any(entry["trials"].values()):
            notes.append(f"{entry['optimizer']} has no completed trial ({_words(entry['trials'])}).")
        lost = {state: entry["confirmations"].get(state, 0) for state in ("diverged", "failed")}
        if any(lost.values()):
            notes.append(f"Of {entry['optimizer']}'s trainings with fresh seeds, {_words(lost)}: its mean leaves them out.")
    return notes


def _differences(comparison: Comparison) -> list[str]:
    pairs = comparison.differences
    paired = "paired by seed" if all(pair["paired"] for pair in pairs) else "paired where the seeds are the same"
    adjusted = f", adjusted for {len(pairs)} comparisons (Holm)" if len(pairs) > 1 else ""
    lines = [f"Differences in {pairs[0]['metric']} (95 % interval of each alone; p-value of a t-test, {paired}{adjusted}):"]
    for pair in pairs:
        one, other, gap = pair["one"], pair["other"], abs(pair["difference"])
        if pair["p_adjusted"] is None:
            lines.append(f"  {one} and {other}: {gap:.4g}; what one seed shows could be chance")
            continue
        measured = f"{plus_minus(gap, (pair['high'] - pair['low']) / 2)}, p = {pair['p_adjusted']:.2g}"
        if pair["significant"]:
            lines.append(f"  {one} is better than {other}: {measured}")
        else:
            lines.append(f"  {one} and {other} do not differ significantly: {measured}")
    return lines


def _reported(entry: dict[str, Any]) -> dict[str, Any] | None:
    return entry["test"] or entry["validation"]


def _deviation(sample: dict[str, Any] | None) -> str:
    return "-" if sample is None or sample["sd"] is None else f"{sample['sd']:#.2g}".rstrip(".")


def _seeds(entry: dict[str, Any], wanted: int) -> str:
    sample = _reported(entry)
    count = sample["count"] if sample else 0
    return str(count) if count == wanted else f"{count} of {wanted}"


def _words(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in counts.items() if count)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
