"""The pictures on the pages in docs/optimizers: what is particular about each, in the experiments of scripts/ideas.py.

    python scripts/picture_optimizers.py [lion muon ...] [--output docs/pictures]

Without names it draws all, each for a wide window and, as NAME.narrow.png, for a phone. Plotly makes the charts, and Chromium
turns them into PNG files.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import plotly.graph_objects as go  # noqa: E402

from scripts import ideas  # noqa: E402
from scripts.chromium import side_by_side, write_many_pngs  # noqa: E402
from tuning.report.figure import BLUE, BROWN, GREEN, GREY, ORANGE, PURPLE  # noqa: E402

STYLES = (
    *((ORANGE, "solid", "circle", 2.5), (BLUE, "dash", "square", 2.5), (GREEN, "dot", "triangle-up", 3)),
    *((GREY, "dashdot", "diamond", 2.5), (PURPLE, "longdash", "x", 2), (BROWN, "solid", "cross", 2)),
)


def picture(charts: tuple[ideas.Chart, ideas.Chart]) -> go.Figure:
    """Both charts; what has one name in both is drawn alike, and is in the legend once."""
    names = list(dict.fromkeys(name for chart in charts for name in chart.curves))
    styles = dict(zip(names, STYLES, strict=False))
    left, right = charts
    figure = side_by_side(left.title, right.title, x1=_x(left), y1=_y(left), x2=_x(right), y2=_y(right))
    seen: set[str] = set()
    for col, chart in enumerate(charts, start=1):
        for name, (x, y) in chart.curves.items():
            colour, dash, symbol, width = styles[name]
            points = chart.marks and len(x) > 50  # so many that a line between them would hide them
            figure.add_scatter(
                x=x,
                y=y,
                mode="markers" if points else "lines+markers" if chart.marks else "lines",
                line={"color": colour, "dash": dash, "width": width, "simplify": False},
                marker={"color": colour, "size": 6 if points else 9, "symbol": symbol},
                name=name,
                showlegend=name not in seen,
                row=1,
                col=col,
            )
            seen.add(name)
    figure.layout.legend.entrywidth = 40 + 7 * max(map(len, names))
    return figure


def _x(chart):
    axis = {"title_text": chart.x, "exponentformat": "power", **({"type": "log"} if "x" in chart.log else {})}
    if chart.ticks_x:
        axis |= {"tickvals": chart.ticks_x[0], "ticktext": chart.ticks_x[1]}
    elif "x" in chart.log:
        axis |= {"dtick": 1}
    return axis


def _y(chart):
    axis = {"title_text": chart.y, **({"type": "log", "dtick": 1} if "y" in chart.log else {})}
    if chart.range_y:
        axis |= {"range": list(np.log10(chart.range_y)) if "y" in chart.log else list(chart.range_y)}
    return axis


def main():
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which pictures: {', '.join(ideas.IDEAS)}; without names, all")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "docs" / "pictures", help="the folder")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in ideas.IDEAS]
    if unknown:
        parser.error(f"There is no picture {unknown[0]!r}; the pictures are {', '.join(ideas.IDEAS)}.")
    arguments.output.mkdir(parents=True, exist_ok=True)
    charts = {}
    for name in arguments.names or ideas.IDEAS:
        charts[arguments.output / f"idea_{name}.png"] = picture(ideas.IDEAS[name]())
        print(f"{name}: its steps are made", flush=True)
    write_many_pngs(charts)
    print("\n".join(map(str, charts)))


if __name__ == "__main__":
    main()
