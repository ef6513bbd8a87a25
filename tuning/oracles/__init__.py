"""The searchers, by name: KerasTuner's own oracles, a quasirandom one, and Optuna's samplers.

A trial that diverged counts as completed with an infinitely bad score, so that Hyperband never promotes it and the ones that
learn learn where not to go. What an oracle needs to go on after a kill is in its state: the oracles here add what
KerasTuner's leave out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.oracles import BayesianOptimizationOracle, GridSearchOracle, HyperbandOracle, RandomSearchOracle

from tuning.errors import SearchError
from tuning.names import DEFAULT_SAMPLER, ORACLES, check_name
from tuning.oracles.asha import AshaOracle
from tuning.oracles.bayesian import BayesianOracle
from tuning.oracles.first import beginning_with
from tuning.oracles.grid import GridOracle, KnownGridOracle, find_place
from tuning.oracles.optuna import OptunaOracle
from tuning.oracles.quasirandom import QuasirandomOracle

__all__ = [
    "UNDERSTAND_INFINITY",
    "AshaOracle",
    "BayesianOptimizationOracle",
    "BayesianOracle",
    "GridOracle",
    "GridSearchOracle",
    "HyperbandOracle",
    "KnownGridOracle",
    "OptunaOracle",
    "QuasirandomOracle",
    "RandomSearchOracle",
    "find_place",
    "make_oracle",
    "oracle_seed",
]

# Those that can be told an infinitely bad score.
UNDERSTAND_INFINITY = (
    *(QuasirandomOracle, GridSearchOracle, KnownGridOracle, RandomSearchOracle, HyperbandOracle, BayesianOracle, OptunaOracle),
)


def oracle_seed(seed: int) -> int:
    """The seed of the oracle of a search.

    KerasTuner takes seed 0 for "no seed", and draws with seed, seed + 1, ...: neighbouring seeds would share most draws.
    """
    return int(np.random.SeedSequence([seed, 0x04AC1E]).generate_state(1)[0] >> 1) + 1


def make_oracle(
    name: str,
    *,
    objective: keras_tuner.Objective | str,
    hyperparameters: keras_tuner.HyperParameters,
    trials: int | None,
    epochs: int,
    seed: int,
    sampler=None,
    first: Sequence[Mapping[str, Any]] = (),
    earlier: Sequence[tuple[Mapping[str, Any], float]] = (),
) -> keras_tuner.Oracle:
    """An oracle by name.

    Args:
        name: one of `tuning.names.ORACLES`.
        objective: what to make best, e.g. `"val_accuracy"`.
        hyperparameters: the space; it is taken as it is and not extended.
        trials: how many at most. Hyperband: `None` means one sweep over all its brackets, a number goes on with further sweeps.
            ASHA: `None` means until the first one has trained all epochs.
        epochs: of a trial; with Hyperband and ASHA, of the longest ones.
        seed: any int >= 0; 0 is a seed like any other.
        sampler: of `optuna` alone: `tpe` (the default), `cmaes`, or an Optuna sampler.
        first: settings of the first trials, which count, and train all epochs.
        earlier: of `optuna` alone: settings and scores of another search that its sampler knows from the beginning.
    """
    check_name("oracle", name, ORACLES)
    if sampler is not None and name != "optuna":
        raise SearchError(f"A sampler is chosen for the oracle optuna only; received the oracle {name!r} with {sampler!r}.")
    common = {
        "objective": objective,
        "hyperparameters": hyperparameters,
        "allow_new_entries": False,
        "tune_new_entries": False,
        "seed": oracle_seed(seed),
    }
    classes: dict[str, type[keras_tuner.Oracle]] = {
        "random": RandomSearchOracle,
        "quasirandom": QuasirandomOracle,
        "grid": KnownGridOracle if _is_unconditional(hyperparameters) else GridOracle,
        "hyperband": HyperbandOracle,
        "asha": AshaOracle,
        "bayesian": BayesianOracle,
        "optuna": OptunaOracle,
    }
    of_its_own: dict[str, Any] = {"max_trials": trials}
    if name == "hyperband":
        of_its_own = {"max_epochs": epochs, "factor": 3, "hyperband_iterations": 1 if trials is None else None}
    elif name == "asha":
        of_its_own |= {"max_epochs": epochs}
    elif name == "optuna":
        of_its_own |= {"sampler": DEFAULT_SAMPLER if sampler is None else sampler, "earlier": earlier}
    oracle = beginning_with(first, classes[name])(**of_its_own, **common)
    if name == "hyperband":
        oracle.max_trials = trials
    elif name == "asha" and trials is None:
        oracle.max_trials += len(first)
    return oracle


def _is_unconditional(hyperparameters: keras_tuner.HyperParameters) -> bool:
    return not any(axis.conditions for axis in hyperparameters.space)
