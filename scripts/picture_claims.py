"""The pictures of docs/claims.md: what each optimizer does, in the experiments of scripts/claims.py.

    python scripts/picture_claims.py [inertia escape ...] [--output docs/pictures]

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

from scripts import claims  # noqa: E402
from scripts.chromium import side_by_side, write_pngs  # noqa: E402
from tuning.report.figure import BLUE, GREEN, GREY, ORANGE, PURPLE  # noqa: E402

DESCENT, SLOWER, FASTER, THIRD = (GREY, "dash"), (BLUE, "dot"), (ORANGE, "solid"), (GREEN, "dashdot")


def line(chart, col, x, y, style, name=None, width=2.5, **more):
    """A curve in the left (1) or right chart (2); it is in the legend if it has a name."""
    colour, dash = style
    stroke = {"color": colour, "dash": dash, "width": width, "simplify": False}
    chart.add_scatter(x=x, y=y, mode="lines", line=stroke, name=name, showlegend=name is not None, row=1, col=col, **more)


def points(chart, col, x, y, style, symbol):
    """Marks without a line."""
    marker = {"color": style[0], "size": 10, "symbol": symbol}
    chart.add_scatter(x=x, y=y, mode="markers", marker=marker, showlegend=False, row=1, col=col)


def inertia(found: claims.Inertia) -> go.Figure:
    """The slope with its plateau, and θ over the steps."""
    begin, end = found.plateau
    chart = side_by_side(
        f"the loss, and where each is after {len(found.gradient_descent) - 1} steps",
        "the weight after each step; shaded: gradient 0",
        x1={"title_text": "weight θ", "range": [-0.1, 4.1]},
        y1={"title_text": "loss"},
        x2={"title_text": "step"},
        y2={"title_text": "weight θ", "range": [-0.1, 4.1]},
    )

    def loss(weight):
        return 1 - np.minimum(weight, begin) - np.maximum(weight - end, 0)

    weights = np.linspace(0, 4, 401)
    line(chart, 1, weights, loss(weights), ("#333", "solid"), width=1.5)
    ways = {f"gradient descent, η = {found.learning_rate}": (found.gradient_descent, DESCENT, "square")}
    styles = ((SLOWER, "circle"), (FASTER, "triangle-right"))
    for (momentum, way), (style, symbol) in zip(found.momentum.items(), styles, strict=True):
        ways[f"momentum, η = {found.learning_rate}, γ = {momentum}"] = (way, style, symbol)
    for name, (way, style, _) in ways.items():
        line(chart, 2, np.arange(len(way)), way, style, name)
    chart.add_hrect(begin, end, fillcolor=GREY, opacity=0.15, line_width=0, row=1, col=2)
    chart.add_vrect(begin, end, fillcolor=GREY, opacity=0.15, line_width=0, row=1, col=1)
    for way, style, symbol in ways.values():
        last = min(float(way[-1]), 4.0)
        points(chart, 1, [last], [loss(last)], style, symbol)
    chart.add_annotation(x=4, y=loss(4), text="on and on", showarrow=False, xshift=-42, font_color=ORANGE, row=1, col=1)
    return chart


def escape(found: claims.Escape) -> go.Figure:
    """The two minima, and θ over the steps."""
    steps = 150
    chart = side_by_side(
        f"the loss, and where each is after {len(found.gradient_descent) - 1} steps",
        "the weight after each step",
        x1={"title_text": "weight θ"},
        y1={"title_text": "loss"},
        x2={"title_text": "step"},
        y2={"title_text": "weight θ"},
    )
    weights = np.linspace(-1.3, 4.1, 541)
    line(chart, 1, weights, claims.two_minima(weights), ("#333", "solid"), width=1.5)
    start = found.gradient_descent[0]
    chart.add_annotation(x=start, y=claims.two_minima(start), text="start", ax=36, ay=0, row=1, col=1)
    stays, leaves = found.momentum[0.8], found.momentum[0.9]
    ways = {
        f"gradient descent, η = {found.learning_rate}": (found.gradient_descent, DESCENT, "square"),
        f"gradient descent, η = {found.large_rate:.2g}": (found.faster_descent, (PURPLE, "longdash"), "diamond"),
        f"momentum, η = {found.learning_rate}, γ = 0.8": (stays, SLOWER, "circle"),
        f"momentum, η = {found.learning_rate}, γ = 0.9": (leaves, FASTER, "triangle-right"),
    }
    for name, (way, style, _) in ways.items():
        line(chart, 2, np.arange(steps + 1), way[: steps + 1], style, name)
    for weight, text in ((0, "shallow minimum"), (1, "hill"), (3, "deep minimum")):
        chart.add_hline(weight, line={"color": GREY, "width": 1, "dash": "dot"}, row=1, col=2)
        chart.add_annotation(x=steps, y=weight, text=text, showarrow=False, xanchor="right", yshift=9, row=1, col=2)
    at_the_minimum = 0  # so many are drawn one above the other
    for way, style, symbol in ways.values():
        last = way[-1]
        points(chart, 1, [last], [claims.two_minima(last) + 0.35 * at_the_minimum * (last < 1)], style, symbol)
        at_the_minimum += last < 1
    return chart


def rare_and_frequent(found: claims.RareAndFrequent) -> go.Figure:
    """The rates of the four weights, and how far they come."""
    steps = np.arange(1, len(found.rates) + 1)
    chart = side_by_side(
        "effective learning rate η/√(G+ε)",
        f"how far a weight has moved after {len(steps)} steps",
        x1={"title_text": "step"},
        y1={"title_text": "rate", "type": "log", "dtick": 1},
        x2={"title_text": "steps from one gradient to the next", "type": "log", "tickvals": found.every},
        y2={"title_text": "|θ − θ₀|", "type": "log", "dtick": 1},
    )
    styles = (
        (ORANGE, "solid", "circle"),
        (PURPLE, "dashdot", "square"),
        (GREEN, "dash", "diamond"),
        (BLUE, "dot", "triangle-up"),
    )
    moved = found.adagrad[-1]
    line(chart, 2, found.every, moved, ("#333", "solid"), width=1)
    line(chart, 2, found.every, found.gradient_descent[-1], DESCENT)
    for column, (every, (*style, symbol)) in enumerate(zip(found.every, styles, strict=True)):
        name = "at every step" if every == 1 else f"at every {every}th step"
        line(chart, 1, steps, found.rates[:, column], style, f"AdaGrad, gradient {name}")
        points(chart, 2, [every], [moved[column]], style, symbol)
    line(chart, 1, steps, np.full(len(steps), found.learning_rate), DESCENT, f"gradient descent, η = {found.learning_rate}")
    chart.layout.legend.entrywidth = 245
    return chart


def long_run(found: dict[str, claims.LongTraining]) -> go.Figure:
    """The loss that each task ends with, and the effective rates."""
    chart = side_by_side(
        "loss at the end of each task (100 steps each)",
        "effective learning rates: median and middle half",
        x1={"title_text": "task"},
        y1={"title_text": "cross-entropy", "rangemode": "tozero"},
        x2={"title_text": "step"},
        y2={"title_text": "rate", "type": "log", "dtick": 1},
    )
    for key, name, style, symbol in (("adagrad", "AdaGrad", (BLUE, "dash"), "circle"), ("rmsprop", "RMSProp", FASTER, "square")):
        training = found[key]
        tasks, last = np.arange(1, len(training.losses) + 1), training.losses[:, -1]
        line(chart, 1, tasks, last, style, f"{name}, η = {training.learning_rate}")
        points(chart, 1, tasks, last, style, symbol)
        steps = 10 * np.arange(1, len(training.rates) + 1)
        moving = training.moved.sum(axis=0) > 0  # not those of pixels that are always empty
        low, middle, high = np.quantile(training.rates[:, moving], (0.25, 0.5, 0.75), axis=1)
        band = {"x": [*steps, *steps[::-1]], "y": [*high, *low[::-1]], "fill": "toself", "mode": "none", "opacity": 0.25}
        chart.add_scatter(**band, fillcolor=style[0], showlegend=False, row=1, col=2)
        line(chart, 2, steps, middle, style, width=2)
    return chart


def forgetting(found: claims.Forgetting) -> go.Figure:
    """What is left of a square by its age, and the rates around a burst of large gradients."""
    chart = side_by_side(
        "weight of a gradient's square in v, in G",
        "effective learning rate; shaded: gradients of 10 instead of 1",
        x1={"title_text": "age of the gradient (steps)"},
        y1={"title_text": "weight", "type": "log", "dtick": 1, "range": [-5, 0.3]},
        x2={"title_text": "step"},
        y2={"title_text": "rate / η", "type": "log", "dtick": 1},
    )
    ages, steps = np.arange(len(found.adagrad_weights)), np.arange(1, len(found.burst) + 1)
    line(chart, 1, ages, found.adagrad_weights, (BLUE, "dash"), "AdaGrad")
    line(chart, 2, steps, found.adagrad_rates, (BLUE, "dash"))
    for (rho, weights), style in zip(found.weights.items(), (FASTER, THIRD), strict=True):
        line(chart, 1, ages, weights, style, f"RMSProp, ρ = {rho}")
        line(chart, 2, steps, found.rates[rho], style)
    large = steps[found.burst > 1]
    chart.add_vrect(large[0], large[-1], fillcolor=GREY, opacity=0.2, line_width=0, row=1, col=2)
    return chart


def bias_correction(found: claims.BiasCorrection) -> go.Figure:
    """How much of the moments is there, and the lengths of the steps."""
    logarithmic = {"type": "log", "dtick": 1}
    chart = side_by_side(
        "moments of a gradient that is always 1",
        "length of the steps",
        x1={"title_text": "step t", **logarithmic},
        y1={"title_text": "m, v", **logarithmic},
        x2={"title_text": "step t", **logarithmic},
        y2={"title_text": "|Δθ| / η", **logarithmic},
    )
    steps = np.arange(1, len(found.first_moment) + 1)
    line(chart, 1, steps, found.first_moment, (PURPLE, "solid"), f"m = 1 − β₁ᵗ, β₁ = {found.beta_1}")
    line(chart, 1, steps, found.second_moment, (GREEN, "longdash"), f"v = 1 − β₂ᵗ, β₂ = {found.beta_2}")
    names = {
        "both": ("Adam", FASTER),
        "neither": ("without both corrections", (GREY, "dash")),
        "v": ("without that of m", (BLUE, "dot")),
        "m": ("without that of v", ("#333", "dashdot")),
    }
    for key, (name, style) in names.items():
        line(chart, 2, steps, found.lengths[key], style, name)
    chart.layout.legend.entrywidth = 190
    return chart


def two_moments(found: claims.TwoMoments) -> go.Figure:
    """Of one of the weights: m̂ with three β₁, and √v̂ with three β₂."""
    first, last = 100, 300
    shown, weight = slice(first, last), 0
    chart = side_by_side(
        f"direction: corrected m, with β₂ = {claims.BETA_2[1]} throughout",
        f"scale: root of corrected v, with β₁ = {claims.BETA_1[1]} throughout",
        x1={"title_text": "step"},
        y1={"title_text": "m / (1 − β₁ᵗ)"},
        x2={"title_text": "step"},
        y2={"title_text": "√(v / (1 − β₂ᵗ))"},
    )
    steps = np.arange(first, last) + 1
    styles = (((GREY, "solid"), 1.2), (SLOWER, 2.5), (FASTER, 2.5))
    for beta_1, (style, width) in zip(claims.BETA_1, styles, strict=True):
        m = found.first_moment[beta_1, claims.BETA_2[1]][shown, weight] / (1 - beta_1**steps)
        line(chart, 1, steps, m, style, f"β₁ = {beta_1:g}{' (the gradient)' if beta_1 == 0 else ''}", width)
    chart.add_hline(0, line={"color": "#333", "width": 1}, row=1, col=1)
    styles = (((PURPLE, "solid"), 1.5), ((GREEN, "dot"), 2.5), (("#333", "dashdot"), 2.5))
    for beta_2, (style, width) in zip(claims.BETA_2, styles, strict=True):
        v = found.second_moment[claims.BETA_1[1], beta_2][shown, weight] / (1 - beta_2**steps)
        line(chart, 2, steps, np.sqrt(v), style, f"β₂ = {beta_2:g}", width)
    return chart


def joined(found: claims.Joined) -> go.Figure:
    """The ways of Adam and of the two that it joins."""
    chart = side_by_side(
        "gradients of one size: v is at rest",
        "β₁ = 0: m is the gradient",
        x1={"title_text": "step"},
        y1={"title_text": "weight θ"},
        x2={"title_text": "step"},
        y2={"title_text": "weight θ"},
    )
    steps = np.arange(len(found.momentum))
    line(chart, 1, steps, found.momentum, ("#e8b48c", "solid"), f"momentum, γ = {found.beta_1}", width=8)
    line(chart, 1, steps, found.adam_as_momentum, (BLUE, "solid"), f"Adam, β₁ = {found.beta_1}, β₂ = {found.beta_2}", width=2)
    line(chart, 2, steps, found.rmsprop, ("#a9d9c9", "solid"), f"RMSProp, ρ = {found.beta_2}", width=8)
    line(chart, 2, steps, found.adam_as_rmsprop, (PURPLE, "dash"), f"Adam, β₁ = 0, β₂ = {found.beta_2}", width=2)
    return chart


def weight_decay(found: claims.WeightDecay) -> go.Figure:
    """How weights shrink whose gradients have three sizes."""
    chart = side_by_side(
        "decay as a penalty in Adam's gradient",
        "decoupled: AdamW, three curves in one",
        x1={"title_text": "step"},
        y1={"title_text": "weight θ", "range": [0, 1.05]},
        x2={"title_text": "step"},
        y2={"title_text": "weight θ", "range": [0, 1.05]},
    )
    steps = np.arange(len(found.penalty))
    styles = (ORANGE, "solid"), (GREEN, "dash"), (BLUE, "dot")
    for column, (size, style, width) in enumerate(zip(found.sizes, styles, (7, 5, 3), strict=True)):
        line(chart, 1, steps, found.penalty[:, column], style, f"gradients of ±{size:g}")
        line(chart, 2, steps, found.decoupled[:, column], style, width=width)
    return chart


PICTURES = {
    draw.__name__: draw
    for draw in (
        *(inertia, escape, rare_and_frequent, long_run, forgetting),
        *(bias_correction, two_moments, joined, weight_decay),
    )
}


def main():
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which pictures: {', '.join(PICTURES)}; without names, all")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "docs" / "pictures", help="the folder")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in PICTURES]
    if unknown:
        parser.error(f"There is no picture {unknown[0]!r}; the pictures are {', '.join(PICTURES)}.")
    arguments.output.mkdir(parents=True, exist_ok=True)
    for name in arguments.names or PICTURES:
        path = arguments.output / f"claim_{name}.png"
        write_pngs(PICTURES[name](getattr(claims, name)()), path)
        print(path)


if __name__ == "__main__":
    main()
