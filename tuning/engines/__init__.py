"""Where trials run. An engine has one method, `run`; it asks a source for trials and tells it how they ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from keras_tuner.engine.trial import Trial

    from tuning.engines.source import Source
    from tuning.training.trainer import Trainer


class Engine(Protocol):
    """Runs the trials of a search somewhere."""

    def run(self, source: Source, trainer: Trainer, run_trial: Callable[[Trial], Any]) -> None:
        """Runs trials until there are no more.

        Args:
            source: gives trials and takes what becomes of them.
            trainer: trains a trial, in this process or, as it can be sent there, in another one.
            run_trial: trains a trial in this process as a user's own tuner may want it.
        """
