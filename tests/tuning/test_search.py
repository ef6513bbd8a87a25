"""A search from the outside, through the command in this process: results, reproducibility, divergence, failures, wrong use."""

import json
import os
import pathlib
import sqlite3
import sys

import keras
import keras_tuner
import numpy as np
import pytest

import keras_optims
import tuning
import tuning.training.epochs
from tests.tuning.conftest import JIT, load, one_sentence, without_times
from tuning import SearchError
from tuning.results.search import SearchResult


def tune(command, *arguments, problem="tiny_problem:make_problem", status=0, directory="out", jit=JIT):
    where = ("--problem", problem, "--directory", directory)
    got, stdout, stderr = command("tune", *arguments, *where, "--jit", jit, "--json")
    assert got == status, stderr
    return load(stdout), stderr


def test_a_search_finds_keeps_and_says_the_best(command, tiny, tmp_path):
    result, stderr = tune(command, "adam", "--trials", 3)
    assert [trial["state"] for trial in result["trials"]] == ["completed"] * 3
    best = result["best"]
    assert best["score"] == max(trial["score"] for trial in result["trials"])
    assert set(best["hyperparameters"]) == {"learning_rate", "beta_1", "beta_2"}
    assert len(best["curves"][0]["val_accuracy"]) == best["epochs"] == 2
    assert best["score"] == max(best["curves"][0]["val_accuracy"])
    assert best["line"] in stderr
    made = eval(best["line"], {"keras_optims": keras_optims})
    assert {name: made.get_config()[name] for name in best["hyperparameters"]} == best["hyperparameters"]
    kept = json.loads((tmp_path / "out" / "best.json").read_text())
    assert kept["settings"] == best["hyperparameters"]
    assert kept["line"] == best["line"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.suffix != ".lock") == [
        "best.json",
        "search.sqlite",
        f"trial-{best['number']}.keras",
    ]
    assert f"(best.json, search.sqlite, trial-{best['number']}.keras)" in stderr
    with sqlite3.connect(tmp_path / "out" / "search.sqlite") as plain:
        assert plain.execute("SELECT count(*) FROM epochs WHERE metric = 'val_loss'").fetchone() == (6,)
    plain.close()


def chosen(directory):
    """How epochs were compiled; torch has but one way, and nothing to choose."""
    with tuning.Store.open(directory, read_only=True) as store:
        return store.choices().get("way", {"value": None})


@pytest.mark.backend("tensorflow")
def test_the_line_reproduces_the_result(command, tiny):
    result, _ = tune(command, "momentum", "--trials", 2, "--fix", "nesterov=true")
    best = result["best"]
    optimizer = eval(best["line"], {"keras_optims": keras_optims})
    way = chosen("out")["value"]
    model = tuning.train(tiny, optimizer, seed=best["seeds"][0], epochs=2, way=way)
    assert model.history.history == best["curves"][0]
    assert "nesterov=True" in best["line"]
    with pytest.raises(SearchError, match="way must be one of"):
        tuning.train(tiny, optimizer, seed=1, way="fast")


@pytest.mark.backend("tensorflow")
@pytest.mark.parametrize(
    "oracle",
    [
        "hyperband",
        pytest.param("asha", marks=pytest.mark.slow),
        pytest.param("random", marks=pytest.mark.slow),
        pytest.param("quasirandom", marks=pytest.mark.slow),
        pytest.param("grid", marks=pytest.mark.slow),
        pytest.param("bayesian", marks=pytest.mark.slow),
        pytest.param("optuna", marks=pytest.mark.slow),
    ],
)
def test_every_oracle_searches(oracle, command, tiny):
    arguments = ("gradient_descent", "--oracle", oracle, "--search", "learning_rate=0.001:1")
    result, _ = tune(command, *arguments, "--trials", 5, "--epochs", 3, "--seed", 0)
    tried = 4 if oracle == "grid" else 5  # of its 4 points one is the default, and with 5 there would be no place for that
    assert len(result["trials"]) == tried
    settings = {json.dumps(trial["hyperparameters"]) for trial in result["trials"]}
    assert len(settings) >= (3 if oracle in ("hyperband", "asha") else tried)
    for trial in result["trials"]:
        assert len(trial["curves"][0]["loss"]) == trial["epochs"]
    if oracle == "hyperband":
        assert result["best"]["epochs"] == 3
        assert {trial["epochs"] for trial in result["trials"]} == {1, 3}
        promoted = next(trial for trial in result["trials"][1:] if trial["epochs"] == 3)  # the first one has the defaults
        root = next(trial for trial in result["trials"] if trial["hyperparameters"] == promoted["hyperparameters"])
        assert (root["epochs"], promoted["seeds"]) == (1, root["seeds"])
        optimizer = eval(promoted["line"], {"keras_optims": keras_optims})
        alone = tuning.train(tiny, optimizer, seed=promoted["seeds"][0], epochs=3, way=SearchResult.load("out").way)
        assert alone.history.history == promoted["curves"][0]


