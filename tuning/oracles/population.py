"""Population based training: trainings that run side by side, of which the worst go on from the best, with other numbers.

After M. Jaderberg et al., "Population Based Training of Neural Networks", 2017 (https://arxiv.org/abs/1711.09846).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from keras_tuner.engine.hyperparameters import Float, Int
from keras_tuner.engine.trial import Trial, TrialStatus

from tuning.errors import SearchError
from tuning.oracles.keras_tuner_seam import KnowsSettings
from tuning.oracles.quasirandom import STOPPED, QuasirandomOracle
from tuning.space.axes import of_keras_tuner
from tuning.space.perturbing import beside, perturbed

SHARE = 4  # one of so many members is replaced, and one of so many is copied
IDLE = {"status": "IDLE", "values": None}


class PopulationOracle(KnowsSettings, QuasirandomOracle):
    """A population of members, each of them a training; a trial is one member's training for one interval of epochs.

    The first generation has settings of a scrambled Sobol sequence. When all of a generation have trained an interval, they are
    ranked by the objective at its last epoch. Each of the worst quarter goes on from the state of one of the best quarter
    (*exploit*), whose live numbers are changed, each up or down by one step along its scale (*explore*, see
    `tuning.space.perturbing`); all others go on as they are. Members that have failed or diverged are replaced as well.

    Which trial goes on from which one, and with which numbers, follows from the seed and from the scores of the generation
    before: it is a function of the seed with any number of workers, which wait for the last one of a generation.

    Args:
        population: how many members, at least 2.
        ready: the epochs of an interval, at least 1; the last one may be shorter.
        max_epochs: of each member, in all its intervals.
        live: names of the numbers that may change while a model trains: hyperparameters that are state of its optimizer. `None`:
            all floats of the space.
        max_trials: `None`: as many as it takes.
        **kwargs: of `tuning.oracles.QuasirandomOracle`.

    Raises:
        SearchError: an argument is wrong.
    """

    per_trial_state = ("last",)

    def __init__(
        self,
        *,
        population: int,
        ready: int,
        max_epochs: int,
        live: Collection[str] | None = None,
        max_trials: int | None = None,
        **kwargs,
    ):
        for name, value, least in (("population", population, 2), ("ready", ready, 1), ("max_epochs", max_epochs, 1)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise SearchError(f"{name} must be an int of at least {least}; received {value!r}.")
        if ready > max_epochs:
            raise SearchError(f"ready must be at most the epochs of each member, {max_epochs}; received {ready}.")
        self.population, self.ready, self.max_epochs = population, ready, max_epochs
        self.live = None if live is None else tuple(live)
        self.ends = (*range(ready, max_epochs, ready), max_epochs)  # after so many epochs a generation ends
        self.last: dict[str, float] = {}  # by the id of a trial: its objective at its last epoch
        most = population * len(self.ends)
        super().__init__(max_trials=most if max_trials is None else min(max_trials, most), **kwargs)
        if not self.allow_new_entries:
            self._check_live()

    # -- what comes next --------------------------------------------------------------------------

    def populate_space(self, trial_id):
        """The next member's next interval, or a setting of the first generation."""
        generation, member = self.place(len(self.trials))
        if generation == 0:
            values = super().populate_space(trial_id)["values"]
            if values is None and self.trials:  # there are fewer settings than members, who differ in their seeds at least
                values = self.numbered()[np.random.default_rng([self.seed, 0, member]).integers(member)].hyperparameters.values
            return STOPPED if values is None else {"status": "RUNNING", "values": {**values, **self.training(0)}}
        if generation >= len(self.ends):
            return STOPPED
        if not self._has_ended(generation - 1):
            return IDLE if self.ongoing_trials else STOPPED
        self._check_live()
        parents = self.parents(generation)
        if not parents:
            return STOPPED
        parent = self.numbered()[parents[member]]
        values = dict(parent.hyperparameters.values)
        if self.place(parents[member]) != (generation - 1, member):
            values |= self._explored(values, np.random.default_rng([self.seed, generation, member, 1]))
        return {"status": "RUNNING", "values": {**values, **self.training(generation), "tuner/trial_id": parent.trial_id}}

    def place(self, number: int) -> tuple[int, int]:
        """(generation, member) of a trial, both from 0."""
        return divmod(number, self.population)

    def numbered(self) -> list[Trial]:
        """The trials by their numbers."""
        return [*self.trials.values()]

    def copied_by(self, number: int) -> int | None:
        """The number of the trial of another member from which a trial goes on; `None`: it goes on from its own, or begins."""
        parent = self.numbered()[number].hyperparameters.values.get("tuner/trial_id")
        return None if parent is None or self.place(int(parent))[1] == self.place(number)[1] else int(parent)

    def training(self, generation: int) -> dict[str, int]:
        """From which epoch to which one a trial of a generation trains, as its values say that."""
        return {"tuner/epochs": self.ends[generation], "tuner/initial_epoch": self.ends[generation - 1] if generation else 0}

    def next_training(self) -> dict[str, Any]:
        """The same of the next trial, and which one it continues, if it would begin now."""
        generation, member = self.place(len(self.trials))
        if generation == 0:
            return self.training(0)
        if generation >= len(self.ends) or not self._has_ended(generation - 1) or not (parents := self.parents(generation)):
            return {"tuner/epochs": 0}
        return {**self.training(generation), "tuner/trial_id": self.numbered()[parents[member]].trial_id}

    def parents(self, generation: int) -> list[int]:
        """Of each member of a generation, but the first, the number of the trial that it continues; none, if none can be."""
        first = (generation - 1) * self.population
        scores = [self._last_score(trial) for trial in self.numbered()[first : first + self.population]]
        chance = np.random.default_rng([self.seed, generation])
        return [first + member for member in truncated(scores, self.objective.direction, chance)]

    def to_be_continued(self) -> set[int]:
        """The numbers of the trials that have ended and that one that has not begun yet may continue."""
        generation, member = self.place(len(self.trials))
        found: set[int] = set()
        if 0 < generation < len(self.ends):
            decided = self._has_ended(generation - 1)
            found |= {*self.parents(generation)[member:]} if decided else self._ended(generation - 1)
        if generation < len(self.ends) - 1:
            found |= self._ended(generation)
        return found

    def _ended(self, generation: int) -> set[int]:
        """The numbers of those trials of a generation that have ended."""
        first = generation * self.population
        return {first + i for i, trial in enumerate(self.numbered()[first : first + self.population]) if _is_over(trial)}

    def _has_ended(self, generation: int) -> bool:
        return len(self._ended(generation)) == self.population

    # -- exploit, explore -------------------------------------------------------------------------

    def tell_last(self, trial_id: str, value: float) -> None:
        """What a trial's objective is at its last epoch; it is about to end."""
        self.last[trial_id] = float(value)

    def _last_score(self, trial: Trial) -> float | None:
        """By which a trial is ranked; `None`: it cannot be continued."""
        if trial.status != TrialStatus.COMPLETED or trial.score is None or not math.isfinite(trial.score):
            return None
        value = self.last.get(trial.trial_id, trial.score)
        return value if math.isfinite(value) else None

    def _explored(self, values: Mapping[str, Any], chance: np.random.Generator) -> dict[str, Any]:
        """The live numbers of a setting, each one step up or down."""
        found = {}
        for hp in self.hyperparameters.space:
            up = bool(chance.integers(2))  # also for those that this setting does not have: chance is the same for all
            if hp.name not in values or not self._is_live(hp):
                continue
            axis, value = of_keras_tuner(type(hp).__name__, hp.get_config()), values[hp.name]
            assert axis is not None
            if getattr(hp, "step", None) in (None, 1):
                found[hp.name] = perturbed(value, axis.low, axis.high, axis.scale, up, axis.kind == "int")
            else:
                known = [int(each) if axis.kind == "int" else each for each in hp.values]
                found[hp.name] = beside(value, known, up)
        return found

    def _check_live(self) -> None:
        """Raises `SearchError` unless there are live numbers, and all names are of such."""
        numbers = [hp.name for hp in self.hyperparameters.space if isinstance(hp, (Float, Int))]
        found = [hp.name for hp in self.hyperparameters.space if self._is_live(hp)]
        if not found or (self.live is not None and not {*self.live} <= {*found}):
            raise SearchError(
                f"live must name numbers of the space that may change while a model trains, of {', '.join(numbers) or 'none'}; "
                f"received {self.live!r}."
            )

    def _is_live(self, hp) -> bool:
        if self.live is None:
            return isinstance(hp, Float)
        return hp.name in self.live and isinstance(hp, (Float, Int))

    # -- state ------------------------------------------------------------------------------------

    def get_state(self):
        """With the last objectives."""
        return {**super().get_state(), "last": dict(self.last)}

    def set_state(self, state):
        """The inverse of `get_state`."""
        super().set_state(state)
        self.last = {trial_id: float(value) for trial_id, value in state["last"].items()}


def _is_over(trial: Trial) -> bool:
    return trial.status not in (TrialStatus.RUNNING, TrialStatus.IDLE)


def truncated(scores: Sequence[float | None], direction: str, chance: np.random.Generator) -> list[int]:
    """Truncation selection: of each member, the member that it goes on from, itself or one of the best.

    Args:
        scores: of the members; `None`: it cannot go on.
        direction: `"max"` or `"min"`.
        chance: chooses among the best, once for each member that is replaced, in their order.

    Returns:
        For each member a member's index; nothing, if none can go on.
    """
    sign = -1 if direction == "max" else 1
    able = sorted((i for i, score in enumerate(scores) if score is not None), key=lambda i: (sign * (scores[i] or 0.0), i))
    if not able:
        return []
    cut = max(1, len(scores) // SHARE)
    best = able[:cut]
    others = [i for i, score in enumerate(scores) if score is None]
    replaced = {*others, *([*able, *others][-cut:])} - {*best}
    return [int(chance.choice(best)) if i in replaced else i for i in range(len(scores))]
