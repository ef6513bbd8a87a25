"""What all charts share: text that Plotly must not interpret, colours, states, and axes on their searched scales.

A figure is a dict as plotly.js takes it: `{"data": [...], "layout": {...}}`. Colours of text, grid and background, and the
colour scale of `coloraxis`, are left out: the page sets them for its light or dark theme.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from tuning.results.search import SearchResult, TrialRecord
from tuning.space.axes import Axis, number, value_text

# After Okabe and Ito, so that they differ for the colour-blind, at lightnesses that show on white and on near-black.
BLUE, ORANGE, GREEN, PURPLE, SKY, BROWN = "#2a7fc1", "#d9660a", "#0c9d74", "#c4689c", "#3aa3d8", "#a8801a"
GREY = "#8a8f98"
PALETTE = (BLUE, ORANGE, GREEN, PURPLE, BROWN, SKY)
STATE_COLOUR = {"completed": BLUE, "pruned": PURPLE, "running": GREEN, "diverged": ORANGE, "failed": BROWN}
STATE_SYMBOL = {"completed": "circle", "pruned": "diamond", "running": "star", "diverged": "x", "failed": "triangle-down"}
_SYMBOL_TEXT = {"pruned": "◆", "running": "★", "diverged": "✖", "failed": "▼"}

_LONGEST_TEXT = 60


@dataclasses.dataclass(frozen=True)
class Chart:
    """A figure with the words around it.

    Args:
        figure: as plotly.js takes it.
        description: what the chart shows, in one sentence; for those who cannot see it, and as its caption.
        wide: whether it needs the whole width of the page.
        least_width: pixels below which it scrolls sideways within its frame.
        choices: by the label of a choice that the reader has, the figure.
        choice: what is chosen.
    """

    figure: dict[str, Any]
    description: str
    wide: bool = False
    least_width: int | None = None
    choices: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    choice: str = "Metric"


MARGIN_BELOW_COLOURS = {"l": 64, "r": 14, "t": 58, "b": 52}  # of a chart with a colour bar above it


def of_search(chart: Chart | None, index: int) -> Chart | None:
    """The same chart with the number of its search on the page in each trace, so that trials of several searches differ."""
    if chart is None or index == 0:
        return chart
    marked = {label: _marked(figure, index) for label, figure in chart.choices.items()}
    return dataclasses.replace(chart, figure=_marked(chart.figure, index), choices=marked)


def _marked(figure: dict[str, Any], index: int) -> dict[str, Any]:
    return {**figure, "data": [{**trace, "meta": index} for trace in figure["data"]]}


def plain(text: Any) -> str:
    """A text as Plotly shows it literally: it knows some HTML, entities, and templates such as %{x}."""
    short = " ".join(str(text).split())
    short = short if len(short) <= _LONGEST_TEXT else f"{short[: _LONGEST_TEXT - 1]}…"
    return short.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("%{", "&#37;{")


def figure(data: list[dict[str, Any]], **layout: Any) -> dict[str, Any]:
    """A figure with the layout that all charts have."""
    common: dict[str, Any] = {
        "height": 380,
        "margin": {"l": 64, "r": 14, "t": 14, "b": 52},
        "hovermode": "closest",
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "xanchor": "left"},
        "showlegend": False,
    }
    if "coloraxis" not in layout:  # plotly.js misplaces a title with a distance of its own under a horizontal colour bar
        layout["xaxis"] = {**layout["xaxis"], "title": {**layout["xaxis"]["title"], "standoff": 10}}
    return {"data": data, "layout": {**common, **layout}}


def titled(text: str, **axis: Any) -> dict[str, Any]:
    """A cartesian axis with a title."""
    return {"title": {"text": text}, "zeroline": False, **axis}


def titled_values(text: str, values: Iterable[float], ends: bool = False) -> dict[str, Any]:
    """A cartesian axis for these values: logarithmic if they are positive and differ by orders of magnitude.

    With `ends` it ends a little beyond them, whatever else is drawn.
    """
    known = list(values)
    logarithmic = bool(known) and min(known) > 0 and max(known) > 50 * min(known)
    more: dict[str, Any] = {}
    if logarithmic:
        places = Axis(text, scale="log", low=min(known), high=max(known)).ticks()
        more = {"type": "log", "tickvals": [10**place for place, _ in places], "ticktext": [label for _, label in places]}
    if known and ends:
        low, high = (math.log10(end) if logarithmic else end for end in (min(known), max(known)))
        margin = 0.08 * (high - low) or 0.1 * abs(high) or 0.1
        more["range"] = [low - margin, high + margin]
    return titled(f"{text} (log)" if logarithmic else text, **more)


def scaled(axis: Axis, **more: Any) -> dict[str, Any]:
    """A cartesian axis on which values lie at `axis.position`."""
    ticks = axis.ticks()
    low, high = axis.ends
    margin = 0.04 * (high - low) or 0.5
    return titled(
        plain(axis.scale_label),
        tickvals=[position for position, _ in ticks],
        ticktext=[plain(text) for _, text in ticks],
        range=[low - margin, high + margin],
        **more,
    )


def setting_text(trial: TrialRecord, axes: Sequence[Axis]) -> str:
    """A trial's values for a hover text, one to a line."""
    known = [axis for axis in axes if axis.name in trial.hyperparameters]
    return "<br>".join(f"{plain(axis.label)} = {plain(value_text(trial.hyperparameters[axis.name]))}" for axis in known)


