"""The tables of the documents that `sensitivity.py` prints, in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from scripts.sensitivity_trials import AXES, BUDGETS, Search, Training, shown_axes, value_on
from tuning.space.axes import Axis, number


def brief(axis: Axis, value: float) -> str:
    """Two digits; of a decay rate those of its complement."""
    if axis.scale == "log1m":
        return number(float(f"{1 - float(f'{1 - value:.2g}'):.12g}"))
    return number(float(f"{value:.2g}"))


def setting_text(optimizer: str, setting: Mapping[str, float]) -> str:
    """Symbols and values."""
    return ", ".join(f"{axis.symbol} = {brief(axis, setting[name])}" for name, axis in AXES[optimizer].items())


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
