"""With which trials a search begins: the declared defaults, what `start_with` names, what an earlier search has found."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from tuning.errors import SearchError
from tuning.experiments.plan import Plan
from tuning.names import SAMPLED, counted
from tuning.problems.problem import Problem
from tuning.results.comparison import is_comparison
from tuning.results.search import SearchResult
from tuning.space import given
from tuning.space.space import Space
from tuning.space.structure import Structure

DEFAULTS, STARTED, WARM = "defaults", "start_with", "warm_start"


@dataclasses.dataclass(frozen=True)
class Beginning:
    """With what a search begins, as its configuration has it.

    Args:
        first: of each of the first trials whose setting it has (`of`) and the `values`.
        warm: what an earlier search tells this one; see `_warm`.
        notes: sentences without full stops.
        direction: of the objective.
    """

    first: Sequence[Mapping[str, Any]] = ()
    warm: Mapping[str, Any] | None = None
    notes: Sequence[str] = ()
    direction: str = "max"

    @classmethod
    def of(
        cls, plan: Plan, space: Space, made: Problem, structure: Structure, objective, stored: Mapping[str, Any] | None
    ) -> Beginning:
        """That of a plan.

        Args:
            plan: of the search, settled.
            space: what is searched.
            made: the problem.
            structure: of its model.
            objective: of the search.
            stored: the configuration of the search in the directory, if there is one: unless the plan asks for others, that goes
                on with the trials that it began with.

        Raises:
            SearchError: what is to be begun with is not there, or no setting of the space.
        """
        known = {} if stored is None else stored
        same = plan.warm_start is None or _path(plan.warm_start) == (known.get("warm_start") or {}).get("directory")
        if stored is not None and plan.defaults_first and plan.start_with is None and same:
            return cls(known.get("first", ()), known.get("warm_start"), (), objective.direction)
        first: list[dict[str, Any]] = []
        notes = []
        if plan.defaults_first:
            found = given.defaults(space, structure, made.batch_size)
            if found.missing:
                notes.append(f"the declared defaults are no trial, as {' and '.join(found.missing)}")
            else:
                first.append({"of": DEFAULTS, "values": found.values})
            if found.outside and not found.missing:
                notes.append(f"of the declared defaults {' and '.join(found.outside)} lies outside of what is searched")
        for words in plan.start_with or ():
            first.append({"of": STARTED, "values": given.named(space, structure, made.batch_size, words)})
        warm = known.get("warm_start") if same else None
        if plan.warm_start is not None and warm is None:
            warm, best = _warm(plan, space, made, structure, objective)
            first += [] if best is None else [{"of": WARM, "values": best}]
            notes.append(warm["note"])
        elif warm is not None:
            first += [each for each in known.get("first", ()) if each["of"] == WARM]
        settings = [each["values"] for each in first]
        distinct = [each for i, each in enumerate(first) if each["values"] not in settings[:i]]
        return cls(distinct, warm, notes, objective.direction)

    @property
    def settings(self) -> list[dict[str, Any]]:
        """Of the first trials."""
        return [dict(each["values"]) for each in self.first]

    @property
    def earlier(self) -> list[tuple[dict[str, Any], float]]:
        """Settings and scores that the sampler is told."""
        worst = float("-inf") if self.direction == "max" else float("inf")
        told = (self.warm or {}).get("told", ())
        return [(dict(values), worst if score is None else float(score)) for values, score in told]

    def to_json(self) -> dict[str, Any]:
        """For the configuration of the search, of which it is nothing if there is nothing to say."""
        found = {"first": [dict(each) for each in self.first], "warm_start": None if self.warm is None else dict(self.warm)}
        return {name: value for name, value in found.items() if value}


def _path(directory: str | os.PathLike) -> str:
    return str(pathlib.Path(directory))


def _warm(
    plan: Plan, space: Space, made: Problem, structure: Structure, objective
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """What an earlier search tells, as the configuration has it, and the setting that is to be a trial."""
    directory = pathlib.Path(str(plan.warm_start))
    if is_comparison(directory):
        raise SearchError(
            f"warm_start takes the directory of a search, and {directory} holds a comparison: name one of its folders."
        )
    earlier = SearchResult.load(directory)
    if (earlier.objective, earlier.direction) != (objective.name, objective.direction):
        raise SearchError(
            f"The search in {directory} makes {earlier.objective} ({earlier.direction}) best, this one {objective.name} "
            f"({objective.direction}): their scores say nothing of each other."
        )
    other = earlier.config.get("space")
    both, not_both = given.shared(space, other if isinstance(other, dict) else {})
    if not both:
        raise SearchError(f"The search in {directory} and this one have no axis in common: its trials say nothing here.")
    tells = plan.oracle in SAMPLED and plan.sampler not in (None, "cmaes")  # Optuna's own is settled
    told, outside = [], 0
    for trial in earlier.trials if tells else ():
        values = given.in_both(space, trial.hyperparameters, both)
        if trial.state not in ("completed", "diverged"):
            continue
        if all(name in values for name in both if name in trial.hyperparameters) and values:
            told.append([values, trial.score])  # of one that diverged none
        else:
            outside += 1
    best, known = earlier.best, {}
    if best is not None:
        known = given.in_both(space, best.hyperparameters, both)
    setting = None if tells or not known else given.completed(space, structure, made.batch_size, known)
    if setting is not None and setting.missing:
        setting = None
    if not told and setting is None:
        raise SearchError(f"The search in {directory} has no completed trial with a setting that this one could have.")
    note = _note(directory, earlier, made, plan, told, outside, None if setting is None else best, not_both)
    content = {"directory": _path(directory), "note": note, **({"told": told} if told else {})}
    return content, None if setting is None else setting.values


def _note(directory, earlier, made, plan, told, outside, best, not_both) -> str:
    if told:
        said = f"the sampler knows {counted(len(told), 'trial')} of {directory}"
        said += f", {outside} more are outside of what is searched" if outside else ""
    else:
        said = f"the best setting of {directory} (trial {best.number}) is one of the first trials"
    others = [
        *([f"problem {earlier.config.get('problem')}"] if earlier.config.get("problem") not in (made.name, plan.problem) else []),
        *([f"{earlier.config.get('epochs')} epochs"] if earlier.config.get("epochs") not in (None, plan.epochs) else []),
    ]
    said += f"; that search is of {' and '.join(others)}" if others else ""
    return said + (f"; only one of the two searches has {', '.join(not_both)}" if not_both else "")
