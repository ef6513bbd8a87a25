"""A tracker in a thread of its own: a slow client does not slow the search down, and one that fails does not end it."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable

from tuning.errors import one_line
from tuning.trackers.tracker import Tracker

STALLED_SECONDS = 30.0  # without anything done, after which a client is not waited for any more

Job = Callable[[Tracker], None]


class Background:
    """Does what is to be told to a tracker, one after the other, until that raises.

    Args:
        name: of the tracker.
        tracker: itself.
    """

    def __init__(self, name: str, tracker: Tracker):
        self.name = name
        self.where = tracker.where
        self.failure: str | None = None  # why nothing more is done
        self.was_told = False  # to the person who searches
        self._tracker = tracker
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._done = 0
        self._thread = threading.Thread(target=self._work, name=f"log {name}", daemon=True)
        self._thread.start()

    def put(self, job: Job) -> None:
        """Lets something be done, unless an earlier one has failed."""
        if self.failure is None:
            self._jobs.put(job)

    def close(self) -> None:
        """Waits until all is done, unless nothing goes on any more."""
        self._jobs.put(None)
        done, since = self._done, time.monotonic()
        while self._thread.is_alive():
            self._thread.join(0.1)
            if self._done != done:
                done, since = self._done, time.monotonic()
            elif time.monotonic() - since > STALLED_SECONDS:
                self.failure = self.failure or f"it did not answer for {STALLED_SECONDS:g} seconds"
                return

    def _work(self) -> None:
        try:
            while (job := self._jobs.get()) is not None:
                job(self._tracker)
                self._done += 1
                if self._jobs.empty():
                    self._tracker.flush()
        except BaseException as error:  # a client may even want to exit
            self.failure = one_line(error)
            with contextlib.suppress(queue.Empty):
                while True:
                    self._jobs.get_nowait()
