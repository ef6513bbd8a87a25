"""What is searched, until when, and who counts; importing this needs nothing heavy."""

from __future__ import annotations

import dataclasses
import math
import time
from typing import Any


@dataclasses.dataclass(frozen=True)
class Case:
    """A problem, and what is asked of a search of it.

    Args:
        problem: its name.
        samples: training samples, of which those that fill no batch are left out; `None`: all.
        epochs: of a trial, at most.
        target: the validation accuracy that ends a search, at the end of any epoch.
        seconds: a search ends after this time at the latest.
    """

    problem: str
    samples: int | None
    epochs: int
    target: float
    seconds: float

    def conditions(self) -> dict[str, Any]:
        """What must be the same of two runs that are compared; when they are cut off may differ."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name != "seconds"}


CASES = {
    "mnist_mlp": Case("mnist_mlp", 10_000, 9, 0.9675, 100),
    "mnist_cnn": Case("mnist_cnn", 10_000, 9, 0.98, 150),
    "cifar10_cnn": Case("cifar10_cnn", 10_000, 9, 0.555, 150),
    "digits_mlp": Case("digits_mlp", None, 9, 0.975, 30),
}


DIGITS = 6  # of an accuracy: as float32, 0.9675 is a little less than 0.9675


class Enough(BaseException):
    """The search is to end: no `Exception`, as every search goes on after one of those."""


class Watch:
    """Hears of every epoch that a search trains, and ends it.

    Args:
        target: the accuracy; an infinite one is never reached.
        seconds: the search ends after this time.
    """

    def __init__(self, target: float, seconds: float):
        self.target, self._limit = target, seconds
        self.epochs, self.best = 0, -math.inf
        self.improvements: list[tuple[float, int, float]] = []
        self.is_one_process = True  # else the time of the processors is not known
        self._ended: tuple[float, float] | None = None
        self.start()

    def start(self) -> None:
        """The search begins now."""
        self._begun = time.perf_counter(), time.process_time()

    def _passed(self) -> tuple[float, float]:
        """Seconds since the search began: by the clock, and of the processors."""
        return time.perf_counter() - self._begun[0], time.process_time() - self._begun[1]

    @property
    def is_over(self) -> bool:
        """Whether the search is to end, and nothing counts any more."""
        return self._ended is not None

    def heard(self, accuracy: float) -> bool:
        """One more epoch has ended; whether the search is to end."""
        if self.is_over:
            return True
        passed = self._passed()
        self.epochs += 1
        accuracy = round(float(accuracy), DIGITS)
        if accuracy > self.best:
            self.best = accuracy
            self.improvements.append((round(passed[0], 3), self.epochs, accuracy))
        if self.best >= self.target or passed[0] >= self._limit:
            self._ended = passed
        return self.is_over

    def ends(self, accuracy: float) -> None:
        """As `heard`; raises `Enough` if the search is to end."""
        if self.heard(accuracy):
            raise Enough

    def line(self) -> dict[str, Any]:
        """What is to be kept of the search, which has ended by itself now, if not before."""
        seconds, of_processors = self._passed() if self._ended is None else self._ended
        return {
            "seconds": round(seconds, 3),
            "processor_seconds": round(of_processors, 3) if self.is_one_process else None,
            "epochs": self.epochs,
            "reached": self.best >= self.target,
            "best": self.best if self.epochs else None,
            "improvements": self.improvements,
        }
