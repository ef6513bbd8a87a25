"""Trials in this process: one after the other, or several in one program."""

from __future__ import annotations

import math
import traceback
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras
import keras_tuner
from keras_tuner.engine.trial import Trial, TrialStatus

from tuning.errors import SearchError, StoreError, one_line
from tuning.training import together

if TYPE_CHECKING:
    from tuning.study.tuner import Tuner


class HereEngine:
    """Runs trials in this process, with `tuner.run_trial` if they are run one by one.

    Args:
        batch_trials: how many train together in one program, on JAX, or `"auto"`: as many as the first one measures to be
            fastest.
    """

    def __init__(self, batch_trials: int | str = 1):
        self.batch_trials = batch_trials

    def run(self, tuner: Tuner, fit_args: Sequence[Any], fit_kwargs: Mapping[str, Any], source=None) -> None:
        """Runs trials until there are no more; see `tuning.engines.Engine`.

        `source` gives trials and takes their results: the tuner, or the link to its chief.
        """
        source = source or tuner
        group = self._group(tuner, fit_args, fit_kwargs)
        while trials := _next_trials(tuner, source, 1 if group is None else group.size):
            results = None if group is None or len(trials) == 1 else _together(tuner, group, trials)
            if results is None:
                for trial in trials:
                    _alone(tuner, source, trial, fit_args, fit_kwargs)
            else:
                for trial, result in zip(trials, results, strict=True):
                    tuner.trial_done(trial, result)

    def _group(self, tuner, fit_args, fit_kwargs) -> together.TrialsTogether | None:
        """What trains several trials at once, or `None` if they are trained one by one."""
        if self.batch_trials == 1:
            return None
        trainer = tuner.trainer(fit_args, fit_kwargs)
        reason = together.impossible(trainer)
        if reason is not None and self.batch_trials != "auto":
            raise SearchError(f"Trials cannot train together: {reason}; leave out batch_trials.")
        if reason is not None:
            return None
        if self.batch_trials == "auto":
            if "batch_trials" not in tuner.choices:
                if (tuner.oracle.max_trials or math.inf) < together.SMALLEST_SEARCH:
                    return None
                try:
                    together.measure_size(trainer, tuner.oracle.get_space(), tuner.record, tuner._build_hypermodel)
                except (keras_tuner.errors.FatalError, StoreError):
                    raise
                except Exception:  # what is wrong with the model, the first trial will say
                    tuner.check_interruption()
                    return None
            size = int(tuner.choices["batch_trials"]["value"])
        else:
            size = int(self.batch_trials)
        return together.TrialsTogether(trainer, size, tuner._build_hypermodel) if size > 1 else None


def _next_trials(tuner, source, size: int) -> list[Trial]:
    """At most `size` trials; fewer if there are no more, or the oracle waits for their results."""
    trials: list[Trial] = []
    while len(trials) < size:
        trial = source.next_trial(tuner.tuner_id if size == 1 else f"{tuner.tuner_id}-{len(trials)}")
        if trial is not None and trial.status == TrialStatus.IDLE and not trials:
            raise SearchError(f"{type(tuner.oracle).__name__} waits for a trial, and none is running.")
        if trial is None or trial.status == TrialStatus.IDLE:
            break
        trials.append(trial)
    return trials


def _alone(tuner, source, trial, fit_args, fit_kwargs) -> None:
    try:
        results = tuner.run_trial(trial, *fit_args, **fit_kwargs)
    except (keras_tuner.errors.FatalError, StoreError):
        raise
    except Exception as error:
        tuner.check_interruption()  # it may have come out as another error
        source.trial_failed(trial, one_line(error), traceback.format_exc())
    else:
        tuner.check_interruption()
        source.trial_done(trial, _as_list(results, tuner.oracle.objective))


def _together(tuner, group, trials) -> list[list[dict[str, float]]] | None:
    """The results of trials that train together; `None` if they have to run one by one."""
    try:
        results = group.run([(int(trial.trial_id), trial.hyperparameters) for trial in trials], tuner.record)
    except (keras_tuner.errors.FatalError, StoreError):
        raise
    except Exception:
        tuner.check_interruption()
        results = None  # which of them fails, and why, shows when they run one by one
    if results is None:
        for trial in trials:
            tuner.begin_again(trial)
    return results


def _as_list(results, objective) -> list[dict[str, float]]:
    """What a `run_trial` may return, as the metrics of each execution."""
    if isinstance(results, list):
        return [metrics for result in results for metrics in _as_list(result, objective)]
    if isinstance(results, dict):
        return [{name: float(value) for name, value in results.items()}]
    if isinstance(results, keras.callbacks.History):
        raise SearchError("run_trial must return numbers or dicts of metrics; received a History.")
    return [{objective.name: float(results)}]
