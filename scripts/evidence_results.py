"""What the tables of docs/evidence say: means with intervals, differences, times to a target, how much a setting matters."""

from __future__ import annotations

import dataclasses
import functools
import math
import pathlib
import statistics
from collections.abc import Mapping

from scripts import ranges
from scripts.evidence_runs import OPTIMIZERS
from scripts.evidence_tables import FOLDER, Cost, Setup, Training, Trial, read
from scripts.searches import BEST, DEFAULT
from tuning.results.statistics import SIGNIFICANT, Difference, Summary, difference, holm, summary

REFERENCE = "adam"  # what its default setting reaches is the target, and what its step costs the unit
NEAR = (1, 3)  # points: what of the settings counts as near the best after the first epochs of a search
EDGE = 0.05  # of a range, to each side, in its scale


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two optimizers on a problem, each with its best setting.

    Args:
        one, other: their names; `one` has the better mean.
        difference: of the test metric, one minus other.
        p: adjusted for all pairs of the problem.
    """

    one: str
    other: str
    difference: Difference
    p: float | None

    @property
    def significant(self) -> bool:
        """Whether they differ, by more than chance makes of as many comparisons."""
        return self.p is not None and self.p < SIGNIFICANT


@dataclasses.dataclass(frozen=True)
class Edge:
    """A hyperparameter of which the best values are at one end of the searched range.

    Args:
        optimizer, hyperparameter: their names.
        end: `"low"` or `"high"`.
        problems: on which.
        of: how many searches there were.
    """

    optimizer: str
    hyperparameter: str
    end: str
    problems: tuple[str, ...]
    of: int


def least_at_an_edge(searches: int) -> int:
    """In how many of so many searches the best value must be at the same end: more than a third, and not in one alone."""
    return max(2, searches // 3 + 1)


class Evidence:
    """All that the tables say.

    Only problems count on which every one of the optimizers has been searched and confirmed, and only such optimizers.

    Args:
        setups, trials, trainings, costs: the lines of the tables.
        searched: over which ranges the searches looked.
    """

    def __init__(
        self,
        setups: list[Setup],
        trials: list[Trial],
        trainings: list[Training],
        costs: list[Cost],
        searched: list[ranges.Range],
    ):
        self.setups = {line.problem: line for line in setups}
        self.trials, self.trainings, self.costs, self.axes = trials, trainings, costs, ranges.axes_of(searched)
        known = {(line.problem, line.optimizer) for line in trainings if line.kind == DEFAULT}
        self.optimizers = [name for name in OPTIMIZERS if any(name == optimizer for _, optimizer in known)]
        self.problems = [name for name in self.setups if all((name, optimizer) in known for optimizer in self.optimizers)]
        self._trainings: dict[tuple[str, str, str], list[Training]] = {}
        for line in trainings:
            self._trainings.setdefault((line.problem, line.optimizer, line.kind), []).append(line)

    @classmethod
    def read(cls, folder: pathlib.Path = FOLDER) -> Evidence:
        """From the files."""
        return cls(*(read(kind, folder) for kind in (Setup, Trial, Training, Cost)), ranges.read(folder))

    # -- what was reached ---------------------------------------------------------------------------

    def lines(self, problem: str, optimizer: str, kind: str = BEST) -> list[Training]:
        """The trainings of the best or of the default setting."""
        return self._trainings.get((problem, optimizer, kind), [])

    def sample(self, problem: str, optimizer: str, kind: str = BEST) -> dict[int, float]:
        """Seed -> the test metric, of the trainings that did not diverge."""
        return {line.seed: line.test for line in self.lines(problem, optimizer, kind) if line.test is not None}

    def diverged(self, problem: str, optimizer: str, kind: str = BEST) -> int:
        """How many of the trainings have no result."""
        return sum(line.test is None for line in self.lines(problem, optimizer, kind))

    @functools.cache  # noqa: B019 - it lives as long as the process
    def reached(self, problem: str, optimizer: str, kind: str = BEST) -> Summary | None:
        """The test metric with its interval; `None` if half of the trainings, or more, have no result."""
        sample = self.sample(problem, optimizer, kind)
        return summary(list(sample.values())) if len(sample) > self.diverged(problem, optimizer, kind) else None

    def is_better(self, problem: str, one: float, other: float) -> bool:
        """Whether a value of the metric is better than another one."""
        return one < other if self.setups[problem].metric == "loss" else one > other

    @functools.cache  # noqa: B019
    def best(self, problem: str) -> str:
        """The optimizer whose best setting has the best mean."""
        means = {name: found.mean for name in self.optimizers if (found := self.reached(problem, name)) is not None}
        return (min if self.setups[problem].metric == "loss" else max)(means, key=lambda name: means[name])

    def gap(self, problem: str, optimizer: str, kind: str = BEST) -> float:
        """How many points the mean is below the best one; infinite if most trainings diverged."""
        found, best = self.reached(problem, optimizer, kind), self.reached(problem, self.best(problem))
        return (
            math.inf
            if found is None or best is None
            else abs(found.mean - best.mean)
            / self.setups[problem].near
            * (-1 if self.is_better(problem, found.mean, best.mean) else 1)
        )

    def worst_gap(self, optimizer: str, kind: str = BEST) -> float:
        """The largest over the problems."""
        return max(self.gap(problem, optimizer, kind) for problem in self.problems)

    def mean_gap(self, optimizer: str, kind: str = BEST) -> float:
        """The mean over the problems."""
        return statistics.fmean(self.gap(problem, optimizer, kind) for problem in self.problems)

    def profile(self, optimizer: str, kind: str, points: float) -> float:
        """The share of the problems on which it is at most so many points below the best."""
        return statistics.fmean(self.gap(problem, optimizer, kind) <= points for problem in self.problems)

    # -- what differs -------------------------------------------------------------------------------

    @functools.cache  # noqa: B019
    def pairs(self, problem: str) -> tuple[Pair, ...]:
        """All pairs of optimizers, with p-values adjusted for their number (Holm)."""
        ranked = sorted(
            (name for name in self.optimizers if self.reached(problem, name) is not None),
            key=lambda name: self.gap(problem, name),
        )
        both = [(one, other) for i, one in enumerate(ranked) for other in ranked[i + 1 :]]
        found = [difference(self.sample(problem, one), self.sample(problem, other)) for one, other in both]
        adjusted = holm([each.p for each in found])
        return tuple(Pair(*names, each, p) for names, each, p in zip(both, found, adjusted, strict=True))

    def differs(self, problem: str, one: str, other: str) -> bool:
        """Whether two optimizers differ significantly there."""
        return any(pair.significant and {pair.one, pair.other} == {one, other} for pair in self.pairs(problem))

    def not_worse(self, problem: str) -> list[str]:
        """The optimizers that are not significantly worse than the best one, with it."""
        best = self.best(problem)
        there = [name for name in self.optimizers if self.reached(problem, name) is not None]
        return [name for name in there if name == best or not self.differs(problem, best, name)]

    @functools.cache  # noqa: B019
    def improved(self) -> frozenset[tuple[str, str]]:
        """(problem, optimizer) where the best setting is significantly better than the default one, of all such comparisons.

        Where the default setting has no result, because it diverges, it is, too.
        """
        both = [(problem, optimizer) for problem in self.problems for optimizer in self.optimizers]
        samples = {pair: (self.sample(*pair), self.sample(*pair, DEFAULT)) for pair in both}
        found = {pair: difference(*each) for pair, each in samples.items() if all(each)}
        adjusted = holm([each.p for each in found.values()])
        better = {
            pair
            for (pair, each), p in zip(found.items(), adjusted, strict=True)
            if p is not None and p < SIGNIFICANT and self.is_better(pair[0], each.difference, 0.0)
        }
        return frozenset(better | {pair for pair, (best, default) in samples.items() if best and not default})

    # -- how soon -----------------------------------------------------------------------------------

    def target(self, problem: str) -> float:
        """What counts as arrived: the mean of what the reference's default setting reaches, on the validation data."""
        return statistics.fmean(
            line.validation for line in self.lines(problem, REFERENCE, DEFAULT) if line.validation is not None
        )

    def epochs_to_target(self, problem: str, optimizer: str, kind: str = BEST) -> float:
        """The median over the seeds; infinite if most never arrive."""
        target, found = self.target(problem), []
        for line in self.lines(problem, optimizer, kind):
            arrived = [i for i, value in enumerate(line.curve, 1) if value == target or self.is_better(problem, value, target)]
            found.append(arrived[0] if arrived else math.inf)
        return statistics.median(found) if found else math.inf

    def cost(self, problem: str, optimizer: str) -> Cost | None:
        """What it costs there, if that was measured."""
        return next((line for line in self.costs if (line.problem, line.optimizer) == (problem, optimizer)), None)

    def seconds_to_target(self, problem: str, optimizer: str, kind: str = BEST) -> float | None:
        """Epochs times the seconds of an epoch's training steps."""
        cost = self.cost(problem, optimizer)
        return None if cost is None else self.epochs_to_target(problem, optimizer, kind) * cost.steps * cost.milliseconds / 1000

    # -- how much the setting matters ---------------------------------------------------------------

    def spread(self, problem: str, optimizer: str) -> list[Trial]:
        """The evenly spread settings of a search, as they were after the first rung."""
        own = [line for line in self.trials if (line.problem, line.optimizer) == (problem, optimizer) and line.continues is None]
        return [line for line in own if line.epochs == min(each.epochs for each in own)]

    def share_near(self, problem: str, optimizer: str, points: float) -> float:
        """The share of these settings that are at most so many points below the best of them: of the searched space, about."""
        lines = self.spread(problem, optimizer)
        scores = [line.score for line in lines if line.state == "completed" and line.score is not None]
        known = [score for score in scores if math.isfinite(score)]
        if not known:
            return 0.0
        best = min(known) if self.setups[problem].metric == "loss" else max(known)
        return sum(abs(score - best) <= points * self.setups[problem].near + 1e-9 for score in known) / len(lines)

    def mean_share_near(self, optimizer: str, points: float) -> tuple[float, float]:
        """The mean of the shares over the problems, and its standard error: settings are few."""
        shares = {problem: self.share_near(problem, optimizer, points) for problem in self.problems}
        variances = [share * (1 - share) / len(self.spread(problem, optimizer)) for problem, share in shares.items()]
        return statistics.fmean(shares.values()), math.sqrt(sum(variances)) / len(shares)

    @functools.cache  # noqa: B019
    def best_setting(self, problem: str, optimizer: str) -> Mapping[str, float] | None:
        """Of the search: the best of the trials that trained longest."""
        own = [line for line in self.trials if (line.problem, line.optimizer) == (problem, optimizer)]
        whole = [line for line in own if line.score is not None and line.state == "completed"]
        if not whole:
            return None
        sign = 1 if self.setups[problem].metric == "loss" else -1
        return min(whole, key=lambda line: (-line.epochs, sign * line.score, line.number)).setting

    def edges(self) -> list[Edge]:
        """Hyperparameters whose best value is at the same end of the range in `least_at_an_edge` of the searches, or more."""
        found = []
        for optimizer in self.optimizers:
            settings = {problem: self.best_setting(problem, optimizer) for problem in self.problems}
            for name, axis in self.axes.get(optimizer, {}).items():
                low, high = axis.ends
                places = {
                    problem: (axis.position(setting[name]) - low) / (high - low)
                    for problem, setting in settings.items()
                    if setting is not None
                }
                ends = {"low": lambda place: place <= EDGE, "high": lambda place: place >= 1 - EDGE}
                for end, is_there in ends.items():
                    there = tuple(problem for problem, place in places.items() if is_there(place))
                    if len(there) >= least_at_an_edge(len(places)):
                        found.append(Edge(optimizer, name, end, there, len(places)))
        return found

    def poor_defaults(self, points: float = 3) -> dict[str, list[str]]:
        """Optimizer -> the problems on which its default setting is more than so many points below its own best setting."""
        found = {}
        for optimizer in self.optimizers:
            best = {problem: self.gap(problem, optimizer) for problem in self.problems}
            found[optimizer] = [problem for problem in best if self.gap(problem, optimizer, DEFAULT) > best[problem] + points]
        return {optimizer: problems for optimizer, problems in found.items() if problems}

    def bytes_per_weight(self, optimizer: str) -> float | None:
        """Of the optimizer's state, over all problems together."""
        own = [line for line in self.costs if line.optimizer == optimizer]
        return sum(line.slots for line in own) / sum(line.weights for line in own) if own else None

    def relative_cost(self, optimizer: str) -> float | None:
        """A training step over that of the reference: the geometric mean over the problems."""
        ratios = [
            line.milliseconds / reference.milliseconds
            for line in self.costs
            if line.optimizer == optimizer and (reference := self.cost(line.problem, REFERENCE)) is not None
        ]
        return math.exp(statistics.fmean(map(math.log, ratios))) if ratios else None
