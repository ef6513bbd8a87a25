"""`tuning.search`: an optimizer, a problem, a budget, and out comes the best setting; confirmed, if that is asked for."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import warnings
from collections.abc import Sequence
from typing import Any

from tuning.console.search_table import without_best
from tuning.experiments.plan import Plan, plan_of, shows_options
from tuning.experiments.running import run
from tuning.names import DEFAULT_ORACLE, DEFAULT_PRUNER
from tuning.results.comparison import confirmed_epochs, confirms, load_search
from tuning.results.search import SearchResult, TrialRecord
from tuning.results.worth import defaults_trial, places


@shows_options
def search(
    optimizer: str | type | Sequence[str | type] | Plan,
    problem: Any = None,
    *,
    fresh: bool = False,
    retry_failed: bool = False,
    progress: bool = True,
    command: str | None = None,
    **options: Any,
) -> SearchResult:
    """Searches good hyperparameters of an optimizer on a problem, or goes on with the search in `directory`.

    Args:
        optimizer: a name in `keras_optims.OPTIMIZERS`, `"keras:NAME"` of Keras's own, or a class; a list of such, of which each
            trial has one; or a whole `tuning.Plan`.
        problem: a name in `tuning.problems.PROBLEMS`, your own as `"module:function"`, or a `tuning.Problem`; by default
            `"digits_mlp"`.
        fresh: delete what is in the store of `directory` and start over.
        retry_failed: try the trials that failed once more, with the same settings and seeds.
        progress: show how it goes, on stderr.
        command: how a person called this, to be kept in the store.
        **options: all that a `tuning.Plan` has, such as `trials`, `epochs`, `search`, `fix`, `seed`, `workers`, `directory`;
            with a plan, changes of it.

    Returns:
        A `SearchResult` with `best`, `trials`, `to_dataframe()`. It may hold no completed trial, of which a warning tells if no
        progress is shown.

    Raises:
        SearchError: (a ValueError) an argument is wrong, data is missing, or the directory holds another search.
        KeyboardInterrupt: the search was interrupted; the same call resumes it.
    """
    plan = plan_of(optimizer if isinstance(optimizer, (Plan, list, tuple)) else [optimizer], problem, options)
    result = run_and_confirm(plan, fresh=fresh, retry_failed=retry_failed, progress=progress, command=command)
    if result.best is None and not progress:
        warnings.warn(without_best(result), stacklevel=2)
    return result


def run_and_confirm(plan: Plan, **options: Any) -> SearchResult:
    """Runs the search of a plan, and then the confirmations that it asks for; `options` are those of `run`."""
    confirmations = plan.confirmations
    result = run(dataclasses.replace(plan, confirmations=None), **options)
    best, defaults = result.best, defaults_trial(result)
    if confirmations is None or best is None or result.ended is None:
        return result
    for place, trial in zip(places(result.directory), (best, defaults), strict=True):
        if trial is not None and trial.state == "completed":
            set_aside(place, result, trial)
            one = confirming(plan, result, trial, place, confirmations)
            run(one, **{**options, "fresh": False}, choices=result.choices)
    return SearchResult.load(result.directory)


def confirming(plan: Plan, search: SearchResult, trial: TrialRecord, place: pathlib.Path, confirmations: int) -> Plan:
    """The plan that trains the setting of a trial with fresh seeds."""
    return dataclasses.replace(
        plan,
        directory=place,
        trials=confirmations,
        epochs=confirmed_epochs(search, trial),
        repeats=1,
        confirm=trial.setting,
        # What chooses and what stops has no place where nothing is chosen, and nothing may be stopped.
        oracle=DEFAULT_ORACLE,
        sampler=None,
        factor=None,
        min_epochs=None,
        population=None,
        ready=None,
        pruner=DEFAULT_PRUNER,
        start_with=None,
        warm_start=None,
        max_epochs=None,
        max_minutes=None,
        target=None,
        keep_models=0,
        confirmations=None,
    )


def set_aside(place: pathlib.Path, search: SearchResult, trial: TrialRecord) -> None:
    """Keeps a confirmation in a folder aside, if it is of a setting that is no longer the one that is meant."""
    found = load_search(place)
    if found is not None and not confirms(found, search, trial):
        number = 1
        while (aside := place.with_name(f"{place.name}-superseded-{number}")).exists():
            number += 1
        os.rename(place, aside)
