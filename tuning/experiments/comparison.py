"""`tuning.compare`: several optimizers with equal budgets, then each one's best setting against the others' on test data."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import pathlib
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tuning.errors import NoUsableTrialError, SearchError, missing_packages_explained
from tuning.experiments.arguments import objective_of, of_problem, trials_of
from tuning.experiments.plan import Plan, plan_of, shows_options
from tuning.experiments.running import run
from tuning.experiments.search import confirming, set_aside
from tuning.names import counted, folder_name
from tuning.results.comparison import FILE_NAME, Comparison, confirmation_directory, load_search
from tuning.runtime.machine import versions
from tuning.store import database as stores
from tuning.store.lock import Lock
from tuning.study.identity import check_same_search
from tuning.trackers import checked
from tuning.trackers.following import Trackers

if TYPE_CHECKING:
    from tuning.problems.problem import Problem

LEAST_CONFIRMATIONS = 10  # the 95 % interval is then 0.7 standard deviations to each side; from 5 seeds it would be 1.2


@shows_options
def compare(
    optimizers: Sequence[str | type] | Plan,
    problem: Any = None,
    *,
    fresh: bool = False,
    retry_failed: bool = False,
    progress: bool = True,
    command: str | None = None,
    **options: Any,
) -> Comparison:
    """Searches good hyperparameters of several optimizers with equal budgets, then confirms each one's best with fresh seeds.

    All searches have the same trials, epochs, data, seed and batch size. The best setting of each, selected on the validation
    data, is then trained with seeds that no search has used, the same for all optimizers, and reported on the test data,
    at the epoch that is best on the validation data. What is finished is kept: the same call resumes.

    Args:
        optimizers: names in `keras_optims.OPTIMIZERS`, `"keras:NAME"` of Keras's own, or classes; or a whole `tuning.Plan`.
        problem: as `tuning.search` takes it.
        fresh: delete the comparison in `directory` and start over.
        retry_failed: try the trials that failed once more, with the same settings and seeds.
        progress, command: as `tuning.search` takes them.
        **options: all that a `tuning.Plan` has; with a plan, changes of it. `search` and `fix` go to those optimizers that have a
            hyperparameter of this name; `max_epochs` and `target` are of each optimizer's search, so that it is fair, and
            `max_minutes` is for all of it, as time is not; each optimizer's search is in a folder of `directory`.

    Returns:
        A `Comparison` with `optimizers`, `differences`, `to_json()`, `to_dataframe()`. An optimizer may have no completed trial.

    Raises:
        SearchError: (a ValueError) an argument is wrong, data is missing, or the directory holds another comparison.
        KeyboardInterrupt: it was interrupted; the same call resumes it.
    """
    plan = plan_of(optimizers, problem, options)
    if plan.warm_start is not None:
        raise SearchError("warm_start is for a search alone: what one optimizer knows from before, the others do not.")
    if plan.confirm is not None:
        raise SearchError("confirm is for a search alone: a comparison confirms the best settings itself.")
    checked(plan.log)
    deadline = math.inf if plan.max_minutes is None else time.monotonic() + 60 * plan.max_minutes
    with missing_packages_explained():
        from tuning.problems import make_problem
        from tuning.space.space import tunables_of

    contestants = tunables_of(plan.optimizers)
    made = make_problem(plan.problem, plan.data_dir)
    changes = _changes(contestants, plan.search or {}, plan.fix or {}, plan.schedule, made.structure())
    starts = _starts(contestants, changes, plan, made)
    if plan.workers == 1:
        made.load(plan.train_samples)  # what is wrong with the data is said before a folder is made
    folder = pathlib.Path(plan.directory or pathlib.Path("results") / f"compare-{folder_name(made.name)}")
    if stores.exists(folder):
        raise SearchError(f"{folder} holds a search, not a comparison: choose another --directory.")
    trials = trials_of(plan, minutes_are_its_own=False)
    confirmations = max(LEAST_CONFIRMATIONS, plan.repeats) if plan.confirmations is None else plan.confirmations
    identity = plan.settled(made.epochs).identity("comparison") | of_problem(plan.problem, made, objective_of(made))
    header = {
        **identity,
        "trials": trials,
        **{name: value for name in ("max_epochs", "target") if (value := getattr(plan, name)) is not None},
        "confirmations": confirmations,
        "versions": versions(),
        "machine": None,
        "command": command,
        "complete": False,
    }
    with Lock(folder), Trackers(plan.log, folder) as trackers:
        if fresh:
            _remove(folder, contestants)
        elif (folder / FILE_NAME).is_file():
            there = Comparison.load(folder).content
            check_same_search({name: there.get(name) for name in identity}, identity, folder, "comparison")
        _check_budgets(folder, contestants, trials, plan.max_epochs)

        contest = _Contest(folder, header, contestants, deadline, progress, retry_failed, trackers)
        each = dataclasses.replace(plan, confirmations=None)
        for name, one in contestants.items():
            place = folder / folder_name(name)
            own = dataclasses.replace(
                each, optimizers=[one.named], directory=place, trials=trials, start_with=starts[name], **changes[name]
            )
            contest.phase(name, "search", own)
        for name, one in contestants.items():
            search = contest.search(name)
            if search is not None and search.best is not None:
                place = confirmation_directory(folder, name)
                set_aside(place, search, search.best)
                own = dataclasses.replace(each, optimizers=[one.named], **changes[name])
                contest.phase(name, "confirmation", confirming(own, search, search.best, place, confirmations))
        return contest.result()


class _Contest:
    """Runs the searches of a comparison one after the other, and writes down what is known after each."""

    def __init__(
        self,
        folder: pathlib.Path,
        header: dict[str, Any],
        contestants: Mapping[str, Any],
        deadline: float,
        progress: bool,
        retry_failed: bool,
        trackers: Trackers,
    ):
        self.folder = folder
        self.header = header
        self.names = list(contestants)
        self.deadline = deadline
        self.progress = progress
        self.retry_failed = retry_failed
        self.trackers = trackers
        self.complete = True

    def phase(self, name: str, what: str, plan: Plan) -> None:
        """Runs a search or a confirmation, if there is time; that all its trials fail is no reason to stop the others."""
        left = self.deadline - time.monotonic()
        if left > 0:
            self._say(f"{name}: {what} ({self.names.index(name) + 1} of {len(self.names)})")
            timed = dataclasses.replace(plan, max_minutes=None if math.isinf(left) else left / 60)
            try:
                run(
                    timed,
                    retry_failed=self.retry_failed,
                    progress=self.progress,
                    command=self.header["command"],
                    choices=self._choices(),
                    trackers=self.trackers,
                )
            except NoUsableTrialError as error:
                self._say(str(error))
        if time.monotonic() >= self.deadline:
            found = load_search(pathlib.Path(str(plan.directory)))
            wanted = plan.trials
            done = found is not None and wanted is not None and len(found.trials) >= wanted
            if left > 0 and found is not None and found.ended is not None:
                done = done or found.ended["by"] not in ("minutes", "failures")
            self.complete = self.complete and done
        self.result(complete=False)

    def search(self, name: str):
        """The search of an optimizer."""
        return load_search(self.folder / folder_name(name)) if self.complete else None

    def result(self, complete: bool | None = None) -> Comparison:
        """What is known now, which is written to the folder as well."""
        searches = filter(None, (load_search(self.folder / folder_name(name)) for name in self.names))
        machine = next((search.config["machine"] for search in searches if "machine" in search.config), None)
        header = {**self.header, "machine": machine, "complete": self.complete if complete is None else complete}
        comparison = Comparison.of(self.folder, header, self.names)
        comparison.write()
        return comparison

    def _choices(self) -> dict[str, Any]:
        """What the first search has measured: all that are compared are trained alike."""
        searches = filter(None, (load_search(self.folder / folder_name(name)) for name in self.names))
        return next((search.choices for search in searches if search.choices), {})

    def _say(self, text: str) -> None:
        if self.progress:
            print(text, file=sys.stderr, flush=True)


def _changes(
    contestants: Mapping[str, Any], search: Mapping[str, Any], fix: Mapping[str, Any], schedule: str | None, structure
) -> dict[str, dict[str, Any]]:
    """For each optimizer, those changes of the space that concern it; an error if one concerns none."""
    from tuning.space.setting import PROBLEM, TRAINING
    from tuning.space.space import Space, holders_of

    holders = holders_of(contestants, structure, schedule)
    changes: dict[str, dict[str, Any]] = {name: {"search": {}, "fix": {}} for name in contestants}
    for what, done, words in (("search", "searched", search), ("fix", "fixed", fix)):
        for word, wanted in words.items():
            having = [holder for holder, _ in holders.of(word, done)]
            for name in contestants if having[0] in (PROBLEM, TRAINING) else having:
                changes[name][what][word] = wanted
    for name, each in contestants.items():
        try:
            Space.of(each.named, **changes[name], schedule=schedule, structure=structure)
        except SearchError as error:
            raise SearchError(f"{name}: {error}") from error
    return changes


def _starts(
    contestants: Mapping[str, Any], changes: Mapping[str, dict[str, Any]], plan: Plan, made: Problem
) -> dict[str, list[Mapping[str, Any]] | None]:
    """For each optimizer those settings of `start_with` of which it has all names; an error if none has."""
    from tuning.space import given
    from tuning.space.space import Space

    found: dict[str, list[Mapping[str, Any]]] = {name: [] for name in contestants}
    structure = made.structure()
    spaces = {
        name: Space.of(one.named, **changes[name], schedule=plan.schedule, structure=structure)
        for name, one in contestants.items()
    }
    for words in plan.start_with or ():
        having = [name for name, space in spaces.items() if set(words) <= set(space.axes)]
        for name in having or contestants:
            given.named(spaces[name], structure, made.batch_size, words)
            found[name].append(words)
    return {name: words or None for name, words in found.items()}


def _check_budgets(folder: pathlib.Path, contestants: Mapping[str, Any], trials: int | None, max_epochs: int | None) -> None:
    for name in contestants:
        found = load_search(folder / folder_name(name))
        for there, now, what in (
            (0 if found is None else len(found.trials), trials, "trial"),
            (0 if found is None else found.epochs_trained, max_epochs, "epoch"),
        ):
            if now is not None and there > now:
                raise SearchError(
                    f"{name} has {counted(there, what)} in {folder} already: ask for at least as many, so that the budgets "
                    f"are equal; received {now}."
                )


def _remove(folder: pathlib.Path, contestants: Mapping[str, Any]) -> None:
    """Deletes the comparison: its result, and the searches and confirmations of the optimizers now and then."""
    names = list(contestants)
    with contextlib.suppress(SearchError):  # there is none, or it is damaged
        names += [str(entry["optimizer"]) for entry in Comparison.load(folder).optimizers]
    for name in dict.fromkeys(names):
        for place in (folder / folder_name(name), *folder.glob(f"{folder_name(name)}-confirmation*")):
            if place.is_dir():
                with Lock(place):
                    stores.remove(place)
    (folder / FILE_NAME).unlink(missing_ok=True)
