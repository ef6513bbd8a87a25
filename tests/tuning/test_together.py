"""Trials that train in one program give what they give one by one."""

import keras
import numpy as np
import pytest

import tuning
from tests.tuning.conftest import load
from tests.tuning.test_warm import CASES, OnlyBuild, settings, trainer
from tuning.results.search import SearchResult
from tuning.training.assignment import Assignment
from tuning.training.together import TrialsTogether

pytestmark = pytest.mark.backend("jax")


def tune(command, directory, *arguments, problem="tiny_problem:make_problem", optimizer="adam"):
    status, stdout, stderr = command("tune", optimizer, "--problem", problem, "--directory", directory, "--json", *arguments)
    assert status in (0, 1), stderr
    return load(stdout)["trials"], stderr


def assert_same_trials(one, other):
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        for name in ("number", "state", "hyperparameters", "epochs", "seeds", "best_epochs"):
            assert a[name] == b[name]
        for curve, expected in zip(a["curves"], b["curves"], strict=True):
            assert list(curve) == list(expected)
            for metric in expected:
                np.testing.assert_allclose(
                    np.array(curve[metric], float), np.array(expected[metric], float), rtol=1e-4, atol=1e-5, equal_nan=True
                )


@pytest.mark.parametrize("optimizer", ["adam", "adagrad"])
def test_trials_together_are_the_trials_one_by_one(optimizer, command, tiny):
    """Also where the last group is smaller than the others, and with repeats."""
    arguments = ("--trials", 5, "--repeats", 2)
    alone, _ = tune(command, "alone", *arguments, "--batch-trials", 1, optimizer=optimizer)
    together, _ = tune(command, "together", *arguments, "--batch-trials", 3, optimizer=optimizer)
    assert_same_trials(together, alone)


def test_epochs_of_hyperband_may_differ_within_a_group(command, tiny):
    arguments = ("--oracle", "hyperband", "--epochs", 3)
    alone, _ = tune(command, "alone", *arguments, "--batch-trials", 1)
    together, _ = tune(command, "together", *arguments, "--batch-trials", 4)
    first = [trial for trial in alone if trial["epochs"] == 1]
    assert alone[0]["epochs"] == together[0]["epochs"] == 3  # the declared defaults
    assert_same_trials(together[1 : 1 + len(first)], first)
    assert [len(trial["curves"][0]["loss"]) for trial in together] == [trial["epochs"] for trial in together]
    with tuning.Store.open("together", read_only=True) as store:
        assert {row["from_epoch"] for row in store.rows("trials") if row["continues"] is not None} == {1}  # as they do alone


def test_the_members_of_a_population_train_together(command, tiny):
    arguments = ("--oracle", "pbt", "--population", 4, "--ready", 1, "--epochs", 3)
    alone, _ = tune(command, "alone", *arguments, "--batch-trials", 1)
    together, _ = tune(command, "together", *arguments, "--batch-trials", 4)
    assert any(trial["settings"] for trial in together)
    assert_same_trials(together, alone)
    with tuning.Store.open("together", read_only=True) as store:
        assert {row["from_epoch"] for row in store.rows("trials") if row["continues"] is not None} == {1, 2}


def test_a_diverged_trial_does_not_disturb_its_group(command, tiny):
    arguments = ("--trials", 6, "--search", "learning_rate=1e-6:1e3", "--epochs", 3)
    keywords = {"problem": "tiny_problem:make_regression", "optimizer": "gradient_descent"}
    alone, _ = tune(command, "alone", *arguments, "--batch-trials", 1, **keywords)
    together, _ = tune(command, "together", *arguments, "--batch-trials", 6, **keywords)
    assert {"diverged", "completed"} <= {trial["state"] for trial in together}
    assert [trial["state"] for trial in together] == [trial["state"] for trial in alone]
    converged = [i for i, trial in enumerate(alone) if trial["state"] == "completed" and trial["score"] < 1]
    assert_same_trials([together[i] for i in converged], [alone[i] for i in converged])


def test_on_a_cpu_trials_train_one_by_one_unless_asked_for(command, tiny):
    _, stderr = tune(command, "out", "--trials", 8)
    assert "trials that train at once: " not in stderr
    with tuning.Store.open("out", read_only=True) as store:
        assert store.choices().keys() == {"ended"}


def test_on_a_gpu_the_first_trial_measures_how_many_train_at_once_and_the_choice_is_kept(command, tiny, monkeypatch):
    monkeypatch.setattr("tuning.training.together.worthwhile", lambda: True)
    _, stderr = tune(command, "out", "--trials", 8)
    assert "trials that train at once: " in stderr
    with tuning.Store.open("out", read_only=True) as store:
        chosen = store.choices()["batch_trials"]
    assert set(chosen["seconds_per_step"]) > {"1"}
    assert str(chosen["value"]) in chosen["seconds_per_step"]
    _, stderr = tune(command, "out", "--trials", 9)
    assert "trials that train at once: " not in stderr


def test_a_group_in_which_one_fails_is_trained_one_by_one(command, tiny):
    trials, _ = tune(command, "out", "--trials", 4, "--batch-trials", 2, problem="tiny_problem:make_sometimes_failing")
    assert {trial["state"] for trial in trials} == {"failed", "completed"}
    assert [len(trial["curves"]) for trial in trials if trial["state"] == "completed"] == [1] * 2


def test_trials_that_average_their_weights_train_one_by_one():
    """A group would validate the weights themselves."""
    build = CASES["adam averaged and accumulated"]
    group = TrialsTogether(trainer(OnlyBuild(build)), 2)
    assert group.run([(number, settings(build, number), Assignment(number)) for number in (0, 1)], lambda event: None) is None


def test_models_of_different_structure_train_one_by_one(tmp_path):
    import keras_tuner

    from tuning.engines.here import HereEngine

    def build(hp):
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(hp.Choice("units", [2, 3])), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        return model

    x = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
    for name, engine in (("alone", None), ("together", HereEngine(2))):
        oracle = keras_tuner.oracles.GridSearchOracle(objective=keras_tuner.Objective("val_loss", "min"), max_trials=2)
        tuner = tuning.Tuner(oracle, build, directory=str(tmp_path), project_name=name, engine=engine)
        tuner.search(x, x.sum(axis=1), epochs=2, validation_split=0.25)
    alone, together = (SearchResult.load(tmp_path / name) for name in ("alone", "together"))
    assert [trial.curves for trial in together.trials] == [trial.curves for trial in alone.trials]


def test_what_cannot_train_together_is_said(tmp_path):
    import keras_tuner

    from tuning.engines.here import HereEngine

    oracle = keras_tuner.oracles.RandomSearchOracle(objective=keras_tuner.Objective("val_loss", "min"), max_trials=2)
    tuner = tuning.Tuner(oracle, lambda hp: None, directory=str(tmp_path), project_name="own", engine=HereEngine(2))
    with pytest.raises(tuning.SearchError, match="callbacks see one model at a time"):
        tuner.search(np.zeros((4, 1)), np.zeros(4), callbacks=[keras.callbacks.Callback()])
