"""Every value that a trial used is in its row, whenever it was declared: in a build, a fit, under a condition, in a scope."""

import keras_tuner
import pytest

import tuning
from tests.tuning.test_engines import ScriptedPool
from tuning.engines import work
from tuning.oracles import GridOracle
from tuning.results.search import SearchResult
from tuning.study.ledger import Listener
from tuning.training.assignment import Assignment

ORACLES = {
    "random": keras_tuner.oracles.RandomSearchOracle,
    "bayesian": keras_tuner.oracles.BayesianOptimizationOracle,
    "grid": GridOracle,
    "quasirandom": tuning.oracles.QuasirandomOracle,
    "optuna": tuning.OptunaOracle,
    "hyperband": keras_tuner.oracles.HyperbandOracle,
}


def build(hp):
    """Knows of half of the space."""
    kind = hp.Choice("kind", ["deep", "wide"])
    with hp.conditional_scope("kind", ["deep"]):
        if kind == "deep":
            hp.Int("layers", 1, 3)


class Grows(tuning.Tuner):
    """Declares as it goes, and notes what it used."""

    def run_trial(self, trial):
        hp, used = trial.hyperparameters, self.used.setdefault(int(trial.trial_id), {})
        used["kind"] = hp.Choice("kind", ["deep", "wide"])
        with hp.conditional_scope("kind", ["deep"]):
            if used["kind"] == "deep":
                used["layers"] = hp.Int("layers", 1, 3)
                used["rate"] = hp.Float("rate", 0.1, 0.5, step=0.1)
        if used["kind"] == "wide":
            used["width"] = hp.Choice("width", [16, 32])
        used["late"] = hp.Boolean("late")
        if len(self.used) % 3 == 0:
            raise RuntimeError(f"trial {trial.trial_id} fails after it has declared everything")
        return float(len(self.used))


class Hears(Listener):
    def __init__(self):
        self.grown = {}

    def trial_grew(self, number, hyperparameters):
        self.grown[number] = hyperparameters


@pytest.mark.parametrize("name", ORACLES)
def test_the_row_of_a_trial_has_what_it_used(name, tmp_path):
    budget = {"max_epochs": 3} if name == "hyperband" else {"max_trials": 7}
    oracle = ORACLES[name](objective=keras_tuner.Objective("score", "max"), seed=3, **budget)
    hears = Hears()
    tuner = Grows(oracle, build, directory=tmp_path, project_name="own", listener=hears)
    tuner.used = {}
    tuner.search()
    result = SearchResult.load(tmp_path / "own")
    assert len(result.trials) > 4
    assert {trial.state for trial in result.trials} == {"completed", "failed"}
    for trial in result.trials:
        used = tuner.used[trial.number]
        assert {name: trial.hyperparameters.get(name) for name in used} == used
        assert "tuner/epochs" not in trial.hyperparameters
    assert hears.grown[0] == result.trials[0].hyperparameters
    frame = result.to_dataframe()
    assert {"kind", "layers", "rate", "late"} <= set(
        frame.columns[: -len(("epochs", "state", "score", "sd", "low", "high", "seconds"))]
    )
    assert "late=" in result.best.line
    oracle = ORACLES[name](objective=keras_tuner.Objective("score", "max"), seed=3, **budget)
    resumed = Grows(oracle, build, directory=tmp_path, project_name="own")
    resumed.used = {}
    resumed.search()
    assert resumed.used == {}  # all is there


def test_a_worker_says_what_its_trial_has_declared_also_if_it_fails():
    class Trainer:
        def run(self, number, hp, report, asked):
            if number:
                hp.Int("late", 1, 9, default=7)
            if number == 2:
                raise RuntimeError("no luck")
            return [{"score": 1.0}]

    said = []
    hp = keras_tuner.HyperParameters()
    hp.Float("early", 0.0, 1.0, default=0.5)
    for number in range(3):
        work.train(Trainer(), number, hp.get_config(), Assignment(number), said.append, None)
    assert [kind for kind, _ in said] == ["done", "done", "failed"]
    assert said[0][1][-1] is None
    for _, content in said[1:]:
        assert content[-1]["values"] == {"early": 0.5, "late": 7}


def test_what_a_worker_says_reaches_the_row(tmp_path):
    hp = keras_tuner.HyperParameters()
    hp.Float("early", 0.0, 1.0, default=0.5)
    grown = {**hp.get_config(), "values": {"early": 0.5, "late": 7}}
    messages = {0: ("done", ([{"score": 1.0}], grown)), 1: ("failed", ("RuntimeError: no luck", "", grown))}
    oracle = keras_tuner.oracles.RandomSearchOracle(
        objective=keras_tuner.Objective("score", "max"), max_trials=2, seed=3, hyperparameters=hp
    )
    pool = ScriptedPool(script=lambda number: [messages[number]])
    tuner = tuning.Tuner(oracle, lambda hp: None, directory=tmp_path, project_name="own", engine=pool)
    tuner.search()
    assert [trial.hyperparameters["late"] for trial in SearchResult.load(tmp_path / "own").trials] == [7, 7]
