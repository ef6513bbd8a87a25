"""Learning curves, the best ones highlighted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tuning.report.figure import GREY, ORANGE, PALETTE, PURPLE, Chart, figure, plain, rounded, setting_text, titled, titled_values
from tuning.results.search import SearchResult, TrialRecord, mean_curve

HIGHLIGHTED = 5
MOST_POINTS = 25_000  # of all other trials and metrics together; beyond it the page would be slow
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash")


def learning_curves(search: SearchResult) -> Chart | None:
    """The objective after each epoch, and by choice every other metric."""
    objective = search.objective
    drawable = (name for trial in search.trials for curve in trial.curves for name in curve if drawn_curve(trial.curves, name))
    metrics = list(dict.fromkeys(drawable))
    if not metrics:
        return None
    if objective in metrics:
        metrics.sort(key=lambda name: name != objective)
    best = search.ranking()[:HIGHLIGHTED]
    others = [trial for trial in reversed(search.ranking()[HIGHLIGHTED:])]
    others += [trial for trial in search.trials if trial.state != "completed"]
    points = sum(len(values) for trial in others for curve in trial.curves[:1] for values in curve.values())
    step = -(-points // MOST_POINTS) or 1
    shown = others[::step]
    figures = {metric: _of_metric(search, metric, best, shown) for metric in metrics}
    left_out = len(others) - len(shown)
    description = "The metric after each epoch, the mean of a trial's executions"
    if best:
        description += f"; the best {len(best)} in colour" if len(best) > 1 else "; the best in colour"
    if left_out:
        description += f"; {left_out} of the other {len(others)} trials are left out"
    first = next(iter(figures.values()))
    return Chart(first, f"{description}.", wide=True, choices=figures if len(figures) > 1 else {})


def _of_metric(search: SearchResult, metric: str, best: Sequence[TrialRecord], others: Sequence[TrialRecord]) -> dict[str, Any]:
    data = []
    for name, states, colour in (
        ("other trials", ("completed", "running", "failed"), GREY),
        ("pruned", ("pruned",), PURPLE),
        ("diverged", ("diverged",), ORANGE),
    ):
        drawn = [trial for trial in others if trial.state in states and drawn_curve(trial.curves, metric)]
        if drawn:
            data.append(_many(drawn, metric, name, colour))
    for i, trial in enumerate(best):
        curve = drawn_curve(trial.curves, metric)
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": f"trial {trial.number}",
                "x": list(range(1, len(curve) + 1)),
                "y": curve,
                "line": {"width": 3 if i == 0 else 2, "color": PALETTE[i], "dash": _DASHES[i]},
                "marker": {"size": 6 if len(curve) <= 30 else 1},
                "customdata": [trial.number] * len(curve),
                "text": setting_text(trial, search.axes),
                "hovertemplate": f"<b>Trial {trial.number}</b>, epoch %{{x}}: %{{y}}<br>%{{text}}<extra></extra>",
            }
        )
    longest = max((value for trace in data for value in trace["x"] if value is not None), default=1)
    ticks = {"dtick": 1} if longest <= 12 else {}
    return figure(
        data,
        xaxis=titled("epoch", range=[0.8, longest + 0.2] if longest > 1 else [0.5, 1.5], **ticks),
        yaxis=titled_values(plain(metric), _worth_showing(data), ends=True),
        showlegend=True,
        height=430,
    )


def _worth_showing(data: Sequence[dict[str, Any]]) -> list[float]:
    """The values that the chart shows before one zooms out: all of the best, and of the others those that are not extreme."""
    shown: list[float] = []
    for trace in data:
        values = sorted(value for value in trace["y"] if value is not None)
        if None in trace["customdata"]:  # many trials
            cut = len(values) // 20 if trace["name"] != "diverged" else (len(values) if shown else len(values) // 4)
            values = values[cut : len(values) - cut]
        shown += values
    return shown


def _many(trials: Sequence[TrialRecord], metric: str, name: str, colour: str) -> dict[str, Any]:
    """Many trials as one trace, with gaps between them: fast, however many they are."""
    x: list[int | None] = []
    y: list[float | None] = []
    numbers: list[int | None] = []
    for trial in trials:
        curve = drawn_curve(trial.curves, metric)
        x += [*range(1, len(curve) + 1), None]
        y += [*curve, None]
        numbers += [*[trial.number] * len(curve), None]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": x,
        "y": y,
        "customdata": numbers,
        "opacity": 0.45,
        "line": {"width": 1, "color": colour},
        "marker": {"size": 3},
        "hovertemplate": "Trial %{customdata}, epoch %{x}: %{y}<extra></extra>",
    }


def drawn_curve(curves: Sequence[Mapping[str, list[float | None]]], metric: str) -> list[float | None]:
    """The mean curve, with few digits and without what is missing at its end."""
    means = [rounded(value) for value in mean_curve(curves, metric)]
    while means and means[-1] is None:
        means.pop()
    return means
