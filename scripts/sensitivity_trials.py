"""The trainings of the searches that `sensitivity.py` makes: their table, and what it says of each hyperparameter."""

from __future__ import annotations

import csv
import dataclasses
import pathlib
from collections.abc import Iterable, Mapping

import numpy as np

from scripts import ranges
from scripts.searches import BEST, DEFAULT, SEARCHED
from tuning.space.axes import Axis
from tuning.store.files import replacing

STUDIED = ("gradient_descent", "momentum", "adagrad", "rmsprop", "adam", "adamw")
"""The optimizers whose sensitivity was measured."""

TABLE = pathlib.Path(__file__).parents[1] / "docs" / "sensitivity" / "trials.csv"

AXES = ranges.axes_of(ranges.read(TABLE.parent))
"""Optimizer -> hyperparameter -> what this study searched of it, which a default range of today may differ from."""


@dataclasses.dataclass(frozen=True)
class Budget:
    """What the searches on a problem cost.

    Args:
        title: of the problem in pictures and tables.
        trials: settings per optimizer.
        epochs: of each.
        near: percentage points of accuracy below the best that count as near it: more where the seed makes more of a difference.
        train_samples: how many samples an epoch has; `None`: all.
    """

    title: str
    trials: int
    epochs: int
    near: int
    train_samples: int | None = None


BUDGETS = {
    "digits_mlp": Budget("digits", 64, 20, near=2),
    "mnist_mlp": Budget("MNIST", 64, 3, near=2, train_samples=20_000),
    "cifar10_cnn": Budget("CIFAR-10", 32, 3, near=5, train_samples=10_000),
}

# -- the table of all trainings --------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Training:
    """A line of the table.

    Args:
        problem, optimizer: their names.
        kind: `SEARCHED`, a trial of the search; `BEST` or `DEFAULT`, that setting with a fresh seed.
        number: of the trial in its store.
        setting: the searched hyperparameters by name.
        state: `"completed"` or `"diverged"`.
        accuracy: of validation, after the best epoch; `None` if it diverged.
    """

    problem: str
    optimizer: str
    kind: str
    number: int
    setting: Mapping[str, float]
    state: str
    accuracy: float | None


COLUMNS = [
    "problem",
    "optimizer",
    "kind",
    "number",
    *dict.fromkeys(name for each in STUDIED for name in AXES[each]),
]
COLUMNS += ["state", "accuracy"]


def read(table: pathlib.Path = TABLE) -> list[Training]:
    """The lines of the table."""
    with table.open(newline="") as opened:
        return [
            Training(
                line["problem"],
                line["optimizer"],
                line["kind"],
                int(line["number"]),
                {name: float(line[name]) for name in AXES[line["optimizer"]]},
                line["state"],
                float(line["accuracy"]) if line["accuracy"] else None,
            )
            for line in csv.DictReader(opened)
        ]


