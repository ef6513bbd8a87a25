"""How the score follows from the hyperparameters: sensitivity, the map of two of them, divergence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tuning.report.figure import (
    GREY,
    MARGIN_BELOW_COLOURS,
    ORANGE,
    STATE_COLOUR,
    STATE_SYMBOL,
    Chart,
    colour_bar,
    figure,
    hover_text,
    plain,
    rounded,
    scaled,
    score_colours,
    symbols_text,
    titled,
    titled_values,
)
from tuning.results.search import STATES, SearchResult, TrialRecord
from tuning.space.axes import Axis, learning_rate_axis, number

MOST_MAPS = 3


def main_axes(search: SearchResult) -> list[Axis]:
    """The numbers that were searched, the learning rate first."""
    numbers = [axis for axis in search.axes if axis.is_number and axis.ends[0] != axis.ends[1]]
    first = learning_rate_axis(numbers)
    return numbers if first is None else [first, *(axis for axis in numbers if axis is not first)]


def sensitivity(search: SearchResult) -> Chart | None:
    """The score against the learning rate (or the first number, if none was searched), coloured by the second axis."""
    axes = main_axes(search)
    if not axes or not search.trials:
        return None
    first, placed = axes[0], [trial for trial in search.trials if _on(trial, axes[0])]
    others = [axis for axis in [*axes[1:], *search.axes] if axis is not first]
    second = next((axis for axis in others if all(_on(trial, axis) for trial in placed)), None)
    scored = [trial for trial in search.trials if trial.score is not None and _on(trial, first)]
    unscored = [trial for trial in search.trials if trial.score is None and _on(trial, first)]
    data = []
    for state in STATES:
        of_state = [trial for trial in scored if trial.state == state]
        if of_state:
            data.append(_scored_points(search, of_state, first, second, state))
    y_axis = score_axis(search, [trial.score for trial in scored if trial.score is not None], fixed=True)
    layout: dict[str, Any] = {"xaxis": scaled(first), "yaxis": y_axis, "height": 430}
    if second is not None and scored:
        ticks = second.ticks()
        ticks = ticks[:: math.ceil(len(ticks) / 5)]
        low, high = second.ends
        bar = colour_bar(
            plain(second.scale_label), tickvals=[place for place, _ in ticks], ticktext=[plain(text) for _, text in ticks]
        )
        layout["coloraxis"] = {"cmin": low, "cmax": high if high > low else low + 1, "colorbar": bar}
        layout["margin"] = MARGIN_BELOW_COLOURS
    if unscored:
        layout.update(_strip_below(data, search, unscored, first, y_axis))
        layout["xaxis"]["anchor"] = "y2"
    coloured = f", coloured by {second.label}" if second is not None else ""
    return Chart(
        figure(data, **layout),
        f"{search.objective} of each trial against {first.label}{coloured}"
        + ("; trials without a score stand in a strip below." if unscored else "."),
        wide=True,
    )


def score_axis(search: SearchResult, scores: Sequence[float], fixed: bool = False) -> dict[str, Any]:
    """The axis of the objective: logarithmic if scores differ by orders of magnitude.

    With `fixed` it ends at the scores; wide intervals, as two trainings give, may reach beyond it.
    """
    return titled_values(plain(search.objective), scores, ends=fixed)


def _scored_points(search, trials: Sequence[TrialRecord], first: Axis, second: Axis | None, state: str) -> dict[str, Any]:
    marker: dict[str, Any] = {"symbol": STATE_SYMBOL[state], "size": 10, "line": {"width": 1, "color": GREY}}
    if second is None:
        marker["color"] = STATE_COLOUR[state]
    else:
        marker.update(color=[place_on(trial, second) for trial in trials], coloraxis="coloraxis")
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": "markers",
        "name": state,
        "x": [place_on(trial, first) for trial in trials],
        "y": [rounded(trial.score) for trial in trials],
        "text": [hover_text(search, trial) for trial in trials],
        "customdata": [trial.number for trial in trials],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": marker,
    }
    halves = [trial.half for trial in trials]
    if any(half is not None for half in halves):
        trace["error_y"] = {"type": "data", "array": [rounded(half or 0.0) for half in halves], "width": 3, "thickness": 1}
        trace["error_y"]["color"] = GREY
    return trace


def _strip_below(data, search: SearchResult, trials, first: Axis, y_axis: dict[str, Any]) -> dict[str, Any]:
    """Adds the trials that have no score, by state, and returns the axes that make room for them."""
    states = [state for state in STATES if any(trial.state == state for trial in trials)]
    for state in states:
        of_state = [trial for trial in trials if trial.state == state]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": state,
                "x": [place_on(trial, first) for trial in of_state],
                "y": [state] * len(of_state),
                "yaxis": "y2",
                "text": [hover_text(search, trial) for trial in of_state],
                "customdata": [trial.number for trial in of_state],
                "hovertemplate": "%{text}<extra></extra>",
                "marker": {"symbol": STATE_SYMBOL[state], "color": STATE_COLOUR[state], "size": 9},
            }
        )
    height = 0.08 * len(states)
    return {
        "yaxis": {**y_axis, "domain": [height + 0.04, 1]},
        "yaxis2": {"domain": [0, height], "type": "category", "automargin": True, "range": [-0.6, len(states) - 0.4]},
    }


def maps(search: SearchResult) -> list[Chart]:
    """For each further number: where it and the first one were good."""
    axes = main_axes(search)
    scored = [trial for trial in search.trials if trial.score is not None]
    if not scored or len(axes) < 2:
        return []
    others = [axis for axis in axes[1:] if any(_on(trial, axes[0]) and _on(trial, axis) for trial in scored)]
    return [_map(search, axes[0], other) for other in others[:MOST_MAPS]]


def _map(search: SearchResult, first: Axis, other: Axis) -> Chart:
    trials = [trial for trial in search.trials if _on(trial, first) and _on(trial, other)]
    best = search.best
    data = []
    for state in STATES:
        for scored in (True, False):
            chosen = [trial for trial in trials if trial.state == state and (trial.score is not None) == scored]
            if not chosen:
                continue
            marker: dict[str, Any] = {"symbol": STATE_SYMBOL[state], "size": 13 if scored else 9}
            if scored:
                marker.update(color=[trial.score for trial in chosen], coloraxis="coloraxis", line={"width": 1, "color": GREY})
            else:
                marker["color"] = STATE_COLOUR[state]
            data.append(_points(search, chosen, first, other, marker))
    if best is not None and best in trials:
        ring = {"symbol": "circle-open", "size": 22, "color": ORANGE, "line": {"width": 2.5}}
        data.append({**_points(search, [best], first, other, ring), "name": "best"})
    scores = [trial.score for trial in trials if trial.score is not None]
    colours = score_colours(search, scores)
    worst = colours["cmin"] if search.direction == "max" else colours["cmax"]
    beyond = min(scores) < worst if search.direction == "max" else max(scores) > worst
    note = f"; scores worse than {number(worst, 3)} have the colour of that" if beyond else ""
    symbols = symbols_text(state for state in STATES if any(trial.state == state for trial in trials))
    note += f"; {symbols}" if symbols else ""
    return Chart(
        figure(
            data,
            xaxis=scaled(first),
            yaxis=scaled(other),
            coloraxis=colours,
            height=440,
            margin=MARGIN_BELOW_COLOURS,
        ),
        f"{search.objective} as colour over {first.label} and {other.label}; the best trial has a ring{note}.",
    )


def _points(search, trials, first: Axis, other: Axis, marker: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [place_on(trial, first) for trial in trials],
        "y": [place_on(trial, other) for trial in trials],
        "text": [hover_text(search, trial) for trial in trials],
        "customdata": [trial.number for trial in trials],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": marker,
    }


def divergence(search: SearchResult) -> list[Chart]:
    """Where trials diverged: over two axes, and as a share by learning rate."""
    axes = main_axes(search)
    ended = [trial for trial in search.trials if trial.state in ("completed", "pruned", "diverged")]
    if not axes or not any(trial.state == "diverged" for trial in ended):
        return []
    charts = [_diverged_share(search, axes[0], ended)]
    if len(axes) > 1:
        charts.insert(0, _diverged_plane(search, axes[0], axes[1], ended))
    return charts


def _diverged_plane(search: SearchResult, first: Axis, other: Axis, trials) -> Chart:
    data = []
    for diverged in (False, True):
        chosen = [
            trial for trial in trials if (trial.state == "diverged") == diverged and _on(trial, first) and _on(trial, other)
        ]
        marker = {"symbol": "x" if diverged else "circle-open", "color": ORANGE if diverged else GREY, "size": 9}
        data.append({**_points(search, chosen, first, other, marker), "name": "diverged" if diverged else "trained"})
    return Chart(
        figure(data, xaxis=scaled(first), yaxis=scaled(other), showlegend=True),
        f"Which trials diverged, over {first.label} and {other.label}.",
    )


def _diverged_share(search: SearchResult, first: Axis, trials) -> Chart:
    placed = [(place, trial) for trial in trials if (place := place_on(trial, first)) is not None]
    low, high = first.ends
    count = max(3, min(12, round(math.sqrt(len(placed)))))
    width = (high - low) / count
    bins: list[list[TrialRecord]] = [[] for _ in range(count)]
    for place, trial in placed:
        bins[min(count - 1, max(0, int((place - low) / width)))].append(trial)
    centres, shares, texts = [], [], []
    for i, inside in enumerate(bins):
        diverged = sum(trial.state == "diverged" for trial in inside)
        centres.append(low + (i + 0.5) * width)
        shares.append(100 * diverged / len(inside) if inside else None)
        texts.append(f"{diverged} of {len(inside)}")
    bars = {
        "type": "bar",
        "x": centres,
        "y": shares,
        "width": width * 0.92,
        "text": [text if share is not None else "" for text, share in zip(texts, shares, strict=True)],
        "textposition": "outside",
        "cliponaxis": False,
        "hovertemplate": "%{y:.0f} %: %{text} trials diverged<extra></extra>",
        "marker": {"color": ORANGE},
    }
    return Chart(
        figure([bars], xaxis=scaled(first), yaxis=titled("diverged (%)", range=[0, 112], tickvals=[0, 25, 50, 75, 100])),
        f"The share of trials that diverged, by {first.label}.",
    )


def place_on(trial: TrialRecord, axis: Axis) -> float | None:
    """Where a trial lies on an axis; `None`: nowhere."""
    return rounded(axis.position(trial.hyperparameters.get(axis.name))) if axis.name in trial.hyperparameters else None


def _on(trial: TrialRecord, axis: Axis) -> bool:
    return place_on(trial, axis) is not None
