"""Pictures and animations of trajectories, drawn by Matplotlib: it needs no browser to write PNG and SVG."""

from __future__ import annotations

import dataclasses
import itertools
import math
import pathlib
import subprocess
from collections.abc import Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import BoundaryNorm, LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from PIL import Image

from tuning.landscape.style import DASHES, MARKERS, colours, contour_levels, legend_label, loss_range
from tuning.landscape.surfaces import Surface
from tuning.landscape.trajectories import Trajectory
from tuning.space.axes import number

STILL_DOTS = 150  # per inch
FILM_DOTS = 80
FILM_STEPS = 90  # at most so many frames
FRAMES_PER_SECOND = 15
LAST_FRAME_SECONDS = 2

# Greys from the lowest loss to the highest, so that the trajectories have all the colours.
_GREYS = LinearSegmentedColormap.from_list("landscape", ["#ffffff", "#dfe3e8", "#b9c1cc", "#8f9aa8"])


@dataclasses.dataclass
class _Run:
    """The artists of one trajectory: its line, with a white one under it, and last point on the map, and its curve of losses."""

    trajectory: Trajectory
    halo: Line2D
    line: Line2D
    head: Line2D
    curve: Line2D

    @property
    def artists(self) -> tuple[Line2D, ...]:
        """From the lowest to the uppermost."""
        return (self.curve, self.halo, self.line, self.head)

    def show(self, step: int) -> None:
        """Draws the first `step` steps."""
        shown = min(step + 1, self.trajectory.drawn)
        x, y = self.trajectory.weights[:shown].T
        self.halo.set_data(x, y)
        self.line.set_data(x, y)
        self.head.set_data(x[-1:], y[-1:])
        self.curve.set_data(np.arange(min(step + 1, len(self.trajectory.losses))), self.trajectory.losses[: step + 1])


