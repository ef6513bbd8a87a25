"""Pictures of Plotly's figures and of pages, drawn by Chromium, and what the pictures of the documents have in common."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import tempfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import plotly.graph_objects

GRID, AXIS = "#e4e6ea", "#8a8f98"
X_AXIS = {"showgrid": False, "zeroline": False, "ticks": "outside", "linecolor": AXIS}
Y_AXIS = {"gridcolor": GRID, "zeroline": False, "exponentformat": "power"}
LAYOUT = {"template": "none", "font": {"family": "sans-serif", "size": 13}}


def write_png(chart: plotly.graph_objects.Figure, path: pathlib.Path):
    """A PNG file of a figure, with twice as many pixels either way as its layout says.

    Raises:
        RuntimeError: there is no Chromium.
    """
    with tempfile.TemporaryDirectory() as folder:
        page = pathlib.Path(folder) / "chart.html"
        html = chart.to_html(include_plotlyjs=True, config={"staticPlot": True})
        page.write_text(html.replace("<body>", '<body style="margin: 0; background: white">'), encoding="utf-8")
        write_screenshot(page, path, chart.layout.width, chart.layout.height, scale=2)


def write_screenshot(page: pathlib.Path, path: pathlib.Path, width: int, height: int, scale: int = 1):
    """A PNG file of the top of an HTML page in a window of this size; `scale` times as many pixels either way.

    Raises:
        RuntimeError: there is no Chromium.
    """
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise RuntimeError("Chromium draws the picture, and it is not installed.")
    with tempfile.TemporaryDirectory() as profile:
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--force-device-scale-factor={scale}"]
        flags += [f"--user-data-dir={profile}", f"--window-size={width},{height}"]
        flags += ["--virtual-time-budget=5000", f"--screenshot={path.resolve()}"]
        subprocess.run([chromium, *flags, page.resolve().as_uri()], check=True, capture_output=True)
