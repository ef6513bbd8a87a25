"""Which trial continues the training of which other one, and which may still be continued: successive halving, populations.

As KerasTuner's Hyperband says it, a trial that is promoted has the values of the one that it continues, with the id of that one
as "tuner/trial_id" and its own epochs as "tuner/epochs". In a population some of the values are others.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping
from typing import Any

import keras_tuner
from keras_tuner.oracles import HyperbandOracle

from tuning.oracles.asha import Asha
from tuning.oracles.first import BeginsWith
from tuning.oracles.keras_tuner_seam import number_of_brackets, round_size
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
    if len(oracle.trials) >= (oracle.max_trials or math.inf):
        return found  # no trial is to begin any more
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


def check_brackets(oracle: HyperbandOracle) -> None:
    """Raises an error if an oracle's state cannot be Hyperband's: other brackets, or trials that there are not."""
    state = oracle.get_state()
    if not (1 <= state["min_epochs"] <= state["max_epochs"] < math.inf and state["factor"] > 1):
        numbers = {name: state[name] for name in ("min_epochs", "max_epochs", "factor")}
        raise ValueError(f"Hyperband cannot have {numbers}")
    last = number_of_brackets(oracle) - 1
    if state["current_bracket"] not in range(last + 1):
        raise ValueError(f"its current_bracket is none from 0 to {last}, but {state['current_bracket']!r}")
    for bracket in state["brackets"]:
        try:
            fits = _is_bracket(oracle, bracket, last)
        except (AttributeError, LookupError, TypeError):
            fits = False
        if not fits:
            raise ValueError(f"its brackets have {reprlib.repr(bracket)}")


def _is_bracket(oracle: HyperbandOracle, bracket: Mapping[str, Any], last: int) -> bool:
    number, rounds = bracket["bracket_num"], bracket["rounds"]
    if number not in range(last + 1) or len(rounds) != number + 1:
        return False
    before = {None}  # the trials of the round before, from which those of a round go on
    for i, places in enumerate(rounds):
        trials, past = {place["id"] for place in places}, {place["past_id"] for place in places}
        if not (
            trials <= oracle.trials.keys() and past <= before and len(trials) == len(places) <= round_size(oracle, number, i)
        ):
            return False
        before = trials
    return True