@pytest.mark.backend("tensorflow")
@pytest.mark.slow
def test_one_sweep_of_hyperband_is_its_default_and_trains_what_it_says(command, tiny):
    result, _ = tune(command, "adam", "--oracle", "hyperband", "--epochs", 3)
    # Brackets of Hyperband with R=3 and factor 3, of the size that KerasTuner gives them: 3 for 1 epoch and 1 for 3; 2 for 3.
    # Before them the declared defaults, for all epochs.
    assert sorted(trial["epochs"] for trial in result["trials"]) == [1, 1, 1, 3, 3, 3, 3]
    for trial in result["trials"]:
        assert len(trial["curves"][0]["val_loss"]) == trial["epochs"]
    first = [trial for trial in result["trials"] if trial["epochs"] == 1]
    promoted = max(first, key=lambda trial: trial["score"])["hyperparameters"]
    assert promoted in [trial["hyperparameters"] for trial in result["trials"] if trial["epochs"] == 3]


def test_the_same_seed_gives_the_same_trials_and_another_one_others(command, tiny):
    first, _ = tune(command, "adam", "--trials", 1, "--seed", 0, "--no-defaults-first", directory="a")
    again, _ = tune(command, "adam", "--trials", 1, "--seed", 0, "--no-defaults-first", directory="b")
    other, _ = tune(command, "adam", "--trials", 1, "--seed", 1, "--no-defaults-first", directory="c")
    assert without_times(first) == without_times(again)
    assert first["trials"][0]["hyperparameters"] != other["trials"][0]["hyperparameters"]
    assert first["trials"][0]["curves"] != other["trials"][0]["curves"]


def test_a_trial_alone_in_a_fresh_process_gives_the_same_numbers(command, tiny, tmp_path, forks):
    result, _ = tune(command, "adam", "--trials", 2, "--repeats", 2)
    trial = result["trials"][1]
    way = SearchResult.load("out").way
    code = f"""
import json, keras_optims, tuning
model = tuning.train({tiny!r}, {trial["line"]}, seed={trial["seeds"][1]}, epochs=2, way={way!r})
print(json.dumps(model.history.history))
"""
    (tmp_path / "alone.py").write_text(code)
    returncode, output = forks.run(tmp_path, "alone.py")
    assert returncode == 0, output
    assert json.loads(output.splitlines()[-1]) == trial["curves"][1]


@pytest.mark.backend("tensorflow", "jax")
def test_the_first_trial_measures_how_epochs_are_compiled_and_all_do_the_same(command, tiny):
    result, stderr = tune(command, "adam", "--trials", 1, jit="measure")
    way, candidates = chosen("out")["value"], tuning.training.epochs.ways()
    assert way in candidates
    assert set(chosen("out")["seconds_per_step"]) == set(candidates)
    assert f"epochs are compiled as {way}" in stderr
    trial = result["trials"][0]  # measuring has left no trace in what the trial computed
    optimizer = eval(trial["line"], {"keras_optims": keras_optims})
    model = tuning.train(tiny, optimizer, seed=trial["seeds"][0], epochs=2, way=way)
    assert model.history.history == trial["curves"][0]
    _, stderr = tune(command, "adam", "--trials", 2, jit="measure")
    assert "epochs are compiled as" not in stderr


