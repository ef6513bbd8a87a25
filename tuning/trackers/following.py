"""The trackers of a search or a comparison, and what tells them how it goes."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import pathlib
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tuning.errors import SearchError, one_line
from tuning.names import TRACKERS
from tuning.results.search import SearchResult, python_line
from tuning.trackers import checked, make_tracker
from tuning.trackers.background import Background
from tuning.trackers.replay import catch_up, epochs_of
from tuning.trackers.tracker import Outcome, Place, Run, Tracked, Tracker
from tuning.training.events import Chosen, EpochEnded, ExecutionEnded


class Trackers:
    """The trackers of a search, or of all searches of a comparison. Use it with `with`, which waits until all is written.

    Args:
        names: in `tuning.names.TRACKERS`.
        directory: of the search or the comparison.

    Raises:
        SearchError: a client is missing, or cannot be used.
    """

    def __init__(self, names: str | Iterable[str] | None, directory: str | os.PathLike):
        self.place = Place.of(directory)
        made = [(name, make_tracker(name, self.place)) for name in checked(names)]
        self._all = [Background(name, tracker) for name, tracker in made]
        self._warn: Callable[[str], None] | None = None
        self._was_said = False

    def __enter__(self) -> Trackers:
        return self

    def __exit__(self, *exception) -> None:
        for each in self._all:
            each.close()
        self.report()

    @contextlib.contextmanager
    def following(
        self, directory: str | os.PathLike, note: Callable[[str], None], warn: Callable[[str], None]
    ) -> Iterator[Following | None]:
        """What hears a search whose store is open, in this block; `None` if there is no tracker.

        Args:
            directory: of the search, in that of the comparison if it belongs to one.
            note, warn: tell a person one sentence without a full stop; the one where there is a view, the other in any case.
        """
        if not self._all:
            yield None
            return
        self._warn = warn
        if not self._was_said:
            for each in self._all:
                note(f"runs are logged to {TRACKERS[each.name]}: {each.where}")
            self._was_said = True
        try:
            following = Following(self, pathlib.Path(directory))
        except SearchError as error:  # the store does not say what is searched
            warn(f"no runs are logged, as {one_line(error)}")
            yield None
            return
        try:
            yield following
        finally:
            following.end()
            self.report()

    def tell(self, job: Callable[[Tracker], None]) -> None:
        """Lets all trackers do something."""
        self.report()
        for each in self._all:
            each.put(job)

    def report(self) -> None:
        """Says which client has failed since the last time, in the thread of the search."""
        for each in self._all:
            if each.failure is not None and not each.was_told and self._warn is not None:
                each.was_told = True
                self._warn(
                    f"{TRACKERS[each.name]} is told no more of the search, as {each.failure}; the same command again tells it "
                    f"what is missing"
                )


@dataclasses.dataclass
class _Running:
    """A trial that runs: its runs by execution, and how they ended."""

    hyperparameters: dict[str, Any]
    epochs: int | None
    runs: dict[int, Run] = dataclasses.field(default_factory=dict)
    ended: dict[int, ExecutionEnded] = dataclasses.field(default_factory=dict)
    times: dict[int, float] = dataclasses.field(default_factory=dict)  # when they ended


class Following:
    """A `tuning.study.ledger.Listener` that tells the trackers of one search; first of what they lack.

    Args:
        trackers: to whom.
        directory: of the search.
    """

    def __init__(self, trackers: Trackers, directory: pathlib.Path):
        result = SearchResult.load(directory)
        group = "" if directory.resolve() == trackers.place.directory.resolve() else directory.name
        self._trackers, self._directory, self._config = trackers, directory, result.config
        self._search = search = Tracked.of(result, group)
        self._running: dict[int, _Running] = {}
        trackers.tell(lambda tracker: catch_up(tracker, search, result, only_we_write=True))

    def end(self) -> None:
        """The search has ended, or was interrupted: then its running trials run again."""
        for number in list(self._running):
            self.trial_ended(number, "interrupted", None, None)

    def trial_began(self, number: int, hyperparameters: dict[str, Any], epochs: int | None) -> None:
        """Its first run begins."""
        self._running[number] = _Running(dict(hyperparameters), epochs)
        self._trackers.tell(lambda tracker: tracker.trial_began(number))
        self._run(number, 0)

    def _run(self, number: int, execution: int) -> Run:
        """The run of an execution, which begins now if it has not."""
        trial = self._running[number]
        if execution not in trial.runs:
            line = python_line(self._config, trial.hyperparameters, trial.epochs)
            name = self._search.name(number, execution)
            run = Run(number, execution, name, dict(trial.hyperparameters), trial.epochs, time.time(), line)
            trial.runs[execution] = run
            self._trackers.tell(lambda tracker: tracker.run_began(run))
        return trial.runs[execution]

    def epoch_ended(self, event: EpochEnded) -> None:
        """A point of each curve; those that come before the first one of a run are another trial's, which it continues."""
        if event.trial not in self._running:
            return
        begins = event.execution not in self._running[event.trial].times
        self._running[event.trial].times[event.execution] = when = time.time()
        run = self._run(event.trial, event.execution)
        if begins and event.epoch > 0:
            self._trackers.tell(lambda tracker: _tell_of_earlier(tracker, self._directory, run, event.epoch, when))
        self._trackers.tell(lambda tracker: tracker.epoch_ended(run, event.epoch, event.metrics, when))

    def execution_ended(self, event: ExecutionEnded) -> None:
        """Kept until the trial ends, as its state is not known before."""
        if event.trial in self._running:
            self._run(event.trial, event.execution)
            self._running[event.trial].ended[event.execution] = event
            self._running[event.trial].times[event.execution] = time.time()

    def chosen(self, event: Chosen) -> None:
        """No tracker wants to know."""

    def noted(self, text: str) -> None:
        """No tracker wants to know."""

    def trial_grew(self, number: int, hyperparameters: dict[str, Any]) -> None:
        """Its runs have these hyperparameters when they end."""
        if number in self._running:
            self._running[number].hyperparameters = dict(hyperparameters)

    def trial_ended(self, number: int, state: str, score: float | None, message: str | None) -> None:
        """All its runs are over."""
        trial = self._running.pop(number, None)
        if trial is None:
            return
        for execution, run in trial.runs.items():
            event = trial.ended.get(execution)
            outcome = Outcome(
                state,
                ended=trial.times.get(execution, time.time()),
                score=None if event is None or event.score != event.score else event.score,
                best_epoch=None if event is None else event.best_epoch,
                seed=None if event is None else event.seed,
                trial_score=score,
                message=message,
            )
            last = dataclasses.replace(run, hyperparameters=trial.hyperparameters)
            self._trackers.tell(functools.partial(_end, last, outcome))


def _end(run: Run, outcome: Outcome, tracker: Tracker) -> None:
    tracker.run_ended(run, outcome)


def _tell_of_earlier(tracker: Tracker, directory: pathlib.Path, run: Run, epoch: int, when: float) -> None:
    """The epochs before this one, of the trial that this one continues."""
    trials = {trial.number: trial for trial in SearchResult.load(directory).trials}
    curves = trials[run.trial].curves if run.trial in trials else []
    if run.execution < len(curves):
        for earlier, metrics in enumerate(epochs_of(curves[run.execution])[:epoch]):
            tracker.epoch_ended(run, earlier, metrics, when)
