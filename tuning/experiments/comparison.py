"""`tuning.compare`: several optimizers with equal budgets, then each one's best setting against the others' on test data."""

from __future__ import annotations

import contextlib
import math
import os
import pathlib
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from tuning.errors import NoUsableTrialError, SearchError, missing_packages_explained
from tuning.experiments.arguments import DEFAULT_TRIALS, check_number, check_seed, folder_name, objective_of
from tuning.experiments.search import search as search_one
from tuning.names import DEFAULT_ORACLE
from tuning.results.comparison import FILE_NAME, Comparison, confirmation_directory, confirms, load_search
from tuning.runtime.machine import versions
from tuning.store import database as stores
from tuning.store.lock import Lock

LEAST_CONFIRMATIONS = 10  # the 95 % interval is then 0.7 standard deviations to each side; from 5 seeds it would be 1.2
CHOOSES = ("sampler", "pruner")  # arguments of a search that have no place where nothing is chosen, and none may be stopped
IDENTITY = (
    *("problem", "objective", "direction", "epochs", "repeats", "seed", "oracle", "search", "fix", "train_samples"),
    *("batch_size", "backend"),
)


def compare(
    optimizers: Sequence[str | type],
    problem: Any = "digits_mlp",
    *,
    confirmations: int | None = None,
    trials: int | None = None,
    epochs: int | None = None,
    oracle: str = DEFAULT_ORACLE,
    search: Mapping[str, Any] | None = None,
    fix: Mapping[str, Any] | None = None,
    seed: int = 0,
    repeats: int = 1,
    train_samples: int | None = None,
    max_minutes: float | None = None,
    directory: str | os.PathLike | None = None,
    data_dir: str | os.PathLike | None = None,
    fresh: bool = False,
    progress: bool = True,
    command: str | None = None,
    **options: Any,
) -> Comparison:
    """Searches good hyperparameters of several optimizers with equal budgets, then confirms each one's best with fresh seeds.

    All searches have the same trials, epochs, data, seed and batch size. The best setting of each, selected on the validation
    data, is then trained with seeds that no search has used, the same for all optimizers, and reported on the test data,
    at the epoch that is best on the validation data. What is finished is kept: the same call resumes.

    Args:
        optimizers: names in `keras_optims.OPTIMIZERS` or subclasses of `keras_optims.Optimizer`.
        problem: as `tuning.search` takes it.
        confirmations: trainings of each best setting with fresh seeds; by default 10, or `repeats` if that is more.
        search, fix: as `tuning.search` takes them; for those optimizers that have a hyperparameter of this name.
        max_minutes: for all of it; no trial begins later than this after the call.
        directory: of the comparison, with each optimizer's search in a folder of it; by default `results/compare-PROBLEM`.
        fresh: delete the comparison in `directory` and start over.
        trials, epochs, oracle, seed, repeats, train_samples, data_dir, progress, command: of each search; see `tuning.search`.
        **options: more arguments of `tuning.search`.

    Returns:
        A `Comparison` with `optimizers`, `differences`, `to_json()`, `to_dataframe()`. An optimizer may have no completed trial.

    Raises:
        SearchError: (a ValueError) an argument is wrong, data is missing, or the directory holds another comparison.
        KeyboardInterrupt: it was interrupted; the same call resumes it.
    """
    for name, value in {
        "trials": trials,
        "epochs": epochs,
        "confirmations": confirmations,
        "train_samples": train_samples,
    }.items():
        check_number(name, value, int, optional=True)
    check_number("repeats", repeats, int)
    check_seed(seed)
    check_number("max_minutes", max_minutes, float, optional=True)
    deadline = math.inf if max_minutes is None else time.monotonic() + 60 * max_minutes
    with missing_packages_explained():
        import keras

        from tuning.problems import make_problem
        from tuning.study.identity import check_same_search

    contestants = _contestants(optimizers)
    changes = _changes(contestants, dict(search or {}), dict(fix or {}))
    made = make_problem(problem, data_dir)
    if options.get("workers", 1) == 1:
        made.load(train_samples)  # what is wrong with the data is said before a folder is made
    folder = pathlib.Path(directory) if directory is not None else pathlib.Path("results") / f"compare-{folder_name(made.name)}"
    if stores.exists(folder):
        raise SearchError(f"{folder} holds a search, not a comparison: choose another --directory.")
    trials = DEFAULT_TRIALS if trials is None and oracle != "hyperband" else trials
    confirmations = max(LEAST_CONFIRMATIONS, repeats) if confirmations is None else confirmations
    objective = objective_of(made)
    header = {
        "problem": problem if isinstance(problem, str) else made.name,
        "objective": objective.name,
        "direction": objective.direction,
        "trials": trials,
        "epochs": made.epochs if epochs is None else epochs,
        "repeats": repeats,
        "confirmations": confirmations,
        "seed": seed,
        "oracle": oracle,
        "search": {name: _plain(wanted) for name, wanted in (search or {}).items()},
        "fix": {name: getattr(value, "item", lambda value=value: value)() for name, value in (fix or {}).items()},
        "train_samples": train_samples,
        "batch_size": made.batch_size,
        "backend": keras.backend.backend(),
        "versions": versions(),
        "machine": None,
        "command": command,
        "complete": False,
    }
    with Lock(folder):
        if fresh:
            _remove(folder, contestants)
        elif (folder / FILE_NAME).is_file():
            there = Comparison.load(folder).content
            stored, wanted = ({name: content.get(name) for name in IDENTITY} for content in (there, header))
            check_same_search(stored, wanted, folder, "comparison")
        _check_budgets(folder, contestants, trials)

        common = {
            "problem": problem,
            "seed": seed,
            "train_samples": train_samples,
            "data_dir": data_dir,
            "progress": progress,
            "command": command,
            **options,
        }
        contest = _Contest(folder, header, contestants, deadline, sys.stderr if progress else None)
        for name in contestants:
            budget: dict[str, Any] = {"trials": trials, "epochs": epochs, "oracle": oracle, "repeats": repeats}
            contest.phase(name, "search", folder / name, **common, **changes[name], **budget)
        for name in contestants:
            best = contest.best(name)
            if best is not None:
                place = _confirmation_place(folder, name, best)
                budget = {"trials": confirmations, "epochs": best.epochs, "confirm": best.hyperparameters}
                rest = {option: value for option, value in common.items() if option not in CHOOSES}
                contest.phase(name, "confirmation", place, **rest, **changes[name], **budget)
        return contest.result()


