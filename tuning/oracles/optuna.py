"""Optuna's samplers behind KerasTuner's Oracle interface."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import TrialStatus

from tuning.errors import SearchError, missing_packages_explained
from tuning.names import SAMPLERS, check_name
from tuning.oracles.cmaes_state import check_only_cmaes
from tuning.oracles.keras_tuner_seam import random_values, was_tried
from tuning.problems.objective import with_direction
from tuning.space import in_optuna


class OptunaOracle(keras_tuner.Oracle):
    """An oracle that asks a sampler of Optuna; it works with `tuning.Tuner` and with KerasTuner's own.

        oracle = tuning.OptunaOracle("tpe", objective="val_accuracy", max_trials=50, seed=1)
        oracle = tuning.OptunaOracle(optuna.samplers.GPSampler(), objective="val_loss", max_trials=50, seed=1)

    Optuna sees each hyperparameter on the scale on which it is searched: a float as its place in [0, 1] along its scale
    (linear, log, log1m, reverse_log), steps and ordered choices as a whole number, an int on a log scale as such, unordered
    choices as categories; hyperparameters of branches that are not taken it does not see.

    A proposal follows from the seed, the number of the trial, and the trials told so far. For that the sampler's random
    states are set anew before each proposal, from a copy of the sampler as it was given; what it keeps in Optuna's study is
    kept in the oracle's state. So a search that was killed goes on as an undisturbed one. (CMA-ES keeps its state as Optuna
    does, pickled; a store in which that is anything but CMA-ES and its numbers is refused, so that resuming a search that came
    from elsewhere runs nothing.) No setting is tried twice: in place of a repeated one comes a random one.

    A score that is not finite is told as it is: the samplers go by ranks, so a diverged trial is the worst one without
    spoiling any scale, and unlike a failed one it counts. A trial that was pruned is told as pruned, with its curve.

    Args:
        sampler: `"tpe"`, `"cmaes"`, or any Optuna sampler for one objective.
        earlier: settings and scores of another search, which the sampler knows as trials that have completed. A setting may
            have values of some hyperparameters alone.
        **kwargs: of `keras_tuner.Oracle`.
    """

    per_trial_state = ("optuna",)  # in `get_state`: by trial id, see `tuning.oracles.state`

    def __init__(self, sampler="tpe", *, objective=None, earlier: Sequence[tuple[Mapping[str, Any], float]] = (), **kwargs):
        super().__init__(objective=with_direction(objective), **kwargs)
        self._earlier = [(dict(values), float(score)) for values, score in earlier]
        self.sampler_name = sampler if isinstance(sampler, str) else type(sampler).__qualname__
        with missing_packages_explained():
            self._sampler = _make_sampler(sampler)
        self._records: dict[str, dict[str, Any]] = {}
        self._new_study()
        if not self.allow_new_entries:
            self._check_axes()

    def _new_study(self, attributes=()) -> None:
        self._storage, self._study, self._study_id = in_optuna.new_study(self.objective, sampler=self._sampler)
        self._ids: dict[str, int] = {}  # KerasTuner's trial id -> Optuna's
        for name, value in dict(attributes).items():
            self._storage.set_study_system_attr(self._study_id, name, value)
        with in_optuna.quietly():
            for values, score in self._earlier:
                self._storage.create_new_trial(self._study_id, self._completed(values, score))

    def _completed(self, values: Mapping[str, Any], score: float):
        """A trial of another search in Optuna's terms."""
        from optuna.trial import create_trial

        found, hps = {}, keras_tuner.HyperParameters()
        for name, hp in self._named_space():
            hps.merge([hp])
            distribution = in_optuna.distribution(hp)
            if hp.name in values and hps.is_active(hp):
                hps.values[hp.name] = values[hp.name]
                if distribution is not None:
                    inner = distribution.to_internal_repr(in_optuna.coordinate(hp, values[hp.name]))
                    found[name] = (distribution.to_external_repr(inner), distribution)
        params = {name: value for name, (value, _) in found.items()}
        return create_trial(value=score, params=params, distributions={name: each for name, (_, each) in found.items()})

    def _check_axes(self) -> None:
        numeric = [hp.name for hp in self.hyperparameters.space if in_optuna.is_numeric(hp)]
        if self.sampler_name == "cmaes" and not numeric:
            raise SearchError("CMA-ES searches numbers, and this space has none: choose the sampler tpe.")

    # -- asking and telling -----------------------------------------------------------------------

    def populate_space(self, trial_id):
        """What the sampler proposes next."""
        self._check_axes()
        sampler = copy.deepcopy(self._sampler)
        _reseed(sampler, [self.seed, len(self.trials)])
        with in_optuna.quietly():
            self._study.sampler = sampler
            asked = self._study.ask()
            hps = keras_tuner.HyperParameters()
            for name, hp in self._named_space():  # parents come before the conditional ones that depend on them
                hps.merge([hp])
                if hps.is_active(hp):
                    hps.values[hp.name] = in_optuna.suggest(asked, name, hp)
            values = hps.values
            if was_tried(self, values):
                values = random_values(self)
                if values is None:
                    self._study.tell(asked, state=_states().FAIL)
                    return {"status": "STOPPED", "values": None}
                self._put(self._identity(asked), values)
        self._ids[trial_id] = self._identity(asked)
        self._keep(trial_id)
        return {"status": "RUNNING", "values": values}

    def is_given(self, trial_id: str, values: dict[str, Any]) -> None:
        """The trial has these values, which the sampler did not propose."""
        with in_optuna.quietly():
            self._study.sampler = copy.deepcopy(self._sampler)
            _reseed(self._study.sampler, [self.seed, len(self.trials)])
            asked = self._study.ask()
            self._put(self._identity(asked), values)
        self._ids[trial_id] = self._identity(asked)
        self._keep(trial_id)

    def _identity(self, asked) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._study_id, asked.number)

    def tell_pruned(self, trial_id: str, curve: dict[int, float]) -> None:
        """The trial, which is about to end, was stopped as not promising; `curve`: epochs trained -> objective."""
        self._records[trial_id]["curve"] = {str(step): value for step, value in curve.items()}

    @keras_tuner.synchronized
    def end_trial(self, trial):
        """As KerasTuner's; Optuna hears of it too."""
        super().end_trial(trial)
        self._tell(trial.trial_id)
        self._keep(trial.trial_id)

    def _tell(self, trial_id: str) -> None:
        optunas = self._ids[trial_id]
        number = self._storage.get_trial_number_from_id(optunas)
        state, value = self._outcome(trial_id)
        if not state.is_finished():  # KerasTuner will try it again
            return
        with in_optuna.quietly():
            for step, point in self.curve_of(trial_id).items():
                self._storage.set_trial_intermediate_value(optunas, step, point)
            self._study.tell(number, value if state == _states().COMPLETE else None, state=state)

    def _outcome(self, trial_id: str):
        """Optuna's state of a trial, and its value."""
        states, trial = _states(), self.trials[trial_id]
        if trial.status == TrialStatus.COMPLETED:
            curve = self.curve_of(trial_id)
            return (states.PRUNED, curve[max(curve)]) if curve else (states.COMPLETE, float(trial.score))
        return (states.FAIL if trial.status == TrialStatus.FAILED else states.RUNNING), None

    def curve_of(self, trial_id: str) -> dict[int, float]:
        """Of a trial that was pruned: epochs trained -> objective; nothing of others."""
        return {int(step): value for step, value in self._records[trial_id].get("curve", {}).items()}

    def _named_space(self) -> Iterator[tuple[str, Any]]:
        """The hyperparameters with names of their own: under different conditions the same name may have several ranges."""
        seen: dict[str, int] = {}
        for hp in self.hyperparameters.space:
            seen[hp.name] = seen.get(hp.name, 0) + 1
            yield (hp.name if seen[hp.name] == 1 else f"{hp.name} #{seen[hp.name]}"), hp

    def _put(self, optunas: int, values: dict[str, Any]) -> None:
        """Replaces what the sampler proposed by what will be tried."""
        hps = keras_tuner.HyperParameters()
        for name, hp in self._named_space():
            hps.merge([hp])
            if hp.name in values and hps.is_active(hp):
                hps.values[hp.name] = values[hp.name]
                distribution = in_optuna.distribution(hp)
                if distribution is not None:
                    inner = distribution.to_internal_repr(in_optuna.coordinate(hp, values[hp.name]))
                    self._storage.set_trial_param(optunas, name, inner, distribution)

    # -- the state --------------------------------------------------------------------------------

    def _keep(self, trial_id: str) -> None:
        from optuna.distributions import distribution_to_json

        trial = self._storage.get_trial(self._ids[trial_id])
        record = {
            "number": trial.number,
            "params": dict(trial.params),
            "distributions": {name: distribution_to_json(each) for name, each in trial.distributions.items()},
            "attributes": dict(trial.system_attrs),
        }
        if "curve" in self._records.get(trial_id, {}):
            record["curve"] = self._records[trial_id]["curve"]
        self._records[trial_id] = record

    def get_state(self):
        """With what Optuna knows of each trial, under `optuna`."""
        attributes = self._storage.get_study_system_attrs(self._study_id)
        return {**super().get_state(), "optuna": self._records, "study": dict(attributes)}

    def set_state(self, state):
        """The inverse of `get_state`."""
        from optuna.distributions import json_to_distribution
        from optuna.trial import create_trial

        super().set_state(state)
        self._new_study(state["study"])
        self._records = dict(state["optuna"])
        for record in self._records.values():
            check_only_cmaes(record["attributes"])
        for trial_id, record in sorted(self._records.items(), key=lambda item: item[1]["number"]):
            outcome, value = self._outcome(trial_id)
            trial = create_trial(
                state=outcome,
                value=value,
                params=record["params"],
                distributions={name: json_to_distribution(each) for name, each in record["distributions"].items()},
                system_attrs=record["attributes"],
                intermediate_values=self.curve_of(trial_id) if outcome.is_finished() else {},
            )
            self._ids[trial_id] = self._storage.create_new_trial(self._study_id, trial)