class _Drawing:
    """The figure: the map with the trajectories, and beside it the loss of each step."""

    def __init__(self, surface: Surface, labels: Sequence[str], trajectories: Sequence[Trajectory], dots: int):
        self.steps = len(trajectories[0].weights) - 1
        rows = math.ceil(len(labels) / 3)
        self.figure = Figure(figsize=(10.5, 4.7 + 0.24 * rows), dpi=dots, layout="constrained")
        self.canvas = FigureCanvasAgg(self.figure)
        self.figure.suptitle(surface.heading, fontsize=12)
        plane, losses = self.figure.subplots(1, 2, width_ratios=(1.55, 1))
        heights = self._map(surface, plane)
        low, high = loss_range(surface, heights, trajectories)
        losses.set(xlim=(0, self.steps), ylim=(low, high), xlabel="step", ylabel="loss L")
        if surface.logarithmic:
            losses.set_yscale("log")
        losses.grid(color="#e3e6ea", linewidth=0.8)
        losses.spines[["top", "right"]].set_visible(False)
        every = max(1, self.steps // 12)
        self.runs = []
        looks = zip(itertools.cycle(colours()), itertools.cycle(DASHES.values()), itertools.cycle(MARKERS.values()))
        for i, ((colour, dash, marker), label, trajectory) in enumerate(zip(looks, labels, trajectories, strict=False)):
            look = {
                **{"color": colour, "linestyle": dash, "linewidth": 1.7, "marker": marker, "markersize": 4.5},
                **{"markeredgecolor": "white", "markeredgewidth": 0.5, "solid_joinstyle": "round"},
            }
            places = (i * every // max(1, len(labels)), every)  # those of several runs do not hide each other
            (halo,) = plane.plot([], [], color="white", linewidth=3.2, alpha=0.6, zorder=2)
            (line,) = plane.plot([], [], markevery=places, label=legend_label(label, trajectory), zorder=3, **look)
            (head,) = plane.plot([], [], marker=marker, markersize=7.5, color=colour, markeredgecolor="black", zorder=5)
            (curve,) = losses.plot([], [], markevery=places, **look)
            self.runs.append(_Run(trajectory, halo, line, head, curve))
        self.figure.legend(
            handles=[run.line for run in self.runs], loc="outside lower center", ncols=3, frameon=False, fontsize=9
        )

    def _map(self, surface: Surface, plane) -> np.ndarray:
        first, second, heights = surface.map()
        levels = contour_levels(surface, heights)
        filled = plane.contourf(
            first, second, heights, levels=levels, cmap=_GREYS, norm=BoundaryNorm(levels, _GREYS.N), extend="both"
        )
        plane.contour(first, second, heights, levels=levels, colors="#6b7684", linewidths=0.4)
        bar = self.figure.colorbar(filled, ax=plane, fraction=0.05, pad=0.02)
        bar.ax.set_title("loss L", fontsize=10, loc="left")
        ticks = levels[:: max(1, len(levels) // 7)]
        bar.set_ticks(ticks.tolist(), labels=[number(level) for level in ticks])
        (left, right), (low, high) = surface.domain
        plane.set(xlim=(left, right), ylim=(low, high), xlabel="θ₁", ylabel="θ₂")
        return heights

    def marks(self, start, minima) -> None:
        """The start, a ring, and the minima, stars; they are explained in the map itself."""
        plane = self.figure.axes[0]
        plane.plot(*start, "o", markersize=9, markerfacecolor="none", markeredgecolor="black", markeredgewidth=1.5, zorder=6)
        plane.annotate("start", start, (0, 9), textcoords="offset points", ha="center", fontsize=9, path_effects=_HALO, zorder=7)
        for minimum in minima:
            plane.plot(*minimum, "*", markersize=13, color="black", markeredgecolor="white", zorder=4)
            plane.annotate("minimum", minimum, (5, -16), textcoords="offset points", fontsize=9, path_effects=_HALO, zorder=6)


_HALO = [withStroke(linewidth=3, foreground="white")]


def _drawing(surface, start, labels, trajectories, dots) -> _Drawing:
    drawing = _Drawing(surface, labels, trajectories, dots)
    drawing.marks(start, surface.minima)
    return drawing


def write_still(path: pathlib.Path, form: str, surface: Surface, start, labels, trajectories) -> None:
    """A PNG or an SVG; the same trajectories give the same file."""
    with rc_context({"svg.hashsalt": "keras-optims", "font.family": "DejaVu Sans"}):
        drawing = _drawing(surface, start, labels, trajectories, STILL_DOTS)
        for run in drawing.runs:
            run.show(drawing.steps)
        about = {"Title": surface.heading, "Date": None} if form == "svg" else {"Title": surface.heading}
        drawing.figure.savefig(path, format=form, metadata=about)


def write_film(path: pathlib.Path, form: str, surface: Surface, start, labels, trajectories, ffmpeg: str | None = None) -> None:
    """An animated GIF, or with `ffmpeg`, the path of that program, an MP4."""
    with rc_context({"font.family": "DejaVu Sans"}):
        drawing = _drawing(surface, start, labels, trajectories, FILM_DOTS)
        pictures = list(_frames(drawing))
    if form == "gif":
        _write_gif(path, pictures)
    else:
        _write_mp4(path, pictures, ffmpeg)


def _frames(drawing: _Drawing):
    """The pictures of the film; the map is drawn once, and the trajectories over it."""
    moving = sorted((artist for run in drawing.runs for artist in run.artists), key=lambda artist: artist.zorder)
    for artist in moving:
        artist.set_animated(True)
    drawing.canvas.draw()
    still = drawing.canvas.copy_from_bbox(drawing.figure.bbox)
    for step in np.unique(np.linspace(0, drawing.steps, FILM_STEPS).round().astype(int)):
        drawing.canvas.restore_region(still)
        for run in drawing.runs:
            run.show(step)
        for artist in moving:
            drawing.figure.draw_artist(artist)
        yield Image.fromarray(np.array(drawing.canvas.buffer_rgba())[..., :3])


def _write_gif(path: pathlib.Path, pictures: list[Image.Image]) -> None:
    palette = pictures[-1].quantize(256)  # the last picture has all the colours
    frames = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    durations = [round(1000 / FRAMES_PER_SECOND)] * (len(frames) - 1) + [1000 * LAST_FRAME_SECONDS]
    frames[0].save(path, format="gif", save_all=True, append_images=frames[1:], duration=durations, loop=0, optimize=False)


def _write_mp4(path: pathlib.Path, pictures: list[Image.Image], ffmpeg: str | None) -> None:
    pictures = pictures + pictures[-1:] * (FRAMES_PER_SECOND * LAST_FRAME_SECONDS)
    width, height = pictures[0].size
    command = [
        *(str(ffmpeg), "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}"),
        *("-r", str(FRAMES_PER_SECOND), "-i", "-", "-vf", "crop=trunc(iw/2)*2:trunc(ih/2)*2"),  # H.264 wants even sides
        *("-c:v", "libx264", "-pix_fmt", "yuv420p", "-movflags", "+faststart", "-f", "mp4", str(path)),
    ]
    done = subprocess.run(command, input=b"".join(picture.tobytes() for picture in pictures), capture_output=True)
    if done.returncode:
        raise OSError(f"ffmpeg says: {' '.join(done.stderr.decode(errors='replace').split())[:300]}")
