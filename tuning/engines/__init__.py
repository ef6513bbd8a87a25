"""Where trials run. An engine has one method, `run`; it asks the tuner for trials and tells it how they ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from tuning.study.tuner import Tuner


class Engine(Protocol):
    """Runs the trials of a search somewhere.

    `tuner.next_trial(worker)` gives a trial, `None` at the end, or one with status IDLE if others must end first;
    `tuner.record(event)` takes the epochs and executions as they end; `tuner.trial_done` and `tuner.trial_failed` end a trial.
    All four are called in the process that holds the tuner.
    """

    def run(self, tuner: Tuner, fit_args: Sequence[Any], fit_kwargs: Mapping[str, Any]) -> None:
        """Runs trials until there are no more."""
