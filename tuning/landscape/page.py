"""The page with sliders: every curve on it is a run of the real optimizer, made beforehand for each position of its sliders."""

from __future__ import annotations

import base64
import dataclasses
import itertools
import math
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from tuning.errors import SearchError
from tuning.landscape.contestants import Contestant
from tuning.landscape.style import DASHES, MARKERS, colours, contour_levels, legend_note, loss_range
from tuning.landscape.surfaces import Surface
from tuning.landscape.trajectories import Program, Trajectory
from tuning.report import page
from tuning.report.figure import Chart, colour_bar, figure, plain, titled
from tuning.space.axes import number, value_text

if TYPE_CHECKING:
    from tuning.landscape import Landscape

MOST_POINTS = 300_000  # on all trajectories together: each is three float32, so that they take less than 5 MB

# How many learning rates, and which γ, ρ, β there are, from the finest grid to the coarsest.
_GRIDS: tuple[tuple[int, tuple[float, ...]], ...] = (
    (11, (0.0, 0.5, 0.8, 0.9, 0.95, 0.99, 0.999, 0.9999)),
    (9, (0.0, 0.5, 0.9, 0.99, 0.999, 0.9999)),
    (7, (0.5, 0.9, 0.99, 0.999)),
    (5, (0.9, 0.99)),
)
_RATES_A_DECADE = 4


@dataclasses.dataclass(frozen=True)
class Slider:
    """One hyperparameter that the reader can set.

    Args:
        name, symbol: of the hyperparameter.
        values: ascending.
        start: the position of the value that the contestant has.
    """

    name: str
    symbol: str
    values: tuple[float, ...]
    start: int


@dataclasses.dataclass(frozen=True)
class Grid:
    """The runs of one contestant, for all positions of its sliders.

    Args:
        contestant: whose.
        sliders: the learning rate first.
        trajectories: by position, the last slider's changing fastest.
    """

    contestant: Contestant
    sliders: tuple[Slider, ...]
    trajectories: list[Trajectory]


def make(landscape: Landscape) -> str:
    """The page."""
    surface = landscape.surface
    sliders = _sliders(landscape)
    grids = [
        Grid(contestant, its, _runs(landscape, contestant, its))
        for contestant, its in zip(landscape.contestants, sliders, strict=True)
    ]
    _, _, heights = surface.map()
    content = page.compose(
        "landscape.html",
        title=surface.title,
        formula=surface.formula,
        steps=landscape.steps,
        grids=grids,
        looks=_looks(len(grids)),
        runs=sum(len(grid.trajectories) for grid in grids),
        with_keras=any(not grid.contestant.is_ours for grid in grids),
        map=_map(surface, landscape.start, heights),
        losses=_losses(surface, heights, grids, landscape.steps),
        curves=[_for_the_script(grid) for grid in grids],
        about=[("Backend", keras.backend.backend()), ("Keras", keras.__version__), ("keras-optims", page.version())],
        command=landscape.command,
    )
    return page.render(content, more_scripts=("landscape.js",))


def _sliders(landscape: Landscape) -> list[tuple[Slider, ...]]:
    """Those of each contestant, with the finest grid that keeps the page small."""
    for rates, decays in _GRIDS:
        sliders = [tuple(_sliders_of(contestant, rates, decays)) for contestant in landscape.contestants]
        runs = sum(math.prod(len(slider.values) for slider in its) for its in sliders)
        if runs * (landscape.steps + 1) <= MOST_POINTS:
            return sliders
    raise SearchError(
        f"A page with sliders holds at most {MOST_POINTS // runs - 1} steps of these {len(sliders)} optimizers with {runs} "
        f"settings; received {landscape.steps}: take fewer of either, or write a .png."
    )


def _sliders_of(contestant: Contestant, rates: int, decays: tuple[float, ...]):
    """Of the learning rate, and of our optimizers also γ, ρ and β: Keras's compile these in."""
    now = contestant.settings
    for name, declared in contestant.hyperparameters.items():
        value = now.get(name, declared.default)
        if name == "learning_rate":
            if value > 0:
                powers = range(2 + 1 - rates, 2 + 1)  # from far below it to three times as much
                values = {float(f"{value * 10 ** (power / _RATES_A_DECADE):.3g}") for power in powers} - {0.0}
                nearest = min(values, key=lambda rate: abs(rate - value))
                yield _slider(name, declared.symbol, values - {nearest}, value)
        elif contestant.is_ours and declared.search is not None and declared.search.scale == "log1m" and _is_on(declared, value):
            low, high = 0.0 if declared.search.low <= 0.5 else declared.search.low, declared.search.high
            yield _slider(name, declared.symbol, {decay for decay in decays if low <= decay <= high}, value)


def _is_on(declared, value) -> bool:
    """Whether the term is there: a momentum of RMSprop that is off has no slot and cannot be set."""
    return value is not None and value != declared.off


def _slider(name: str, symbol: str, values: set[float], value: float) -> Slider:
    ascending = tuple(sorted(values | {float(value)}))
    return Slider(name, symbol, ascending, ascending.index(float(value)))


