"""The picture of a range test, drawn by Matplotlib; nothing else in the package imports it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

try:
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator
except ModuleNotFoundError as error:
    raise ImportError("The picture of a range test needs the package matplotlib: pip install matplotlib.") from error

if TYPE_CHECKING:
    from keras_optims.callbacks.sweep import Sweep

# Safe for colour-blind readers.
BLUE, GREEN, ORANGE, GREY = "#0072b2", "#009e73", "#d55e00", "#9aa3ad"


def drawn(sweep: Sweep) -> Figure:
    """The losses over the values on their scale, smoothed too, with what is suggested."""
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    axes = figure.add_subplot()
    values, losses = np.asarray(sweep.values[: len(sweep.losses)]), np.asarray(sweep.losses)
    smoothed = np.asarray(sweep.smoothed)
    places = _places(values, sweep.scale)
    axes.plot(places, losses, color=GREY, linewidth=1, label="loss of a batch")
    axes.plot(places[: len(smoothed)], smoothed, color=BLUE, linewidth=2.2, label="smoothed")
    if sweep.range is not None and sweep.value is not None:
        low, high, steepest = _places(np.asarray([*sweep.range, sweep.value]), sweep.scale)
        axes.axvspan(
            low, high, color=GREEN, alpha=0.12, linewidth=0, label=f"to search: {sweep.range[0]:g} to {sweep.range[1]:g}"
        )
        axes.axvline(steepest, color=GREEN, linewidth=1.6, label=f"falls most steeply: {sweep.value:g}")
    if sweep.diverged_at is not None:
        axes.axvline(places[-1], color=ORANGE, linestyle="--", linewidth=1.6, label=f"diverges: {sweep.diverged_at:.2g}")
    within = np.concatenate([smoothed, np.quantile(losses[np.isfinite(losses)], [0.02, 0.9])])
    margin = 0.08 * (within.max() - within.min()) or 0.1
    axes.set_ylim(within.min() - margin, within.max() + margin)
    axes.set_xlim(places[0], places[-1] + 0.02 * (places[-1] - places[0]))
    name = f"{sweep.hyperparameter} {sweep.symbol}".strip()
    axes.set(xlabel={"log1m": f"{name}, log in 1−{sweep.symbol or 'x'}"}.get(sweep.scale, name), ylabel="loss")
    _mark(axes, sweep.scale)
    axes.grid(color="#e3e6ea", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9, loc="best")
    return figure


def _places(values: np.ndarray, scale: str) -> np.ndarray:
    """Where values lie on the axis."""
    if scale == "log":
        return np.log10(values)
    return -np.log10(1 - values) if scale == "log1m" else values


def _mark(axes, scale: str) -> None:
    """Labels the axis with values."""
    if scale == "linear":
        return
    first, last = axes.get_xlim()
    decades = last - first
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=decades > 2))
    axes.xaxis.set_minor_locator(NullLocator())

    def label(place: float, _) -> str:
        return f"{10.0**place:.3g}" if scale == "log" else f"{1 - 10.0**-place:.6g}"

    axes.xaxis.set_major_formatter(FuncFormatter(label))
