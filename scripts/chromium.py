"""The pictures of the documents, drawn by Chromium: pages, and charts of Plotly beside or, for phones, below each other."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import tempfile
import textwrap

import plotly.graph_objects as go
import plotly.subplots

WIDTH, HEIGHT = 1000, 440  # pixels of two charts; the file has twice as many either way
GRID, AXIS = "#e4e6ea", "#8a8f98"
X_AXIS = {"showgrid": False, "zeroline": False, "ticks": "outside", "linecolor": AXIS}
Y_AXIS = {"gridcolor": GRID, "zeroline": False, "exponentformat": "power"}
LAYOUT = {"template": "none", "font": {"family": "sans-serif", "size": 13}}


def side_by_side(left: str, right: str, **axes) -> go.Figure:
    """Two charts with these titles, and their axes: `x1`, `y1`, `x2`, `y2`."""
    chart = plotly.subplots.make_subplots(cols=2, horizontal_spacing=0.11, subplot_titles=(left, right))
    chart.update_xaxes(**X_AXIS)
    chart.update_yaxes(**Y_AXIS)
    for col in (1, 2):
        chart.update_xaxes(**axes[f"x{col}"], col=col)
        chart.update_yaxes(**axes[f"y{col}"], col=col)
    chart.update_layout(
        width=WIDTH,
        height=HEIGHT,
        **LAYOUT,
        margin={"l": 64, "r": 24, "t": 40, "b": 110},
        legend={"orientation": "h", "x": 0, "y": -0.24, "yanchor": "top", "itemwidth": 45},
    )
    return chart


def below_each_other(chart: go.Figure) -> go.Figure:
    """The same charts in one column, as wide as a phone."""
    charts, title, axis = 210, 48, 58  # pixels: of a chart, and of what is above and below it
    names = [trace.name for trace in chart.data if trace.name and trace.showlegend is not False]
    narrow = go.Figure(chart)
    xaxes, yaxes = list(narrow.select_xaxes()), list(narrow.select_yaxes())
    height = len(xaxes) * (charts + title + axis) - title - axis
    for number, (xaxis, yaxis, heading) in enumerate(zip(xaxes, yaxes, narrow.layout.annotations, strict=False)):
        top = 1 - number * (charts + title + axis) / height
        xaxis.update(domain=[0, 1], title_standoff=6, title_font_size=14)
        yaxis.update(domain=[max(top - charts / height, 0), top], title_standoff=6, title_font_size=14)
        text = "<br>".join(textwrap.wrap(heading.text, 48))
        heading.update(text=text, x=0.5, y=top, yanchor="bottom", yshift=4, font_size=13)
    legend = {"orientation": "v", "x": 0, "y": -axis / height, "yanchor": "top", "entrywidth": None}
    bottom = axis + 20 * len(names) + 12
    margin = {"l": 58, "r": 14, "t": title, "b": bottom}
    narrow.update_layout(width=380, height=height + title + bottom, margin=margin, legend=legend)
    return narrow


def write_pngs(chart: go.Figure, path: pathlib.Path):
    """Two PNG files: the figure, and beside it, as NAME.narrow.png, its charts below each other for a phone.

    Raises:
        RuntimeError: there is no Chromium.
    """
    write_png(chart, path)
    write_png(below_each_other(chart), path.with_suffix(".narrow.png"))


def write_many_pngs(charts: dict[pathlib.Path, go.Figure]):
    """As `write_pngs` of each, by few starts of Chromium; with 256 colours, so that the files are small.

    Raises:
        RuntimeError: there is no Chromium.
    """
    from PIL import Image

    waiting = [
        (file, figure)
        for path, chart in charts.items()
        for file, figure in ((path, chart), (path.with_suffix(".narrow.png"), below_each_other(chart)))
    ]
    while waiting:
        taken: list[tuple[pathlib.Path, go.Figure]] = []
        while waiting and sum(figure.layout.height for _, figure in taken) < 5000:
            taken.append(waiting.pop(0))
        width, height = max(figure.layout.width for _, figure in taken), sum(figure.layout.height for _, figure in taken)
        parts = [
            f'<div style="height: {figure.layout.height}px; overflow: hidden">'
            + figure.to_html(full_html=False, include_plotlyjs=number == 0, config={"staticPlot": True})
            + "</div>"
            for number, (_, figure) in enumerate(taken)
        ]
        with tempfile.TemporaryDirectory() as folder:
            page, shot = pathlib.Path(folder) / "charts.html", pathlib.Path(folder) / "charts.png"
            body = f'<body style="margin: 0; background: white">{"".join(parts)}</body>'
            page.write_text(f'<html><head><meta charset="utf-8"></head>{body}</html>', encoding="utf-8")
            write_screenshot(page, shot, width, height, scale=2)
            with Image.open(shot) as picture:
                top = 0
                for file, figure in taken:
                    size = 2 * figure.layout.width, 2 * figure.layout.height
                    own = picture.crop((0, top, size[0], top + size[1])).convert("RGB")
                    own.quantize(256, dither=Image.Dither.NONE).save(file, "png", optimize=True)
                    top += size[1]


def write_png(chart: go.Figure, path: pathlib.Path):
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