def _runs(landscape: Landscape, contestant: Contestant, sliders: tuple[Slider, ...]) -> list[Trajectory]:
    """One compiled program runs them all: other values of the hyperparameters compile nothing."""
    program = Program(contestant.make(), landscape.surface, landscape.steps)
    names = [slider.name for slider in sliders]
    return [
        program.run(landscape.start, dict(zip(names, values, strict=True)))
        for values in itertools.product(*(slider.values for slider in sliders))
    ]


# -- figures --------------------------------------------------------------------------------------


_DASH_ARRAYS = {"solid": "none", "dash": "9 4", "dot": "3 3", "dashdot": "9 3 3 3", "longdash": "14 4"}


def _looks(count: int) -> list[dict[str, str]]:
    """Colour, dash and symbol of each contestant, as plotly.js and as SVG write dashes."""
    cycles = zip(itertools.cycle(colours()), itertools.cycle(DASHES), itertools.cycle(MARKERS), range(count), strict=False)
    return [
        {"colour": colour, "dash": dash, "dasharray": _DASH_ARRAYS[dash], "symbol": symbol} for colour, dash, symbol, _ in cycles
    ]


def _map(surface: Surface, start, heights: np.ndarray) -> Chart:
    """The contours; the script adds the trajectories."""
    (left, right), (low, high) = surface.domain
    levels = contour_levels(surface, heights)
    # Losses by their place among the levels, which lie closer together where the loss is low.
    known = [min(float(np.nanmin(heights)), levels[0] - 1e-9), *levels]
    places = np.interp(heights, known, np.arange(len(known)) - 1.0)
    rows, columns = heights.shape
    ticks = list(range(0, len(levels), max(1, len(levels) // 4)))
    contours = {
        "type": "contour",
        "x": np.linspace(left, right, columns).round(6).tolist(),
        "y": np.linspace(low, high, rows).round(6).tolist(),
        "z": places.round(3).tolist(),
        "contours": {"start": 0, "end": len(levels) - 1, "size": 1},
        "line": {"width": 0.5, "color": "rgba(120,132,146,0.7)"},
        "coloraxis": "coloraxis",
        "hoverinfo": "skip",
        "showlegend": False,
    }
    bar = colour_bar("loss L", tickvals=ticks, ticktext=[number(levels[tick]) for tick in ticks])
    bar |= {"nticks": 0, "tickangle": 0, "ypad": 0}
    marks = [("○ start", start), *(("★ minimum", minimum) for minimum in surface.minima)]
    annotations = [
        {
            "x": x,
            "y": y,
            "text": text,
            "showarrow": False,
            "xanchor": "left",
            "xshift": -7,
            "yshift": -14 * (text[0] == "★") or 14,
        }
        for text, (x, y) in marks
    ]
    made = figure(
        [contours],
        coloraxis={"cmin": -1, "cmax": len(levels) - 1, "colorbar": bar},
        meta={"scale": "quiet"},
        xaxis=titled("", range=[left, right]),
        yaxis=titled("θ₂", range=[low, high]),
        annotations=[*annotations, _BELOW],
        height=540,
        margin={"l": 52, "r": 14, "t": 14, "b": 44},
        showlegend=True,
        legend={"orientation": "h", "x": 0, "y": -0.13, "yanchor": "top", "xanchor": "left"},
    )
    return Chart(
        made, f"The weights of each optimizer, step by step, on the contours of the loss: {surface.heading}.", least_width=300
    )


# A title of θ₁'s axis, which plotly.js would draw over the numbers where a colour bar lies above the chart.
_BELOW = {"x": 0.5, "xref": "paper", "y": 0, "yref": "paper", "yanchor": "top", "yshift": -20, "text": "θ₁", "showarrow": False}


def _losses(surface: Surface, heights: np.ndarray, grids: list[Grid], steps: int) -> Chart:
    low, high = loss_range(surface, heights, [run for grid in grids for run in grid.trajectories])
    ends = [math.log10(low), math.log10(high)] if surface.logarithmic else [low, high]
    made = figure(
        [],
        xaxis=titled("step", range=[0, steps]),
        yaxis=titled("loss L", range=ends, type="log" if surface.logarithmic else "linear", exponentformat="e"),
        height=320,
    )
    return Chart(made, "The loss after each step.", wide=True)


def _for_the_script(grid: Grid) -> dict[str, Any]:
    """What the page's script draws from; weights and losses as base64 of float32, little-endian."""
    contestant, names = grid.contestant, [slider.name for slider in grid.sliders]
    notes = [legend_note(run) for run in grid.trajectories]
    return {
        "title": plain(contestant.title),
        "others": [plain(text) for text in contestant.said(without=names)],
        "sliders": [
            {"symbol": slider.symbol, "texts": [value_text(value) for value in slider.values]} for slider in grid.sliders
        ],
        "drawn": [run.drawn for run in grid.trajectories],
        "notes": {position: note for position, note in enumerate(notes) if note},
        "weights": _base64([run.weights for run in grid.trajectories]),
        "losses": _base64([run.losses for run in grid.trajectories]),
    }


def _base64(arrays: list[np.ndarray]) -> str:
    return base64.b64encode(np.stack(arrays).astype("<f4").tobytes()).decode()