class _Contest:
    """Runs the searches of a comparison one after the other, and writes down what is known after each."""

    def __init__(self, folder: pathlib.Path, header: dict[str, Any], contestants: Mapping[str, Any], deadline: float, stream):
        self.folder = folder
        self.header = header
        self.contestants = contestants
        self.names = list(contestants)
        self.deadline = deadline
        self.stream = stream
        self.complete = True

    def phase(self, name: str, what: str, place: pathlib.Path, *, trials: int | None, **arguments: Any) -> None:
        """Runs a search or a confirmation, if there is time; that all its trials fail is no reason to stop the others."""
        left = self.deadline - time.monotonic()
        if left > 0:
            self._say(f"{name}: {what} ({self.names.index(name) + 1} of {len(self.names)})")
            minutes = None if math.isinf(left) else left / 60
            try:
                search_one(self.contestants[name], directory=place, trials=trials, max_minutes=minutes, **arguments)
            except NoUsableTrialError as error:
                self._say(str(error))
        if time.monotonic() >= self.deadline:
            found = load_search(place)
            self.complete = self.complete and found is not None and trials is not None and len(found.trials) >= trials
        self.result(complete=False)

    def best(self, name: str):
        """The best trial of an optimizer's search."""
        found = load_search(self.folder / name)
        return found.best if found is not None and self.complete else None

    def result(self, complete: bool | None = None) -> Comparison:
        """What is known now, which is written to the folder as well."""
        searches = filter(None, (load_search(self.folder / name) for name in self.names))
        machine = next((search.config["machine"] for search in searches if "machine" in search.config), None)
        header = {**self.header, "machine": machine, "complete": self.complete if complete is None else complete}
        comparison = Comparison.of(self.folder, header, self.names)
        comparison.write()
        return comparison

    def _say(self, text: str) -> None:
        if self.stream is not None:
            print(text, file=self.stream, flush=True)


