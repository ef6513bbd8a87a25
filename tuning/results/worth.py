"""Was tuning worth it? The best setting against the declared defaults, in one sentence that claims no more than is known."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from tuning.errors import SearchError
from tuning.names import counted
from tuning.results.comparison import at_best_epoch, confirms, load_search, test_metric
from tuning.results.search import SearchResult, TrialRecord
from tuning.results.statistics import SIGNIFICANT, Difference, difference, summary


@dataclasses.dataclass(frozen=True)
class Worth:
    """The answer.

    Args:
        text: a sentence without a full stop.
        best, defaults: numbers of the trials.
        metric: in which they are compared; of the test data, if there are any and both were confirmed.
        difference: best minus defaults; `None` if one of them has no score.
        low, high: its 95 % interval, if both were trained from several fresh seeds.
        confirmed: whether a difference is confirmed by trainings with fresh seeds; `None`: there are none.
    """

    text: str
    best: int
    defaults: int
    metric: str
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    confirmed: bool | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return dataclasses.asdict(self)


def defaults_trial(result: SearchResult) -> TrialRecord | None:
    """The trial with the declared defaults, if the search began with them."""
    number = next((i for i, each in enumerate(result.config.get("first") or ()) if each.get("of") == "defaults"), None)
    first = next((trial for trial in result.trials if trial.number == number), None)
    if first is None or first.state != "completed":
        return first
    same = [trial for trial in result.trials if trial.setting == first.hyperparameters and trial.state == "completed"]
    return max(same, key=lambda trial: (trial.epochs or 0, -trial.number))  # it may have been continued


def places(directory: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """Where the confirmations of the best setting and of the defaults are."""
    folder = directory.resolve()
    return folder.with_name(f"{folder.name}-confirmation"), folder.with_name(f"{folder.name}-confirmation-of-defaults")


def worth(result: SearchResult) -> Worth | None:
    """Was tuning worth it? The best setting against the declared defaults, with which a search begins.

        print(tuning.worth(result).text)

    Only a difference that trainings with fresh seeds confirm is called one; `confirmations` of a search are such.

    Args:
        result: of a search, running or ended.

    Returns:
        A `Worth`; `None` if no trial has completed, or none with the defaults has ended.
    """
    defaults, best = defaults_trial(result), result.best
    if defaults is None or best is None or defaults.state == "running":
        return None
    metric, reached = result.objective, f"{result.objective} {best.score:.6g} (trial {best.number})"
    if defaults.score is None or defaults.state != "completed":
        what = {"pruned": "were stopped early", "diverged": "diverge", "failed": "fail"}[defaults.state]
        text = f"the declared defaults {what}, and the best setting reached {reached}"
        return Worth(text, best.number, defaults.number, metric)
    if best.setting == defaults.setting:
        others = sum(trial.state != "running" and trial.setting != best.setting for trial in result.trials)
        tried = (
            f"none of {others} other trials was" if others > 1 else "the other trial was not" if others else "no other trial is"
        )
        text = f"{tried} better than the declared defaults, with {reached}"
        return Worth(text, best.number, defaults.number, metric, 0.0)
    return _confirmed(result, best, defaults) or _unconfirmed(result, best, defaults)


def as_json(result: SearchResult) -> dict[str, Any]:
    """All of a search as JSON, with the answer as `worth`."""
    found = worth(result)
    return {**result.to_json(), "worth": None if found is None else found.to_json()}


def _unconfirmed(result: SearchResult, best: TrialRecord, defaults: TrialRecord) -> Worth:
    assert best.score is not None
    assert defaults.score is not None
    epochs = f" after {defaults.epochs} epochs" if defaults.epochs != best.epochs else ""
    found = best.score - defaults.score
    trainings = "one training" if len(best.executions) < 2 else f"{len(best.executions)} trainings"
    text = (
        f"the best setting reached {result.objective} {best.score:.6g}, the declared defaults {defaults.score:.6g}{epochs}: "
        f"{trainings} each, and the best of {counted(result.count('completed'), 'trial')}, so no difference is confirmed "
        "(--confirmations 10 trains both with fresh seeds)"
    )
    return Worth(text, best.number, defaults.number, result.objective, found)


def _confirmed(result: SearchResult, best: TrialRecord, defaults: TrialRecord) -> Worth | None:
    """What trainings of both with fresh seeds say, if there are any."""
    samples = []
    for place, trial in zip(places(result.directory), (best, defaults), strict=True):
        try:
            found = load_search(place)
        except SearchError:  # which whoever confirms again will hear
            return None
        if found is None or not confirms(found, result, trial):
            return None
        samples.append([each for each in found.trials if each.state == "completed"])
    if not all(samples):
        return None
    metric = test_metric(result.objective)
    values = [{trial.seeds[0]: at_best_epoch(trial, metric) for trial in sample} for sample in samples]
    if any(value is None for sample in values for value in sample.values()):
        metric = result.objective
        values = [{trial.seeds[0]: trial.score for trial in sample} for sample in samples]
    one, other = ({seed: value for seed, value in sample.items() if value is not None} for sample in values)
    return _said(metric, one, other, result.direction, best, defaults)


def _said(
    metric: str, one: Mapping[int, float], other: Mapping[int, float], direction: str, best: TrialRecord, defaults: TrialRecord
) -> Worth:
    found: Difference = difference(one, other)
    means = f"the best setting {metric} {summary(list(one.values()))}, the declared defaults {summary(list(other.values()))}"
    count = counted(min(len(one), len(other)), "training")
    confirmed = found.p is not None and found.p < SIGNIFICANT
    if not confirmed:
        text = f"with fresh seeds, {count} each, no difference is confirmed: {means}"
    else:
        better = (found.difference > 0) == (direction == "max")
        which = "the best setting is better than the declared defaults" if better else "the declared defaults are better"
        text = f"{which}, which {count} each with fresh seeds confirm: {means}"
    return Worth(text, best.number, defaults.number, metric, found.difference, found.low, found.high, confirmed)
