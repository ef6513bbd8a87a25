"""What optimizers do on losses of two weights, in pictures: `keras-optims landscape`.

    from tuning.landscape import landscape

    shown = landscape(["momentum", "keras:adam:beta_1=0.8"], surface="plateau")
    shown.write("plateau.png")

Importing this imports neither Keras nor anything else that is heavy.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import math
import os
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tuning.errors import SearchError, missing_packages_explained
from tuning.names import DEFAULT_SURFACE, SURFACES, check_name
from tuning.space.text import parse_contestant
from tuning.store.files import replacing

if TYPE_CHECKING:
    from tuning.landscape.contestants import Contestant
    from tuning.landscape.surfaces import Point, Surface
    from tuning.landscape.trajectories import Trajectory

FORMATS = {
    ".png": "a picture",
    ".svg": "a picture",
    ".gif": "an animation",
    ".mp4": "an animation",
    ".html": "a page with sliders",
}


@dataclasses.dataclass(frozen=True)
class Landscape:
    """The trajectories of some optimizers on a surface.

    Args:
        surface: the surface.
        start: the weights before the first step.
        steps: how many each optimizer has made.
        contestants, trajectories: each optimizer with its settings, and what it passed through.
        command: the line of the command that made it, if one did.
    """

    surface: Surface
    start: Point
    steps: int
    contestants: list[Contestant]
    trajectories: list[Trajectory]
    command: str | None = None

    def write(self, path: str | os.PathLike) -> pathlib.Path:
        """Writes the trajectories, in the format that the file's suffix names, and returns the path.

        Raises:
            SearchError: another suffix, a package or program is missing, the file cannot be written.
        """
        path = pathlib.Path(path)
        form = check_writable(path)
        labels = [contestant.label for contestant in self.contestants]
        drawn = (self.surface, self.start, labels, self.trajectories)
        with missing_packages_explained("A landscape"), replacing(path) as temporary:
            if form == "html":
                from tuning.landscape import page

                temporary.write_text(page.make(self), encoding="utf-8", newline="\n")
                return path
            from tuning.landscape import picture

            if form in ("png", "svg"):
                picture.write_still(temporary, form, *drawn)
            else:
                picture.write_film(temporary, form, *drawn, ffmpeg=ffmpeg())
        return path

    def to_json(self) -> dict[str, Any]:
        """All of it; numbers that are not finite are `None`."""
        import keras

        return {
            "surface": self.surface.name,
            "title": self.surface.heading,
            "start": list(self.start),
            "steps": self.steps,
            "backend": keras.backend.backend(),
            "trajectories": [
                {
                    "optimizer": contestant.name,
                    "class": f"{contestant.cls.__module__.partition('.')[0]}.{contestant.cls.__name__}",
                    "label": contestant.label,
                    "settings": dict(contestant.settings),
                    "weights": [[_finite(x), _finite(y)] for x, y in trajectory.weights],
                    "losses": [_finite(loss) for loss in trajectory.losses],
                    "left_at": trajectory.left_at,
                }
                for contestant, trajectory in zip(self.contestants, self.trajectories, strict=True)
            ],
        }


def landscape(
    optimizers: Sequence[str] | None = None,
    surface: str = DEFAULT_SURFACE,
    *,
    fix: Mapping[str, Any] | None = None,
    start: Point | None = None,
    steps: int | None = None,
    command: str | None = None,
) -> Landscape:
    """Runs optimizers on a surface.

    Args:
        optimizers: each as NAME or NAME:SETTING=VALUE,SETTING=VALUE, where NAME is one of `keras_optims.OPTIMIZERS`, or one of
            Keras's in small letters after `keras:`; by default the five core algorithms. Where no learning rate is given, it is
            the surface's own.
        surface: a name in `tuning.names.SURFACES`.
        fix: settings of all optimizers that have them.
        start: the weights before the first step, in the surface's domain; by default the surface's own.
        steps: how many; by default the surface's own.
        command: the line of the command line, to be shown.

    Raises:
        SearchError: an argument is wrong, or a package is missing.
    """
    check_name("surface", surface, SURFACES)
    parsed = [parse_contestant(text) for text in optimizers or ()]
    if steps is not None and steps < 1:
        raise SearchError(f"There must be at least 1 step; received {steps}.")
    with missing_packages_explained("A landscape"):
        import numpy as np

        from tuning.landscape.contestants import CORE, contestants
        from tuning.landscape.surfaces import surface as made
        from tuning.landscape.trajectories import run

        parsed = parsed or [(name, {}) for name in CORE]
        its_surface = made(surface)
    chosen = contestants([name for name, _ in parsed], dict(fix or {}), its_surface, [settings for _, settings in parsed])
    start = its_surface.start if start is None else (float(start[0]), float(start[1]))
    if not bool(its_surface.contains(np.array(start))):
        (left, right), (low, high) = its_surface.domain
        raise SearchError(
            f"The start must lie on the surface {surface}, θ₁ in [{left:g}, {right:g}] and θ₂ in [{low:g}, {high:g}]; "
            f"received {start[0]:g},{start[1]:g}."
        )
    steps = its_surface.steps if steps is None else steps
    trajectories = [run(contestant.make(), its_surface, start, steps) for contestant in chosen]
    return Landscape(its_surface, start, steps, chosen, trajectories, command)


def check_writable(path: pathlib.Path) -> str:
    """The format of a file by its suffix, without the dot, or `SearchError` if it cannot be written."""
    form = path.suffix.lower()
    if form not in FORMATS:
        raise SearchError(f"The file's suffix says what is drawn, one of {', '.join(FORMATS)}; received {str(path)!r}.")
    if not path.absolute().parent.is_dir():
        raise SearchError(f"{path} cannot be written: there is no folder {path.absolute().parent}.")
    if form == ".mp4" and ffmpeg() is None:
        raise SearchError(
            f"{path} needs the program ffmpeg: install it (apt install ffmpeg, brew install ffmpeg, or pip install "
            "imageio-ffmpeg), or write a .gif."
        )
    return form[1:]


def ffmpeg() -> str | None:
    """The path of the program: the one on the PATH, else the one of the package imageio-ffmpeg; `None` if there is none."""
    found = shutil.which("ffmpeg")
    if found is None and importlib.util.find_spec("imageio_ffmpeg") is not None:
        import imageio_ffmpeg

        found = imageio_ffmpeg.get_ffmpeg_exe()
    return found


def _finite(number: float) -> float | None:
    """With all digits of a float32."""
    return float(f"{number:.9g}") if math.isfinite(number) else None
