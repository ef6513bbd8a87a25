"""The searchers, by name: KerasTuner's own oracles, a quasirandom one, and Optuna's samplers.

A trial that diverged counts as completed with an infinitely bad score, so that Hyperband never promotes it and the ones that
learn learn where not to go. What an oracle needs to go on after a kill is in its state: the oracles here add what
KerasTuner's leave out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.oracles import BayesianOptimizationOracle, GridSearchOracle, HyperbandOracle, RandomSearchOracle

from tuning.errors import SearchError
from tuning.names import DEFAULT_POPULATION, DEFAULT_SAMPLER, HALVING, ORACLES, POPULATION, SAMPLED, check_name, default_ready
from tuning.oracles.asha import AshaOracle, SampledAshaOracle
from tuning.oracles.bayesian import BayesianOracle
from tuning.oracles.first import BeginsWith, with_given
from tuning.oracles.grid import GridOracle, KnownGridOracle, find_place
from tuning.oracles.keras_tuner_seam import begin_brackets
from tuning.oracles.optuna import OptunaOracle
from tuning.oracles.population import PopulationOracle
from tuning.oracles.quasirandom import QuasirandomOracle
from tuning.problems.objective import with_direction

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
    "PopulationOracle",
    "QuasirandomOracle",
    "RandomSearchOracle",
    "SampledAshaOracle",
    "find_place",
    "make_oracle",
    "oracle_seed",
    "proposes_ahead",
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


def proposes_ahead(oracle: keras_tuner.Oracle) -> bool:
    """Whether what an oracle proposes follows from what it has proposed, and no result could change it."""
    definers = [cls for cls in type(oracle).__mro__ if "populate_space" in vars(cls) and cls is not BeginsWith]
    return definers[0] in (QuasirandomOracle, KnownGridOracle, RandomSearchOracle)


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
    continuing: Mapping[int, Mapping[str, Any]] | None = None,
    factor: int | None = None,
    min_epochs: int | None = None,
    population: int | None = None,
    ready: int | None = None,
    live: Collection[str] | None = None,
) -> keras_tuner.Oracle:
    """An oracle by name.

    Args:
        name: one of `tuning.names.ORACLES`.
        objective: what to make best, e.g. `"val_accuracy"`.
        hyperparameters: the space; it is taken as it is and not extended.
        trials: how many at most. Hyperband: `None` means one sweep over all its brackets, a number goes on with further sweeps.
            ASHA: `None` means until the first one has trained all epochs. Of a population: one for each member and interval at
            most, which is what `None` means.
        epochs: of a trial; with Hyperband and ASHA, of the longest ones; of each member of a population in all.
        seed: any int >= 0; 0 is a seed like any other.
        sampler: of `optuna`: `tpe` (the default), `cmaes`, or an Optuna sampler; of `asha` in the place of the Sobol sequence.
        first: settings of the first trials, which count, and train all epochs.
        continuing: number of a trial that continues another one for more epochs -> its values.
        earlier: where there is a sampler: settings and scores of another search that it knows from the beginning.
        factor: of Hyperband and ASHA: one of so many trials goes on, for so many times as many epochs; 3.
        min_epochs: of Hyperband and ASHA: no trial trains fewer; 1.
        population: of population based training: how many members; 8.
        ready: of population based training: the epochs of an interval, after which the worst go on from the best; a tenth of
            `epochs`.
        live: of population based training: the names of the numbers that may change while a model trains; all floats.
    """
    check_name("oracle", name, ORACLES)
    if sampler is not None and name not in SAMPLED:
        raise SearchError(f"A sampler is chosen for {' and '.join(SAMPLED)} only; received the oracle {name!r} with {sampler!r}.")
    for what, value in (("factor", factor), ("min_epochs", min_epochs)):
        if value is not None and name not in HALVING:
            raise SearchError(
                f"{what} is of the oracles {' and '.join(HALVING)} only; received the oracle {name!r} with {value!r}."
            )
    for what, of_population in (("population", population), ("ready", ready), ("live", live)):
        if of_population is not None and name != POPULATION:
            raise SearchError(f"{what} is of the oracle {POPULATION} only; received the oracle {name!r} with {of_population!r}.")
    if min_epochs is not None and min_epochs > epochs:
        raise SearchError(f"min_epochs must be at most the epochs of the longest trials, {epochs}; received {min_epochs}.")
    common = {
        "objective": with_direction(objective),
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
        "asha": AshaOracle if sampler is None else SampledAshaOracle,
        "pbt": PopulationOracle,
        "bayesian": BayesianOracle,
        "optuna": OptunaOracle,
    }
    of_its_own: dict[str, Any] = {"max_trials": trials}
    if name == "hyperband":
        of_its_own = {"max_epochs": epochs, "factor": factor or 3, "hyperband_iterations": 1 if trials is None else None}
    elif name == "asha":
        of_its_own |= {"max_epochs": epochs, "factor": factor or 3, "min_epochs": min_epochs or 1}
    elif name == POPULATION:
        members = DEFAULT_POPULATION if population is None else population
        of_its_own |= {"population": members, "ready": ready or default_ready(epochs), "max_epochs": epochs, "live": live}
        if len(first) > members:
            raise SearchError(f"population must be at least {len(first)}, as many as there are first trials; received {members}.")
    if name == "optuna" or sampler is not None:
        of_its_own |= {"sampler": DEFAULT_SAMPLER if sampler is None else sampler, "earlier": earlier}
    given = {**dict(enumerate(first)), **(continuing or {})}
    oracle = with_given(given, classes[name])(**of_its_own, **common)
    if name == "hyperband":
        oracle.max_trials = trials
        begin_brackets(oracle, min_epochs or 1)
    elif name == "asha" and trials is None:
        oracle.max_trials += len(first)
    return oracle


def _is_unconditional(hyperparameters: keras_tuner.HyperParameters) -> bool:
    return not any(axis.conditions for axis in hyperparameters.space)
