"""Which trial continues the training of which other one, and which may still be continued: successive halving, populations.

As KerasTuner's Hyperband says it, a trial that is promoted has the values of the one that it continues, with the id of that one
as "tuner/trial_id" and its own epochs as "tuner/epochs". In a population some of the values are others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras_tuner
from keras_tuner.oracles import HyperbandOracle

from tuning.oracles.asha import Asha
from tuning.oracles.first import BeginsWith
from tuning.oracles.keras_tuner_seam import round_size
from tuning.oracles.population import PopulationOracle

SCHEDULED = (HyperbandOracle, Asha, PopulationOracle)  # these say for how many epochs each trial trains


def continued(oracle: keras_tuner.Oracle, values: Mapping[str, Any]) -> int | None:
    """The number of the trial whose training one with these values continues; `None`: it begins its own."""
    trial_id = values.get("tuner/trial_id") if isinstance(oracle, (*SCHEDULED, BeginsWith)) else None
    return None if trial_id is None else int(trial_id)


def may_be_continued(oracle: keras_tuner.Oracle, values: Mapping[str, Any]) -> bool:
    """Whether a trial with these values may be promoted when it has ended."""
    return isinstance(oracle, SCHEDULED) and values.get("tuner/epochs", oracle.max_epochs) < oracle.max_epochs


def promotable(oracle: keras_tuner.Oracle) -> set[int]:
    """The numbers of the trials that have ended and may still be continued.

    Never more than a round has places, than a rung promotes of all trials of the search, or than a population has members twice.
    """
    found: set[int] = set()
    if isinstance(oracle, PopulationOracle):
        return oracle.to_be_continued()
    if isinstance(oracle, Asha):
        return {int(trial.trial_id) for trial in oracle.ever_promotable()}
    if not isinstance(oracle, HyperbandOracle):
        return found
    for bracket in oracle.get_state()["brackets"]:
        for i, (one, following) in enumerate(zip(bracket["rounds"], bracket["rounds"][1:], strict=False), start=1):
            promoted = {info["past_id"] for info in following}
            trials = [oracle.trials[info["id"]] for info in one if info["id"] not in promoted]
            ended = [trial for trial in trials if trial.status == "COMPLETED" and trial.score is not None]
            ranked = sorted(ended, key=lambda trial: trial.score, reverse=oracle.objective.direction == "max")
            places = round_size(oracle, bracket["bracket_num"], i) - len(following)
            found |= {int(trial.trial_id) for trial in ranked[: max(0, places)]}
    return found
