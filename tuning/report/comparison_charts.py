"""Charts of several optimizers: final scores with intervals, progress, learning curves and sensitivity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tuning.report.curves import drawn_curve
from tuning.report.figure import PALETTE, Chart, figure, hover_text, plain, rounded, scaled, titled
from tuning.report.progress import best_so_far
from tuning.report.response import score_axis
from tuning.results.search import SearchResult
from tuning.space.axes import Axis, learning_rate_axis

_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star")
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")

Named = Sequence[tuple[str, SearchResult]]


def intervals(metric: str, rows: Sequence[tuple[str, dict[str, Any]]]) -> Chart | None:
    """A dot and an interval for each optimizer; `rows`: (name, {"mean", "low", "high", "count", "values"}), best first."""
    if not rows:
        return None
    data = []
    for i, (name, found) in enumerate(rows):
        row = len(rows) - 1 - i
        values = [value for value in found.get("values") or [] if value is not None]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": list(map(rounded, values)),
                "y": [row - 0.18] * len(values),
                "marker": {"color": _colour(i), "size": 6, "opacity": 0.55, "symbol": "line-ns-open"},
                "hovertemplate": "one training: %{x}<extra></extra>",
            }
        )
        low, high = found.get("low"), found.get("high")
        error = {"type": "data", "thickness": 2, "width": 7, "symmetric": False}
        if low is not None and high is not None:
            error.update(array=[rounded(high - found["mean"])], arrayminus=[rounded(found["mean"] - low)])
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": [rounded(found["mean"])],
                "y": [row],
                "error_x": error,
                "text": [plain(name)],
                "hovertemplate": "<b>%{text}</b>: %{x}<extra></extra>",
                "marker": {"color": _colour(i), "size": 12, "symbol": _SYMBOLS[i % len(_SYMBOLS)]},
            }
        )
    names = [plain(name) for name, _ in reversed(rows)]
    y_axis = {"tickvals": list(range(len(rows))), "ticktext": names, "automargin": True, "zeroline": False}
    return Chart(
        figure(
            data,
            xaxis=titled(plain(metric)),
            yaxis={**y_axis, "range": [-0.6, len(rows) - 0.4]},
            height=110 + 52 * len(rows),
        ),
        f"{metric} of each optimizer's confirmed best setting: the mean with its 95 % interval, and each training as a tick.",
        wide=True,
    )


def progress(searches: Named, each: str = "optimizer") -> Chart | None:
    """The best validation score so far against the number of trials."""
    data, scores = [], []
    for i, (name, search) in enumerate(searches):
        steps = best_so_far(search)
        if not steps:
            continue
        scores += [best for _, best in steps]
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": plain(name),
                "x": list(range(1, len(steps) + 1)),
                "y": [rounded(best) for _, best in steps],
                "line": {"shape": "hv", "width": 2.5, "color": _colour(i), "dash": _DASHES[i % len(_DASHES)]},
                "hovertemplate": f"{plain(name)}: %{{y}}, trials completed: %{{x}}<extra></extra>",
            }
        )
    if not data:
        return None
    first = searches[0][1]
    return Chart(
        figure(data, xaxis=titled("trials completed"), yaxis=score_axis(first, scores), showlegend=True),
        f"The best {first.objective} so far of each {each} against the number of completed trials.",
    )


def confirmed_curves(confirmations: Named) -> Chart | None:
    """The learning curves of each optimizer's confirmed best: every training thin, their mean thick."""
    data: list[dict[str, Any]] = []
    objective, values = None, []
    for i, (name, search) in enumerate(confirmations):
        completed = [trial for trial in search.trials if trial.state == "completed"]
        if not completed:
            continue
        objective = objective or search.objective
        curves = [curve for trial in completed for curve in trial.curves]
        mean = drawn_curve(curves, objective)
        colour = _colour(i)
        for curve in curves:
            single = list(map(rounded, curve.get(objective, [])))
            values += [value for value in single if value is not None]
            data.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "x": list(range(1, len(single) + 1)),
                    "y": single,
                    "line": {"width": 1, "color": colour},
                    "opacity": 0.4,
                    "showlegend": False,
                    "legendgroup": str(i),
                    "hoverinfo": "skip",
                }
            )
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": plain(name),
                "legendgroup": str(i),
                "x": list(range(1, len(mean) + 1)),
                "y": mean,
                "line": {"width": 3, "color": colour, "dash": _DASHES[i % len(_DASHES)]},
                "marker": {"symbol": _SYMBOLS[i % len(_SYMBOLS)], "size": 7 if len(mean) <= 30 else 1},
                "hovertemplate": f"{plain(name)}, epoch %{{x}}: %{{y}}<extra></extra>",
            }
        )
    if objective is None:
        return None
    ticks = {"dtick": 1} if max(len(trace["x"]) for trace in data) <= 12 else {}
    return Chart(
        figure(data, xaxis=titled("epoch", **ticks), yaxis=score_axis(confirmations[0][1], values), showlegend=True),
        f"{objective} after each epoch of each optimizer's best setting: the mean over fresh seeds, and every training thin.",
    )