def test_by_default_nothing_is_measured_and_a_training_alone_does_the_same(command, tiny):
    result, stderr = tune(command, "adam", "--trials", 1, jit="auto")
    assert chosen("out") == {"value": None}
    assert "epochs are compiled as" not in stderr
    trial = result["trials"][0]
    model = tuning.train(tiny, eval(trial["line"], {"keras_optims": keras_optims}), seed=trial["seeds"][0], epochs=2)
    assert model.history.history == trial["curves"][0]
    on_a_cpu = {"tensorflow": "graph", "jax": "scan", "torch": "eager"}[keras.backend.backend()]
    assert tuning.training.epochs.way_of(model) == on_a_cpu  # tests run on a CPU


def test_a_search_whose_way_was_measured_once_goes_on_with_it(command, tiny):
    """As those of earlier versions, for which `auto` meant that."""
    other = tuning.training.epochs.ways()[-1]
    tune(command, "adam", "--trials", 1, jit="auto")
    with tuning.Store.open("out") as store:
        store.set_choice("way", {"value": other, "seconds_per_step": {}})
    result, _ = tune(command, "adam", "--trials", 2, jit="auto")
    trial = result["trials"][1]
    optimizer = eval(trial["line"], {"keras_optims": keras_optims})
    model = tuning.train(tiny, optimizer, seed=trial["seeds"][0], epochs=2, way=other)
    assert model.history.history == trial["curves"][0]


