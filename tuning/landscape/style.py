"""What the pictures and the page share: colours, dashes and markers of trajectories, levels of the map, words of the legend."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tuning.landscape.surfaces import Surface
from tuning.landscape.trajectories import Trajectory
from tuning.report.figure import PALETTE

# By their names in plotly.js, as Matplotlib has them. Their numbers have no common divisor with that of the colours where
# possible, so that many runs are told apart by the combination.
DASHES = {"solid": "-", "dash": (0, (5, 2)), "dot": (0, (1.5, 1.5)), "dashdot": (0, (6, 2, 1.5, 2)), "longdash": (0, (9, 3))}
MARKERS = {"circle": "o", "square": "s", "triangle-up": "^", "diamond": "D", "x": "X", "triangle-down": "v", "pentagon": "p"}

LEAST_LOSS = 1e-6  # where logarithmic scales end; float32 knows little below


def colours() -> tuple[str, ...]:
    """Safe for colour-blind readers, on white and on near-black."""
    return PALETTE


def contour_levels(surface: Surface, heights: np.ndarray, number: int = 15) -> np.ndarray:
    """Ascending losses of two digits, from the lowest to the highest of a map; closer together where the loss is low."""
    low, high = float(np.nanmin(heights)), float(np.nanmax(heights))
    if surface.logarithmic:
        levels = np.geomspace(max(low, high * 1e-4), high, number)
    else:
        levels = low + (high - low) * np.linspace(0, 1, number + 1)[1:] ** 1.5
    return np.unique([float(f"{level:.2g}") for level in levels])


def loss_range(surface: Surface, heights: np.ndarray, trajectories: Sequence[Trajectory]) -> tuple[float, float]:
    """The ends of an axis of losses: of those on the way, as far as the map has losses as high."""
    most = float(np.nanmax(heights))
    losses = np.concatenate([run.losses for run in trajectories])
    losses = losses[losses <= most]  # NaN is not
    low, high = (float(losses.min()), float(losses.max())) if len(losses) else (float(np.nanmin(heights)), most)
    if surface.logarithmic:
        return max(low, LEAST_LOSS) / 2, max(high, 2 * LEAST_LOSS) * 2
    margin = 0.05 * (high - low) or 0.05
    return low - margin, high + margin


def legend_note(trajectory: Trajectory) -> str:
    """What a legend says of a trajectory that does not end in the picture; else nothing."""
    if trajectory.left_at is None:
        return ""
    how = "leaves the picture" if np.isfinite(trajectory.weights[-1]).all() else "diverges and leaves the picture"
    return f"{how} at step {trajectory.left_at}"


def legend_label(label: str, trajectory: Trajectory) -> str:
    """The label of a contestant with the note on its trajectory."""
    return ": ".join(filter(None, (label, legend_note(trajectory))))
