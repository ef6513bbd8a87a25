"""The range tests that lie in the directory of a report."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

from tuning.report import page
from tuning.report.figure import BLUE, GREEN, GREY, ORANGE, Chart, figure, plain, rounded, scaled, titled
from tuning.report.page import Content
from tuning.results.range_tests import KeptRangeTest, kept
from tuning.space.axes import Axis, number

MOST_OF_LOSSES = 0.9  # the share of them that the chart shows before one zooms out: those of a divergence would hide all others


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A range test on a page."""

    title: str
    chart: Chart
    search: str | None


def drawn_tests(directory: pathlib.Path) -> list[Drawn]:
    """The range tests of a directory, for the macro `range_tests`."""
    return [Drawn(f"{test.title}: {test.hyperparameter}", _chart(test), test.search) for test in kept(directory)]


def make(directory: pathlib.Path) -> Content:
    """The page of a directory that holds range tests and no search."""
    tests = drawn_tests(directory)
    return page.compose("range_tests.html", title=f"Range test{'s' * (len(tests) > 1)}", tests=tests)


def _chart(test: KeptRangeTest) -> Chart:
    axis = Axis(test.hyperparameter, test.symbol, scale=test.scale, low=test.values[0], high=test.values[-1])
    places = [axis.position(value) for value in test.values]

    def line(name: str, losses, text: str, **style) -> dict[str, Any]:
        return {
            **{"type": "scatter", "mode": "lines", "name": name, "x": list(map(rounded, places[: len(losses)]))},
            **{"y": list(map(rounded, losses)), "customdata": [number(value) for value in test.values[: len(losses)]]},
            **{"line": style, "hovertemplate": f"{text} %{{y}} at %{{customdata}}<extra></extra>"},
        }

    data = [
        line("loss of a batch", test.losses, "loss", width=1, color=GREY),
        line("smoothed", test.smoothed, "smoothed loss", width=3, color=BLUE),
    ]
    low, high = _shown(test)
    shapes = []

    def mark(name: str, value: float, colour: str, dash: str) -> None:
        at = rounded(axis.position(value))
        style = {"color": colour, "width": 2, "dash": dash}
        data.append(
            {
                **{"type": "scatter", "mode": "lines", "name": name, "x": [at, at], "y": [rounded(low), rounded(high)]},
                **{"line": style, "hovertemplate": f"{plain(name)}<extra></extra>"},
            }
        )

    said = "The loss after each update, whose value is larger than the one before"
    if test.range is not None and test.value is not None:
        ends = [axis.position(end) for end in test.range]
        area = {"type": "rect", "xref": "x", "yref": "paper", "y0": 0, "y1": 1, "x0": ends[0], "x1": ends[1]}
        shapes.append({**area, "fillcolor": GREEN, "opacity": 0.14, "line": {"width": 0}, "layer": "below"})
        mark(f"falls most steeply: {number(test.value)}", test.value, GREEN, "solid")
        said += f"; shaded, the range to search, {number(test.range[0])} to {number(test.range[1])}"
    else:
        said += "; it does not clearly fall, so nothing is suggested"
    if test.diverged_at is not None:
        mark(f"diverges: {number(test.diverged_at, 2)}", test.diverged_at, ORANGE, "dash")
    y_axis = titled("loss", range=[rounded(low), rounded(high)])
    return Chart(figure(data, xaxis=scaled(axis), yaxis=y_axis, shapes=shapes, showlegend=True), f"{said}.", wide=True)


def _shown(test: KeptRangeTest) -> tuple[float, float]:
    """The losses that the chart shows."""
    losses = sorted(loss for loss in test.losses if loss is not None)
    within = [*test.smoothed, *losses[: max(int(MOST_OF_LOSSES * len(losses)), 1)]] or [0.0]
    margin = 0.08 * (max(within) - min(within)) or 0.1
    return min(within) - margin, max(within) + margin
