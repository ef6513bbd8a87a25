"""What a plan means: engine, folder, objective."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable
from typing import Any

from tuning.errors import SearchError
from tuning.experiments.plan import Plan
from tuning.names import SCHEDULED, folder_name
from tuning.problems.objective import known_direction

DEFAULT_TRIALS = 16


def trials_of(plan: Plan, *, minutes_are_its_own: bool) -> int | None:
    """How many trials a search of a plan has, unless it is of a grid; `None`: its oracle or its budget ends it.

    Args:
        minutes_are_its_own: whether `max_minutes` is of this search, and not of several.
    """
    if plan.trials is not None or plan.oracle in SCHEDULED:
        return plan.trials
    ends_it = plan.max_epochs is not None or (minutes_are_its_own and plan.max_minutes is not None)
    return None if ends_it and plan.oracle != "grid" else DEFAULT_TRIALS


def engine_of(plan: Plan):
    """The engine that a plan wants; `None`: this process trains."""
    if os.environ.get("KERASTUNER_ORACLE_IP"):
        raise SearchError(
            "KERASTUNER_ORACLE_IP is set: chief and workers are for programs of your own with tuning.Tuner; "
            "unset it, and use the engine 'ray' for several machines."
        )
    if plan.engine == "ray":
        from tuning.engines.ray import RayEngine

        return RayEngine(
            plan.workers,
            address=plan.address,
            cpus_per_worker=plan.cpus_per_worker,
            gpus_per_worker=plan.gpus_per_worker,
            threads=plan.threads_per_worker,
        )
    if plan.workers == 1 and plan.threads_per_worker is None:
        return None
    from tuning.engines.local import LocalEngine

    return LocalEngine(plan.workers, plan.threads_per_worker)


def default_directory(optimizers: Iterable[str], problem_name: str) -> pathlib.Path:
    """`results/adam-digits_mlp`."""
    return pathlib.Path("results") / "-".join(map(folder_name, [*optimizers, problem_name]))


def objective_of(problem):
    """The KerasTuner Objective of a problem; `SearchError` if its direction is not known."""
    import keras_tuner

    direction = problem.direction or known_direction(problem.objective, problem.metrics, problem.loss)
    if direction is None:
        raise SearchError(
            f"Whether {problem.objective} should be small or large is not known: give the Problem a direction, 'min' or 'max'."
        )
    return keras_tuner.Objective(problem.objective, direction)


def of_problem(problem, made, objective) -> dict[str, Any]:
    """What the problem adds to the identity of a search or a comparison, and the backend."""
    import keras

    return {
        "problem": problem if isinstance(problem, str) else made.name,
        "batch_size": made.batch_size,
        "objective": objective.name,
        "direction": objective.direction,
        "backend": keras.backend.backend(),
    }


def check_jit(jit: str, backend: str) -> None:
    """Raises `SearchError` if the backend cannot do that."""
    refused = {"jax": (["off"], "JAX compiles everything"), "torch": (["on", "measure"], "torch runs operation by operation")}
    words, reason = refused.get(backend, ([], ""))
    if jit in words:
        raise SearchError(f"With the {backend} backend jit cannot be {jit!r}, as {reason}: leave it at 'auto'.")
