"""Which of the trials that wait a free worker gets: one whose model it has compiled, if there is any.

Compiling a model takes longer than many a trial trains, and each worker compiles for itself: of six optimizers and three
activations each worker would compile all 18 structures in the end. So that there is a choice, as many trials wait as there are
workers, where nothing that is yet to happen could change them.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_tuner.engine.trial import Trial

PASSED_PER_WORKER = 4  # how often, for each worker, a later trial may be chosen before one that waits

StructureOf = Callable[[Any], Hashable]  # of the hyperparameters of a trial


class Matching:
    """Knows which structures each worker has trained.

    Args:
        structure_of: what of a setting decides how its model is compiled.
    """

    def __init__(self, structure_of: StructureOf):
        self._structure_of = structure_of
        self._seen: set[Hashable] = set()
        self._warm: collections.defaultdict[Hashable, set[Hashable]] = collections.defaultdict(set)  # worker -> structures
        self._passed: collections.Counter[str] = collections.Counter()  # trial id -> how often a later one was chosen before it

    def ahead(self, workers: int) -> int:
        """How many trials are worth keeping in wait for so many workers; 0 as long as all models were of one structure."""
        return workers if workers > 1 and len(self._seen) > 1 else 0

    def saw(self, trial: Trial) -> None:
        """A trial was proposed."""
        self._seen.add(self._structure(trial))

    def choose(self, worker: Hashable, waiting: Mapping[str, Trial], workers: int) -> str:
        """The seat of the trial that a free worker gets.

        The first one whose structure it has; else the first one whose structure nobody has, as who has the others may be free
        soon; else the first one. One that was passed over too often comes before all others.

        Args:
            worker: which is free.
            waiting: seat -> trial, at least one.
            workers: how many there are.
        """
        seats = sorted(waiting, key=lambda seat: int(waiting[seat].trial_id))
        structures = {seat: self._structure(waiting[seat]) for seat in seats}
        place = 0
        if self._passed[waiting[seats[0]].trial_id] < PASSED_PER_WORKER * workers:
            mine, anyone = self._warm[worker], set().union(*self._warm.values())
            own = (i for i, seat in enumerate(seats) if structures[seat] in mine)
            new = (i for i, seat in enumerate(seats) if structures[seat] not in anyone)
            place = next(own, next(new, 0))
        for seat in seats[:place]:
            self._passed[waiting[seat].trial_id] += 1
        self._warm[worker].add(structures[seats[place]])
        return seats[place]

    def forget(self, worker: Hashable) -> None:
        """A worker is gone, and what it had compiled with it."""
        self._warm.pop(worker, None)

    def _structure(self, trial: Trial) -> Hashable:
        return self._structure_of(trial.hyperparameters)