def _make_sampler(sampler):
    import optuna

    if isinstance(sampler, optuna.samplers.BaseSampler):
        return sampler
    if not isinstance(sampler, str):
        raise SearchError(f"The sampler must be one of {', '.join(SAMPLERS)} or an Optuna sampler; received {sampler!r}.")
    check_name("sampler", sampler, SAMPLERS)
    with in_optuna.quietly():
        if sampler == "tpe":
            return optuna.samplers.TPESampler(constant_liar=True)  # trials that others are running count as bad ones
        import cmaes  # noqa: F401  Optuna needs it, and would say so later

        # A pruned trial ranks by where it was stopped; else a generation would last until enough trials have survived.
        return optuna.samplers.CmaEsSampler(consider_pruned_trials=True)


def _states():
    from optuna.trial import TrialState

    return TrialState


# -- randomness -----------------------------------------------------------------------------------


def _reseed(sampler, entropy: list[int]) -> None:
    """Sets every random state that the sampler has; Optuna's `reseed_rng` would take seeds from the clock."""
    states = list(_random_states(sampler, set()))
    for state, sequence in zip(states, np.random.SeedSequence(entropy).spawn(len(states)), strict=True):
        if isinstance(state, np.random.Generator):
            state.bit_generator.state = type(state.bit_generator)(sequence).state
        else:
            state.seed(int(sequence.generate_state(1)[0]))


def _random_states(holder, seen: set[int]) -> Iterator[Any]:
    if id(holder) in seen:
        return
    seen.add(id(holder))
    if isinstance(holder, (np.random.RandomState, np.random.Generator, random.Random)):
        yield holder
    elif isinstance(holder, (list, tuple)):
        for item in holder:
            yield from _random_states(item, seen)
    elif isinstance(holder, dict):
        for item in holder.values():
            yield from _random_states(item, seen)
    elif _belongs_to_optuna(holder) and hasattr(holder, "__dict__"):
        if isinstance(getattr(type(holder), "rng", None), property):  # Optuna makes its random states when they are first used
            yield from _random_states(holder.rng, seen)
        for _, item in sorted(vars(holder).items()):
            yield from _random_states(item, seen)


def _belongs_to_optuna(holder) -> bool:
    return any(cls.__module__.partition(".")[0] == "optuna" for cls in type(holder).__mro__)
