"""A search that has ended goes on with more epochs: its best trials are continued, and new ones train as long."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from tuning.errors import SearchError
from tuning.names import SCHEDULED
from tuning.results.search import SearchResult
from tuning.results.worth import defaults_trial
from tuning.store.database import Store
from tuning.store.lock import Lock
from tuning.study.identity import check_same_search


def gone_further(stored: SearchResult | None) -> list[dict[str, Any]]:
    """What a stored search has continued with more epochs: of each time the `epochs`, which trials it `continues`, and where.

    The trials that continue them have the numbers from `at` on.
    """
    return [] if stored is None else [dict(each) for each in stored.config.get("further") or ()]


def goes_further(stored: SearchResult | None, config: Mapping[str, Any], epochs: int | None) -> bool:
    """Whether a search with this configuration is the stored one with more epochs, which must have been asked for: `epochs`."""
    if epochs is None or stored is None or config["oracle"] in SCHEDULED or "confirms" in config:
        return False  # the schedule of those follows from their epochs
    before = stored.config.get("epochs")
    return isinstance(before, int) and config["epochs"] > before


def go_further(stored: SearchResult, config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Decides which trials of a search that has ended are continued, and writes that to its store.

    So many of the best as train about as many epochs as all of them have trained, and the declared defaults.

    Raises:
        SearchError: the stored search is another one, or has not ended.
    """
    directory, before = pathlib.Path(stored.directory), stored.config["epochs"]
    check_same_search(stored.config, {**config, "epochs": before}, directory)
    if stored.ended is None or stored.count("running"):
        raise SearchError(
            f"The search in {directory} has not ended: let it end first (--epochs {before}), then more epochs continue its best "
            f"trials; received {config['epochs']}."
        )
    ranked = [trial for trial in stored.ranking() if trial.epochs == before]
    if not ranked:
        raise SearchError(f"The search in {directory} has no completed trial to continue: choose another --directory.")
    wanted = ranked[: max(1, round(len(ranked) * before / config["epochs"]))]
    defaults = defaults_trial(stored)
    if defaults is not None and defaults in ranked and defaults not in wanted:
        wanted.append(defaults)
    further = {"epochs": config["epochs"], "at": len(stored.trials), "continues": [trial.number for trial in wanted]}
    found = [*gone_further(stored), further]
    with Lock(directory), Store.open(directory) as store:
        store.set_config({**json.loads(json.dumps(stored.config)), "epochs": config["epochs"], "further": found})
    return found


def continuing(stored: SearchResult | None, further: Sequence[Mapping[str, Any]]) -> dict[int, dict[str, Any]]:
    """Number of a trial -> its values, of those that continue others."""
    if stored is None:
        return {}
    settings = {trial.number: trial.hyperparameters for trial in stored.trials}
    return {
        each["at"] + i: {**settings[number], "tuner/trial_id": str(number), "tuner/epochs": each["epochs"]}
        for each in further
        for i, number in enumerate(each["continues"])
    }


def least_trials(further: Sequence[Mapping[str, Any]]) -> int:
    """How many trials such a search has at least."""
    return max((each["at"] + len(each["continues"]) for each in further), default=0)
