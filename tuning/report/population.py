"""A population: each member's numbers over the epochs, and who went on from whom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tuning.report.figure import (
    BLUE,
    GREY,
    MARGIN_BELOW_COLOURS,
    ORANGE,
    Chart,
    figure,
    hover_text,
    plain,
    rounded,
    scaled,
    score_colours,
    titled,
)
from tuning.report.response import main_axes
from tuning.results.search import SearchResult, TrialRecord, mean_curve
from tuning.space.axes import Axis


def population(search: SearchResult) -> Chart | None:
    """The numbers of all members, one hyperparameter at a time; `None` of another search, or if nothing has changed yet."""
    if not search.config.get("population"):
        return None
    names = {name for trial in search.trials for _, values in trial.settings for name in _changed(trial, values)}
    axes = [axis for axis in main_axes(search) if axis.name in names]
    if not axes:
        return None
    figures = {axis.label: _of_axis(search, axis) for axis in axes}
    text = (
        "Each member's value over the epochs: a line is a trial, its point is coloured by the last objective, and a "
        "ring is where a member went on from the state of another one, at the end of the dotted line, with another value"
    )
    best = search.best
    text += "" if best is None else f"; the thick line is what trial {best.number}, the best one, was trained with"
    first = next(iter(figures.values()))
    return Chart(first, f"{text}.", wide=True, choices=figures if len(figures) > 1 else {}, choice="Hyperparameter")


def line_of(search: SearchResult, trial: TrialRecord) -> list[TrialRecord]:
    """The trials whose training one is, from the first of them to itself."""
    by_number = {each.number: each for each in search.trials}
    line = [trial]
    while (before := by_number.get(-1 if line[0].continues is None else line[0].continues)) is not None:
        if before.number >= line[0].number:
            break
        line.insert(0, before)
    return line


def _changed(trial: TrialRecord, values: dict[str, Any]) -> list[str]:
    return [name for name, value in values.items() if value != trial.settings[0][1].get(name)]


def _of_axis(search: SearchResult, axis: Axis) -> dict[str, Any]:
    by_number = {trial.number: trial for trial in search.trials}
    having = [trial for trial in search.trials if axis.name in trial.hyperparameters and trial.epochs]
    copies = [(parent, trial) for trial in having if (parent := _copied(search, trial, by_number)) is not None]
    lines = [[(_begins(by_number, trial), trial), (trial.epochs or 0, trial)] for trial in having]
    data = [
        _segments("members", lines, axis, GREY),
        _segments(
            "goes on from another",
            [[(parent.epochs or 0, each) for each in (parent, trial)] for parent, trial in copies],
            axis,
            ORANGE,
        ),
    ]
    data[1]["line"] |= {"dash": "dot"}
    data[1] |= {"mode": "lines+markers", "opacity": 1.0}
    data[1]["marker"] = {"symbol": "circle-open", "size": [0, 12, 0] * len(copies), "color": ORANGE, "line": {"width": 1.5}}
    if search.best is not None:
        line = line_of(search, search.best)
        ends = [point for trial in line for point in ((_begins(by_number, trial), trial), (trial.epochs or 0, trial))]
        data.append(_segments("the best one", [ends], axis, BLUE))
        data[2] |= {"opacity": 1.0}
        data[2]["line"] |= {"width": 3}
    scored = [(trial, last) for trial in having if (last := _last(search, trial)) is not None]
    data.append(
        {
            "type": "scatter",
            "mode": "markers",
            "name": "trials",
            "showlegend": False,
            "x": [trial.epochs for trial, _ in scored],
            "y": [rounded(axis.position(trial.hyperparameters[axis.name])) for trial, _ in scored],
            "customdata": [trial.number for trial, _ in scored],
            "text": [hover_text(search, trial) for trial, _ in scored],
            "hovertemplate": "%{text}<extra></extra>",
            "marker": {"size": 8, "color": [rounded(last) for _, last in scored], "coloraxis": "coloraxis"},
        }
    )
    return figure(
        data,
        xaxis=titled("epoch", rangemode="tozero"),
        yaxis=scaled(axis),
        showlegend=True,
        height=460,
        coloraxis=score_colours(search, [last for _, last in scored]),
        margin=MARGIN_BELOW_COLOURS,
        legend={"orientation": "h", "x": 0, "y": -0.16, "yanchor": "top", "xanchor": "left"},
    )


def _copied(search: SearchResult, trial: TrialRecord, by_number: dict[int, TrialRecord]) -> TrialRecord | None:
    """The trial of another member from which one goes on."""
    members = search.config.get("population")
    if trial.continues is None or not isinstance(members, int) or trial.continues % members == trial.number % members:
        return None
    return by_number.get(trial.continues)


def _begins(by_number: dict[int, TrialRecord], trial: TrialRecord) -> int:
    parent = by_number.get(-1 if trial.continues is None else trial.continues)
    return (parent.epochs or 0) if parent is not None else 0


def _last(search: SearchResult, trial: TrialRecord) -> float | None:
    means = mean_curve(trial.curves, search.objective)
    return means[-1] if means and trial.state == "completed" else None


def _segments(name: str, lines: Sequence[Sequence[tuple[int, TrialRecord]]], axis: Axis, colour: str) -> dict[str, Any]:
    """Lines through (epoch, the value of a trial), with gaps between them."""
    x: list[int | None] = []
    y: list[float | None] = []
    numbers: list[int | None] = []
    for line in lines:
        known = [(epoch, trial) for epoch, trial in line if axis.name in trial.hyperparameters]
        x += [*(epoch for epoch, _ in known), None]
        y += [*(rounded(axis.position(trial.hyperparameters[axis.name])) for _, trial in known), None]
        numbers += [*(trial.number for _, trial in known), None]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": plain(name),
        "x": x,
        "y": y,
        "customdata": numbers,
        "opacity": 0.7,
        "line": {"width": 1.2, "color": colour},
        "hoverinfo": "skip",
    }
