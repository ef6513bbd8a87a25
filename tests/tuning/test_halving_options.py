"""Successive halving as it is asked for: another factor, longer first trials, and a sampler of Optuna for ASHA's settings."""

import keras_tuner
import pytest

import tuning
from tests.tuning.conftest import JIT, load, one_sentence
from tests.tuning.test_continuing import Pretended, same
from tuning import SearchError
from tuning.oracles.asha import rungs
from tuning.results.search import SearchResult

MIN = keras_tuner.Objective("val_loss", "min")


def oracle(name, **options):
    space = keras_tuner.HyperParameters()
    for axis in ("x", "y"):
        space.merge([tuning.SearchAxis(axis, 0.0, 1.0, points=60)])
    return tuning.make_oracle(name, **{"objective": MIN, "hyperparameters": space, "trials": None, "seed": 4, **options})


def search(directory, made, engine=None):
    tuner = tuning.Tuner(made, lambda hp: None, directory=str(directory), project_name="s", engine=engine or Pretended())
    tuner.search(verbose=0)
    return SearchResult.load(tuner.project_dir)


@pytest.mark.parametrize(
    ("epochs", "factor", "least", "found"),
    [(27, 3, 1, [1, 3, 9, 27]), (27, 3, 3, [3, 9, 27]), (27, 3, 4, [9, 27]), (16, 2, 4, [4, 8, 16]), (5, 9, 5, [5])],
)
def test_rungs(epochs, factor, least, found):
    assert rungs(epochs, factor, least) == found


@pytest.mark.parametrize("name", ["hyperband", "asha"])
def test_no_trial_trains_less_than_is_asked_for_and_the_factor_holds(name, tmp_path):
    options = {"epochs": 16, "factor": 2, "min_epochs": 4}
    result = search(tmp_path / "whole", oracle(name, **options))
    assert {trial.epochs for trial in result.trials} == {4, 8, 16}
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "cut", oracle(name, **options), Pretended(ends_after=5))
    assert same(search(tmp_path / "cut", oracle(name, **options)), result)


def test_without_options_hyperband_is_keras_tuners():
    theirs = keras_tuner.oracles.HyperbandOracle(MIN, max_epochs=27, hyperparameters=oracle("hyperband", epochs=27).get_space())
    ours, known = oracle("hyperband", epochs=27).get_state(), theirs.get_state()
    assert {name: ours[name] for name in ("brackets", "current_bracket", "min_epochs", "factor")} == {
        name: known[name] for name in ("brackets", "current_bracket", "min_epochs", "factor")
    }


def test_a_sampler_proposes_what_asha_promotes_and_learns_from_all_rungs(tmp_path):
    options = {"epochs": 9, "trials": 60, "sampler": "tpe"}
    made = oracle("asha", **options)
    result = search(tmp_path / "whole", made)
    states = {}
    for trial, told in zip(result.trials, made._study.trials, strict=True):
        states.setdefault(trial.epochs, set()).add(told.state.name)
        assert list(told.intermediate_values.items()) == ([] if trial.epochs == 9 else [(trial.epochs, trial.score)])
        assert told.value == trial.score
    assert states == {1: {"PRUNED"}, 3: {"PRUNED"}, 9: {"COMPLETE"}}
    begun = [trial.hyperparameters for trial in result.trials if trial.epochs == 1]
    distances = [abs(values["x"] - 0.3) + values["y"] for values in begun]
    late = distances[len(distances) // 2 :]
    assert sum(late) / len(late) < 0.7 * sum(distances[:10]) / 10
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "cut", oracle("asha", **options), Pretended(ends_after=41))
    assert same(search(tmp_path / "cut", oracle("asha", **options)), result)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("random", {"factor": 2}, "factor is of the oracles hyperband and asha only; received the oracle 'random' with 2"),
        ("asha", {"min_epochs": 10}, "min_epochs must be at most the epochs of the longest trials, 9; received 10"),
        ("hyperband", {"sampler": "tpe"}, "A sampler is chosen for optuna and asha only; received the oracle 'hyperband'"),
    ],
)
def test_wrong_options_are_one_sentence(name, options, words):
    with pytest.raises(SearchError) as caught:
        oracle(name, epochs=9, **options)
    assert words in str(caught.value)


@pytest.mark.backend("tensorflow")
def test_the_command_takes_them(command, tiny):
    where = ("tune", "adam", "--problem", tiny, "--directory", "out", "--jit", JIT, "--epochs", 4, "--trials", 4)
    asked = ("--oracle", "asha", "--sampler", "tpe", "--factor", 2, "--min-epochs", 2, "--no-defaults-first")
    status, stdout, stderr = command(*where, *asked, "--json")
    assert status == 0, stderr
    assert {trial["epochs"] for trial in load(stdout)["trials"]} == {2, 4}
    for more, words in (
        (("--factor", 1), "--factor must be an int of at least 2; received '1'"),
        (("--factor", 3), "factor is for the oracles hyperband and asha alone; received factor 3 with the oracle 'quasirandom'"),
    ):
        status, _, stderr = command(*where, *more)
        assert status == 2
        assert words in stderr
    status, _, stderr = command(*where, *asked[:4], "--factor", 3, "--no-defaults-first")
    assert "it differs in factor (2 there, null now), min_epochs (2 there, null now)" in one_sentence(stderr)
