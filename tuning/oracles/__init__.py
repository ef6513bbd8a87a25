"""The searchers, by name: KerasTuner's own oracles, a quasirandom one, and Optuna's samplers.

A trial that diverged counts as completed with an infinitely bad score, so that Hyperband never promotes it and the ones that
learn learn where not to go. What an oracle needs to go on after a kill is in its state: the oracles here add what
KerasTuner's leave out.
"""

from __future__ import annotations

import keras_tuner
import numpy as np
from keras_tuner.oracles import BayesianOptimizationOracle, GridSearchOracle, HyperbandOracle, RandomSearchOracle

from tuning.errors import SearchError
from tuning.names import DEFAULT_SAMPLER, ORACLES, check_name
from tuning.oracles.asha import AshaOracle
from tuning.oracles.bayesian import BayesianOracle
from tuning.oracles.grid import GridOracle, find_place
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
    "OptunaOracle",
    "QuasirandomOracle",
    "RandomSearchOracle",
    "find_place",
    "make_oracle",
    "oracle_seed",
]

# Those that can be told an infinitely bad score.
UNDERSTAND_INFINITY = (*(QuasirandomOracle, GridSearchOracle, RandomSearchOracle, HyperbandOracle, BayesianOracle, OptunaOracle),)


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
    if name == "hyperband":
        oracle = HyperbandOracle(max_epochs=epochs, factor=3, hyperband_iterations=1 if trials is None else None, **common)
        oracle.max_trials = trials
        return oracle
    if name == "asha":
        return AshaOracle(max_epochs=epochs, max_trials=trials, **common)
    if name == "optuna":
        return OptunaOracle(sampler=DEFAULT_SAMPLER if sampler is None else sampler, max_trials=trials, **common)
    classes = {
        "random": RandomSearchOracle,
        "quasirandom": QuasirandomOracle,
        "grid": GridOracle,
        "bayesian": BayesianOracle,
    }
    return classes[name](max_trials=trials, **common)
