"""Runs the search, or the confirmation, that a plan describes."""

from __future__ import annotations

import dataclasses
import math
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tuning.errors import SearchError, missing_packages_explained
from tuning.experiments.arguments import (
    DEFAULT_TRIALS,
    check_jit,
    default_directory,
    engine_of,
    objective_of,
    of_problem,
    trials_of,
)
from tuning.experiments.plan import Plan
from tuning.names import POPULATION, counted
from tuning.results.comparison import is_comparison
from tuning.results.search import SearchResult
from tuning.runtime.machine import machine, versions
from tuning.store import database as stores
from tuning.trackers import checked

if TYPE_CHECKING:
    from tuning.space.space import Space
    from tuning.trackers.following import Trackers


def run(
    plan: Plan,
    *,
    fresh: bool = False,
    retry_failed: bool = False,
    progress: bool = True,
    command: str | None = None,
    choices: Mapping[str, Any] | None = None,
    trackers: Trackers | None = None,
) -> SearchResult:
    """What `search` does, by its plan.

    `choices` are those of another search, which this one need not measure; `trackers` are those of the comparison to which it
    belongs.
    """
    problem, trials, confirm = plan.problem, trials_of(plan, minutes_are_its_own=True), plan.confirm
    if plan.confirmations is not None:
        raise SearchError(f"One setting is confirmed as often as trials says; received {plan.confirmations} confirmations.")
    for name in ("target", "start_with", "warm_start") if confirm is not None else ():
        if (value := getattr(plan, name)) is not None:
            raise SearchError(
                f"A confirmation trains one setting as often as it is asked to, and takes no {name}; received {value!r}."
            )
    chosen_engine = engine_of(plan)
    checked(plan.log)
    with missing_packages_explained():
        import keras

        from tuning import oracles
        from tuning.console.live import View
        from tuning.engines.here import HereEngine
        from tuning.experiments.first import Beginning
        from tuning.experiments.further import continuing, go_further, goes_further, gone_further, least_trials
        from tuning.oracles.confirmation import ConfirmationOracle, fresh_seed
        from tuning.problems import make_problem
        from tuning.problems.streams import is_stream
        from tuning.space.optimizers import public_name
        from tuning.space.space import Space
        from tuning.study.identity import BUDGET
        from tuning.study.tuner import Tuner
        from tuning.training.problem_model import ProblemModel, load, samples_of, steps_per_epoch
        from tuning.training.trainer import not_a_population

    check_jit(plan.jit, keras.backend.backend())
    if chosen_engine is not None and plan.batch_trials not in ("auto", 1):
        raise SearchError(
            f"Trials train together in one process: choose batch_trials or workers; received batch_trials={plan.batch_trials}, "
            f"workers={plan.workers} and the engine {plan.engine!r}."
        )
    made = make_problem(problem, plan.data_dir)
    structure = made.structure()
    space = Space.of(plan.optimizers, plan.search, plan.fix, plan.schedule, structure)
    data = None
    if space.follows_schedule:
        data = load(space, made, plan.train_samples)
        steps = steps_per_epoch(space.batch_size or made.batch_size, data)
        space = space.in_steps(steps, samples_of(data) if space.searches_batch_size else None)
    in_steps: dict[str, int] = {}
    of_population: dict[str, Any] = {"live": space.live()} if plan.oracle == POPULATION else {}
    changing = plan.oracle == POPULATION or not isinstance(confirm, (Mapping, type(None)))
    if changing:  # at certain epochs, which are steps of the schedule that it is
        data = load(space, made, plan.train_samples)
        if is_stream(data.train):
            raise SearchError(not_a_population("the data are batches, not arrays"))
        if space.searches_batch_size:
            space = dataclasses.replace(space, samples=samples_of(data))
        else:
            in_steps = {"steps_per_epoch": steps_per_epoch(space.batch_size or made.batch_size, data)}
    asked, plan = plan.epochs, plan.settled(made.epochs)
    assert plan.epochs is not None
    folder = default_directory(space.parts, made.name) if plan.directory is None else pathlib.Path(plan.directory)
    if is_comparison(folder):
        raise SearchError(f"{folder} holds a comparison, which a search there would hide: choose another --directory.")
    seed, own = plan.seed, {}
    if confirm is not None:
        for _, setting in [(0, confirm)] if isinstance(confirm, Mapping) else confirm:
            space.check_setting(setting)
        seed = fresh_seed(seed)
        own = {"oracle": "confirmation", "seed": seed, "confirms": confirm}
        folder = folder if plan.directory is not None else folder.with_name(f"{folder.name}-confirmation")
    objective = objective_of(made)
    before = SearchResult.load(folder) if stores.exists(folder) and not fresh else None
    stored = None if before is None else before.config
    beginning = Beginning()
    if confirm is None:
        beginning = Beginning.of(plan, space, made, structure, objective, stored)
    further = gone_further(before)
    points = None
    if plan.oracle == "grid" and confirm is None:
        assert trials is not None
        points = (stored or {}).get("grid")  # a larger budget does not change the grid of a search that has begun
        points = _grid(space, trials, beginning.settings) if points is None else points
        most = math.prod(points.values()) + _off_grid(space, points, beginning.settings)
        trials = most if plan.trials is None else min(trials, most)
    elif trials is None and confirm is not None:
        trials = DEFAULT_TRIALS
    config = {
        "optimizer": ",".join(each if isinstance(each, str) else public_name(each) for each in plan.optimizers),
        **plan.identity(),
        **of_problem(problem, made, objective),
        "space": space.get_config(),
        "grid": points,
        **beginning.to_json(),
        **in_steps,
        **own,
        "trials": trials,
        **{name: value for name in BUDGET[1:] if (value := getattr(plan, name)) is not None},
        "batch_trials": plan.batch_trials,
        "versions": versions(),
        "machine": machine(),
        "command": command,
    }
    config |= {"further": further} if further else {}
    if goes_further(before, config, asked):
        assert before is not None
        config["further"] = further = go_further(before, config)
    if trials is not None:
        config["trials"] = trials = max(trials, least_trials(further))
    hyperparameters = space.hyperparameters(points)
    if confirm is not None:
        oracle = ConfirmationOracle(confirm, objective=objective, max_trials=trials, hyperparameters=hyperparameters)
    else:
        oracle = oracles.make_oracle(
            plan.oracle,
            objective=objective,
            hyperparameters=hyperparameters,
            trials=trials,
            epochs=plan.epochs,
            seed=seed,
            sampler=plan.sampler,
            first=beginning.settings,
            continuing=continuing(before, further),
            earlier=beginning.earlier,
            factor=plan.factor,
            min_epochs=plan.min_epochs,
            population=plan.population,
            ready=plan.ready,
            **of_population,
        )
        if plan.oracle == POPULATION:
            config["trials"] = trials = oracle.max_trials
    model = ProblemModel(
        space,
        problem,
        plan.data_dir,
        plan.train_samples,
        made,
        reports_test=confirm is not None,
        callbacks=plan.callbacks,
        epochs=plan.epochs,
        data=data,
    )
    model.own_callbacks()  # what is wrong with them, or with the data, is an error of the search, not of its first trial
    if chosen_engine is None:
        model.load()
    stream = sys.stderr if progress else None
    known = chosen_engine is None and not space.searches_batch_size and not is_stream(model.load().train)
    samples = samples_of(model.load()) if known else None
    population = oracle if isinstance(oracle, oracles.PopulationOracle) else None
    view = View.of_space(
        *(space, made.name, objective, trials, stream), confirms=confirm is not None, samples=samples, population=population
    )
    tuner = Tuner(
        oracle,
        model,
        directory=str(folder.parent),
        project_name=folder.name,
        overwrite=fresh,
        retry_failed=retry_failed,
        seed=seed,
        executions_per_trial=plan.repeats,
        config=config,
        listener=view,
        engine=chosen_engine or HereEngine(plan.batch_trials),
        max_seconds=None if plan.max_minutes is None else 60 * plan.max_minutes,
        max_total_epochs=plan.max_epochs,
        target=plan.target,
        pruner=plan.pruner,
        keep_models=plan.keep_models,
        jit=plan.jit,
        log=plan.log,
    )
    tuner.trackers, tuner.is_shown = trackers, progress
    tuner.ledger.given = choices or {}
    tuner.ledger.scores_are_of_epochs = True
    already = SearchResult.load(folder) if stores.exists(folder) else None
    with view.showing(already):
        if further:
            numbers = ", ".join(map(str, further[-1]["continues"]))
            view.noted(f"trials {numbers} are continued for {counted(further[-1]['epochs'], 'epoch')} in all")
        for note in [*space.notes(), *beginning.notes] if confirm is None else ():
            view.noted(note)
        tuner.search(epochs=plan.epochs)
    result = SearchResult.load(folder)
    if confirm is None:
        result.write_best()
    return result


def _grid(space: Space, trials: int, first: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """The points of the finest grid that has place for the first trials beside it; if there is none, the finest one."""
    least = math.prod(len(axis.choices) for axis in space.axes.values() if not axis.is_number)
    for beside in range(min(len(first), max(0, trials - least)) + 1):
        points = space.grid_points(trials - beside)
        if _off_grid(space, points, first) <= beside:
            return points
    return space.grid_points(trials)


def _off_grid(space: Space, points: Mapping[str, int], first: Sequence[Mapping[str, Any]]) -> int:
    """How many settings are no points of a grid."""
    axes = {axis.name: list(axis.values) for axis in space.hyperparameters(points).space}
    return sum(any(value not in axes[name] for name, value in values.items()) for values in first)