def write(trainings: Iterable[Training], table: pathlib.Path = TABLE):
    """Writes the table, with the problems and optimizers in the order of their lists."""
    kinds = [SEARCHED, BEST, DEFAULT]

    def place(line: Training):
        return list(BUDGETS).index(line.problem), list(STUDIED).index(line.optimizer), kinds.index(line.kind)

    table.parent.mkdir(parents=True, exist_ok=True)
    with replacing(table) as temporary, temporary.open("w", newline="") as opened:
        writer = csv.DictWriter(opened, COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        for line in sorted(trainings, key=lambda line: (*place(line), line.number)):
            accuracy = "" if line.accuracy is None else f"{line.accuracy:.6g}"
            own = {"problem": line.problem, "optimizer": line.optimizer, "kind": line.kind, "number": line.number}
            writer.writerow({**own, **line.setting, "state": line.state, "accuracy": accuracy})


# -- what the searches say -------------------------------------------------------------------------

CHANCE = 0.1  # the accuracy of guessing one of ten classes
GUESSING = 0.131  # more than the share of any class among the validation samples, 0.1306 at most
NEIGHBOURS = 3  # on each side, from whose ranks that of a trial is guessed


@dataclasses.dataclass(frozen=True)
class Search:
    """The trainings of an optimizer on a problem.

    Args:
        problem, optimizer: their names.
        trials: of the search.
        best, default: the accuracies of these settings with fresh seeds; 0 where a training diverged.
    """

    problem: str
    optimizer: str
    trials: list[Training]
    best: list[float]
    default: list[float]

    @classmethod
    def of(cls, trainings: Iterable[Training], problem: str, optimizer: str) -> Search:
        """From the lines of the table."""
        own = [line for line in trainings if (line.problem, line.optimizer) == (problem, optimizer)]
        kinds = {kind: [line for line in own if line.kind == kind] for kind in (SEARCHED, BEST, DEFAULT)}
        repeated = ([line.accuracy or 0.0 for line in kinds[kind]] for kind in (BEST, DEFAULT))
        return cls(problem, optimizer, kinds[SEARCHED], *repeated)

    @property
    def accuracies(self) -> np.ndarray:
        """Of the trials; 0 where they diverged."""
        return np.array([trial.accuracy or 0.0 for trial in self.trials])

    @property
    def best_trial(self) -> Training:
        """The first with the highest accuracy."""
        return self.trials[int(np.argmax(self.accuracies))]

    @property
    def diverged(self) -> int:
        """How many trials did."""
        return sum(trial.state == "diverged" for trial in self.trials)

    @property
    def guessing(self) -> int:
        """How many trials are no better than always naming one class, the most frequent: those that diverged and others."""
        return int((self.accuracies < GUESSING).sum())

    @property
    def least_near(self) -> float:
        """The lowest accuracy that counts as near the best."""
        return float(self.accuracies.max()) - BUDGETS[self.problem].near / 100

    def near(self) -> list[Training]:
        """The trials near the best."""
        least = self.least_near - 1e-9  # accuracies have six digits
        return [trial for trial, accuracy in zip(self.trials, self.accuracies, strict=True) if accuracy >= least]

    def between(self, axis: Axis) -> int:
        """How many trials have a value of this axis that is not outside of those near the best."""
        values = [value_on(axis, trial.setting) for trial in self.near()]
        return sum(min(values) <= value_on(axis, trial.setting) <= max(values) for trial in self.trials)

    def foretold(self, axis: Axis) -> float:
        """How well the trials that are next to a trial on this axis, whatever else they differ in, foretell its rank.

        1 − Σ(r − r̂)² / Σ(r − r̄)², where r̂ is the mean rank of the three neighbours on either side; 1: the axis alone decides;
        0: no better than the mean of all ranks, or worse.
        """
        from scipy.stats import rankdata

        order = np.argsort([axis.position(value_on(axis, trial.setting)) for trial in self.trials], kind="stable")
        ranks = rankdata(self.accuracies)[order]
        guesses = []
        for i in range(len(ranks)):
            beside = [*ranks[max(0, i - NEIGHBOURS) : i], *ranks[i + 1 : i + 1 + NEIGHBOURS]]
            guesses.append(np.mean(beside))
        spread = ((ranks - ranks.mean()) ** 2).sum()
        return max(0.0, 1 - float(((ranks - guesses) ** 2).sum() / spread))


def seed_deviation(trainings: list[Training], problem: str) -> float:
    """By how many percentage points seeds differ: the standard deviation, root mean square over the best settings."""
    searches = [Search.of(trainings, problem, optimizer) for optimizer in STUDIED]
    return 100 * float(np.sqrt(np.mean([np.var(each.best, ddof=1) for each in searches])))


EFFECTIVE = Axis("effective rate", "η/(1−γ)", scale="log", low=0.002, high=200.0)  # the whole range: nothing is cut off


def shown_axes(optimizer: str) -> list[Axis]:
    """The axes of the picture: what was searched, and for momentum the rate at which it moves in the long run."""
    return [*AXES[optimizer].values(), *([EFFECTIVE] if optimizer == "momentum" else [])]


def value_on(axis: Axis, setting: Mapping[str, float]) -> float:
    """Of a setting."""
    return setting["learning_rate"] / (1 - setting["momentum"]) if axis is EFFECTIVE else setting[axis.name]
