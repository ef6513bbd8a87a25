"""Trackers of experiments: the tools in which people already look at their trainings.

A search tells each of them of every training as it goes: one run for each execution of a trial, with its hyperparameters, its
curves and what came of it. One file per client, which is imported only when it is asked for.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable

from tuning.errors import SearchError, missing_packages_explained
from tuning.names import TRACKERS
from tuning.trackers.tracker import Place, Tracker

# The package that must be there, by tracker.
_PACKAGES = {"tensorboard": "tensorboard", "mlflow": "mlflow", "wandb": "wandb"}


def checked(log: str | Iterable[str] | None) -> tuple[str, ...]:
    """The names of trackers, each once; `SearchError`, if one is unknown or its client is not installed."""
    names = (log,) if isinstance(log, str) else tuple(log or ())
    for name in names:
        if name not in TRACKERS:
            raise SearchError(f"log must be one or several of {', '.join(TRACKERS)}; received {name!r}.")
        with missing_packages_explained(f"Logging to {TRACKERS[name]}"):
            if importlib.util.find_spec(_PACKAGES[name]) is None:
                raise ModuleNotFoundError(name=_PACKAGES[name])
    return tuple(dict.fromkeys(names))


def make_tracker(name: str, place: Place) -> Tracker:
    """The tracker of this name, connected; `SearchError`, if its client is missing, or cannot be used."""
    checked(name)
    with missing_packages_explained(f"Logging to {TRACKERS[name]}"):
        if name == "tensorboard":
            from tuning.trackers.tensorboard import TensorBoard

            return TensorBoard(place)
        if name == "mlflow":
            from tuning.trackers.mlflow import MLflow

            return MLflow(place)
        from tuning.trackers.wandb import WandB

        return WandB(place)
