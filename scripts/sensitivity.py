"""How sensitive results are to each hyperparameter: real searches, the table of their trials, and what the documents show of it.

    python scripts/sensitivity.py search [--problem digits_mlp ...] [--optimizer adam ...] [--trials N] [--epochs N]
    python scripts/sensitivity.py picture [adam ...]     # docs/pictures/sensitivity_adam.png ..., from the table
    python scripts/sensitivity.py table [adam ...]       # the tables of the pages, and with story or story.ko those of the story

`search` tries settings that are spread evenly over each optimizer's default space (quasirandom, one training for each), and
trains its best setting and its default setting with three fresh seeds. The searches are kept in results/sensitivity, where the
same command goes on with them; every training is a line of docs/sensitivity/trials.csv. All of it takes about an hour; two
commands with different optimizers, each with TF_NUM_INTRAOP_THREADS=1, took half of that on 2 cores. MNIST and CIFAR-10 are
looked for as by `keras-optims tune`.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import math
import os
import pathlib
import sys
from collections.abc import Callable, Iterable, Mapping

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import plotly.graph_objects as go  # noqa: E402
import plotly.subplots  # noqa: E402

import keras_optims  # noqa: E402
from scripts.chromium import LAYOUT, X_AXIS, Y_AXIS, write_png  # noqa: E402
from tuning.axes import Axis, number  # noqa: E402
from tuning.files import replacing  # noqa: E402
from tuning.report.figure import BLUE, ORANGE  # noqa: E402

TABLE = ROOT / "docs" / "sensitivity" / "trials.csv"
PICTURES = ROOT / "docs" / "pictures"
STORES = pathlib.Path("results") / "sensitivity"


@dataclasses.dataclass(frozen=True)
class Budget:
    """What the searches on a problem cost.

    Args:
        title: of the problem in pictures and tables.
        trials: settings per optimizer.
        epochs: of each.
        near: percentage points of accuracy below the best that count as near it: more where the seed makes more of a difference.
        train_samples: how many samples an epoch has; `None`: all.
    """

    title: str
    trials: int
    epochs: int
    near: int
    train_samples: int | None = None


BUDGETS = {
    "digits_mlp": Budget("digits", 64, 20, near=2),
    "mnist_mlp": Budget("MNIST", 64, 3, near=2, train_samples=20_000),
    "cifar10_cnn": Budget("CIFAR-10", 32, 3, near=5, train_samples=10_000),
}
SEEDS = 3  # with which the best setting and the default setting of an optimizer are trained

# -- the searches, and the table of all trainings --------------------------------------------------

SEARCHED, BEST, DEFAULT = "search", "best", "default"


@dataclasses.dataclass(frozen=True)
class Training:
    """A line of the table.

    Args:
        problem, optimizer: their names.
        kind: `SEARCHED`, a trial of the search; `BEST` or `DEFAULT`, that setting with a fresh seed.
        number: of the trial in its store.
        setting: the searched hyperparameters by name.
        state: `"completed"` or `"diverged"`.
        accuracy: of validation, after the best epoch; `None` if it diverged.
    """

    problem: str
    optimizer: str
    kind: str
    number: int
    setting: Mapping[str, float]
    state: str
    accuracy: float | None


def axes(optimizer: str) -> dict[str, Axis]:
    """The hyperparameters that a search of the optimizer looks at by default, by name."""
    declared = keras_optims.OPTIMIZERS[optimizer].hyperparameters().items()
    return {
        name: Axis(name, each.symbol, scale=each.search.scale, low=each.search.low, high=each.search.high)
        for name, each in declared
        if each.search is not None and each.search.by_default
    }


def default_setting(optimizer: str) -> dict[str, float]:
    """The default values of these hyperparameters."""
    declared = keras_optims.OPTIMIZERS[optimizer].hyperparameters()
    return {name: declared[name].default for name in axes(optimizer)}


COLUMNS = [
    "problem",
    "optimizer",
    "kind",
    "number",
    *dict.fromkeys(name for each in keras_optims.OPTIMIZERS for name in axes(each)),
]
COLUMNS += ["state", "accuracy"]


def read(table: pathlib.Path = TABLE) -> list[Training]:
    """The lines of the table."""
    with table.open(newline="") as opened:
        return [
            Training(
                line["problem"],
                line["optimizer"],
                line["kind"],
                int(line["number"]),
                {name: float(line[name]) for name in axes(line["optimizer"])},
                line["state"],
                float(line["accuracy"]) if line["accuracy"] else None,
            )
            for line in csv.DictReader(opened)
        ]


def write(trainings: Iterable[Training], table: pathlib.Path = TABLE):
    """Writes the table, with the problems and optimizers in the order of their lists."""
    kinds = [SEARCHED, BEST, DEFAULT]

    def place(line: Training):
        return list(BUDGETS).index(line.problem), list(keras_optims.OPTIMIZERS).index(line.optimizer), kinds.index(line.kind)

    table.parent.mkdir(parents=True, exist_ok=True)
    with replacing(table) as temporary, temporary.open("w", newline="") as opened:
        writer = csv.DictWriter(opened, COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        for line in sorted(trainings, key=lambda line: (*place(line), line.number)):
            accuracy = "" if line.accuracy is None else f"{line.accuracy:.6g}"
            own = {"problem": line.problem, "optimizer": line.optimizer, "kind": line.kind, "number": line.number}
            writer.writerow({**own, **line.setting, "state": line.state, "accuracy": accuracy})


def searched(problem: str, optimizer: str, trials: int | None, epochs: int | None, folder: pathlib.Path) -> list[Training]:
    """The trainings of an optimizer on a problem, of which those that are in the folder already are not repeated."""
    import tuning

    budget = BUDGETS[problem]
    common = {"epochs": epochs or budget.epochs, "train_samples": budget.train_samples, "jit": "off"}  # the same compiler for all
    folder = folder / f"{optimizer}-{problem}"
    found = tuning.search(optimizer, problem, trials=trials or budget.trials, oracle="quasirandom", directory=folder, **common)
    settings = {DEFAULT: (default_setting(optimizer), f"{folder}-default")}
    if found.best is not None:
        settings[BEST] = (found.best.hyperparameters, f"{folder}-best-{found.best.number}")
    results = {SEARCHED: found}
    for kind, (setting, directory) in settings.items():
        results[kind] = tuning.search(optimizer, problem, confirm=setting, trials=SEEDS, directory=directory, **common)
    return [
        Training(problem, optimizer, kind, trial.number, trial.hyperparameters, trial.state, trial.score)
        for kind, result in results.items()
        for trial in result.trials
    ]


def search(arguments):
    """The subcommand: searches, and puts what was found into the table in place of what it had of these."""
    from tuning.quiet import import_keras_quietly

    import_keras_quietly()
    for problem in arguments.problem:
        for optimizer in arguments.optimizer:
            own = searched(problem, optimizer, arguments.trials, arguments.epochs, arguments.directory)
            known = read(arguments.table) if arguments.table.exists() else []
            write([line for line in known if (line.problem, line.optimizer) != (problem, optimizer)] + own, arguments.table)
    print(arguments.table)


# -- what the searches say -------------------------------------------------------------------------

CHANCE = 0.1  # the accuracy of guessing one of ten classes
GUESSING = 0.131  # more than the share of any class among the validation samples, 0.1306 at most
NEIGHBOURS = 3  # on each side, from whose ranks that of a trial is guessed


@dataclasses.dataclass(frozen=True)
class Search:
    """The trainings of an optimizer on a problem.

    Args:
        problem, optimizer: their names.
        trials: of the search.
        best, default: the accuracies of these settings with fresh seeds; 0 where a training diverged.
    """

    problem: str
    optimizer: str
    trials: list[Training]
    best: list[float]
    default: list[float]

    @classmethod
    def of(cls, trainings: Iterable[Training], problem: str, optimizer: str) -> Search:
        """From the lines of the table."""
        own = [line for line in trainings if (line.problem, line.optimizer) == (problem, optimizer)]
        kinds = {kind: [line for line in own if line.kind == kind] for kind in (SEARCHED, BEST, DEFAULT)}
        repeated = ([line.accuracy or 0.0 for line in kinds[kind]] for kind in (BEST, DEFAULT))
        return cls(problem, optimizer, kinds[SEARCHED], *repeated)

    @property
    def accuracies(self) -> np.ndarray:
        """Of the trials; 0 where they diverged."""
        return np.array([trial.accuracy or 0.0 for trial in self.trials])

    @property
    def best_trial(self) -> Training:
        """The first with the highest accuracy."""
        return self.trials[int(np.argmax(self.accuracies))]

    @property
    def diverged(self) -> int:
        """How many trials did."""
        return sum(trial.state == "diverged" for trial in self.trials)

    @property
    def guessing(self) -> int:
        """How many trials are no better than always naming one class, the most frequent: those that diverged and others."""
        return int((self.accuracies < GUESSING).sum())

    @property
    def least_near(self) -> float:
        """The lowest accuracy that counts as near the best."""
        return float(self.accuracies.max()) - BUDGETS[self.problem].near / 100

    def near(self) -> list[Training]:
        """The trials near the best."""
        least = self.least_near - 1e-9  # accuracies have six digits
        return [trial for trial, accuracy in zip(self.trials, self.accuracies, strict=True) if accuracy >= least]

    def between(self, axis: Axis) -> int:
        """How many trials have a value of this axis that is not outside of those near the best."""
        values = [value_on(axis, trial.setting) for trial in self.near()]
        return sum(min(values) <= value_on(axis, trial.setting) <= max(values) for trial in self.trials)

    def foretold(self, axis: Axis) -> float:
        """How well the trials that are next to a trial on this axis, whatever else they differ in, foretell its rank.

        1 − Σ(r − r̂)² / Σ(r − r̄)², where r̂ is the mean rank of the three neighbours on either side; 1: the axis alone decides;
        0: no better than the mean of all ranks, or worse.
        """
        from scipy.stats import rankdata

        order = np.argsort([axis.position(value_on(axis, trial.setting)) for trial in self.trials], kind="stable")
        ranks = rankdata(self.accuracies)[order]
        guesses = []
        for i in range(len(ranks)):
            beside = [*ranks[max(0, i - NEIGHBOURS) : i], *ranks[i + 1 : i + 1 + NEIGHBOURS]]
            guesses.append(np.mean(beside))
        spread = ((ranks - ranks.mean()) ** 2).sum()
        return max(0.0, 1 - float(((ranks - guesses) ** 2).sum() / spread))


def seed_deviation(trainings: list[Training], problem: str) -> float:
    """By how many percentage points seeds differ: the standard deviation, root mean square over the best settings."""
    searches = [Search.of(trainings, problem, optimizer) for optimizer in keras_optims.OPTIMIZERS]
    return 100 * float(np.sqrt(np.mean([np.var(each.best, ddof=1) for each in searches])))


EFFECTIVE = Axis("effective rate", "η/(1−γ)", scale="log", low=0.002, high=200.0)  # the whole range: nothing is cut off


def shown_axes(optimizer: str) -> list[Axis]:
    """The axes of the picture: what was searched, and for momentum the rate at which it moves in the long run."""
    return [*axes(optimizer).values(), *([EFFECTIVE] if optimizer == "momentum" else [])]


def value_on(axis: Axis, setting: Mapping[str, float]) -> float:
    """Of a setting."""
    return setting["learning_rate"] / (1 - setting["momentum"]) if axis is EFFECTIVE else setting[axis.name]


# -- the tables ------------------------------------------------------------------------------------


def brief(axis: Axis, value: float) -> str:
    """Two digits; of a decay rate those of its complement."""
    if axis.scale == "log1m":
        return number(float(f"{1 - float(f'{1 - value:.2g}'):.12g}"))
    return number(float(f"{value:.2g}"))


def setting_text(optimizer: str, setting: Mapping[str, float]) -> str:
    """Symbols and values."""
    return ", ".join(f"{axis.symbol} = {brief(axis, setting[name])}" for name, axis in axes(optimizer).items())


def range_text(axis: Axis, trials: Iterable[Training]) -> str:
    """From the least to the largest value; of a logarithmic axis with their ratio."""
    values = [value_on(axis, trial.setting) for trial in trials]
    low, high = min(values), max(values)
    factor = f" (×{float(f'{high / low:.2g}'):g})" if axis.scale == "log" else ""
    return f"{brief(axis, low)} to {brief(axis, high)}{factor}"


def seeds_text(accuracies: list[float]) -> str:
    """Mean, least and largest accuracy."""
    return f"{np.mean(accuracies):.3f} ({min(accuracies):.3f} to {max(accuracies):.3f})"


def table_of(optimizer: str, trainings: list[Training]) -> str:
    """The table of the page of an optimizer, in Markdown."""
    searches = [Search.of(trainings, problem, optimizer) for problem in BUDGETS]
    rows = {
        "trials": [f"{len(each.trials)}{f'; {each.diverged} diverged' if each.diverged else ''}" for each in searches],
        "best accuracy of the search": [f"{each.accuracies.max():.3f}" for each in searches],
        "its setting": [setting_text(optimizer, each.best_trial.setting) for each in searches],
        "it again, three fresh seeds": [seeds_text(each.best) for each in searches],
        "default setting, three seeds": [seeds_text(each.default) for each in searches],
        "trials no better than guessing": [str(each.guessing) for each in searches],
        "median of all trials": [f"{np.median(each.accuracies):.3f}" for each in searches],
        "trials near the best": [f"{len(each.near())} ({100 * len(each.near()) / len(each.trials):.0f} %)" for each in searches],
    }
    for axis in shown_axes(optimizer):
        rows[f"{axis.symbol} of these"] = [range_text(axis, each.near()) for each in searches]
    for axis in (axis for axis in shown_axes(optimizer) if axis.scale == "log" and axis.name != "weight_decay"):
        shares = [f"{len(each.near())} of {each.between(axis)}" for each in searches]
        rows[f"of all with such an {axis.symbol}, near the best"] = shares
    for axis in shown_axes(optimizer):
        rows[f"ranks foretold by {axis.symbol} alone"] = [f"{100 * each.foretold(axis):.0f} %" for each in searches]
    return markdown(["", *(BUDGETS[each.problem].title for each in searches)], [[name, *cells] for name, cells in rows.items()])


NAMES = {
    "gradient_descent": ("gradient descent", "경사 하강법"),
    "momentum": ("momentum", "모멘텀"),
    "adagrad": ("AdaGrad", "AdaGrad"),
    "rmsprop": ("RMSProp", "RMSProp"),
    "adam": ("Adam", "Adam"),
    "adamw": ("AdamW", "AdamW"),
}


def table_of_story(trainings: list[Training], korean: bool) -> str:
    """The table of the story: of all optimizers the best setting, trained again, beside the quartiles of all settings."""
    titles = [budget.title for budget in BUDGETS.values()]
    if korean:
        titles[0] = "숫자 그림"
    rows = []
    for optimizer, names in NAMES.items():
        searches = [Search.of(trainings, problem, optimizer) for problem in BUDGETS]
        cells = []
        for each in searches:
            low, high = np.quantile(each.accuracies, (0.25, 0.75))
            cells.append(f"{np.mean(each.best):.3f}; {low:.3f}–{high:.3f}")
        rows.append([names[korean], *cells])
    return markdown(["", *titles], rows)


def markdown(header: list[str], rows: list[list[str]]) -> str:
    """A table."""
    lines = [header, ["---"] * len(header), *rows]
    return (
        "\n".join(f"| {' | '.join(cells)} |".replace("|  |", "| |") for cells in lines)
        .replace("| --- ", "|---")
        .replace("--- |", "---|")
    )


STORIES = {"story": False, "story.ko": True}  # whether it is in Korean


def table(name: str, trainings: list[Training]) -> str:
    """By the name of the page that has it."""
    return table_of_story(trainings, STORIES[name]) if name in STORIES else table_of(name, trainings)


def print_tables(arguments):
    """The subcommand."""
    trainings = read()
    for name in arguments.names or arguments.known:
        print(f"{name}\n\n{table(name, trainings)}\n")


# -- the pictures ----------------------------------------------------------------------------------

WIDTH, ROW, GAP, ABOVE, BELOW, LEFT, RIGHT, BETWEEN = 720, 170, 84, 62, 142, 78, 12, 52  # pixels; the file has twice as many
FONT = 16  # legible on a telephone, where the picture is about half as wide
WINDOW = 0.06  # of an axis, to either side: where the upper edge is sought
# Viridis, which the colour-blind see as others do, without its lightest end, which would not show on white.
COLOURS = [[0, "#440154"], [0.25, "#3e4a89"], [0.5, "#25838e"], [0.75, "#35b779"], [1, "#c2df23"]]
SHADE, EDGE, MARK = "#dde6ef", "#5b6068", "#c2185b"


def accuracy_axis(trainings: list[Training], problem: str) -> Axis:
    """From chance to the best of all optimizers on a problem, on a scale that shows the differences near the best."""
    best = max(Search.of(trainings, problem, optimizer).accuracies.max() for optimizer in NAMES)
    return Axis("accuracy", scale="log1m", low=CHANCE, high=best)


def spaced(candidates: Iterable[tuple[float, str]], least: Callable[[str, str], float]) -> dict[str, list]:
    """Of (position, text), the earlier the dearer, those whose texts are far enough from all that are taken already."""
    taken: list[tuple[float, str]] = []
    for place, text in candidates:
        if all(abs(place - other) >= least(text, beside) for other, beside in taken):
            taken.append((place, text))
    return {"tickvals": [place for place, _ in taken], "ticktext": [text for _, text in taken]}


def ticks_across(axis: Axis, pixels: float) -> dict[str, list]:
    """Of a horizontal axis: powers of ten, from both ends; between decay rates also others."""
    low, high = axis.ends
    if axis.scale == "log1m":
        values = [value for value in (0.9, 0.99, 0.999, 0.9999, 0.5, 0.98, 0.995, 0.8) if axis.low <= value <= axis.high]
        candidates = [(axis.position(value), number(value)) for value in values]
    else:
        powers = range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1)
        candidates = [(float(power), number(10.0**power)) for power in (*powers[::2], *powers[1::2])]
    character = 0.56 * FONT * (high - low) / pixels
    return spaced(candidates, lambda one, other: character * ((len(one) + len(other)) / 2 + 0.4))


def ticks_upwards(axis: Axis) -> dict[str, list]:
    """Of the accuracies."""
    values = [value for value in (0.98, 0.97, 0.6, 0.95, 0.9, 0.5, 0.8, 0.4, 0.3, 0.2, CHANCE) if value <= axis.high]
    low, high = axis.ends
    return spaced([(axis.position(value), number(value)) for value in values], lambda *_: 1.3 * FONT * (high - low) / ROW)


def upper_edge(positions: np.ndarray, heights: np.ndarray, axis: Axis) -> tuple[np.ndarray, np.ndarray]:
    """The greatest height within the window around each place of an axis; places without a trial are left out."""
    low, high = axis.ends
    places = np.linspace(low, high, 201)
    inside = abs(places[:, None] - positions) <= WINDOW * (high - low)
    greatest = np.where(inside, heights, -np.inf).max(axis=1)
    return places[greatest > -np.inf], greatest[greatest > -np.inf]


def panel(chart: go.Figure, row: int, col: int, axis: Axis, search: Search, score: Axis):
    """The accuracies of a search over one axis."""
    where = {"row": row, "col": col}
    rate = axes(search.optimizer)["learning_rate"]
    x = np.array([axis.position(value_on(axis, trial.setting)) for trial in search.trials])
    y = np.array([score.position(max(accuracy, CHANCE)) for accuracy in search.accuracies])
    colour = np.array([rate.position(trial.setting["learning_rate"]) for trial in search.trials])
    ended = np.array([trial.state != "diverged" for trial in search.trials])
    bottom, top = score.ends
    margin = 0.07 * (top - bottom)
    if len(axes(search.optimizer)) > 1 and axis is not EFFECTIVE:
        places, greatest = upper_edge(x[ended], y[ended], axis)
        chart.add_scatter(x=places, y=greatest, mode="lines", line={"color": EDGE, "width": 1.2}, showlegend=False, **where)
    coloured = {"color": colour[ended], "coloraxis": "coloraxis"} if len(axes(search.optimizer)) > 1 else {"color": BLUE}
    marker = {**coloured, "size": 8, "line": {"color": "white", "width": 0.6}}
    chart.add_scatter(x=x[ended], y=y[ended], mode="markers", marker=marker, showlegend=False, **where)
    crosses = {"x": x[~ended], "y": np.full(sum(~ended), bottom)} if not ended.all() else {"x": [None], "y": [None]}
    in_legend = row == col == 1
    marker = {"color": ORANGE, "symbol": "x", "size": 8}
    chart.add_scatter(**crosses, mode="markers", marker=marker, name="diverged", showlegend=in_legend, **where)
    chart.add_scatter(
        x=[axis.position(value_on(axis, default_setting(search.optimizer)))],
        y=[score.position(max(float(np.mean(search.default)), CHANCE))],
        mode="markers",
        marker={"color": "white", "symbol": "diamond", "size": 11, "line": {"color": MARK, "width": 2.5}},
        name=f"default setting, mean of {len(search.default)} seeds",
        showlegend=in_legend,
        **where,
    )
    square = {"color": SHADE, "symbol": "square", "size": 14}
    chart.add_scatter(x=[None], y=[None], mode="markers", marker=square, name="near the best", showlegend=in_legend, **where)
    least = score.position(max(search.least_near, CHANCE))
    chart.add_hrect(least, top + margin, fillcolor=SHADE, line_width=0, layer="below", **where)
    low, high = axis.ends
    aside = 0.06 * (high - low)
    width = (WIDTH - LEFT - RIGHT - 2 * BETWEEN) / 3 / 1.12
    chart.update_xaxes(**X_AXIS, **ticks_across(axis, width), range=[low - aside, high + aside], tickangle=0, **where)
    chart.update_yaxes(**Y_AXIS, **ticks_upwards(score), range=[bottom - margin, top + margin], **where)


def picture(optimizer: str, trainings: list[Training]) -> go.Figure:
    """A column for each problem and a row for each hyperparameter: accuracy over its value."""
    rows, searches = shown_axes(optimizer), [Search.of(trainings, problem, optimizer) for problem in BUDGETS]
    inner = len(rows) * ROW + (len(rows) - 1) * GAP
    chart = plotly.subplots.make_subplots(
        rows=len(rows),
        cols=len(searches),
        horizontal_spacing=BETWEEN / (WIDTH - LEFT - RIGHT),
        vertical_spacing=GAP / inner,
        subplot_titles=[
            f"<b>{BUDGETS[each.problem].title}</b><br>{len(each.trials)} trials, {BUDGETS[each.problem].epochs} epochs"
            for each in searches
        ],
    )
    for col, each in enumerate(searches, start=1):
        score = accuracy_axis(trainings, each.problem)
        for row, axis in enumerate(rows, start=1):
            panel(chart, row, col, axis, each, score)
    for row, axis in enumerate(rows, start=1):
        chart.update_xaxes(title={"text": axis.scale_label, "standoff": 6, "font": {"size": FONT}}, row=row, col=2)
        chart.update_yaxes(title={"text": "accuracy", "font": {"size": FONT}}, row=row, col=1)
    if not any(each.diverged for each in searches):
        chart.update_traces(showlegend=False, selector={"name": "diverged"})
    chart.update_annotations(font_size=FONT)
    below = BELOW if len(axes(optimizer)) > 1 else BELOW - 46
    chart.update_layout(
        width=WIDTH,
        height=ABOVE + inner + below,
        **{**LAYOUT, "font": {**LAYOUT["font"], "size": FONT}},
        margin={"l": LEFT, "r": RIGHT, "t": ABOVE, "b": below},
        legend={"orientation": "h", "x": 0, "y": -70 / inner, "yanchor": "top"},
    )
    if len(axes(optimizer)) > 1:
        rate = axes(optimizer)["learning_rate"]
        bar = {"orientation": "h", "thickness": 12, "len": 0.76, "x": 0.18, "xanchor": "left", "y": -96 / inner, "yanchor": "top"}
        bar |= {**ticks_across(rate, 400), "outlinewidth": 0}
        chart.update_layout(coloraxis={"colorscale": COLOURS, "cmin": rate.ends[0], "cmax": rate.ends[1], "colorbar": bar})
        place = {"xref": "paper", "yref": "paper", "xanchor": "left", "yanchor": "top", "showarrow": False}
        chart.add_annotation(text="η, as colour", x=0, y=-101 / inner, font_size=FONT, **place)
    return chart


def draw(arguments):
    """The subcommand."""
    trainings = read()
    PICTURES.mkdir(parents=True, exist_ok=True)
    for name in arguments.names or NAMES:
        path = PICTURES / f"sensitivity_{name}.png"
        write_png(picture(name, trainings), path)
        print(path)


def main(arguments=None):
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("search", help="search, and write the table of all trainings")
    command.add_argument("--problem", nargs="+", choices=BUDGETS, default=list(BUDGETS))
    command.add_argument("--optimizer", nargs="+", choices=keras_optims.OPTIMIZERS, default=list(keras_optims.OPTIMIZERS))
    budgets = "; ".join(f"{problem}: {each.trials} trials of {each.epochs} epochs" for problem, each in BUDGETS.items())
    command.add_argument("--trials", type=int, help=f"for each optimizer and problem, instead of {budgets}")
    command.add_argument("--epochs", type=int, help="of each trial")
    command.add_argument("--directory", type=pathlib.Path, default=STORES, help="of the searches")
    command.add_argument("--table", type=pathlib.Path, default=TABLE)
    command.set_defaults(call=search)
    command = commands.add_parser("picture", help="draw the pictures of docs/optimizers")
    command.add_argument("names", nargs="*", metavar="OPTIMIZER", help="without names, all")
    command.set_defaults(call=draw, known=list(NAMES))
    command = commands.add_parser("table", help="print the tables of docs/optimizers and of the story")
    command.add_argument("names", nargs="*", metavar="NAME", help="an optimizer, story or story.ko; without names, all")
    command.set_defaults(call=print_tables, known=[*NAMES, *STORIES])
    chosen = parser.parse_args(arguments)
    unknown = [name for name in getattr(chosen, "names", []) if name not in chosen.known]
    if unknown:
        parser.error(f"There is no {unknown[0]!r}; the names are {', '.join(chosen.known)}.")
    chosen.call(chosen)


if __name__ == "__main__":
    main()
