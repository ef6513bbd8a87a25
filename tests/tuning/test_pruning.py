"""Trials that are not promising are stopped: which, when, what is kept of them, and that a resumed search decides the same."""

import keras_tuner
import numpy as np
import optuna
import pytest

import tuning
from tests.tuning.conftest import load, one_sentence, without_times
from tuning import SearchError
from tuning.results.search import SearchResult
from tuning.schedulers.pruning import Pruning
from tuning.training.events import EpochEnded, ExecutionEnded

MIN = keras_tuner.Objective("val_loss", "min")
MAX = keras_tuner.Objective("val_accuracy", "max")

pytestmark = pytest.mark.backend("tensorflow")  # nothing in here depends on the backend


class Curves(tuning.Tuner):
    """Trains nothing: the loss is that of the setting, less 0.01 in each epoch."""

    epochs = 9
    dies_at = None  # trial, epoch

    def run_trial(self, trial, *args, **kwargs):
        number, results = int(trial.trial_id), []
        for execution in range(self.executions_per_trial):
            losses = []
            for epoch in range(self.epochs):
                if self.dies_at == (number, epoch):
                    raise KeyboardInterrupt
                losses.append(self.reached(trial.hyperparameters["x"], execution) - 0.01 * epoch)
                if self.record(EpochEnded(number, execution, epoch, {"val_loss": losses[-1]})):
                    break
            score = losses[-1] if not np.isfinite(losses[-1]) else min(losses)
            self.record(ExecutionEnded(number, execution, 0, score, len(losses) - 1, 0.0, 0.0))
            results.append({"val_loss": score})
            if len(losses) < self.epochs or not np.isfinite(score):
                break
        return results

    def reached(self, x, execution):
        return float("nan") if x > 0.9 else x


def oracle_of(name, trials, sampler=None):
    space = keras_tuner.HyperParameters()
    space.merge([tuning.SearchAxis("x", 0.0, 1.0)])
    return tuning.make_oracle(name, objective=MIN, hyperparameters=space, trials=trials, epochs=9, seed=1, sampler=sampler)


def curves(directory, pruner="median", oracle="random", trials=20, sampler=None, cls=Curves, name="search", **kwargs):
    made = oracle_of(oracle, trials, sampler)
    return cls(made, directory=str(directory), project_name=name, pruner=pruner, **kwargs)


def result(tuner):
    return SearchResult.load(tuner.project_dir)


def timeless(found):
    return without_times({"trials": [trial.to_json() for trial in found.trials]})


@pytest.mark.parametrize(
    ("pruner", "oracle"),
    [
        ("median", "random"),
        ("median", "quasirandom"),
        ("median", "optuna"),
        ("halving", "optuna"),
        ("halving", "grid"),
        pytest.param("halving", "bayesian", marks=pytest.mark.slow),
    ],
)
def test_the_bad_ones_stop_early_and_keep_what_they_reached(pruner, oracle, tmp_path):
    tuner = curves(tmp_path, pruner, oracle, trials=12)
    assert tuner.prunes
    tuner.search(epochs=9)
    found = result(tuner)
    assert found.count("pruned") >= 2
    assert found.count("completed") >= 1
    best = min(trial.hyperparameters["x"] for trial in found.trials)
    assert found.best.hyperparameters["x"] == best
    for trial in found.trials:
        curve = trial.curves[0]["val_loss"]
        if trial.state == "pruned":
            assert len(curve) < trial.epochs == 9
            assert trial.score == min(curve)
            assert trial not in found.ranking()
            told = tuner.oracle.get_trial(str(trial.number).zfill(2))
            assert (told.status, told.score) == ("COMPLETED", trial.score)
        elif trial.state == "completed":
            assert len(curve) == 9
        else:
            assert trial.state == "diverged"
            assert trial.score is None
    assert tuner.get_best_hyperparameters()[0].values == found.best.hyperparameters


def test_optuna_is_told_the_curve_of_a_pruned_trial(tmp_path):
    tuner = curves(tmp_path, "median", "optuna", trials=12)
    tuner.search(epochs=9)
    states = {"completed": "COMPLETE", "diverged": "COMPLETE", "pruned": "PRUNED"}
    found = result(tuner)
    for trial, told in zip(found.trials, tuner.oracle._study.trials, strict=True):
        assert told.state.name == states[trial.state]
        if trial.state == "pruned":
            losses = trial.curves[0]["val_loss"]
            assert told.intermediate_values == {epoch + 1: loss for epoch, loss in enumerate(losses)}
            assert told.value == losses[-1]


def test_halving_lets_a_third_pass_after_1_and_3_epochs(tmp_path):
    tuner = curves(tmp_path, "halving", trials=40)
    tuner.search(epochs=9)
    lengths = {len(trial.curves[0]["val_loss"]) for trial in result(tuner).trials if trial.state == "pruned"}
    assert lengths == {1, 3}


def test_median_waits_for_five_completed_trials(tmp_path):
    tuner = curves(tmp_path, "median", trials=20)
    tuner.search(epochs=9)
    states = [trial.state for trial in result(tuner).trials]
    assert states[: states.index("pruned")].count("completed") >= 5


