"""A search of an optimizer, and then trainings of its best and of its default setting with fresh seeds, as the studies do."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras_optims
from tuning.space.axes import Axis

if TYPE_CHECKING:
    from tuning.results.search import SearchResult, TrialRecord

SEARCHED, BEST, DEFAULT = "search", "best", "default"


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


def place_of(folder: pathlib.Path, kind: str, best: int | None = None) -> pathlib.Path:
    """The folder of one of the three: of the best setting one for each trial that has been the best."""
    return folder.with_name(folder.name + {SEARCHED: "", DEFAULT: "-default", BEST: f"-best-{best}"}[kind])


def best_of(search: SearchResult) -> TrialRecord | None:
    """The best of the trials that trained for all epochs, as it is confirmed; `None` if none completed."""
    return next((trial for trial in search.ranking() if trial.epochs == search.config["epochs"]), None)


def searched_and_confirmed(
    optimizer: str, problem: Any, folder: pathlib.Path, seeds: int, search: Mapping[str, Any], common: Mapping[str, Any]
) -> dict[str, SearchResult]:
    """The search in `folder` and the trainings with fresh seeds beside it; what is there already is not repeated.

    Args:
        optimizer: its name.
        problem: as `tuning.search` takes it.
        folder: of the search; the others have its name and more.
        seeds: how often the best setting and the default setting are trained.
        search: options of `tuning.search` for the search alone.
        common: options of all.

    Returns:
        `SEARCHED`, `DEFAULT` and, if a trial has completed, `BEST`.
    """
    import tuning

    found = tuning.search(optimizer, problem, directory=folder, **{**common, **search})
    settings, best = {DEFAULT: default_setting(optimizer)}, best_of(found)
    if best is not None:
        settings[BEST] = best.hyperparameters
    results = {SEARCHED: found}
    for kind, setting in settings.items():
        directory = place_of(folder, kind, None if best is None else best.number)
        results[kind] = tuning.search(optimizer, problem, confirm=setting, trials=seeds, directory=directory, **common)
    return results