@pytest.mark.slow
def test_with_the_same_threads_any_number_of_workers_computes_the_same(command, tiny, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")  # the option wins over it
    results = []
    for workers in (1, 2):
        where = ("--workers", workers, "--threads-per-worker", 1)
        result, _ = tune(command, "adam", "--trials", 3, *where, jit="auto", directory=f"out{workers}", problem="digits_mlp")
        results.append(without_times(result))
    assert results[0] == results[1]
    assert os.environ["OMP_NUM_THREADS"] == "3"


def test_jit_decides_how_epochs_are_compiled(command, tiny):
    backend = keras.backend.backend()
    for jit, way, refused in (("on", "xla", ["torch"]), ("off", "graph", ["jax"]), ("measure", None, ["torch"])):
        if backend in refused:
            status, _, stderr = command("tune", "adam", "--problem", tiny, "--trials", 1, "--directory", jit, "--jit", jit)
            assert status == 2
            assert f"jit cannot be '{jit}'" in one_sentence(stderr)
        elif backend == "tensorflow" and way is not None:
            tune(command, "adam", "--trials", 1, jit=jit, directory=jit)
            assert SearchResult.load(jit).way == way
            model = tuning.train(tiny, keras_optims.Adam(), seed=0, epochs=1, way=way)
            assert tuning.training.epochs.way_of(model) == way
            assert model.jit_compile == (jit == "on")


@pytest.mark.backend("tensorflow")
def test_repeats_differ_and_all_are_kept(command, tiny):
    result, _ = tune(command, "adam", "--trials", 1, "--repeats", 3)
    for trial in result["trials"]:
        assert len(trial["executions"]) == len(trial["curves"]) == 3
        assert trial["curves"][0] != trial["curves"][1] != trial["curves"][2]
        assert trial["score"] == pytest.approx(np.mean(trial["executions"]))


def test_diverged_trials_are_results_and_never_end_a_search(command, tiny):
    arguments = ("gradient_descent", "--trials", 4, "--epochs", 4, "--search", "learning_rate=1e18:1e30")
    result, stderr = tune(command, *arguments, problem="tiny_problem:make_regression", status=1)
    assert [trial["state"] for trial in result["trials"]] == ["diverged"] * 4
    assert result["best"] is None
    assert "No trial completed (4 diverged)" in stderr
    for trial in result["trials"]:
        assert trial["score"] is None
        assert len(trial["curves"][0]["loss"]) < 4  # it stops at the epoch at which it diverged


@pytest.mark.backend("tensorflow")
@pytest.mark.parametrize(
    "oracle",
    [
        "quasirandom",
        pytest.param("random", marks=pytest.mark.slow),
        pytest.param("grid", marks=pytest.mark.slow),
        pytest.param("hyperband", marks=pytest.mark.slow),
        pytest.param("bayesian", marks=pytest.mark.slow),
        pytest.param("optuna", marks=pytest.mark.slow),
    ],
)
def test_a_search_goes_on_among_diverged_trials(oracle, command, tiny):
    arguments = ("gradient_descent", "--oracle", oracle, "--trials", 6, "--epochs", 2, "--search", "learning_rate=1e-6:1e3")
    result, _ = tune(command, *arguments, problem="tiny_problem:make_regression")
    states = [trial["state"] for trial in result["trials"]]
    assert len(states) == 6
    assert states.count("diverged") >= 1
    assert states.count("completed") >= 1


@pytest.mark.backend("tensorflow")
def test_failed_trials_are_recorded_with_their_message(command, tiny):
    result, _ = tune(command, "adam", "--trials", 4, problem="tiny_problem:make_sometimes_failing")
    assert [trial["state"] for trial in result["trials"]] == ["failed", "completed", "failed", "completed"]
    assert result["trials"][2]["message"] == "RuntimeError: failure number 3"
    _, stdout, _ = command("show", "out")
    assert "trial 2 failed: RuntimeError: failure number 3" in stdout


@pytest.mark.backend("tensorflow")
def test_if_the_first_trials_all_fail_alike_the_search_stops_and_says_why(command, tiny):
    status, _, stderr = command("tune", "adam", "--trials", 50, "--problem", "tiny_problem:make_failing", "--directory", "out")
    assert status == 1
    assert "All 3 trials" in one_sentence(stderr)
    assert "the model of make_failing cannot be built" in one_sentence(stderr)
    with sqlite3.connect("out/search.sqlite") as plain:
        assert "line" in plain.execute("SELECT traceback FROM trials").fetchone()[0]
    plain.close()


@pytest.mark.backend("tensorflow")
def test_more_trials_extend_a_search_and_finished_ones_are_not_repeated(command, tiny):
    first, _ = tune(command, "adam", "--trials", 1)
    longer, stderr = tune(command, "adam", "--trials", 2)
    assert longer["trials"][:1] == first["trials"]
    assert "resumed: 1 trial is finished already" in stderr
    whole, _ = tune(command, "adam", "--trials", 2, directory="other")
    assert without_times(whole) == without_times(longer)
    again, _ = tune(command, "adam", "--trials", 2)
    assert again["trials"] == longer["trials"]
    fewer, _ = tune(command, "adam", "--trials", 1)
    assert fewer["trials"] == longer["trials"]


@pytest.mark.slow
def test_a_larger_budget_does_not_change_a_grid(command, tiny):
    tune(command, "momentum", "--oracle", "grid", "--trials", 4, "--no-defaults-first")
    result, _ = tune(command, "momentum", "--oracle", "grid", "--trials", 9)
    assert len(result["trials"]) == 4


@pytest.mark.backend("tensorflow")
def test_another_search_in_the_same_directory_is_an_error(command, tiny):
    tune(command, "adam", "--trials", 1)
    for changed, words in (
        (("adam", "--seed", 1), ["seed (0 there, 1 now)"]),
        (("adam", "--epochs", 1), ["epochs (2 there, 1 now)"]),
        (("rmsprop",), ["optimizer", "adam", "rmsprop"]),
        (("adam", "--oracle", "random"), ["oracle", "quasirandom", "random"]),
        (("adam", "--search", "beta_1=0.5:0.6"), ["space"]),
        (("adam", "--train-samples", 32), ["train_samples"]),
        (("adam", "--repeats", 2), ["repeats"]),
    ):
        status, stdout, stderr = command("tune", *changed, "--trials", 1, "--problem", tiny, "--directory", "out", "--json")
        assert (status, stdout) == (2, "")
        for word in [*words, "--fresh", "--directory"]:
            assert word in one_sentence(stderr)
    result, _ = tune(command, "rmsprop", "--trials", 1, "--fresh")
    assert result["best"]["line"].startswith("keras_optims.RMSprop(")


@pytest.mark.backend("tensorflow")
def test_a_damaged_search_can_be_started_over(command, tiny, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "search.sqlite").write_bytes(b"garbage" * 1000)
    status, _, stderr = command("tune", "adam", "--trials", 1, "--problem", tiny, "--directory", "out")
    assert status == 2
    assert "--fresh" in one_sentence(stderr)
    result, _ = tune(command, "adam", "--trials", 1, "--fresh")
    assert result["counts"]["completed"] == 1


@pytest.mark.backend("tensorflow")
def test_max_minutes_begins_no_trial_after_it(command, tiny):
    result, _ = tune(command, "adam", "--trials", 5000, "--max-minutes", 0.005, "--batch-trials", 1)
    assert 1 <= len(result["trials"]) < 1000
    more, _ = tune(command, "adam", "--trials", len(result["trials"]) + 1, "--batch-trials", 1)
    assert more["trials"][:-1] == result["trials"]


@pytest.mark.backend("tensorflow")
def test_train_samples_limits_the_data(command, tiny):
    status, _, stderr = command("tune", "adam", "--trials", 1, "--problem", tiny, "--train-samples", 65, "--directory", "out")
    assert status == 2
    assert "1 to 64" in one_sentence(stderr)


# -- show, optimizers, problems -------------------------------------------------------------------


@pytest.mark.backend("tensorflow")
def test_show(command, tiny):
    result, _ = tune(command, "adam", "--trials", 2)
    status, stdout, _ = command("show", "out", "--json")
    assert status == 0
    assert load(stdout)["trials"] == result["trials"]
    status, stdout, _ = command("show", "out")
    assert result["best"]["line"] in stdout
    assert "β₁ beta_1" in stdout
    assert "2 of 2 trials (2 completed, 0 diverged, 0 failed, 0 running)" in stdout


@pytest.mark.backend("tensorflow")
def test_problems_are_listed_one_line_each(command):
    status, stdout, _ = command("problems")
    assert status == 0
    assert [line.split()[0] for line in stdout.splitlines()] == list(tuning.problems.PROBLEMS)
    status, stdout, _ = command("problems", "--json")
    assert status == 0
    assert list(load(stdout)) == list(tuning.problems.PROBLEMS)


@pytest.mark.backend("tensorflow")
def test_optimizers_are_listed_by_family(command):
    status, stdout, _ = command("optimizers")
    assert status == 0
    found = {}
    for block in stdout.split("\n\n"):
        heading, *lines = block.splitlines()
        found[heading.lower()] = [line.split()[0] for line in lines]
    assert found == {family: list(members) for family, members in keras_optims.FAMILIES.items()}
    status, stdout, _ = command("optimizers", "--json")
    assert status == 0
    listed = load(stdout)
    assert list(listed) == list(keras_optims.OPTIMIZERS)
    assert listed["lion"]["family"] == "sign"


# -- wrong use ------------------------------------------------------------------------------------


@pytest.mark.backend("tensorflow")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ["COMMAND"]),
        (("tune",), ["OPTIMIZER"]),
        (("fly",), ["fly"]),
        (("tune", "adamant"), ["adam", "'adamant'"]),
        (("tune", "adam", "--oracle", "psychic"), ["quasirandom", "optuna", "psychic"]),
        (("tune", "adam", "--engine", "cluster"), ["local", "ray", "cluster"]),
        (("tune", "adam", "--jit", "maybe"), ["auto", "measure", "maybe"]),
        (("tune", "adam", "--threads-per-worker", "0"), ["--threads-per-worker", "at least 1", "'0'"]),
        (("tune", "adam", "--batch-trials", "few"), ["auto", "'few'"]),
        (("tune", "adam", "--batch-trials", "2", "--workers", "2"), ["batch_trials=2", "workers=2"]),
        (("tune", "adam", "--trials", "0"), ["--trials", "at least 1", "'0'"]),
        (("tune", "adam", "--trials", "many"), ["--trials", "at least 1", "'many'"]),
        (("tune", "adam", "--epochs", "-1"), ["--epochs", "'-1'"]),
        (("tune", "adam", "--seed", "-1"), ["--seed", "at least 0"]),
        (("tune", "adam", "--max-minutes", "nan"), ["--max-minutes", "'nan'"]),
        (("tune", "adam", "--problem", "mnist"), ["digits_mlp", "'mnist'"]),
        (("tune", "adam", "--problem", "nowhere:make"), ["no module nowhere"]),
        (("tune", "adam", "--search", "gamma=0:1"), ["gamma", "beta_1"]),
        (("tune", "adam", "--search", "="), ["NAME"]),
        (("tune", "adam", "--search", "beta_1=0.5:2"), ["beta_1"]),
        (("tune", "adam", "--search", "epsilon", "--search", "epsilon"), ["--search", "epsilon", "twice"]),
        (("tune", "adam", "--fix", "beta_1=1"), ["beta_1", "[0, 1)"]),
        (("tune", "adam", "--fix", "beta_1"), ["NAME=VALUE"]),
        (("tune", "adam", "--fix", "amsgrad=7"), ["amsgrad", "7"]),
        (("tune", "adam", "--problem", "mnist_mlp", "--data-dir", "nowhere"), ["--data-dir", "nowhere"]),
        (("tune", "adam", "--directory", "file/search"), ["file"]),
        (("show", "nowhere"), ["no search", "nowhere"]),
    ],
)
def test_wrong_use_is_one_clear_sentence_and_status_2(arguments, words, command, tmp_path):
    (tmp_path / "file").touch()
    status, stdout, stderr = command(*arguments)
    assert (status, stdout) == (2, "")
    message = one_sentence(stderr)
    for word in words:
        assert word in message
    assert not (tmp_path / "results").exists()