@pytest.mark.parametrize("pruner", ["median", "halving", "own"])
@pytest.mark.parametrize("oracle", ["random", "optuna"])
def test_decisions_after_an_interruption_are_those_of_an_undisturbed_search(pruner, oracle, tmp_path):
    def make(name, cls=Curves):
        chosen = optuna.pruners.PercentilePruner(60.0, n_startup_trials=2) if pruner == "own" else pruner
        return curves(tmp_path, chosen, oracle, name=name, cls=cls)

    whole = make("whole")
    whole.search(epochs=9)
    assert result(whole).count("pruned") >= 1
    for place in ((3, 4), (8, 0), (12, 5), (19, 1)):
        stopped = make("stopped", type("Dies", (Curves,), {"dies_at": place}))
        stopped.config = whole.config
        try:
            stopped.search(epochs=9)
        except KeyboardInterrupt:
            assert result(stopped).trials[-1].state == "running"
    resumed = make("stopped")
    resumed.search(epochs=9)
    assert timeless(result(resumed)) == timeless(result(whole))


def test_with_repeats_the_first_execution_decides(tmp_path):
    class WorseLater(Curves):
        def reached(self, x, execution):
            return x + 10 * execution

    tuner = curves(tmp_path, "halving", cls=WorseLater, executions_per_trial=2)
    tuner.search(epochs=9)
    found = result(tuner)
    assert {len(trial.curves) for trial in found.trials if trial.state == "pruned"} == {1}
    assert {len(trial.curves) for trial in found.trials if trial.state == "completed"} == {2}
    assert found.count("completed") >= 2


@pytest.mark.parametrize("objective", [MIN, MAX])
def test_both_directions_and_no_decision_without_a_finite_objective(objective):
    def value(good):
        return good if objective.direction == "max" else -good

    pruning = Pruning("median", objective)
    for number in range(6):
        pruning.began(number, 5)
        for epoch in range(5):
            assert not pruning.stops(number, 0, epoch, {objective.name: value(0.8)})
        pruning.ended(number, "completed", value(0.8))
    pruning.began(6, 5)
    assert not pruning.stops(6, 0, 0, {objective.name: value(0.9)})
    assert not pruning.stops(6, 0, 1, {"loss": 3.0})
    assert not pruning.stops(6, 0, 1, {objective.name: float("nan")})
    assert not pruning.stops(6, 1, 1, {objective.name: value(0.1)})
    pruning.began(7, 5)
    assert pruning.stops(7, 0, 0, {objective.name: value(0.1)})
    pruning.began(7, 5)  # again, after its worker has died
    assert pruning.curve(7) == {}
    assert not pruning.stops(7, 0, 0, {objective.name: value(0.9)})
    assert pruning.curve(6) == {1: value(0.9)}
    pruning.began(8, 1)
    assert not pruning.stops(8, 0, 0, {objective.name: value(0.1)})  # it has trained all its epochs


def test_without_a_pruner_nothing_stops(tmp_path):
    for pruner in (None, "none"):
        tuner = curves(tmp_path, pruner, trials=8, name=str(pruner))
        assert not tuner.prunes
        tuner.search(epochs=9)
        assert result(tuner).count("pruned") == 0


# -- the command ----------------------------------------------------------------------------------


def test_the_command_prunes_shows_and_counts(command, tiny):
    arguments = ("tune", "adam", "--problem", tiny, "--trials", 5, "--epochs", 4, "--pruner", "halving", "--directory", "out")
    status, stdout, stderr = command(*arguments, "--oracle", "optuna", "--json")
    assert status == 0, stderr
    found = load(stdout)
    pruned = [trial for trial in found["trials"] if trial["state"] == "pruned"]
    assert found["counts"]["pruned"] == len(pruned) >= 1
    assert found["best"]["state"] == "completed"
    assert f"pruned at {pruned[0]['score']:.4g}" in stderr
    for trial in pruned:
        assert len(trial["curves"][0]["val_accuracy"]) < 4
        assert trial["score"] == max(trial["curves"][0]["val_accuracy"])
    _, stdout, _ = command("show", "out")
    assert f"{len(pruned)} pruned" in stdout
    assert f"pruned at {pruned[0]['score']:.6g}" in stdout
    status, _, stderr = command("tune", "adam", "--problem", tiny, "--trials", 5, "--epochs", 4, "--directory", "out")
    assert status == 2
    assert 'pruner ("halving" there, null now)' in one_sentence(stderr)


def test_hyperband_takes_no_pruner(command, tiny):
    status, stdout, stderr = command("tune", "adam", "--problem", tiny, "--oracle", "hyperband", "--pruner", "median")
    assert (status, stdout) == (2, "")
    assert "Hyperband stops trials itself" in one_sentence(stderr)
    assert "'median'" in one_sentence(stderr)


def test_a_pruner_that_is_none_is_one_clear_sentence(command):
    status, stdout, stderr = command("tune", "adam", "--pruner", "psychic")
    assert (status, stdout) == (2, "")
    assert "median" in stderr.splitlines()[-1]
    for wrong in ("psychic", 3):
        with pytest.raises(SearchError, match=f"none, median, halving.*received {wrong!r}"):
            Pruning(wrong, MIN)