def _contestants(optimizers) -> dict[str, str | type]:
    """Name -> what `tuning.search` takes, in the order in which they were given."""
    import keras_optims
    from tuning.space.space import optimizer_class

    if isinstance(optimizers, (str, type)) or not isinstance(optimizers, Sequence) or not optimizers:
        raise SearchError(f"The optimizers must be a list of names or classes, at least one; received {optimizers!r}.")
    names = {cls: name for name, cls in keras_optims.OPTIMIZERS.items()}
    contestants: dict[str, str | type] = {}
    for optimizer in optimizers:
        cls = optimizer_class(optimizer)
        name = names.get(cls, cls.__name__)
        if name in contestants:
            raise SearchError(f"Each optimizer is compared once, under its own name; received {name} twice.")
        contestants[name] = names.get(cls, cls)
    return contestants


def _changes(contestants: Mapping[str, str | type], search: dict[str, Any], fix: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """For each optimizer, those changes of the space that concern it; an error if one concerns none."""
    from tuning.space.space import Space, optimizer_class

    classes = {name: optimizer_class(optimizer) for name, optimizer in contestants.items()}
    searchable = {name: list(cls.hyperparameters()) for name, cls in classes.items()}
    fixable = {name: [*cls.hyperparameters(), *cls.options()] for name, cls in classes.items()}
    for word, wanted, known in (("searched", search, searchable), ("fixed", fix, fixable)):
        for name in wanted:
            if not any(name in names for names in known.values()):
                theirs = ", ".join(dict.fromkeys(each for names in known.values() for each in names))
                raise SearchError(f"{name} can be {word} for none of {', '.join(classes)}, only {theirs} can; received {name!r}.")
    changes = {
        name: {
            "search": {axis: wanted for axis, wanted in search.items() if axis in searchable[name]},
            "fix": {pinned: value for pinned, value in fix.items() if pinned in fixable[name]},
        }
        for name in classes
    }
    for name, cls in classes.items():
        try:
            Space.of(cls, **changes[name])
        except SearchError as error:
            raise SearchError(f"{name}: {error}") from error
    return changes


def _check_budgets(folder: pathlib.Path, contestants: Mapping[str, Any], trials: int | None) -> None:
    for name in contestants:
        found = load_search(folder / name)
        if found is not None and trials is not None and len(found.trials) > trials:
            raise SearchError(
                f"{name} has {len(found.trials)} trials in {folder} already: ask for at least as many, so that the budgets "
                f"are equal; received {trials}."
            )


def _confirmation_place(folder: pathlib.Path, name: str, best) -> pathlib.Path:
    """The folder for the confirmation of a best setting; one of a setting that is no longer the best is kept aside."""
    place = confirmation_directory(folder, name)
    found = load_search(place)
    if found is not None and not confirms(found, best):
        number = 1
        while (aside := place.with_name(f"{place.name}-superseded-{number}")).exists():
            number += 1
        os.rename(place, aside)
    return place


def _remove(folder: pathlib.Path, contestants: Mapping[str, Any]) -> None:
    """Deletes the comparison: its result, and the searches and confirmations of the optimizers now and then."""
    names = list(contestants)
    with contextlib.suppress(SearchError):  # there is none, or it is damaged
        names += [str(entry["optimizer"]) for entry in Comparison.load(folder).optimizers]
    for name in dict.fromkeys(names):
        for place in (folder / name, *folder.glob(f"{name}-confirmation*")):
            if place.is_dir():
                with Lock(place):
                    stores.remove(place)
    (folder / FILE_NAME).unlink(missing_ok=True)


def _plain(wanted: Any) -> Any:
    """A search range as JSON has it."""
    if wanted is None or isinstance(wanted, (tuple, list)):
        return wanted
    return [getattr(wanted, name, None) for name in ("low", "high", "scale")]