@pytest.mark.backend("tensorflow")
def test_a_missing_package_names_the_extra(command, monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_tuner", None)
    for name in [
        name
        for name in sys.modules
        if name in ("tuning.oracles", "tuning.space.space", "tuning.study.tuner", "tuning.training.problem_model")
    ]:
        monkeypatch.delitem(sys.modules, name)
    status, _, stderr = command("tune", "adam")
    assert status == 2
    assert "pip install 'keras-optims[tuning]'" in one_sentence(stderr)


# -- from Python ----------------------------------------------------------------------------------


def test_search_from_python(tiny):
    result = tuning.search(
        keras_optims.RMSprop, tiny, trials=2, search={"learning_rate": (1e-3, 1e-2)}, fix={"rho": 0.8}, progress=False
    )
    assert isinstance(result, SearchResult)
    assert result.best.score == max(trial.score for trial in result.trials)
    assert result.directory == pathlib.Path("results/rmsprop-tiny")
    assert "rho=0.8" in result.best.line
    assert result.to_dataframe().shape == (2, 8)


@pytest.mark.backend("tensorflow")
def test_search_takes_a_problem_object(tiny, capsys):
    problem = tuning.problems.make_problem(tiny)
    result = tuning.search("adagrad", problem, trials=1, directory="mine", progress=False)
    assert result.config["problem"] == "tiny"
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


@pytest.mark.backend("tensorflow")
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"trials": 0}, ["trials", "0"]),
        ({"trials": 2.5}, ["trials", "2.5"]),
        ({"seed": -1}, ["seed", "-1"]),
        ({"seed": "0"}, ["seed", "'0'"]),
        ({"repeats": True}, ["repeats", "True"]),
        ({"max_minutes": 0}, ["max_minutes"]),
        ({"oracle": "x"}, ["quasirandom", "'x'"]),
        ({"sampler": "tpe"}, ["optuna and asha only", "quasirandom"]),
        ({"oracle": "optuna", "sampler": 3}, ["tpe, cmaes", "3"]),
        ({"pruner": "x"}, ["none, median, halving", "'x'"]),
        ({"engine": "cluster"}, ["local"]),
        ({"problem": 3}, ["digits_mlp", "3"]),
        ({"optimizer": keras.layers.Dense}, ["subclass of keras.optimizers.Optimizer"]),
    ],
)
def test_wrong_arguments_from_python(changes, words):
    with pytest.raises(SearchError) as raised:
        tuning.search(**{"optimizer": "adam", "problem": "digits_mlp", **changes})
    for word in words:
        assert word in str(raised.value)


