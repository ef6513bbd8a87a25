"""What all engines with workers share: which trial is where, what becomes of it, and what happens when a worker dies."""

from __future__ import annotations

import collections
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from tuning.engines.matching import Matching, StructureOf
from tuning.engines.source import Source, waits_for_ever
from tuning.errors import SearchError
from tuning.training.assignment import Assignment
from tuning.training.events import EpochEnded

if TYPE_CHECKING:
    from keras_tuner.engine.trial import Trial

TRIES = 3  # of a trial whose worker dies; after that it counts as failed
START_TRIES = 3  # of starting a worker, one after the other and with none alive, before the search gives up
LONGEST_PAUSE = 60.0  # seconds between two tries of starting a worker


class InFlight:
    """The trials that workers are at, or that wait for one.

    A trial belongs to a seat, KerasTuner's tuner id: as long as it has not ended, the oracle gives it to its seat again.
    """

    def __init__(self, source: Source):
        self.source = source
        self.trials: dict[str, Trial] = {}
        self._deaths: collections.Counter[str] = collections.Counter()

    def begin(self, seat: str) -> Trial | None:
        """A trial for `seat`, also again after `lost`; `None`: there are no more; with status IDLE: others must end first."""
        trial = self.source.next_trial(seat)
        if trial is not None and trial.status != "IDLE":
            self.trials[seat] = trial
        return trial

    def hand_out(self, seat: str) -> tuple[Trial, Assignment]:
        """The trial of a seat, which a worker gets now, and how it is to train."""
        trial = self.trials[seat]
        self.source.begins(trial)
        return trial, self.source.assignment(trial)

    def take(self, seat: str, kind: str, content: Any) -> bool:
        """Takes what a worker says of its trial. After an event: whether the trial is to stop; else it has ended."""
        if kind == "event":
            return bool(self.source.record(content))
        trial = self.trials.pop(seat)
        *content, grown = content
        if grown is not None:
            trial.hyperparameters = type(trial.hyperparameters).from_config(grown)
        if kind == "done":
            self.source.trial_done(trial, *content)
        else:
            self.source.trial_failed(trial, *content)
        return True

    def lost(self, seat: str, how: str) -> None:
        """The worker of a trial died: `begin` gives the trial again, unless that was the last try."""
        trial = self.trials.pop(seat)
        self._deaths[trial.trial_id] += 1
        if self._deaths[trial.trial_id] >= TRIES:
            self.source.trial_failed(trial, f"The process that ran it {how}, {TRIES} times.", "")


class Worker(Protocol):
    """A process somewhere."""

    def train(self, number: int, config: dict[str, Any], asked: Assignment) -> None:
        """Begins a trial.

        If the worker is dead, `Pool.listen` will say so.
        """

    def answer(self, stop: bool) -> None:
        """Answers to an epoch."""

    def discard(self) -> None:
        """Frees what is left of a dead worker."""


class Pool(Protocol):
    """Starts workers and hears them. It makes sure itself that none outlives it."""

    size: int
    where: str  # of what a worker is started, for messages

    def start(self) -> Worker:
        """A new worker, which will say `ready` or be `dead`."""

    def listen(self, workers: Sequence[Any], timeout: float | None) -> Iterable[tuple[Any, str, Any]]:
        """Waits for messages: (worker, kind, content), kinds as in `tuning.engines.work`, or `dead` and how it died."""


def dispatch(source: Source, pool: Pool, structure_of: StructureOf) -> None:
    """Runs trials on the workers of a pool until there are no more.

    Trials are begun, workers are started for them, and whichever worker is ready takes one of those that wait, with a model that
    it has compiled where there is such a one.

    Args:
        source: gives trials and takes what becomes of them.
        pool: of the workers.
        structure_of: what of the hyperparameters of a trial decides how its model is compiled.
    """
    _Dispatch(source, pool, structure_of).run()


