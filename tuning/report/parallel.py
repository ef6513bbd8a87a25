"""Parallel coordinates: every trial as a line across all axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tuning.report.figure import Chart, figure, plain, rounded, score_colours
from tuning.report.response import place_on, score_axis
from tuning.results.search import SearchResult, TrialRecord
from tuning.space.axes import Axis, number
from tuning.space.scale import round_values

DESK_WIDTH, LEAST_BETWEEN = 1150, 88  # pixels: parallel axes fit a desk, until they would stand too close


def parallel(search: SearchResult) -> Chart | None:
    """Every scored trial as a line from its score across all axes."""
    trials = [trial for trial in search.trials if trial.score is not None]
    if len(trials) < 2 or not search.axes:
        return None
    # The lines of the best are drawn last, on top of the others.
    trials.sort(key=lambda trial: trial.score or 0.0, reverse=search.direction == "min")
    dimensions = [_dimension(axis, trials) for axis in search.axes]
    slanted = len(dimensions) > 7  # as their names have no room beside each other
    scores = [trial.score for trial in trials if trial.score is not None]
    y_axis = score_axis(search, scores)
    logarithmic = "type" in y_axis
    heights = [math.log10(score) if logarithmic else score for score in scores]
    low, high = min(heights), max(heights)
    if low == high:
        low, high = low - 0.5, high + 0.5
    score: dict[str, Any] = {"label": y_axis["title"]["text"], "values": list(map(rounded, heights)), "range": [low, high]}
    if logarithmic:
        score.update(tickvals=[math.log10(tick) for tick in y_axis["tickvals"]], ticktext=y_axis["ticktext"])
    else:
        score.update(tickvals=(ticks := round_values(low, high)), ticktext=[number(tick, 3) for tick in ticks])
    trace = {
        "type": "parcoords",
        "dimensions": [score, *dimensions],  # the score's axis is in sight however many there are
        "customdata": [trial.number for trial in trials],
        "line": {"color": scores, "coloraxis": "coloraxis"},
        "labelangle": -12 if slanted else 0,
        "labelfont": {"size": 13},
        "tickfont": {"size": 12},
    }
    colours = score_colours(search, scores)
    colours["showscale"] = False
    return Chart(
        figure(
            [trace],
            coloraxis=colours,
            height=440 if slanted else 420,
            margin={"l": 64, "r": 64, "t": 68 if slanted else 48, "b": 24},
        ),
        f"Each line is a trial, from its {search.objective} across its hyperparameters; drag along an axis to choose trials, "
        "click it to clear.",
        wide=True,
        least_width=max(LEAST_BETWEEN, min(130, DESK_WIDTH // (len(dimensions) + 1))) * (len(dimensions) + 1),
    )


def _dimension(axis: Axis, trials: Sequence[TrialRecord]) -> dict[str, Any]:
    low, high = axis.ends
    if low == high:
        low, high = low - 0.5, high + 0.5
    places = [place_on(trial, axis) for trial in trials]
    ticks = axis.ticks()
    if any(place is None for place in places):  # of a hyperparameter that depends on another: below all values
        low -= 0.15 * (high - low)
        ticks = [(low, "not set"), *ticks]
    return {
        "label": plain(axis.label),
        "values": [low if place is None else place for place in places],
        "range": [low, high],
        "tickvals": [position for position, _ in ticks],
        "ticktext": [text[:24] for _, text in ticks],
    }
