"""A population that really trains: what comes out of it is a schedule, which trains the same again."""

import json

import keras
import keras_tuner
import numpy as np
import pytest

import keras_optims
import tuning
from tests.tuning.conftest import JIT
from tests.tuning.test_comparison import compare, problem
from tests.tuning.test_continuing import rows
from tuning.oracles import PopulationOracle
from tuning.report.population import population
from tuning.report.reproduction import snippet
from tuning.results.search import SearchResult
from tuning.results.worth import places, worth
from tuning.store.snapshots import Snapshots
from tuning.training.live import Changing

ASKED = {"oracle": "pbt", "population": 4, "ready": 1, "epochs": 4, "progress": False, "jit": JIT, "seed": 3}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """A search, and what its snapshots were when trials began."""
    directory = tmp_path_factory.mktemp("population") / "adam"
    return tuning.search("adam", problem(), directory=directory, confirmations=2, **ASKED)


def curves(result):
    return [(trial.hyperparameters, trial.curves, trial.score, trial.state, trial.seeds) for trial in result.trials]


def test_snapshots_that_are_lost_cost_time_and_never_a_result(found, tmp_path, monkeypatch):
    """Each trial trains its whole line of settings again, with the changes where they were."""
    monkeypatch.setattr(Snapshots, "get", lambda *arguments: None)
    again = tuning.search("adam", problem(), directory=tmp_path / "again", **ASKED)
    assert curves(again) == curves(found)
    assert found.epochs_trained == 4 * 4
    assert again.epochs_trained == 4 * (1 + 2 + 3 + 4)
    assert {row[0] for row in rows(again, "SELECT from_epoch FROM trials WHERE continues IS NOT NULL")} == {0}
    assert {row[0] for row in rows(found, "SELECT from_epoch FROM trials WHERE continues IS NOT NULL")} == {1, 2, 3}
    assert [trial.settings for trial in again.trials] == [trial.settings for trial in found.trials]


def member_that_changed(result):
    return max((trial for trial in result.trials if trial.settings and trial.epochs == 4), key=lambda trial: len(trial.settings))


def test_train_best_is_the_best_member_once_more_bit_for_bit(found, tmp_path, monkeypatch):
    trial = member_that_changed(found)
    monkeypatch.setattr(SearchResult, "best", property(lambda self: self.trials[trial.number]))
    trained = tuning.train_best(found.directory, problem=problem())
    assert trained.metrics["val_accuracy"] == trial.score
    assert trained.line == trial.line


def test_the_line_of_python_trains_it_again_within_rounding(found):
    """A schedule knows 1 - beta as float32 has it, a number exactly; all else is the same."""
    trial = member_that_changed(found)
    assert "keras_optims.schedules.Piecewise([0, " in trial.line
    scope = {"problem": problem()}
    exec(snippet(found, trial).replace("problem = ...", "pass"), scope)
    curve = scope["model"].history.history
    for name, values in trial.curves[0].items():
        np.testing.assert_allclose(curve[name], values, rtol=2e-3, atol=2e-3 if "accuracy" in name else 1e-5)


def test_of_numbers_that_are_no_decay_rates_it_is_the_same_bit_for_bit():
    made = problem()
    changing = Changing({1: [0.02, *of_adam(0.1)], 2: [0.005, *of_adam(0.1)]})
    live = tuning.train(made, keras_optims.Adam(0.01, epsilon=0.1), seed=5, epochs=3, callbacks=[changing], way=way())
    line = keras_optims.Adam(keras_optims.schedules.Piecewise([0, 4, 8], [0.01, 0.02, 0.005]), epsilon=0.1)
    scheduled = tuning.train(made, line, seed=5, epochs=3, way=way())
    assert scheduled.history.history == live.history.history
    constant = tuning.train(made, keras_optims.Adam(0.01, epsilon=0.1), seed=5, epochs=3, way=way())
    assert constant.history.history["loss"][0] == live.history.history["loss"][0]
    assert constant.history.history["loss"][1] != live.history.history["loss"][1]


def way():
    return {"tensorflow": "graph", "jax": "scan", "torch": "eager"}[keras.backend.backend()]


def of_adam(epsilon):
    from tuning.training.live import numbers_of

    return numbers_of(keras_optims.Adam(1.0, epsilon=epsilon))[1:]


def test_confirmations_train_the_schedule_and_the_defaults_as_long(found):
    best = found.best
    confirmed, defaults = map(SearchResult.load, places(found.directory))
    assert confirmed.config["confirms"] == json.loads(json.dumps(best.setting))
    assert {trial.epochs for trial in [*confirmed.trials, *defaults.trials]} == {4}
    assert all(trial.settings == best.settings for trial in confirmed.trials)
    assert all(trial.line == best.line for trial in confirmed.trials)
    assert not any(trial.settings for trial in defaults.trials)
    assert confirmed.trials[0].seeds == defaults.trials[0].seeds
    assert worth(found).confirmed is not None


def test_a_hypermodel_of_one_s_own_names_what_is_live(tmp_path):
    def build(hp):
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(hp.Choice("units", [4, 8])), keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(hp.Float("rate", 1e-3, 1e-1, sampling="log")), loss="mse")
        return model

    oracle = PopulationOracle(population=4, ready=1, max_epochs=3, live=["rate"], objective="val_loss", seed=1)
    tuner = tuning.Tuner(oracle, build, directory=str(tmp_path), project_name="own", jit=None)
    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    tuner.search(x, x.sum(axis=1), validation_split=0.25, verbose=0)
    result = SearchResult.load(tmp_path / "own")
    assert [trial.state for trial in result.trials] == ["completed"] * 12
    assert result.epochs_trained == 12
    assert (result.config["population"], result.config["ready"], result.config["epochs"]) == (4, 1, 3)
    assert population(result) is not None
    copies = [trial for trial in result.trials if trial.continues is not None and trial.continues % 4 != trial.number % 4]
    assert copies
    for trial in copies:
        parent = result.trials[trial.continues].hyperparameters
        assert trial.hyperparameters["units"] == parent["units"]
        steps = (min(0.1, 1.25 * parent["rate"]), max(0.001, parent["rate"] / 1.25))
        assert trial.hyperparameters["rate"] in map(pytest.approx, steps)


def test_the_best_model_is_kept_and_another_interval_is_another_search(found):
    assert found.best.model() is not None
    with pytest.raises(tuning.SearchError, match=r"it differs in ready \(1 there, 2 now\)"):
        tuning.search("adam", problem(), directory=found.directory, **{**ASKED, "ready": 2})


def test_a_comparison_of_populations_confirms_their_schedules(tmp_path):
    options = {**ASKED, "ready": 2, "trials": None, "confirmations": 2}
    compared = compare(tmp_path / "compared", optimizers=("momentum",), **options)
    (entry,) = compared.optimizers
    assert entry["trials"]["completed"] == 8
    assert entry["confirmations"]["completed"] == 2
    confirmed = SearchResult.load(tmp_path / "compared" / "momentum-confirmation")
    best = SearchResult.load(tmp_path / "compared" / "momentum").best
    assert confirmed.config["confirms"] == json.loads(json.dumps(best.setting))


def test_the_oracle_has_its_options_in_its_configuration():
    with pytest.raises(tuning.SearchError, match="max_epochs must be an int of at least 1"):
        PopulationOracle(population=4, ready=1, max_epochs=0, objective=keras_tuner.Objective("val_loss", "min"))