class _Dispatch:
    def __init__(self, source: Source, pool: Pool, structure_of: StructureOf):
        self.source = source
        self.pool = pool
        self.matching = Matching(structure_of)
        self.in_flight = InFlight(source)
        self.answered = EpochEnded if source.prunes else ()
        self.seats = [f"worker {i}" for i in range(pool.size)]  # without a trial
        self.ahead = 0  # seats beyond those of the workers
        self.waiting: list[str] = []  # seats whose trial is at no worker yet
        self.starting: list[Any] = []
        self.idle: list[Any] = []
        self.busy: dict[Any, str] = {}  # worker -> seat
        self.failed_starts = 0  # since a worker was last ready
        self.no_start_before = 0.0

    def run(self) -> None:
        asks = True
        while True:
            oracle_waits = asks and self._begin_trials()
            if not self.waiting and not self.busy:
                if oracle_waits:
                    raise waits_for_ever(self.source)
                return
            self._start_workers()
            self._hand_out()
            asks = False
            for worker, kind, content in self.pool.listen([*self.busy, *self.starting, *self.idle], self._timeout()):
                asks = self._hear(worker, kind, content) or asks

    def _begin_trials(self) -> bool:
        """Gives trials to the seats; whether the oracle waits for others to end."""
        while self.seats or self._looks_ahead():
            trial = self.in_flight.begin(self.seats[0])
            if trial is None:
                return False
            if trial.status == "IDLE":
                return True
            self.matching.saw(trial)
            self.waiting.append(self.seats.pop(0))
        return False

    def _looks_ahead(self) -> bool:
        """Adds a seat, if one more trial may wait than there are workers."""
        if not self.source.looks_ahead or self.ahead >= self.matching.ahead(self.pool.size):
            return False
        self.seats.append(f"worker {self.pool.size + self.ahead}")
        self.ahead += 1
        return True

    def _start_workers(self) -> None:
        wanted = len(self.waiting) - len(self.idle)
        room = self.pool.size - len(self.idle) - len(self.busy)
        while len(self.starting) < min(wanted, room) and time.monotonic() >= self.no_start_before:
            self.starting.append(self.pool.start())

    def _hand_out(self) -> None:
        while self.waiting and self.idle and not (self.busy and self.source.measuring):
            worker = self.idle.pop(0)
            waiting = {seat: self.in_flight.trials[seat] for seat in self.waiting}
            seat = self.matching.choose(worker, waiting, self.pool.size)
            self.waiting.remove(seat)
            self.busy[worker] = seat
            trial, asked = self.in_flight.hand_out(seat)
            worker.train(int(trial.trial_id), trial.hyperparameters.get_config(), asked)

    def _timeout(self) -> float | None:
        """Until when it is enough to listen: for ever, unless a worker is to be started later."""
        pause = self.no_start_before - time.monotonic()
        return pause if pause > 0 else None

    def _hear(self, worker, kind: str, content) -> bool:
        """Takes one message; whether a seat has become free."""
        if kind == "dead":
            return self._bury(worker, content)
        if kind == "fatal":
            raise SearchError(content)
        if kind == "ready":
            self.failed_starts, self.no_start_before = 0, 0.0
            self.starting.remove(worker)
            self.idle.append(worker)
            return False
        seat = self.busy[worker]
        answer = self.in_flight.take(seat, kind, content)
        if kind == "event":
            if isinstance(content, self.answered):
                worker.answer(answer)
            return False
        del self.busy[worker]
        self.idle.append(worker)
        self.seats.append(seat)
        return True

    def _bury(self, worker, how: str) -> bool:
        worker.discard()
        self.matching.forget(worker)
        if worker in self.idle:
            self.idle.remove(worker)
            return False
        if worker in self.starting:
            self.starting.remove(worker)
            self.failed_starts += 1
            if self.failed_starts >= START_TRIES and not (self.starting or self.idle or self.busy):
                raise SearchError(f"No {self.pool.where} can be started: the last one {how}.")
            self.no_start_before = time.monotonic() + min(LONGEST_PAUSE, 2.0 ** (self.failed_starts - 1))
            return False
        seat = self.busy.pop(worker)
        self.in_flight.lost(seat, how)
        self.seats.insert(0, seat)  # its trial, if it is to run again, comes before new ones
        return True
