"""The tables of docs/evidence: what `evidence.py` writes of its stores, and what all that is said of them reads."""

from __future__ import annotations

import csv
import dataclasses
import math
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from scripts.evidence_problems import SIZES
from scripts.evidence_runs import OPTIMIZERS, Study
from scripts.ranges import Range, check_same, of_config
from scripts.searches import BEST, DEFAULT, SEARCHED
from tuning.results.comparison import at_best_epoch, test_metric
from tuning.results.search import SearchResult
from tuning.store.files import replacing

FOLDER = pathlib.Path(__file__).parents[1] / "docs" / "evidence"


@dataclasses.dataclass(frozen=True)
class Setup:
    """A line of problems.csv: at what size a problem was trained; what is not said here is as in `Size`.

    Args:
        problem: its name.
        title, metric, near, train, validation, test, batch_size, epochs, min_epochs, fix: as in `Size`.
        budget: epochs of each search.
        seeds: of the best and of the default setting.
        backend: Keras's.
        versions: of the packages that trained.
    """

    problem: str
    title: str
    metric: str
    near: float
    train: int
    validation: int
    test: int
    batch_size: int
    epochs: int
    min_epochs: int
    fix: Mapping[str, float]
    budget: int
    seeds: int
    backend: str
    versions: str


@dataclasses.dataclass(frozen=True)
class Trial:
    """A line of trials.csv: a setting that a search tried.

    Args:
        problem, optimizer: their names.
        number: of the trial in its store.
        continues: the number of the trial whose training it continues.
        epochs: of its training, with those that it continues.
        state: `"completed"`, `"diverged"` or `"failed"`.
        score: of validation, after the best epoch; `None` if it has none.
        setting: the searched hyperparameters by name.
    """

    problem: str
    optimizer: str
    number: int
    continues: int | None
    epochs: int
    state: str
    score: float | None
    setting: Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class Training:
    """A line of trainings.csv: a setting trained with a fresh seed.

    Args:
        problem, optimizer: their names.
        kind: `"best"`, of the search, or `"default"`.
        seed: the same for all optimizers.
        state: `"completed"` or `"diverged"`.
        validation: the objective after the epoch that is best by it; `None` if it diverged.
        test: the metric of the test data after that epoch.
        curve: the objective after each epoch; NaN where it was not a number.
    """

    problem: str
    optimizer: str
    kind: str
    seed: int
    state: str
    validation: float | None
    test: float | None
    curve: Sequence[float]


@dataclasses.dataclass(frozen=True)
class Cost:
    """A line of costs.csv: what an optimizer costs on a problem, measured by `evidence_cost.py`.

    Args:
        problem, optimizer: their names.
        weights: of the model.
        slots: bytes of the optimizer's state.
        steps: of an epoch.
        milliseconds: of a training step, the median of the rounds.
        least, most: of the rounds.
        rounds: in which all optimizers took turns.
    """

    problem: str
    optimizer: str
    weights: int
    slots: int
    steps: int
    milliseconds: float
    least: float
    most: float
    rounds: int


# -- files ------------------------------------------------------------------------------------------


def _to_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return " ".join(f"{name}={_to_text(each)}" for name, each in value.items())
    if isinstance(value, (tuple, list)):
        return " ".join(_to_text(each) for each in value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _setting(text: str) -> dict[str, float]:
    return {name: float(value) for name, _, value in (each.partition("=") for each in text.split())}


_FROM_TEXT = {
    "str": str,
    "int": int,
    "float": float,
    "int | None": lambda text: int(text) if text else None,
    "float | None": lambda text: float(text) if text else None,
    "Mapping[str, float]": _setting,
    "Sequence[float]": lambda text: tuple(map(float, text.split())),
}

FILES = {Setup: "problems.csv", Trial: "trials.csv", Training: "trainings.csv", Cost: "costs.csv"}


def write(lines: Iterable[Any], kind: type, folder: pathlib.Path = FOLDER):
    """Writes a table, with problems and optimizers in the order of their lists."""
    names = [field.name for field in dataclasses.fields(kind)]
    problems, order = list(SIZES), {name: number for number, name in enumerate(OPTIMIZERS)}

    def place(line: Any):
        return problems.index(line.problem), order.get(getattr(line, "optimizer", ""), 0)

    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / FILES[kind]) as temporary, temporary.open("w", newline="") as opened:
        writer = csv.writer(opened, lineterminator="\n")
        writer.writerow(names)
        for line in sorted(lines, key=place):
            writer.writerow([_to_text(getattr(line, name)) for name in names])


def read(kind: type, folder: pathlib.Path = FOLDER) -> list[Any]:
    """The lines of a table; none if it is not there."""
    path = folder / FILES[kind]
    if not path.exists():
        return []
    makers = {field.name: _FROM_TEXT[str(field.type)] for field in dataclasses.fields(kind)}
    with path.open(newline="") as opened:
        return [kind(**{name: makers[name](line[name]) for name in makers}) for line in csv.DictReader(opened)]


# -- from the stores --------------------------------------------------------------------------------


def of_stores(study: Study) -> tuple[list[Setup], list[Trial], list[Training], list[Range]]:
    """The lines of what is complete: of a problem those optimizers that were searched and confirmed.

    Raises:
        SearchError: an optimizer was searched over other ranges on one problem than on another.
    """
    setups, trials, trainings = [], [], []
    ranges: dict[str, tuple[str, list[Range]]] = {}
    for problem in SIZES:
        for optimizer in OPTIMIZERS:
            found = study.complete(problem, optimizer)
            if found is None:
                continue
            if problem not in [setup.problem for setup in setups]:
                setups.append(_setup(problem, study, found[SEARCHED]))
            own, place = of_config(optimizer, found[SEARCHED].config), f"in {study.folder(problem, optimizer)}"
            first, there = ranges.setdefault(optimizer, (place, own))
            check_same(there, own, first, place, "Tables compare searches over the same ranges: move one of them elsewhere.")
            trials += _trials(problem, optimizer, found[SEARCHED])
            for kind in (BEST, DEFAULT):
                trainings += _trainings(problem, optimizer, kind, found[kind], study.seeds) if kind in found else []
    return setups, trials, trainings, [line for name in OPTIMIZERS if name in ranges for line in ranges[name][1]]


def _setup(problem: str, study: Study, found: SearchResult) -> Setup:
    size = dataclasses.asdict(SIZES[problem])
    del size["trainings"]
    versions = " ".join(f"{name} {version}" for name, version in (found.config.get("versions") or {}).items())
    budget = found.config["max_epochs"]
    return Setup(problem, **size, budget=budget, seeds=study.seeds, backend=found.config["backend"], versions=versions)


def _trials(problem: str, optimizer: str, found: SearchResult) -> list[Trial]:
    return [
        Trial(problem, optimizer, each.number, each.continues, each.epochs or 0, each.state, each.score, each.hyperparameters)
        for each in found.trials
        if each.state != "running"
    ]


def _trainings(problem: str, optimizer: str, kind: str, found: SearchResult, seeds: int) -> list[Training]:
    metric = test_metric(found.objective)

    def curve(trial):
        return tuple(math.nan if value is None else value for value in trial.curves[0].get(found.objective, ()))

    return [
        Training(
            *(problem, optimizer, kind, each.trainings[0].seed, each.state, each.score),
            at_best_epoch(each, metric) if each.state == "completed" else None,
            curve(each),
        )
        for each in found.trials[:seeds]
    ]
