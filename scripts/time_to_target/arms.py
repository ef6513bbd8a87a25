"""The contestants, by name, and one run of one of them."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
from collections.abc import Callable
from typing import Any

from scripts.time_to_target import searchers
from scripts.time_to_target.cases import Enough
from scripts.time_to_target.searchers import MANY
from scripts.time_to_target.task import Skipped, Task

_OURS = ("tuning.experiments.running", "tuning.oracles", "tuning.study.tuner", "tuning.console.live", "optuna")


@dataclasses.dataclass(frozen=True)
class Arm:
    """A contestant.

    Args:
        group: whose it is.
        label: for a table.
        search: how it searches.
        needs: what it imports, before the clock runs.
        whole: it searches once until it comes to its own end, whatever it reaches.
    """

    group: str
    label: str
    search: Callable[[Task], None]
    needs: tuple[str, ...]
    whole: bool = False


def _of_ours(label: str, whole: bool = False, **options: Any) -> Arm:
    return Arm("ours", f"`{label}`", functools.partial(searchers.ours, **options), _OURS, whole)


def _bayesian(task: Task) -> None:
    searchers.keras_tuner(task, "BayesianOptimization", max_trials=MANY)


ARMS = {
    "quasirandom": _of_ours("--oracle quasirandom", trials=MANY),
    "hyperband": _of_ours("--oracle hyperband", oracle="hyperband", trials=MANY),
    "asha": _of_ours("--oracle asha", oracle="asha", trials=MANY),
    "asha_tpe": _of_ours("--oracle asha --sampler tpe", oracle="asha", sampler="tpe", trials=MANY),
    "optuna": _of_ours("--oracle optuna --pruner median", oracle="optuna", pruner="median", trials=MANY),
    "pbt": _of_ours("--oracle pbt --population 8 --ready 1", oracle="pbt", population=8, ready=1),
    "keras_tuner_hyperband": Arm("KerasTuner", "KerasTuner: Hyperband", searchers.keras_tuner_hyperband, ("keras_tuner",)),
    "keras_tuner_bayesian": Arm("KerasTuner", "KerasTuner: BayesianOptimization", _bayesian, ("keras_tuner",)),
    "optuna_keras": Arm("Optuna", "Optuna: TPE, median pruner", searchers.optuna, ("optuna",)),
    "optuna_keras_xla": Arm(
        *("Optuna", "Optuna: the same, `jit_compile=True`"),
        *(functools.partial(searchers.optuna, jit_compile=True), ("optuna",)),
    ),
    "ray_asha": Arm("Ray Tune", "Ray Tune: ASHA", searchers.ray_asha, ("ray.tune",)),
    "hyperband_whole": _of_ours("--oracle hyperband", whole=True, oracle="hyperband"),
    "asha_whole": _of_ours("--oracle asha", whole=True, oracle="asha"),
    "asha_tpe_whole": _of_ours("--oracle asha --sampler tpe", whole=True, oracle="asha", sampler="tpe"),
}


def run(arm: Arm, task: Task) -> None:
    """Searches until the watch ends it; anew with another seed, where the search ends by itself before.

    Raises:
        Skipped: the contestant is not there.
    """
    for name in arm.needs:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise Skipped(f"{name} cannot be imported: {' '.join(str(error).split())}") from error
    task.watch.start()
    with contextlib.suppress(Enough):
        for seed in range(task.seed, task.seed + 1_000_000, 1000):
            before = task.watch.epochs
            arm.search(dataclasses.replace(task, seed=seed))
            if task.watch.epochs == before:
                raise RuntimeError(f"{arm.label} ended without having trained an epoch.")
            if arm.whole:
                return
