"""Trials in this process: one after the other, or several in one program."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable
from typing import Any

import keras
import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial, TrialStatus

from tuning.engines.source import Source, waits_for_ever
from tuning.errors import FatalError, SearchError, one_line
from tuning.training import together
from tuning.training.measured import numbers
from tuning.training.trainer import Trainer, best_epoch, epochs_of


class HereEngine:
    """Runs trials in this process, with `run_trial` if they are run one by one.

    Args:
        batch_trials: how many train together in one program, on JAX, or `"auto"`: 1 on a CPU, on a GPU as many as
            the first one measures to be fastest.
    """

    def __init__(self, batch_trials: int | str = 1):
        self.batch_trials = batch_trials

    def run(self, source: Source, trainer: Trainer, run_trial: Callable[[Trial], Any]) -> None:
        """Runs trials until there are no more; see `tuning.engines.Engine`."""
        group = self._group(source, trainer)
        while trials := _next_trials(source, 1 if group is None else group.size):
            results = None if group is None or len(trials) == 1 else _together(source, group, trials)
            if results is None:
                for trial in trials:
                    _alone(source, trainer.objective, trial, run_trial)
            else:
                for trial, result in zip(trials, results, strict=True):
                    source.trial_done(trial, result)

    def _group(self, source: Source, trainer: Trainer) -> together.TrialsTogether | None:
        """What trains several trials at once, or `None` if they are trained one by one."""
        if self.batch_trials == 1:
            return None
        reason = together.impossible(trainer)
        if reason is not None and self.batch_trials != "auto":
            raise SearchError(f"Trials cannot train together: {reason}; leave out batch_trials.")
        if reason is not None:
            return None
        if self.batch_trials == "auto":
            if "batch_trials" not in source.choices:
                if (source.oracle.max_trials or math.inf) < together.SMALLEST_SEARCH or not together.worthwhile():
                    return None
                try:
                    together.measure_size(trainer, source.oracle.get_space(), source.record)
                except (keras_tuner.errors.FatalError, FatalError):
                    raise
                except Exception:  # what is wrong with the model, the first trial will say
                    source.check_interruption()
                    return None
            size = int(source.choices["batch_trials"]["value"])
        else:
            size = int(self.batch_trials)
        return together.TrialsTogether(trainer, size) if size > 1 else None


def _next_trials(source: Source, size: int) -> list[Trial]:
    """At most `size` trials; fewer if there are no more, or the oracle waits for their results."""
    trials: list[Trial] = []
    while len(trials) < size:
        trial = source.next_trial(source.seat if size == 1 else f"{source.seat}-{len(trials)}")
        if trial is not None and trial.status == TrialStatus.IDLE and not trials:
            raise waits_for_ever(source)
        if trial is None or trial.status == TrialStatus.IDLE:
            break
        source.begins(trial)
        trials.append(trial)
    return trials


def _alone(source: Source, objective, trial: Trial, run_trial: Callable[[Trial], Any]) -> None:
    try:
        results = run_trial(trial)
    except (keras_tuner.errors.FatalError, FatalError):
        raise
    except Exception as error:
        source.check_interruption()  # it may have come out as another error
        source.trial_failed(trial, one_line(error), traceback.format_exc())
    else:
        source.check_interruption()
        source.trial_done(trial, _as_list(results, objective))


def _together(source: Source, group: together.TrialsTogether, trials: list[Trial]) -> list[list[dict[str, float]]] | None:
    """The results of trials that train together; `None` if they have to run one by one."""
    try:
        members = [(int(trial.trial_id), trial.hyperparameters, source.assignment(trial)) for trial in trials]
        results = group.run(members, source.record)
    except (keras_tuner.errors.FatalError, FatalError):
        raise
    except Exception:
        source.check_interruption()
        results = None  # which of them fails, and why, shows when they run one by one
    if results is None:
        for trial in trials:
            source.begin_again(trial)
    return results


def _as_list(results, objective) -> list[dict[str, float]]:
    """What a `run_trial` may return, as the metrics of each execution."""
    if isinstance(results, list):
        return [metrics for result in results for metrics in _as_list(result, objective)]
    if isinstance(results, dict):
        if objective.name not in results:
            raise SearchError(f"run_trial must return the objective {objective.name!r} among its metrics; received {results}.")
        return [numbers(results)]
    if isinstance(results, keras.callbacks.History):
        return [best_epoch(epochs_of(results), None, objective)[0]]
    if isinstance(results, (int, float, np.number)):
        return [{objective.name: float(results)}]
    raise SearchError(
        f"run_trial must return a History, a number, a dict with {objective.name!r}, or a list of such; "
        f"received {type(results).__name__}."
    )