def hover_text(search: SearchResult, trial: TrialRecord) -> str:
    """Number, state, score and setting of a trial, for its point in any chart."""
    lines = [f"<b>Trial {trial.number}</b>, {plain(trial.state)}"]
    if trial.score is not None:
        half = trial.half
        lines.append(f"{plain(search.objective)} {number(trial.score)}{f' ± {half:.2g}' if half is not None else ''}")
    if trial.epochs is not None:
        lines.append(f"{trial.epochs} epoch{'s' if trial.epochs != 1 else ''}")
    return "<br>".join([*lines, setting_text(trial, search.axes)])


def score_colours(search: SearchResult, scores: Iterable[float]) -> dict[str, Any]:
    """A `coloraxis` on which the best score stands out most, and a few very bad ones do not make all others look alike."""
    known = sorted(scores, reverse=search.direction == "max")
    if not known:
        return {}
    best, worst = known[0], known[-1]
    reach = 3 * abs(statistics.median(known) - best)
    if reach and abs(worst - best) > reach:
        worst = best + math.copysign(reach, worst - best)
    low, high = min(best, worst), max(best, worst)
    if low == high:
        low, high = low - 0.5, high + 0.5
    return {
        "cmin": low,
        "cmax": high,
        "reversescale": search.direction == "min",
        "colorbar": colour_bar(plain(search.objective)),
    }


def colour_bar(title: str, **more: Any) -> dict[str, Any]:
    """A thin colour bar above the chart, where a narrow screen has room for it as well."""
    # From the top of the chart: where it stands on the axes, plotly.js leaves half as much room again above it.
    above = {"orientation": "h", "x": 0.5, "xanchor": "center", "yref": "container", "y": 1, "yanchor": "top", "ypad": 4}
    above |= {"len": 0.9, "thickness": 10}
    return {"title": {"text": title, "side": "top", "font": {"size": 13}}, "outlinewidth": 0, "nticks": 6, **above, **more}


def symbols_text(states: Iterable[str]) -> str:
    """What the symbols of these states mean, for a caption."""
    return ", ".join(f"{_SYMBOL_TEXT[state]} {state}" for state in states if state in _SYMBOL_TEXT)


def rounded(value: float | None, digits: int = 6) -> float | None:
    """With few digits, to keep the page small."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.{digits}g}")
