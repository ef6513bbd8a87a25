"""A search along a schedule: its numbers are axes, every trial but the first is warm, and its lines can be copied."""

import json
import pickle
import sqlite3

import keras_tuner
import pytest

import keras_optims
import tuning
from keras_optims import schedules
from tests.tuning.conftest import JIT, load, one_sentence
from tuning.report.reproduction import plan as plan_of_report
from tuning.report.reproduction import snippet
from tuning.results.search import SearchResult, python_line
from tuning.space.part import made
from tuning.space.schedules import RANGES, SCHEDULES, numbers_of
from tuning.space.space import Space
from tuning.training.problem_model import ProblemModel
from tuning.training.warm import WarmModels, seed_everything, structure


def model_of(space, epochs=3, problem="digits_mlp"):
    return ProblemModel(space.in_steps(20), problem, train_samples=64, epochs=epochs)


def settings_at(space, share):
    hp = space.hyperparameters()
    hp.values.update({axis.name: axis.prob_to_value(share) for axis in hp.space})
    return hp


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_other_numbers_of_a_schedule_are_no_other_structure_and_the_line_is_the_optimizer(schedule):
    momentum = "beta_1" if schedule == "onecycle" else None
    space = Space.of("adam", dict.fromkeys(numbers_of(schedule, momentum)), {"epsilon": 1e-5}, schedule)
    assert {name: space.get_config()["axes"][name]["low"] for name in SCHEDULES[schedule]} == {
        name: RANGES[name][0] for name in SCHEDULES[schedule]
    }
    made, found = model_of(space), []
    for share in (0.25, 0.75):
        hp = settings_at(space, share)
        optimizer = made.build(hp).optimizer
        line = python_line({"space": space.in_steps(20).get_config()}, hp.values, 3)
        copied = eval(line, {"keras_optims": keras_optims})
        assert {**copied.get_config(), "name": None} == {**optimizer.get_config(), "name": None}
        seed_everything(0)  # the names of layers begin anew, as in a trial
        found.append(structure(made.build(hp)))
    assert found[0] == found[1] is not None


def test_the_schedule_is_of_the_whole_training_of_each_trial():
    space = Space.of("momentum", {"warmup": None}, {"final": 0.5}, "cosine")
    made = model_of(space, epochs=3)
    hp = settings_at(space, 0.5)
    rate, warmup = hp.values["learning_rate"], hp.values["warmup"]
    expected = repr(schedules.Cosine(rate, 60, warmup, 0.5))
    assert repr(made.build(hp).optimizer.schedules["learning_rate"]) == expected
    assert repr(pickle.loads(pickle.dumps(made)).build(hp).optimizer.schedules["learning_rate"]) == expected
    hp.values["tuner/epochs"] = 9  # as Hyperband says it
    assert repr(made.build(hp).optimizer.schedules["learning_rate"]) == repr(schedules.Cosine(rate, 180, warmup, 0.5))


def test_one_cycle_takes_the_momentum_along():
    def line(optimizer, search=None, fix=None):
        space = Space.of(optimizer, search, fix, "onecycle").in_steps(10)
        values = settings_at(space, 0.5).values
        return space, values, made(space.setting(values, 2).arguments)

    space, values, settings = line("adam", {"warmup": None})
    assert repr(settings["beta_1"]) == repr(schedules.OneCycleMomentum(values["beta_1"], 20, values["warmup"], 0.9))
    _, values, settings = line("momentum", {"low": (0.5, 0.9)})
    assert repr(settings["momentum"]) == repr(schedules.OneCycleMomentum(values["momentum"], 20, 0.3, values["low"]))
    space, _, settings = line("momentum", fix={"momentum": 0.95})
    assert repr(settings["momentum"]) == repr(schedules.OneCycleMomentum(0.95, 20))
    space, _, settings = line("gradient_descent")
    assert list(settings) == ["learning_rate"]
    assert "low" not in space.parts["gradient_descent"].schedule.fixed


def test_what_is_neither_searched_nor_fixed_follows_the_schedule_at_its_default():
    space = Space.of("prodigy", {"warmup": None, "beta_1": None}, schedule="linear").in_steps(10)
    settings = made(space.setting(settings_at(space, 0.5).values, 1).arguments)
    assert settings["learning_rate"].get_config()["peak"] == keras_optims.Prodigy.hyperparameters()["learning_rate"].default


@pytest.fixture
def taken(monkeypatch):
    """The models that trials have trained, one for each."""
    trained, take = [], WarmModels.take
    monkeypatch.setattr(WarmModels, "take", lambda self, fresh: trained.append(take(self, fresh)) or trained[-1])
    return trained


