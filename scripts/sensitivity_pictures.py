"""The pictures of the documents that `sensitivity.py` draws: the accuracies of trials over each hyperparameter."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np
import plotly.graph_objects as go
import plotly.subplots

from scripts.chromium import LAYOUT, X_AXIS, Y_AXIS
from scripts.searches import default_setting
from scripts.sensitivity_trials import (
    AXES,
    BUDGETS,
    CHANCE,
    EFFECTIVE,
    STUDIED,
    Search,
    Training,
    shown_axes,
    value_on,
)
from tuning.report.figure import BLUE, ORANGE
from tuning.space.axes import Axis, number

WIDTH, ROW, GAP, ABOVE, BELOW, LEFT, RIGHT, BETWEEN = 720, 170, 84, 62, 142, 78, 12, 52  # pixels; the file has twice as many
FONT = 16  # legible on a telephone, where the picture is about half as wide
WINDOW = 0.06  # of an axis, to either side: where the upper edge is sought
# Viridis, which the colour-blind see as others do, without its lightest end, which would not show on white.
COLOURS = [[0, "#440154"], [0.25, "#3e4a89"], [0.5, "#25838e"], [0.75, "#35b779"], [1, "#c2df23"]]
SHADE, EDGE, MARK = "#dde6ef", "#5b6068", "#c2185b"


def accuracy_axis(trainings: list[Training], problem: str) -> Axis:
    """From chance to the best of all optimizers on a problem, on a scale that shows the differences near the best."""
    best = max(Search.of(trainings, problem, optimizer).accuracies.max() for optimizer in STUDIED)
    return Axis("accuracy", scale="log1m", low=CHANCE, high=best)


def spaced(candidates: Iterable[tuple[float, str]], least: Callable[[str, str], float]) -> dict[str, list]:
    """Of (position, text), the earlier the dearer, those whose texts are far enough from all that are taken already."""
    taken: list[tuple[float, str]] = []
    for place, text in candidates:
        if all(abs(place - other) >= least(text, beside) for other, beside in taken):
            taken.append((place, text))
    return {"tickvals": [place for place, _ in taken], "ticktext": [text for _, text in taken]}


def ticks_across(axis: Axis, pixels: float) -> dict[str, list]:
    """Of a horizontal axis: powers of ten, from both ends; between decay rates also others."""
    low, high = axis.ends
    if axis.scale == "log1m":
        values = [value for value in (0.9, 0.99, 0.999, 0.9999, 0.5, 0.98, 0.995, 0.8) if axis.low <= value <= axis.high]
        candidates = [(axis.position(value), number(value)) for value in values]
    else:
        powers = range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1)
        candidates = [(float(power), number(10.0**power)) for power in (*powers[::2], *powers[1::2])]
    character = 0.56 * FONT * (high - low) / pixels
    return spaced(candidates, lambda one, other: character * ((len(one) + len(other)) / 2 + 0.4))


def ticks_upwards(axis: Axis) -> dict[str, list]:
    """Of the accuracies."""
    values = [value for value in (0.98, 0.97, 0.6, 0.95, 0.9, 0.5, 0.8, 0.4, 0.3, 0.2, CHANCE) if value <= axis.high]
    low, high = axis.ends
    return spaced([(axis.position(value), number(value)) for value in values], lambda *_: 1.3 * FONT * (high - low) / ROW)


def upper_edge(positions: np.ndarray, heights: np.ndarray, axis: Axis) -> tuple[np.ndarray, np.ndarray]:
    """The greatest height within the window around each place of an axis; places without a trial are left out."""
    low, high = axis.ends
    places = np.linspace(low, high, 201)
    inside = abs(places[:, None] - positions) <= WINDOW * (high - low)
    greatest = np.where(inside, heights, -np.inf).max(axis=1)
    return places[greatest > -np.inf], greatest[greatest > -np.inf]


def panel(chart: go.Figure, row: int, col: int, axis: Axis, search: Search, score: Axis):
    """The accuracies of a search over one axis."""
    where = {"row": row, "col": col}
    rate = AXES[search.optimizer]["learning_rate"]
    x = np.array([axis.position(value_on(axis, trial.setting)) for trial in search.trials])
    y = np.array([score.position(max(accuracy, CHANCE)) for accuracy in search.accuracies])
    colour = np.array([rate.position(trial.setting["learning_rate"]) for trial in search.trials])
    ended = np.array([trial.state != "diverged" for trial in search.trials])
    bottom, top = score.ends
    margin = 0.07 * (top - bottom)
    if len(AXES[search.optimizer]) > 1 and axis is not EFFECTIVE:
        places, greatest = upper_edge(x[ended], y[ended], axis)
        chart.add_scatter(x=places, y=greatest, mode="lines", line={"color": EDGE, "width": 1.2}, showlegend=False, **where)
    coloured = {"color": colour[ended], "coloraxis": "coloraxis"} if len(AXES[search.optimizer]) > 1 else {"color": BLUE}
    marker = {**coloured, "size": 8, "line": {"color": "white", "width": 0.6}}
    chart.add_scatter(x=x[ended], y=y[ended], mode="markers", marker=marker, showlegend=False, **where)
    crosses = {"x": x[~ended], "y": np.full(sum(~ended), bottom)} if not ended.all() else {"x": [None], "y": [None]}
    in_legend = row == col == 1
    marker = {"color": ORANGE, "symbol": "x", "size": 8}
    chart.add_scatter(**crosses, mode="markers", marker=marker, name="diverged", showlegend=in_legend, **where)
    chart.add_scatter(
        x=[axis.position(value_on(axis, default_setting(search.optimizer)))],
        y=[score.position(max(float(np.mean(search.default)), CHANCE))],
        mode="markers",
        marker={"color": "white", "symbol": "diamond", "size": 11, "line": {"color": MARK, "width": 2.5}},
        name=f"default setting, mean of {len(search.default)} seeds",
        showlegend=in_legend,
        **where,
    )
    square = {"color": SHADE, "symbol": "square", "size": 14}
    chart.add_scatter(x=[None], y=[None], mode="markers", marker=square, name="near the best", showlegend=in_legend, **where)
    least = score.position(max(search.least_near, CHANCE))
    chart.add_hrect(least, top + margin, fillcolor=SHADE, line_width=0, layer="below", **where)
    low, high = axis.ends
    aside = 0.06 * (high - low)
    width = (WIDTH - LEFT - RIGHT - 2 * BETWEEN) / 3 / 1.12
    chart.update_xaxes(**X_AXIS, **ticks_across(axis, width), range=[low - aside, high + aside], tickangle=0, **where)
    chart.update_yaxes(**Y_AXIS, **ticks_upwards(score), range=[bottom - margin, top + margin], **where)


def picture(optimizer: str, trainings: list[Training]) -> go.Figure:
    """A column for each problem and a row for each hyperparameter: accuracy over its value."""
    rows, searches = shown_axes(optimizer), [Search.of(trainings, problem, optimizer) for problem in BUDGETS]
    inner = len(rows) * ROW + (len(rows) - 1) * GAP
    chart = plotly.subplots.make_subplots(
        rows=len(rows),
        cols=len(searches),
        horizontal_spacing=BETWEEN / (WIDTH - LEFT - RIGHT),
        vertical_spacing=GAP / inner,
        subplot_titles=[
            f"<b>{BUDGETS[each.problem].title}</b><br>{len(each.trials)} trials, {BUDGETS[each.problem].epochs} epochs"
            for each in searches
        ],
    )
    for col, each in enumerate(searches, start=1):
        score = accuracy_axis(trainings, each.problem)
        for row, axis in enumerate(rows, start=1):
            panel(chart, row, col, axis, each, score)
    for row, axis in enumerate(rows, start=1):
        chart.update_xaxes(title={"text": axis.scale_label, "standoff": 6, "font": {"size": FONT}}, row=row, col=2)
        chart.update_yaxes(title={"text": "accuracy", "font": {"size": FONT}}, row=row, col=1)
    if not any(each.diverged for each in searches):
        chart.update_traces(showlegend=False, selector={"name": "diverged"})
    chart.update_annotations(font_size=FONT)
    below = BELOW if len(AXES[optimizer]) > 1 else BELOW - 46
    chart.update_layout(
        width=WIDTH,
        height=ABOVE + inner + below,
        **{**LAYOUT, "font": {**LAYOUT["font"], "size": FONT}},
        margin={"l": LEFT, "r": RIGHT, "t": ABOVE, "b": below},
        legend={"orientation": "h", "x": 0, "y": -70 / inner, "yanchor": "top"},
    )
    if len(AXES[optimizer]) > 1:
        rate = AXES[optimizer]["learning_rate"]
        bar = {"orientation": "h", "thickness": 12, "len": 0.76, "x": 0.18, "xanchor": "left", "y": -96 / inner, "yanchor": "top"}
        bar |= {**ticks_across(rate, 400), "outlinewidth": 0}
        chart.update_layout(coloraxis={"colorscale": COLOURS, "cmin": rate.ends[0], "cmax": rate.ends[1], "colorbar": bar})
        place = {"xref": "paper", "yref": "paper", "xanchor": "left", "yanchor": "top", "showarrow": False}
        chart.add_annotation(text="η, as colour", x=0, y=-101 / inner, font_size=FONT, **place)
    return chart
