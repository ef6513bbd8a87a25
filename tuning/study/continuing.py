"""Trials that continue others: whose seeds they have, from which snapshots they go on, and which snapshots are still of use."""

from __future__ import annotations

import collections
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras_tuner

from tuning.oracles import halving
from tuning.oracles.confirmation import ConfirmationOracle
from tuning.oracles.population import PopulationOracle
from tuning.store.database import Store
from tuning.store.snapshots import Snapshots
from tuning.training.events import Left


class Continuing:
    """What a ledger knows of trials that continue others. With an oracle that promotes none it knows nothing, and does nothing.

    Args:
        oracle: proposes settings.
        directory: of the store.
    """

    def __init__(self, oracle: keras_tuner.Oracle, directory: str | os.PathLike):
        self._oracle = oracle
        self._files = Snapshots(directory)
        self._continues: dict[int, int] = {}  # trial -> the one that it continues
        self._from: dict[int, int] = {}  # trial that continues another and runs -> the epoch at which it begins
        self._left: dict[int, dict[int, tuple[int, str]]] = {}  # trial -> execution -> (epoch, digest), as in the store
        self._leaving: dict[int, list[tuple[int, int, int, str]]] = collections.defaultdict(list)  # of trials that run

    def restore(self, trials: Sequence[Mapping[str, Any]], snapshots: Sequence[Mapping[str, Any]]) -> None:
        """Takes up what these tables of a store have."""
        self._continues = {row["number"]: row["continues"] for row in trials if row.get("continues") is not None}
        self._left, self._from = {}, {}
        self._leaving.clear()
        for row in snapshots:
            self._left.setdefault(row["trial"], {})[row["execution"]] = (row["epoch"], row["digest"])

    def began(self, number: int, values: Mapping[str, Any]) -> int | None:
        """A trial begins, or begins again: the number of the one that it continues."""
        self._leaving.pop(number, None)
        self._left.pop(number, None)
        self._from.pop(number, None)
        continued = halving.continued(self._oracle, values)
        if continued is None:
            self._continues.pop(number, None)
        else:
            self._continues[number], self._from[number] = continued, 0
        return continued

    def root(self, number: int) -> int:
        """The number of the trial whose training one is."""
        *_, root = self._chain(number)
        return root

    def nearest(self, number: int | None) -> int:
        """The epoch from which a trial would begin that continues this one; 0: it trains all of its own."""
        for other in () if number is None else self._chain(number):
            if left := self._left.get(other):
                return min(epoch for epoch, _ in left.values())
        return 0

    def begin(self, number: int, store: Store) -> tuple[bytes, ...]:
        """The snapshots from which the executions of a trial that has begun go on: of the nearest one that left them whole."""
        _, *continued = self._chain(number)
        for other in continued:
            left = self._left.get(other, {})
            contents = [self._files.get(other, execution, wanted) for execution, (_, wanted) in sorted(left.items())]
            if contents and None not in contents:
                self._begin_from(number, min(epoch for epoch, _ in left.values()), store)
                return tuple(content for content in contents if content is not None)
        return ()

    def settings(self, number: int) -> tuple[tuple[int, dict[str, Any]], ...]:
        """Each setting that a trial has while it trains, and from which epoch on; nothing, if it has one."""
        if isinstance(self._oracle, ConfirmationOracle):
            return self._oracle.settings
        if not isinstance(self._oracle, PopulationOracle):
            return ()
        trials = self._oracle.numbered()
        values = [trials[each].hyperparameters.values for each in reversed(self._chain(number))]
        return tuple(
            (each["tuner/initial_epoch"], {name: value for name, value in each.items() if not name.startswith("tuner/")})
            for each in values
        )

    def leaves(self, values: Mapping[str, Any]) -> bool:
        """Whether a trial with these values is to leave snapshots."""
        return halving.may_be_continued(self._oracle, values)

    def trained(self, number: int, epoch: int, store: Store) -> None:
        """A trial has trained this epoch, which it need not have if it had gone on from its snapshot."""
        if epoch < self._from.get(number, 0):
            self._begin_from(number, epoch, store)

    def _begin_from(self, number: int, epoch: int, store: Store) -> None:
        self._from[number] = epoch
        store.begin_from(number, epoch)

    def take(self, event: Left) -> None:
        """An execution of a running trial leaves a snapshot."""
        written = self._files.put(event.trial, event.execution, event.content)
        self._leaving[event.trial].append((event.execution, event.epoch, len(event.content), written))

    def ends(self, number: int, state: str) -> list[tuple[int, int, int, str]]:
        """The snapshots that a trial leaves: of each (execution, epoch, bytes, digest)."""
        self._from.pop(number, None)
        leaving = self._leaving.pop(number, [])
        if state != "completed":
            return []
        if leaving:
            self._left[number] = {execution: (epoch, known) for execution, epoch, _, known in leaving}
        return leaving

    def sweep(self, store: Store, running: Iterable[int]) -> None:
        """Deletes the snapshots from which no trial can go on any more, neither a new one nor one of those that run."""
        wanted = {number for each in running for number in self._chain(each)}
        if self._left:
            wanted |= halving.promotable(self._oracle)
            useless = [number for number in self._left if number not in wanted]
            if useless:
                store.drop_snapshots(useless)
                for number in useless:
                    del self._left[number]
        self._files.keep(self._left.keys() | self._leaving.keys())

    def _chain(self, number: int) -> list[int]:
        """A trial, the one that it continues, and so on to the root."""
        chain = [number]
        while (continued := self._continues.get(chain[-1])) is not None and continued < chain[-1]:
            chain.append(continued)
        return chain