# -- the tuner with a HyperModel of one's own ------------------------------------------------------


def own_model(hp):
    space = tuning.Space.of("adam", fix={"beta_2": 0.99})
    space.declare(hp)
    units = hp.Int("units", 4, 16)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units, activation="relu"), keras.layers.Dense(1)])
    model.compile(space.build(hp.values), "mse")
    return model


def own_data():
    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    return x, x.sum(axis=1)


def own_tuner(directory, hypermodel=own_model, trials=3, oracle=keras_tuner.oracles.RandomSearchOracle, **kwargs):
    return tuning.Tuner(
        oracle(objective=keras_tuner.Objective("val_loss", "min"), max_trials=trials, seed=5),
        hypermodel,
        directory=str(directory),
        project_name="own",
        **kwargs,
    )


@pytest.mark.backend("tensorflow")
@pytest.mark.parametrize(
    "oracle",
    [
        keras_tuner.oracles.GridSearchOracle,
        pytest.param(keras_tuner.oracles.RandomSearchOracle, marks=pytest.mark.slow),
        pytest.param(keras_tuner.oracles.BayesianOptimizationOracle, marks=pytest.mark.slow),
    ],
)
def test_the_tuner_takes_ones_own_model_and_oracle(tmp_path, oracle):
    x, y = own_data()
    tuner = own_tuner(tmp_path, oracle=oracle, executions_per_trial=2)
    tuner.search(x, y, epochs=2, validation_split=0.25, batch_size=16)
    best = tuner.get_best_hyperparameters()[0]
    assert set(best.values) == {"learning_rate", "beta_1", "units"}
    result = SearchResult.load(tmp_path / "own")
    assert len(result.trials) == 3
    assert result.trials[0].epochs == 2
    assert [path.name for path in (tmp_path / "own").iterdir() if path.is_dir() or path.suffix == ".json"] == []
    resumed = own_tuner(tmp_path, oracle=oracle, executions_per_trial=2, trials=4)
    assert resumed.get_best_hyperparameters()[0].values == best.values
    resumed.search(x, y, epochs=2, validation_split=0.25, batch_size=16)
    assert len(SearchResult.load(tmp_path / "own").trials) == 4
    assert resumed.get_best_models()[0].count_params() > 0


