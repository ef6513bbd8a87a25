"""An oracle's state, split so that what is written for each trial does not grow with their number.

KerasTuner's oracles keep lists with an entry per trial. These follow from the trials, which the store has: they are left out of
what is written and put together again when the search is resumed. Other entries by trial id, which the oracle names in
`per_trial_state`, are written with their trial. All the rest of `get_state`, whatever oracle it is, is written as it is.
"""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import Trial
from keras_tuner.oracles import HyperbandOracle

from tuning.oracles.halving import check_brackets
from tuning.oracles.keras_tuner_seam import hash_of

DAMAGES = (AttributeError, LookupError, TypeError, ValueError)  # what a state may raise that is damaged, or another oracle's
FOLLOWS_FROM_TRIALS = ("start_order", "end_order", "tried_so_far", "id_to_hash")


def split(oracle: keras_tuner.Oracle, trial: Trial) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is to be written of the oracle's state, and the trial's record with its part of that state."""
    state = dict(oracle.get_state())
    left_out = [name for name in FOLLOWS_FROM_TRIALS if name in state]
    for name in left_out:
        del state[name]
    part = {}
    for name in ("run_times", *getattr(oracle, "per_trial_state", ())):
        if name in state:
            by_trial = state.pop(name)
            left_out.append(name)
            if trial.trial_id in by_trial:
                part[name] = by_trial[trial.trial_id]
    state["left_out"] = left_out
    record = trial.get_state()
    return state, {**record, "oracle": part} if part else record


def restore(oracle: keras_tuner.Oracle, state: dict[str, Any], records: Sequence[dict[str, Any]], ended: Sequence[int]) -> None:
    """Gives the oracle its trials and its state back.

    Args:
        oracle: as it was constructed.
        state: what was last written of its state.
        records: of the trials, in the order in which they began.
        ended: the numbers of those that ended, in the order in which they did.

    Raises:
        DAMAGES: the state cannot be taken up.
    """
    written = oracle.get_state()
    oracle.trials = {}
    for record in records:
        trial = Trial.from_state(record)
        oracle.trials[trial.trial_id] = trial
    state = dict(state)
    left_out = state.pop("left_out", ())  # absent in stores of version 1, which have everything
    ids = list(oracle.trials)
    rebuilt: dict[str, Any] = {
        "start_order": list(ids),
        "end_order": [ids[number] for number in ended],
        "id_to_hash": {each: hash_of(oracle, oracle.trials[each].hyperparameters.values) for each in ids},
    }
    rebuilt["tried_so_far"] = list(rebuilt["id_to_hash"].values())
    for name in left_out:
        if name in rebuilt:
            state[name] = rebuilt[name]
        else:
            state[name] = {
                each: record["oracle"][name]
                for each, record in zip(ids, records, strict=True)
                if name in record.get("oracle", {})
            }
    if "run_times" in left_out:  # of the trials from before the store was upgraded
        for each in rebuilt["end_order"]:
            state["run_times"].setdefault(each, 1)
    _check(state, written, oracle)
    oracle.set_state(state)
    if isinstance(oracle, HyperbandOracle):
        check_brackets(oracle)


def _check(state: dict[str, Any], written: dict[str, Any], oracle: keras_tuner.Oracle) -> None:
    """Raises an error if an entry cannot be one of the oracle's state, of which `written` is an earlier one."""
    for kinds in (dict, list, str, numbers.Real):
        for name, value in written.items():
            if isinstance(value, kinds) and name in state and not isinstance(state[name], kinds):
                raise TypeError(f"its {name} is such as {value!r}, and not {state[name]!r}")
    for trial_id in state.get("retry_queue", ()):
        if trial_id not in oracle.trials:
            raise LookupError(f"its retry_queue has {trial_id!r}, and there is no such trial")
