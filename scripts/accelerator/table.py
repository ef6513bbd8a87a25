"""The report for people: Markdown tables, padded so that they can be read as they are."""

from __future__ import annotations

from collections.abc import Sequence

WIDTH = 100


def line(row: dict) -> str:
    """One row as it comes, in a line."""
    where = ", ".join(filter(None, (row["backend"], row["stage"], row.get("contestant"))))
    if "not_measured" in row:
        return f"{where}: not measured: {row['not_measured']}"
    if row["stage"] == "doctor":
        return f"{where}: {row['status']}: {row['found']}"
    if "trials_per_hour" in row:
        return f"{where}: {row['trials_per_hour']:.0f} trials per hour ({row['data']})"
    if "gigabytes_per_second" in row:
        return f"{where}: {row['milliseconds']:.3g} ms, {row['gigabytes_per_second']:.4g} GB/s{_of_bandwidth(row)}"
    return f"{where}: Keras {row['keras']}, {row['backend']} {row['version']}, on {row['device']}"


def _of_bandwidth(row: dict) -> str:
    share = row.get("share_of_bandwidth")
    return "" if share is None else f", {share:.0%} of the bandwidth"


def tables(report: dict) -> str:
    """All that was measured and all that was not."""
    rows = report["measurements"]
    lines = [f"{_devices(report)}; {report['seconds']:.0f} s of {60 * report['minutes']:.0f} s.", ""]
    steps = [row for row in rows if row["stage"].startswith("step ") and "milliseconds" in row]
    for backend in dict.fromkeys(row["backend"] for row in steps):
        own = [row for row in steps if row["backend"] == backend]
        speed = next((row for row in rows if row["backend"] == backend and row["stage"] == "bandwidth" and "bytes" in row), None)
        reached = f"{speed['gigabytes_per_second']:.4g} GB/s" if speed else "not measured"
        lines.append(f"Steps on {backend}; the device's bandwidth (a = a + b): {reached}.")
        heads = ("contestant", "parameters", "ms", "GB/s", "of bandwidth", "ours / it", "first call")
        for stage in dict.fromkeys(row["stage"] for row in own):
            of_stage = [row for row in own if row["stage"] == stage]
            halved = ", parameters halved until they fitted" if any("halved_from" in row for row in of_stage) else ""
            title = f"{backend}, {stage}{halved}:"
            lines += ["", title, "", *_table(heads, [_step(row) for row in of_stage], numbers_from=1)]
        lines.append("")
    searches = [row for row in rows if "trials_per_hour" in row]
    if searches:
        heads = ("backend", "problem", "search", "trials / hour", "s / trial", "first", "data")
        lines += ["Trials of one epoch:", "", *_table(heads, [_search(row) for row in searches], 3, 6), ""]
    findings = [row for row in rows if row["stage"] == "doctor" and "status" in row]
    if findings:
        lines += [f"The doctor, on {findings[0]['backend']}:", ""]
        lines += [text for row in findings for text in _wrapped(f"- {row['status']}, {row['check']}: {row['found']}")]
        lines.append("")
    missing = [row for row in rows if "not_measured" in row]
    if missing:
        lines += ["Not measured:", ""]
        together: dict[tuple, list[str]] = {}
        for row in missing:
            of = together.setdefault((row["backend"], row["stage"], row["not_measured"]), [])
            of += filter(None, [row.get("contestant")])
        for (backend, stage, why), contestants in together.items():
            lines += _wrapped(f"- {backend}, {'; '.join([stage, *contestants])}: {why}")
    return "\n".join(lines).rstrip() + "\n"


def _devices(report: dict) -> str:
    found = {row["backend"]: row["device"] for row in report["measurements"] if "device" in row}
    on = "; ".join(f"{backend} on {device}" for backend, device in found.items()) or "No backend has started"
    return f"{report['machine']['processor']}, {report['machine']['cores']} cores. {on}"


def _step(row: dict) -> Sequence[str]:
    share, ratio = row.get("share_of_bandwidth"), row.get("ours_relative_to_it")
    return (
        row["contestant"],
        f"{row['parameters']:.3g}".replace("e+0", "e"),
        _three_digits(row["milliseconds"]),
        _three_digits(row["gigabytes_per_second"]),
        "-" if share is None else f"{_three_digits(100 * share)} %",
        "-" if ratio is None else f"{ratio:.2f}",
        f"{row['first_call_seconds']:.1f} s",
    )


def _three_digits(number: float) -> str:
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"


def _search(row: dict) -> Sequence[str]:
    return (
        row["backend"],
        row["stage"].removeprefix("trials of "),
        row["contestant"].removeprefix("ours, "),
        f"{row['trials_per_hour']:.0f}",
        f"{row['seconds_per_trial']:.3f}",
        f"{row['first_seconds']:.1f} s",
        row["data"].partition(",")[0],
    )


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], numbers_from: int, numbers_to: int = 99) -> list[str]:
    """Lines of a Markdown table; the columns from `numbers_from` to before `numbers_to` are numbers, at the right."""
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    right = [numbers_from <= i < numbers_to for i in range(len(heads))]

    def text(cells):
        padded = [cell.rjust(w) if r else cell.ljust(w) for cell, w, r in zip(cells, widths, right, strict=True)]
        return f"| {' | '.join(padded)} |"

    rule = "|".join("-" * (w + 1) + (":" if r else "-") for w, r in zip(widths, right, strict=True))
    return [text(heads), f"|{rule}|", *map(text, rows)]


def _wrapped(text: str) -> list[str]:
    import textwrap

    return textwrap.wrap(text, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