@pytest.mark.backend("tensorflow")
def test_fit_of_a_hypermodel_may_return_numbers_and_dicts(tmp_path):
    class Own(keras_tuner.HyperModel):
        def __init__(self, returns):
            super().__init__()
            self.returns = returns

        def build(self, hp):
            return own_model(hp)

        def fit(self, hp, model, *args, **kwargs):
            return self.returns

    tuner = own_tuner(tmp_path / "number", Own(0.25))
    tuner.search()
    assert SearchResult.load(tmp_path / "number" / "own").trials[0].score == 0.25
    own_tuner(tmp_path / "dict", Own({"val_loss": 0.5, "other": 1})).search()
    assert SearchResult.load(tmp_path / "dict" / "own").trials[2].score == 0.5
    own_tuner(tmp_path / "nan", Own(float("nan")), trials=5).search()
    assert SearchResult.load(tmp_path / "nan" / "own").count("diverged") == 5
    with pytest.raises(SearchError, match="History, a number, or a dict with 'val_loss'"):
        own_tuner(tmp_path / "none", Own(None)).search()


@pytest.mark.backend("tensorflow")
def test_run_trial_may_be_overridden(tmp_path):
    class Black(tuning.Tuner):
        def run_trial(self, trial, *args, **kwargs):
            x = trial.hyperparameters.Float("x", -1.0, 1.0)
            return x * x

    oracle = keras_tuner.oracles.RandomSearchOracle(objective=keras_tuner.Objective("y", "min"), max_trials=5, seed=1)
    tuner = Black(oracle, directory=str(tmp_path), project_name="black")
    tuner.search()
    trials = SearchResult.load(tmp_path / "black").trials
    assert len(trials) == 5
    assert min(trial.score for trial in trials) == pytest.approx(tuner.get_best_hyperparameters()[0]["x"] ** 2)


@pytest.mark.backend("tensorflow")
def test_callbacks_are_called_and_copied_for_every_execution(tmp_path):
    class Count(keras.callbacks.Callback):
        epochs = 0
        seen = []  # noqa: RUF012

        def on_epoch_end(self, epoch, logs=None):
            self.epochs += 1
            self.seen.append(self.epochs)

    x, y = own_data()
    own_tuner(tmp_path, trials=2).search(x, y, epochs=2, validation_split=0.25, callbacks=[Count()])
    assert Count.seen == [1, 2, 1, 2]


@pytest.mark.backend("tensorflow")
def test_overwrite_starts_over(tmp_path):
    x, y = own_data()
    for overwrite in (False, True):
        own_tuner(tmp_path, trials=1, overwrite=overwrite).search(x, y, epochs=1, validation_split=0.25)
    assert SearchResult.load(tmp_path / "own").count("completed") == 1
