"""The searches and confirmations of `evidence.py`: what is to be done, in which order, and what of it is there already."""

from __future__ import annotations

import dataclasses
import pathlib
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras_optims
from scripts import ranges
from scripts.evidence_problems import SIZES, problem_of
from scripts.searches import BEST, DEFAULT, SEARCHED, best_of, place_of, searched_and_confirmed
from tuning.results.search import SearchResult
from tuning.store import database as stores

OPTIMIZERS = [name for name in keras_optims.OPTIMIZERS if name != "sgd"]
"""All of the package but `sgd`, which is `gradient_descent` or, with a momentum, `momentum`."""


@dataclasses.dataclass(frozen=True)
class Study:
    """What is searched and confirmed of each optimizer on each problem.

    Args:
        directory: of the stores.
        seeds: how often the best setting and the default setting are trained.
        trainings: the budget of each search, as many epochs as so many whole trainings have; `None`: that of the problem's size.
        options: more of `tuning.search` that do not change what comes out: `engine`, `workers`, `data_dir` ...
    """

    directory: pathlib.Path
    seeds: int
    trainings: int | None = None
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def folder(self, problem: str, optimizer: str) -> pathlib.Path:
        """Where the search is."""
        return self.directory / problem / optimizer

    def budget(self, problem: str) -> int:
        """The epochs of a search."""
        size = SIZES[problem]
        return size.epochs * (self.trainings or size.trainings)

    def check_ranges(self, optimizer: str):
        """Raises `SearchError` if a search of it in the folder looked over other ranges than one would that begins now."""
        for problem in SIZES:
            if (stored := _stored(self.folder(problem, optimizer))) is not None:
                ranges.check_same(
                    ranges.of_config(optimizer, stored.config),
                    ranges.declared([optimizer]),
                    *(f"in {self.folder(problem, optimizer)}", "by default now"),
                    "Choose another folder for new searches; --tables-only writes the tables of this one.",
                )

    def run(self, problem: str, optimizer: str) -> dict[str, SearchResult]:
        """Searches and confirms, or goes on with it."""
        size = SIZES[problem]
        search = {
            "oracle": "asha",
            "min_epochs": size.min_epochs,
            "max_epochs": self.budget(problem),
            "trials": self.budget(problem),  # more than the epochs allow
            "keep_models": 0,
        }
        common = {
            "epochs": size.epochs,
            "train_samples": size.train,
            "fix": {**size.fix, "batch_size": size.batch_size},
            "jit": "auto",
            "progress": False,
            "retry_failed": True,
            **self.options,
        }
        confirmed = {**common, "keep_models": 0}
        return searched_and_confirmed(
            *(optimizer, problem_of(problem), self.folder(problem, optimizer), self.seeds, search, confirmed)
        )

    def complete(self, problem: str, optimizer: str) -> dict[str, SearchResult] | None:
        """What is in the stores, if nothing is left to be trained; else `None`. No store is written to."""
        folder = self.folder(problem, optimizer)
        search = _stored(folder)
        if search is None or search.ended is None or search.config.get("max_epochs", 0) < self.budget(problem):
            return None
        best = best_of(search)
        kinds = {DEFAULT: None} if best is None else {DEFAULT: None, BEST: best.number}
        confirmed = {kind: _stored(place_of(folder, kind, number)) for kind, number in kinds.items()}
        found = {kind: each for kind, each in confirmed.items() if each is not None and each.ended is not None}
        enough = all(len(each.trials) >= self.seeds and not each.count("failed") for each in found.values())
        return {SEARCHED: search, **found} if enough and found.keys() == kinds.keys() else None


def _stored(directory: pathlib.Path) -> SearchResult | None:
    return SearchResult.load(directory) if stores.exists(directory) else None


def run_all(study: Study, problems: Iterable[str], optimizers: Iterable[str], minutes: float | None, say: Callable[[str], Any]):
    """Runs what is not done, all optimizers on one problem and then all on the next.

    So whole columns of the tables are there early, whenever it is interrupted.

    Args:
        study: what is run.
        problems, optimizers: of which.
        minutes: after them nothing new is begun; `None`: all is run.
        say: told of each that is done.

    Returns:
        How many are left.

    Raises:
        SearchError: a search in the folder looked over other ranges than those that are to come.
    """
    begun = time.monotonic()
    pairs = [(problem, optimizer) for problem in problems for optimizer in optimizers]
    left = [pair for pair in pairs if study.complete(*pair) is None]
    for optimizer in dict.fromkeys(optimizer for _, optimizer in left):
        study.check_ranges(optimizer)
    say(f"{len(pairs) - len(left)} of {len(pairs)} are done")
    while left and (minutes is None or time.monotonic() - begun < 60 * minutes):
        problem, optimizer = left.pop(0)
        start = time.monotonic()
        results = study.run(problem, optimizer)
        best = best_of(results[SEARCHED])
        score = "no trial has completed" if best is None else f"{results[SEARCHED].objective} {best.score:.4g}"
        say(f"{optimizer} on {problem}: {score} ({time.monotonic() - start:.0f} s, {len(left)} left)")
    return len(left)


def say_on_stderr(text: str):
    """A line for a person who watches."""
    print(text, file=sys.stderr, flush=True)