def best_curves(searches: Named) -> Chart | None:
    """The learning curve of each search's best trial."""
    data: list[dict[str, Any]] = []
    for i, (name, search) in enumerate(searches):
        best = search.best
        curve = [] if best is None else drawn_curve(best.curves, search.objective)
        if best is None or not curve:
            continue
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": plain(name),
                "x": list(range(1, len(curve) + 1)),
                "y": curve,
                "customdata": [best.number] * len(curve),
                "meta": i,
                "line": {"width": 2.5, "color": _colour(i), "dash": _DASHES[i % len(_DASHES)]},
                "marker": {"symbol": _SYMBOLS[i % len(_SYMBOLS)], "size": 7 if len(curve) <= 30 else 1},
                "hovertemplate": f"{plain(name)}, trial {best.number}, epoch %{{x}}: %{{y}}<extra></extra>",
            }
        )
    if not data:
        return None
    longest, objective = max(len(trace["x"]) for trace in data), searches[0][1].objective
    values = [value for trace in data for value in trace["y"] if value is not None]
    ticks = {"dtick": 1} if longest <= 12 else {}
    return Chart(
        figure(data, xaxis=titled("epoch", **ticks), yaxis=score_axis(searches[0][1], values), showlegend=True),
        f"{objective} after each epoch of each search's best trial.",
    )


def sensitivities(searches: Named, each: str = "optimizer") -> Chart | None:
    """The score of every trial of every optimizer against its learning rate."""
    placed = [(name, search, learning_rate_axis(search.axes)) for name, search in searches]
    known: list[tuple[str, SearchResult, Axis]] = [(name, search, axis) for name, search, axis in placed if axis is not None]
    if not known:
        return None
    numbers = {name: number for number, (name, _) in enumerate(searches)}  # on the page, of all searches
    data, scores = [], []
    for i, (name, search, axis) in enumerate(known):
        trials = [trial for trial in search.trials if trial.score is not None and axis.name in trial.hyperparameters]
        trials.sort(key=lambda trial: trial.hyperparameters[axis.name])
        scores += [trial.score for trial in trials if trial.score is not None]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": plain(name),
                "x": [rounded(known[0][2].position(trial.hyperparameters[axis.name])) for trial in trials],
                "y": [rounded(trial.score) for trial in trials],
                "text": [hover_text(search, trial) for trial in trials],
                "customdata": [trial.number for trial in trials],
                "meta": numbers[name],
                "hovertemplate": f"<b>{plain(name)}</b> %{{text}}<extra></extra>",
                "marker": {"color": _colour(i), "size": 10, "symbol": _SYMBOLS[i % len(_SYMBOLS)], "opacity": 0.85},
            }
        )
    first = known[0][2]
    low, high = min(axis.low for _, _, axis in known), max(axis.high for _, _, axis in known)
    shared = Axis(first.name, first.symbol, scale=first.scale, low=low, high=high)
    return Chart(
        figure(data, xaxis=scaled(shared), yaxis=score_axis(known[0][1], scores), showlegend=True, height=430),
        f"{known[0][1].objective} of every completed trial of each {each} against {first.label}.",
        wide=True,
    )


def _colour(i: int) -> str:
    return PALETTE[i % len(PALETTE)]
