"""What an engine knows of a search: whom it asks for trials, and whom it tells what becomes of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from tuning.errors import SearchError
from tuning.training.assignment import Assignment
from tuning.training.events import Event

if TYPE_CHECKING:
    import keras_tuner
    from keras_tuner.engine.trial import Trial


class Source(Protocol):
    """Gives trials and takes their results: the ledger of a search, or a worker's link to the ledger of its chief.

    Its methods are called in the process that made it.
    """

    oracle: keras_tuner.Oracle
    seat: str  # KerasTuner's tuner id of this process

    @property
    def prunes(self) -> bool:
        """Whether a trial may be stopped early: then `record` has an answer for which it must wait."""

    @property
    def measuring(self) -> bool:
        """Whether the next trial measures how all are trained, so that no other one may begin before it has."""

    @property
    def ways(self) -> tuple[str, ...] | None:
        """How epochs may be compiled: in one way, if the search has settled that; `None`: as each model was compiled."""

    @property
    def choices(self) -> Mapping[str, Any]:
        """What the first trial has measured: name -> `{"value": ..., "seconds_per_step": ...}`."""

    @property
    def looks_ahead(self) -> bool:
        """Whether trials may be asked for before there is a worker for them, as nothing that is yet to come changes them."""

    def next_trial(self, seat: str) -> Trial | None:
        """The next trial for `seat`: `None` if there are no more; with status IDLE if it must wait for others to end."""

    def begins(self, trial: Trial) -> None:
        """A trial that was asked for begins to train."""

    def assignment(self, trial: Trial) -> Assignment:
        """How a trial that begins is to train."""

    def record(self, event: Event) -> bool:
        """Takes what a running trial reports; whether the trial is to stop here."""

    def trial_done(self, trial: Trial, results: list[dict[str, float]]) -> None:
        """A trial came to its end: completed, stopped by `record`, or diverged."""

    def trial_failed(self, trial: Trial, message: str, trace: str) -> None:
        """A trial raised."""

    def begin_again(self, trial: Trial) -> None:
        """Drops what a running trial has reported."""

    def check_interruption(self) -> None:
        """Raises KeyboardInterrupt if Ctrl-C or SIGTERM came during the search."""


def waits_for_ever(source: Source) -> SearchError:
    """The error of an oracle that wants to see the end of a trial when there is none."""
    return SearchError(f"{type(source.oracle).__name__} waits for a trial, and none is running.")
