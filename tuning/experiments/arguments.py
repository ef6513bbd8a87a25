"""The arguments of searches and comparisons: what is allowed, and what is meant by default."""

from __future__ import annotations

import math
import os
import pathlib
from typing import Any

from tuning.errors import SearchError

DEFAULT_TRIALS = 16


def engine_of(name: str, workers: int, **ray_options):
    """The engine by name; `None`: this process trains."""
    if os.environ.get("KERASTUNER_ORACLE_IP"):
        raise SearchError(
            "KERASTUNER_ORACLE_IP is set: chief and workers are for programs of your own with tuning.Tuner; "
            "unset it, and use the engine 'ray' for several machines."
        )
    if name == "ray":
        from tuning.engines.ray import RayEngine

        return RayEngine(workers, **ray_options)
    if name != "local":
        raise SearchError(f"The engine must be 'local' or 'ray'; received {name!r}.")
    for option, value in ray_options.items():
        if value is not None:
            raise SearchError(f"{option} is for the engine 'ray' alone; received {option} {value!r} with the engine 'local'.")
    if workers == 1:
        return None
    from tuning.engines.local import LocalEngine

    return LocalEngine(workers)


def default_directory(optimizer: type, problem_name: str) -> pathlib.Path:
    """`results/adam-digits_mlp`."""
    import keras_optims

    names = {cls: name for name, cls in keras_optims.OPTIMIZERS.items()}
    return pathlib.Path("results") / f"{names.get(optimizer, optimizer.__name__)}-{folder_name(problem_name)}"


def folder_name(problem_name: str) -> str:
    """A problem's name as part of a folder's."""
    return problem_name.replace(":", ".").replace(os.sep, "_")


def objective_of(problem):
    """The KerasTuner Objective of a problem; `SearchError` if its direction is not known."""
    import keras_tuner

    if problem.direction is not None:
        return keras_tuner.Objective(problem.objective, problem.direction)
    try:
        return keras_tuner.engine.oracle.Objective(problem.objective, _known_direction(problem.objective))
    except ValueError as error:
        raise SearchError(
            f"Whether {problem.objective} should be small or large is not known: give the Problem a direction, 'min' or 'max'."
        ) from error


def _known_direction(metric: str) -> str:
    from keras_tuner.engine import metrics_tracking

    direction = metrics_tracking.infer_metric_direction(metric)
    if direction is None:
        raise ValueError(metric)
    return direction


def check_seed(seed: Any) -> None:
    """Raises `SearchError` unless it is one."""
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise SearchError(f"The seed must be an int of at least 0; received {seed!r}.")


def check_jit(jit: str, backend: str) -> None:
    """Raises `SearchError` if the backend cannot do that."""
    refused = {"jax": ("off", "JAX compiles everything"), "torch": ("on", "torch runs operation by operation here")}
    if backend in refused and refused[backend][0] == jit:
        raise SearchError(f"With the {backend} backend jit cannot be {jit!r}, as {refused[backend][1]}: leave it at 'auto'.")


def check_number(name: str, value: Any, kind: type, optional: bool = False) -> None:
    """Raises `SearchError` unless it is an int of at least 1, or a number above 0."""
    if value is None and optional:
        return
    kinds = (int,) if kind is int else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not (value >= 1 if kind is int else 0 < value < math.inf):
        allowed = "an int of at least 1" if kind is int else "a number above 0"
        raise SearchError(f"{name} must be {allowed}; received {value!r}.")
