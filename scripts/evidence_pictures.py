"""The picture of docs/which.md: performance profiles, how many problems each optimizer solves nearly as well as the best one."""

from __future__ import annotations

import pathlib

import keras_optims
from scripts.evidence_results import Evidence
from scripts.searches import BEST, DEFAULT
from tuning.report.figure import BLUE, GREEN, GREY, ORANGE, PURPLE

POINTS = 10  # as far as the axis goes
SHOWN = {
    "gradient_descent": (GREY, (0, (5, 2)), "s"),
    "momentum": (BLUE, (0, (1.5, 1.5)), "^"),
    "adam": (ORANGE, "-", "o"),
    "muon": (GREEN, (0, (6, 2, 1.5, 2)), "D"),
    "soap": (PURPLE, (0, (9, 3)), "v"),
}
"""Of which there is a line in colour."""


def steps(evidence: Evidence, optimizer: str, kind: str) -> tuple[list[float], list[float]]:
    """The corners of a profile: points, and the share of the problems at most so far below the best."""
    gaps = sorted(max(0.0, evidence.gap(problem, optimizer, kind)) for problem in evidence.problems)
    x, y = [0.0], [0.0]
    for number, gap in enumerate(gaps, 1):
        if gap <= POINTS:
            x += [gap, gap]
            y += [y[-1], number / len(gaps)]
    return [*x, POINTS], [*y, y[-1]]


def draw(evidence: Evidence, path: pathlib.Path, *, narrow: bool = False):
    """Draws the profiles of the best settings and of the default settings, beside or, for a phone, below each other."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    with pyplot.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        shape = {"nrows": 2, "figsize": (4.2, 7.4)} if narrow else {"ncols": 2, "figsize": (8.6, 3.9)}
        figure, both = pyplot.subplots(**shape, sharey=True, layout="constrained")
        for axes, kind, of in zip(both, (BEST, DEFAULT), ("best setting of its search", "default setting"), strict=True):
            for name in evidence.optimizers:
                if name not in SHOWN:
                    axes.plot(*steps(evidence, name, kind), color="#bbb", linewidth=0.8, zorder=1)
            for name, (colour, dash, marker) in SHOWN.items():
                if name in evidence.optimizers:
                    label = keras_optims.OPTIMIZERS[name].__name__
                    x, y = steps(evidence, name, kind)
                    axes.plot(x, y, color=colour, linestyle=dash, linewidth=2.2, label=label, zorder=2)
                    axes.plot(x[2:-1:2], y[2:-1:2], color=colour, linestyle="", marker=marker, markersize=5, zorder=3)
            axes.set(xlim=(0, POINTS), ylim=(0, 1.03), xlabel="points below the best", title=f"each with the {of}")
            axes.title.set_fontsize(10.5)
            axes.set_yticks([number / len(evidence.problems) for number in range(len(evidence.problems) + 1)])
            axes.yaxis.set_major_formatter("{x:.0%}")
        both[0].set_ylabel("share of the problems")
        if narrow:
            both[1].set_ylabel("share of the problems")
        both[0].plot([], [], color="#bbb", linewidth=0.8, label="the others")
        both[0].legend(loc="lower right", frameon=False, fontsize=9, labelspacing=0.3)
        figure.savefig(path, dpi=200, metadata={"Software": None})
        pyplot.close(figure)
