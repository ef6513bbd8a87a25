"""A search's results as a table of text."""

from __future__ import annotations

from tuning.names import counted
from tuning.results.search import STATES, SearchResult, TrialRecord
from tuning.results.worth import worth


def table(result: SearchResult, count: int | None = None) -> str:
    """What was searched, all trials from best to worst, then those without a score, and the best setting as a line of Python.

    `count`: so many of the best alone.
    """
    space = result.config.get("space")
    axes = space["axes"] if isinstance(space, dict) else {}
    names = list(axes) or sorted({name for trial in result.trials for name in trial.hyperparameters})
    heads = ["trial", *(f"{axes[name].get('symbol', '')} {name}".strip() if name in axes else name for name in names)]
    heads += ["epochs", result.objective, "seconds"]
    ranked = result.ranking()
    others = [trial for trial in result.trials if trial.state != "completed"]
    shown = [*ranked, *others] if count is None else ranked[:count]
    rows = [heads, *(_cells(trial, names) for trial in shown)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(heads))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    counts = ", ".join(f"{result.count(state)} {state}" for state in STATES if state != "pruned" or result.count(state))
    wanted = result.config.get("trials")
    begun = len(result.trials)
    many = f"{begun} of {counted(wanted, 'trial')}" if wanted else counted(begun, "trial")
    title = f"{result.config.get('optimizer', 'search')} on {result.config.get('problem', 'a model')}"
    text = [f"{title}, {many} ({counts}) in {result.directory}", "", *lines]
    failed: dict[str, list[str]] = {}
    for trial in others:
        if trial.message:
            failed.setdefault(trial.message, []).append(str(trial.number))
    if failed:
        text += ["", *(f"trial{'s' * (len(who) > 1)} {', '.join(who)} failed: {message}" for message, who in failed.items())]
    if result.ended is not None and result.ended["by"] != "trials":  # which the title says
        text += ["", f"ended: {result.ended['text']}"]
    if ranked:
        text += ["", f"best: {ranked[0].line}"]
    if (found := worth(result)) is not None:
        text += ["", f"was tuning worth it? {found.text}"]
    warm = result.config.get("warm_start")
    if warm:
        text += ["", f"warm start: {warm['note']}"]
    return "\n".join(text)


def without_best(result: SearchResult) -> str:
    """What is to say of a search that has no best trial."""
    counts = ", ".join(f"{result.count(state)} {state}" for state in ("pruned", "diverged", "failed") if result.count(state))
    why = f", as {result.ended['text']}" if result.ended is not None and result.ended["by"] in ("epochs", "minutes") else ""
    return f"No trial completed ({counts or 'none began'}{why}); see {result.directory}."


def _cells(trial: TrialRecord, names: list[str]) -> list[str]:
    values = [trial.hyperparameters.get(name, "") for name in names]
    if trial.score is None:
        score = trial.state
    elif trial.state == "pruned":
        score = f"pruned at {trial.score:.6g}"
    elif len(trial.executions) > 1 and trial.summary is not None:
        score = f"{trial.summary} (sd {trial.summary.sd:.2g})"
    else:
        score = f"{trial.score:.6g}"
    seconds = "" if trial.seconds is None else f"{trial.seconds:.1f}"
    return [
        str(trial.number),
        *(f"{value:.8g}" if isinstance(value, float) else str(value) for value in values),
        trial.epochs_text,
        score,
        seconds,
    ]
