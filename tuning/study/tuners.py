"""KerasTuner's tuners by their names and with their arguments, as `tuning.Tuner` runs them."""

from __future__ import annotations

from typing import Any

from keras_tuner.oracles import HyperbandOracle, RandomSearchOracle

from tuning.errors import SearchError
from tuning.oracles import BayesianOracle, GridOracle, oracle_seed
from tuning.problems.objective import with_direction
from tuning.study.tuner import Tuner, check_hyperparameters, int_of_at_least


class RandomSearch(Tuner):
    """Settings drawn by chance.

        tuner = tuning.RandomSearch(build_model, objective="val_accuracy", max_trials=20, project_name="mine")
        tuner.search(x, y, epochs=3, validation_split=0.2)

    Args:
        hypermodel: a `keras_tuner.HyperModel` or a function `build(hp)`.
        objective: what to make best, as KerasTuner's oracles take it.
        max_trials: how many trials at most.
        seed: of all that is random; `None` is 0. Another one than 0 makes KerasTuner's proposals from that seed.
        hyperparameters: the space, as far as it is given.
        tune_new_entries: search what the HyperModel declares besides.
        allow_new_entries: let the HyperModel declare more than `hyperparameters`.
        max_retries_per_trial: 0: a trial here follows from its seed, so it would fail again.
        max_consecutive_failed_trials: so many trials that fail one after the other end the search.
        **kwargs: of `tuning.Tuner`.
    """

    def __init__(
        self,
        hypermodel=None,
        objective=None,
        max_trials=10,
        seed=None,
        hyperparameters=None,
        tune_new_entries=True,
        allow_new_entries=True,
        max_retries_per_trial=0,
        max_consecutive_failed_trials=3,
        **kwargs,
    ):
        _check(max_retries_per_trial, hyperparameters, max_trials=max_trials)
        oracle = RandomSearchOracle(
            with_direction(objective),
            max_trials,
            hyperparameters=hyperparameters,
            tune_new_entries=tune_new_entries,
            allow_new_entries=allow_new_entries,
            **_seed(seed),
        )
        super().__init__(oracle, hypermodel, seed=seed, max_consecutive_failed_trials=max_consecutive_failed_trials, **kwargs)


class GridSearch(Tuner):
    """A regular grid, point by point; of a float without a step it has 10 values.

    Args:
        max_trials: how many trials at most; `None`: all points.
        hypermodel, objective, seed, hyperparameters, tune_new_entries, allow_new_entries, max_retries_per_trial,
            max_consecutive_failed_trials, **kwargs: of `tuning.RandomSearch`.
    """

    def __init__(
        self,
        hypermodel=None,
        objective=None,
        max_trials=None,
        seed=None,
        hyperparameters=None,
        tune_new_entries=True,
        allow_new_entries=True,
        max_retries_per_trial=0,
        max_consecutive_failed_trials=3,
        **kwargs,
    ):
        _check(max_retries_per_trial, hyperparameters, max_trials=max_trials)
        oracle = GridOracle(
            with_direction(objective),
            max_trials,
            hyperparameters=hyperparameters,
            tune_new_entries=tune_new_entries,
            allow_new_entries=allow_new_entries,
            **_seed(seed),
        )
        super().__init__(oracle, hypermodel, seed=seed, max_consecutive_failed_trials=max_consecutive_failed_trials, **kwargs)


class BayesianOptimization(Tuner):
    """What a Gaussian process of the scores so far promises most of.

    Args:
        num_initial_points: how many settings are drawn by chance first; `None`: three times the number of hyperparameters.
        alpha: what is added to the diagonal of the kernel matrix: the noise of the scores.
        beta: how much an uncertain setting is preferred.
        hypermodel, objective, max_trials, seed, hyperparameters, tune_new_entries, allow_new_entries, max_retries_per_trial,
            max_consecutive_failed_trials, **kwargs: of `tuning.RandomSearch`.
    """

    def __init__(
        self,
        hypermodel=None,
        objective=None,
        max_trials=10,
        num_initial_points=None,
        alpha=1e-4,
        beta=2.6,
        seed=None,
        hyperparameters=None,
        tune_new_entries=True,
        allow_new_entries=True,
        max_retries_per_trial=0,
        max_consecutive_failed_trials=3,
        **kwargs,
    ):
        _check(max_retries_per_trial, hyperparameters, max_trials=max_trials, num_initial_points=num_initial_points)
        oracle = BayesianOracle(
            with_direction(objective),
            max_trials,
            num_initial_points=num_initial_points,
            alpha=alpha,
            beta=beta,
            hyperparameters=hyperparameters,
            tune_new_entries=tune_new_entries,
            allow_new_entries=allow_new_entries,
            **_seed(seed),
        )
        super().__init__(oracle, hypermodel, seed=seed, max_consecutive_failed_trials=max_consecutive_failed_trials, **kwargs)


class Hyperband(Tuner):
    """Many short trials, of which the best go on for longer. One that goes on is the same training, further on.

    Args:
        max_epochs: of the longest trials.
        factor: one of so many trials goes on, for so many times as many epochs.
        hyperband_iterations: how many times all brackets are run.
        hypermodel, objective, seed, hyperparameters, tune_new_entries, allow_new_entries, max_retries_per_trial,
            max_consecutive_failed_trials, **kwargs: of `tuning.RandomSearch`.
    """

    def __init__(
        self,
        hypermodel=None,
        objective=None,
        max_epochs=100,
        factor=3,
        hyperband_iterations=1,
        seed=None,
        hyperparameters=None,
        tune_new_entries=True,
        allow_new_entries=True,
        max_retries_per_trial=0,
        max_consecutive_failed_trials=3,
        **kwargs,
    ):
        _check(max_retries_per_trial, hyperparameters)
        for least, name, value in (
            (1, "max_epochs", max_epochs),
            (2, "factor", factor),
            (1, "hyperband_iterations", hyperband_iterations),
        ):
            int_of_at_least(least, name, value)
        oracle = HyperbandOracle(
            with_direction(objective),
            max_epochs,
            factor,
            hyperband_iterations,
            hyperparameters=hyperparameters,
            tune_new_entries=tune_new_entries,
            allow_new_entries=allow_new_entries,
            **_seed(seed),
        )
        super().__init__(oracle, hypermodel, seed=seed, max_consecutive_failed_trials=max_consecutive_failed_trials, **kwargs)


def _seed(seed: int | None) -> dict[str, Any]:
    """Of the oracle. What is no seed, the tuner says."""
    return {"seed": seed or oracle_seed(0)}


def _check(retries, hyperparameters, **counts) -> None:
    """`SearchError`, if an argument is wrong; `None` for a count is what the oracle makes of it."""
    if retries != 0:
        raise SearchError(
            f"max_retries_per_trial must be 0, as a trial follows from its seed and would fail again "
            f"(retry_failed=True tries those that failed once more, when what was wrong is mended); received {retries!r}."
        )
    check_hyperparameters(hyperparameters)
    for name, value in counts.items():
        if value is not None:
            int_of_at_least(1, name, value)
