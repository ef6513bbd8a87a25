"""A search in Optuna's terms: its parameters, distributions and trials.

Optuna has linear and logarithmic scales. A hyperparameter that was searched in log(1-x) becomes the parameter `1 - NAME`
on a logarithmic scale, which is the same thing; the hyperparameter's own value stands in the trial's user attribute NAME.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable
from typing import Any

from tuning.results.search import SearchResult, TrialRecord, json_ready, mean_curve
from tuning.space.in_optuna import parameter, parameter_name

_STATES = {"completed": "COMPLETE", "pruned": "PRUNED", "running": "RUNNING", "diverged": "FAIL", "failed": "FAIL"}


def add_trials(study, search: SearchResult, trials: Iterable[TrialRecord] | None = None) -> None:
    """Adds trials of a search (all, if none are given) to an Optuna study, in their order."""
    for trial in search.trials if trials is None else trials:
        study.add_trial(frozen_trial(search, trial))


def frozen_trial(search: SearchResult, trial: TrialRecord):
    """One trial as an `optuna.trial.FrozenTrial`, whose number the study gives."""
    import optuna

    parameters, distributions = {}, {}
    for axis in search.axes:
        if axis.name in trial.hyperparameters:
            name = parameter_name(axis)
            parameters[name], distributions[name] = parameter(axis, trial.hyperparameters[axis.name])
    state = optuna.trial.TrialState[_STATES.get(trial.state, "FAIL")]
    curve = [math.nan if value is None else value for value in mean_curve(trial.curves, search.objective)]
    value = trial.score
    if trial.state == "pruned" and value is None:
        value = next((score for score in reversed(curve) if math.isfinite(score)), None)
    return optuna.trial.FrozenTrial(
        number=trial.number,
        trial_id=-1,
        state=state,
        value=value if state in (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED) else None,
        datetime_start=datetime.datetime.fromtimestamp(trial.begun),
        datetime_complete=None if trial.state == "running" else datetime.datetime.fromtimestamp(trial.ended),
        params=parameters,
        distributions=distributions,
        user_attrs=_attributes(search, trial),
        system_attrs={},
        intermediate_values=dict(enumerate(curve)),
    )


def _attributes(search: SearchResult, trial: TrialRecord) -> dict[str, Any]:
    own = {axis.name: trial.hyperparameters.get(axis.name) for axis in search.axes if parameter_name(axis) != axis.name}
    about = {
        "trial": trial.number,
        "state": trial.state,
        "epochs": trial.epochs,
        "executions": trial.executions,
        "seeds": trial.seeds,
        "line": trial.line,
        "message": trial.message,
    }
    known = {**own, **{name: value for name, value in about.items() if value not in (None, [])}}
    return json_ready(known)