def test_a_search_over_the_warm_up_keeps_one_compiled_model_and_its_lines_reproduce_it(command, tiny, taken, tmp_path, capsys):
    arguments = (
        "tune",
        "adam",
        "--problem",
        tiny,
        "--directory",
        "out",
        "--jit",
        JIT,
        "--batch-trials",
        1,
        "--schedule",
        "cosine",
    )
    arguments += ("--search", "warmup=0:0.5", "--search", "final", "--fix", "beta_2=0.95", "--json")
    status, stdout, stderr = command(*arguments, "--trials", 4)
    assert status == 0, stderr
    result = load(stdout)
    assert len(taken) == 4
    assert len(set(map(id, taken))) == 1  # all but the first are warm
    axes = {"learning_rate", "beta_1", "warmup", "final"}
    assert all(set(trial["hyperparameters"]) == axes for trial in result["trials"])
    best = result["best"]
    assert best["line"].startswith("keras_optims.Adam(learning_rate=keras_optims.schedules.Cosine(")
    assert "steps=8, warmup=" in best["line"]  # 2 epochs of 4 batches
    assert best["line"] in stderr
    kept = json.loads((tmp_path / "out" / "best.json").read_text())
    assert kept["schedule"] == {"name": "cosine", "fixed": {}, "momentum": None, "defaults": {}, "steps_per_epoch": 4}
    with sqlite3.connect(tmp_path / "out" / "search.sqlite") as plain:
        rows = plain.execute("SELECT hyperparameters FROM trials").fetchall()
    plain.close()
    assert all(set(json.loads(row)) == axes for (row,) in rows)
    found = SearchResult.load(tmp_path / "out")
    assert ("schedule", "cosine, 4 steps an epoch") in plan_of_report(found.config)
    exec(snippet(found, found.best), {})
    assert float(capsys.readouterr().out) == found.best.score
    assert command("show", "out")[1].count("keras_optims.schedules.Cosine(") == 1
    status, _, stderr = command(*arguments, "--trials", 5)
    assert status == 0, stderr
    assert len(SearchResult.load(tmp_path / "out").trials) == 5
    status, _, stderr = command(*arguments, "--trials", 5, "--schedule", "linear")
    assert status == 2
    assert "is another one: it differs in space" in one_sentence(stderr)


@pytest.mark.slow
@pytest.mark.backend("tensorflow")
def test_hyperbands_trials_are_warm_whatever_their_epochs(tiny, taken):
    made = {"trials": 6, "epochs": 3, "oracle": "hyperband", "directory": "out", "jit": "off", "progress": False}
    result = tuning.search("momentum", tiny, schedule="onecycle", search={"low": (0.5, 1.0)}, **made)
    assert len({trial.epochs for trial in result.trials}) > 1
    assert len(set(map(id, taken))) == 1
    for trial in result.trials:
        assert trial.line.count(f"steps={4 * trial.epochs}") == 2


@pytest.mark.slow
@pytest.mark.backend("tensorflow")
def test_a_comparison_gives_each_optimizer_its_schedule(tiny):
    made = {"trials": 1, "epochs": 1, "confirmations": 1, "directory": "out", "progress": False, "jit": "off"}
    result = tuning.compare(
        ["gradient_descent", "ftrl"], tiny, schedule="wsd", search={"decay": None}, fix={"final": 0.1}, **made
    )
    for entry in result.optimizers:
        assert "keras_optims.schedules.WarmupStableDecay(" in json.dumps(entry)
    with pytest.raises(tuning.SearchError, match=r"differs in schedule \(\"wsd\" there, \"linear\" now\)"):
        tuning.compare(["gradient_descent", "ftrl"], tiny, schedule="linear", fix={"final": 0.1}, search={}, **made)


REFUSED = {
    "--search warmup=0:0.2": "without --schedule; it is a number of the schedules constant, cosine, linear, wsd, onecycle",
    "--schedule cosine --search decay": "decay cannot be searched with --schedule cosine; it is a number of the schedules wsd",
    "--schedule cosine --fix decay=0.2": "decay cannot be fixed with --schedule cosine; it is a number of the schedules wsd",
    "--schedule cosine --search warmup=0:1": "warmup must be a number in [0, 1); received 1.0.",
    "--schedule cosine --fix warmup=much": "warmup must be a number in [0, 1); received 'much'.",
    "--schedule cosine --search warmup=0:0.2:log": "A log search range needs LOW > 0",
    "--schedule cosine --search warmup --fix warmup=0.1": "either searched or fixed, not both; received both for warmup.",
    "--schedule wsd --search warmup=0:0.5 --search decay=0.1:0.6": "warmup and decay must be no more than 1 together",
    "--schedule wsd --search warmup=0.1,0.9,0.2 --fix decay=0.5": "warmup and decay must be no more than 1 together",
}


@pytest.mark.parametrize("arguments", REFUSED)
def test_a_wrong_schedule_is_refused_with_a_sentence(arguments, command):
    status, _, stderr = command("tune", "adam", *arguments.split())
    assert status == 2
    assert REFUSED[arguments] in one_sentence(stderr)


def test_a_schedule_that_an_optimizer_cannot_follow_is_refused():
    with pytest.raises(
        tuning.SearchError, match=r"Ftrl cannot follow the schedule cosine there: learning_rate .* which reaches 0"
    ):
        Space.of("ftrl", schedule="cosine")
    with pytest.raises(tuning.SearchError, match="low is of the momentum, which SGD does not have on"):
        Space.of("sgd", {"low": None}, {"momentum": 0}, schedule="onecycle")
    with pytest.raises(
        tuning.SearchError, match="schedule must be one of constant, cosine, linear, wsd, onecycle; received 'sine'"
    ):
        Space.of("adam", schedule="sine")

    class Own(keras_optims.Momentum):
        final = keras_optims.Hyperparameter(0.5, symbol="f", domain=keras_optims.Interval(0, 1))

    with pytest.raises(tuning.SearchError, match="Own has final of its own, and so has the schedule cosine"):
        Space.of(Own, schedule="cosine")


def test_a_space_without_a_schedule_is_described_as_it_always_was():
    assert set(Space.of("adam").get_config()) == {"optimizer", "call", "axes", "fixed"}
    assert isinstance(Space.of("adam").hyperparameters(), keras_tuner.HyperParameters)
