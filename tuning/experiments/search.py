"""`tuning.search`: an optimizer, a problem, a budget, and out comes the best setting."""

from __future__ import annotations

import math
import os
import pathlib
import sys
from collections.abc import Mapping
from typing import Any

from tuning.errors import SearchError, missing_packages_explained
from tuning.experiments.arguments import (
    DEFAULT_TRIALS,
    check_jit,
    check_number,
    check_seed,
    default_directory,
    engine_of,
    objective_of,
)
from tuning.names import DEFAULT_ORACLE, DEFAULT_PRUNER, DEFAULT_SAMPLER, JIT, ORACLES, check_name
from tuning.results.search import SearchResult
from tuning.runtime.machine import machine, versions
from tuning.store import database as stores


def search(
    optimizer: str | type,
    problem: Any = "digits_mlp",
    *,
    trials: int | None = None,
    epochs: int | None = None,
    oracle: str = DEFAULT_ORACLE,
    sampler: Any = None,
    pruner: Any = DEFAULT_PRUNER,
    search: Mapping[str, Any] | None = None,
    fix: Mapping[str, Any] | None = None,
    seed: int = 0,
    repeats: int = 1,
    train_samples: int | None = None,
    max_minutes: float | None = None,
    directory: str | os.PathLike | None = None,
    data_dir: str | os.PathLike | None = None,
    engine: str = "local",
    workers: int = 1,
    address: str | None = None,
    cpus_per_worker: float | None = None,
    gpus_per_worker: float | None = None,
    jit: str = "auto",
    batch_trials: int | str = "auto",
    fresh: bool = False,
    progress: bool = True,
    command: str | None = None,
    confirm: Mapping[str, Any] | None = None,
) -> SearchResult:
    """Searches good hyperparameters of an optimizer on a problem, or goes on with the search in `directory`.

    Args:
        optimizer: a name in `keras_optims.OPTIMIZERS` or a subclass of `keras_optims.Optimizer`.
        problem: a name in `tuning.problems.PROBLEMS`, your own as `"module:function"`, or a `tuning.Problem`.
        trials: how many settings to try; 16, or one sweep of Hyperband. A search that is resumed with more goes on.
        epochs: of a trial, with Hyperband of the longest; by default what the problem suggests.
        oracle: `"random"`, `"quasirandom"`, `"grid"` (the finest regular grid of at most `trials` points), `"hyperband"`,
            `"bayesian"`, or `"optuna"`.
        sampler: of the oracle `optuna`: `"tpe"` (its default), `"cmaes"`, or an Optuna sampler.
        pruner: stops trials that are not promising: `"none"`, `"median"`, `"halving"`, or an Optuna pruner. With repeats the
            first execution decides. Not with Hyperband, which stops trials itself.
        search: axes to add or change: name -> `(low, high)`, `(low, high, scale)`, or `None` for the declared range.
        fix: hyperparameters and options to pin: name -> value.
        seed: any int >= 0. The same seed gives the same trials.
        repeats: trainings per setting, each from another seed; the score is their mean.
        train_samples: use only so many training samples.
        max_minutes: begin no trial later than this after the call.
        directory: of the results; by default `results/OPTIMIZER-PROBLEM`.
        data_dir: the folder with the data sets.
        engine: `"local"`: on this machine; `"ray"`: on a Ray cluster (docs/scaling.md).
        workers: how many processes train; 1 on the engine `local`: this one. A trial whose process dies runs again, at most
            3 times in all.
        address, cpus_per_worker, gpus_per_worker: of the engine `ray`, see `tuning.engines.ray.RayEngine`.
        jit: `"on"` or `"off"`: whether XLA compiles the epochs; `"auto"`: the first trial measures what is faster, and all others
            do the same. (On JAX it always does: `"on"` compiles a whole epoch, `"auto"` measures that against a step at a time.)
        batch_trials: how many trials train together in one program, on JAX with one worker; `"auto"`: as many as the first one
            measures to be fastest.
        fresh: delete what is in the store of `directory` and start over.
        progress: show how it goes, on stderr.
        command: how a person called this, to be kept in the store.
        confirm: a setting, name -> value of each axis. Nothing is searched: this setting is trained `trials` times, each from
            a fresh seed, which depends on `seed` but is none that a search with this `seed` uses; the test data are evaluated
            too, if the problem has any, as `test_*` beside `val_*`. The default directory ends in `-confirmation`.

    Returns:
        A `SearchResult` with `best`, `trials`, `to_dataframe()`. It may hold no completed trial.

    Raises:
        SearchError: (a ValueError) an argument is wrong, data is missing, or the directory holds another search.
        KeyboardInterrupt: the search was interrupted; the same call resumes it.
    """
    check_number("trials", trials, int, optional=True)
    check_number("epochs", epochs, int, optional=True)
    check_number("repeats", repeats, int)
    check_number("train_samples", train_samples, int, optional=True)
    check_number("workers", workers, int)
    check_number("max_minutes", max_minutes, float, optional=True)
    check_seed(seed)
    check_name("oracle", oracle, ORACLES)
    check_name("jit", jit, JIT)
    if batch_trials != "auto":
        check_number("batch_trials", batch_trials, int)
    if oracle == "optuna" and sampler is None:
        sampler = DEFAULT_SAMPLER
    chosen_engine = engine_of(engine, workers, address=address, cpus_per_worker=cpus_per_worker, gpus_per_worker=gpus_per_worker)
    with missing_packages_explained():
        import keras

        from tuning import oracles
        from tuning.console.live import View
        from tuning.engines.here import HereEngine
        from tuning.oracles.confirmation import ConfirmationOracle, fresh_seed
        from tuning.problems import make_problem
        from tuning.schedulers import pruning
        from tuning.space.space import Space
        from tuning.study.tuner import Tuner
        from tuning.training.problem_model import ProblemModel

    check_jit(jit, keras.backend.backend())
    if chosen_engine is not None and batch_trials not in ("auto", 1):
        raise SearchError(
            f"Trials train together in one process: choose batch_trials or workers; received batch_trials={batch_trials}, "
            f"workers={workers} and the engine {engine!r}."
        )
    space = Space.of(optimizer, search, fix)
    made = make_problem(problem, data_dir)
    epochs = made.epochs if epochs is None else epochs
    folder = pathlib.Path(directory) if directory is not None else default_directory(space.optimizer, made.name)
    if confirm is not None:
        if set(confirm) != set(space.axes):
            raise SearchError(f"A setting to confirm has values of {', '.join(space.axes)}; received {dict(confirm)}.")
        oracle, seed = "confirmation", fresh_seed(seed)
        folder = folder if directory is not None else folder.with_name(f"{folder.name}-confirmation")
    objective = objective_of(made)
    points = None
    if oracle == "grid":
        points = space.grid_points(DEFAULT_TRIALS if trials is None else trials)
        if not fresh and stores.exists(folder):  # a larger budget does not change the grid of a search that has begun
            points = SearchResult.load(folder).config.get("grid") or points
        trials = math.prod(points.values()) if trials is None else min(trials, math.prod(points.values()))
    elif trials is None and oracle != "hyperband":
        trials = DEFAULT_TRIALS
    wanted_pruning = pruning.make_pruning(pruner, objective)
    config = {
        "optimizer": optimizer if isinstance(optimizer, str) else space.get_config()["call"],
        "problem": problem if isinstance(problem, str) else made.name,
        "space": space.get_config(),
        "oracle": oracle,
        "sampler": sampler if sampler is None or isinstance(sampler, str) else type(sampler).__qualname__,
        "jit": jit,
        "batch_trials": batch_trials,
        "pruner": None if wanted_pruning is None else wanted_pruning.name,
        "grid": points,
        "trials": trials,
        "epochs": epochs,
        "repeats": repeats,
        "seed": seed,
        "train_samples": train_samples,
        "batch_size": made.batch_size,
        "objective": objective.name,
        "direction": objective.direction,
        "backend": keras.backend.backend(),
        "versions": versions(),
        "machine": machine(),
        "command": command,
        **({} if confirm is None else {"confirms": dict(confirm)}),
    }
    hyperparameters = space.hyperparameters(points)
    if confirm is not None:
        tuner_oracle = ConfirmationOracle(confirm, objective=objective, max_trials=trials, hyperparameters=hyperparameters)
    else:
        tuner_oracle = oracles.make_oracle(
            oracle, objective=objective, hyperparameters=hyperparameters, trials=trials, epochs=epochs, seed=seed, sampler=sampler
        )
    model = ProblemModel(space, problem, data_dir, train_samples, made, reports_test=confirm is not None)
    if chosen_engine is None:
        model.load()  # bad data is an error of the search, not of its first trial
    view = View(space, made.name, objective, trials, stream=sys.stderr if progress else None, confirms=confirm is not None)
    tuner = Tuner(
        tuner_oracle,
        model,
        directory=str(folder.parent),
        project_name=folder.name,
        overwrite=fresh,
        seed=seed,
        executions_per_trial=repeats,
        config=config,
        listener=view,
        engine=chosen_engine or HereEngine(batch_trials),
        max_seconds=None if max_minutes is None else 60 * max_minutes,
        pruner=pruner,
        jit="auto" if jit == "auto" else jit == "on",
    )
    already = SearchResult.load(folder) if stores.exists(folder) else None
    with view.showing(already):
        tuner.search(epochs=epochs)
    result = SearchResult.load(folder)
    if confirm is None:
        result.write_best()
    return result
