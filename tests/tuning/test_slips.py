"""Slips on the command line, trials that failed by a bug, and terminals that have no Greek."""

import io
import json
import os
import sqlite3
import sys

import keras
import keras_tuner
import pytest

import tuning
from scripts import list_optimizers
from tests.tuning.conftest import JIT, one_sentence
from tests.tuning.hand_made import AXES, CONFIG, make_search
from tuning.errors import missing_packages_explained, one_line
from tuning.space import catalogue


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["tunee"], "tune"),
        (["tune", "sgdd"], "sgd"),
        (["tune", "Adam"], "adam"),
        (["compare", "adam", "momentun"], "momentum"),
        (["tune", "adam", "--problem", "digits"], "digits_mlp"),
        (["tune", "adam", "--search", "lr=0.1:1"], "learning_rate"),
        (["tune", "adam", "--fix", "amsgard=true"], "amsgrad"),
        (["tune", "adam", "--oracle", "quasirandm"], "quasirandom"),
        (["tune", "adam", "--search", "unit"], "units"),
        (["tune", "adam", "--search", "batchsize=8,16"], "batch_size"),
        (["tune", "adam", "--schedule", "cosine", "--search", "wamup"], "warmup"),
        (["tune", "adam,momentum", "--search", "adam.bta_2"], "adam.beta_2"),
        (["tune", "adam,momentum", "--search", "adma.beta_2"], "adam.beta_2"),
        (["compare", "adam", "--fix", "problem.activatoin=relu"], "problem.activation"),
        (["compare", "adam", "keras:Adm"], "keras:adam"),
        (["tune", "adam", "--trails", "3"], "--trials"),
        (["tune", "adam", "--trails=3"], "--trials"),
    ],
)
def test_a_misspelled_name_is_answered_with_what_was_meant(arguments, meant, command):
    status, stdout, stderr = command(*arguments)
    assert (status, stdout) == (2, "")
    assert one_sentence(stderr).endswith(f"Did you mean {meant}?")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["tune", "adam", "--keep-models", "-1"], "--keep-models must be an int of at least 0; received '-1'."),
        (["tune", "adam", "momentum"], "`keras-optims tune` takes no 'momentum', see `keras-optims tune --help`."),
        (["train", "somewhere"], "the following arguments are required: --output; see `keras-optims train --help`."),
        (["export", "somewhere", "--to", "cvs"], "'csv', 'json', 'optuna', 'tensorboard', 'mlflow'"),
        ([], "the following arguments are required: COMMAND; see `keras-optims --help`."),
    ],
)
def test_a_wrong_use_is_one_sentence_without_the_whole_usage(arguments, words, command):
    status, stdout, stderr = command(*arguments)
    assert (status, stdout) == (2, "")
    assert words in one_sentence(stderr)
    assert len(stderr.splitlines()) == 1


def test_the_catalogue_is_what_the_optimizers_declare():
    written = catalogue.FILE.read_text(encoding="utf-8")
    assert json.loads(written) == json.loads(list_optimizers.content()), "run python scripts/list_optimizers.py"


def test_a_missing_backend_names_those_that_are_there(monkeypatch):
    monkeypatch.setattr("tuning.errors._is_installed", lambda package: package == "torch")
    with pytest.raises(tuning.SearchError, match="--backend torch, or KERAS_BACKEND=torch"), missing_packages_explained():
        raise ModuleNotFoundError("No module named 'tensorflow'", name="tensorflow")


def test_another_backend_than_the_one_that_runs_is_refused(command, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", keras.backend.backend())
    other = next(name for name in ("torch", "jax") if name != keras.backend.backend())
    status, _, stderr = command("tune", "adam", "--backend", other)
    assert status == 2
    assert f"received the backend '{other}'" in one_sentence(stderr)
    assert os.environ["KERAS_BACKEND"] == keras.backend.backend()


@pytest.mark.parametrize("oracle", ["quasirandom", "optuna"])
def test_trials_that_failed_run_once_more(oracle, command, tiny, tmp_path):
    given = ("tune", "adam", "--problem", "tiny_problem:make_problem", "--trials", 3, "--epochs", 1, "--jit", JIT)
    given = (*given, "--oracle", oracle, "--directory", "out")
    source = (tmp_path / "tiny_problem.py").read_text()
    broken = source.replace("def model():", "def model(calls=[]):\n    calls.append(1)\n    assert len(calls) != 2, 'a bug'")
    (tmp_path / "tiny_problem.py").write_text(broken)
    command(*given)
    first = tuning.SearchResult.load("out")
    failed = [trial for trial in first.trials if trial.state == "failed"]
    assert failed
    (tmp_path / "tiny_problem.py").write_text(source)
    sys.modules.pop("tiny_problem")
    command(*given)
    assert [trial.state for trial in tuning.SearchResult.load("out").trials].count("failed") == len(failed)
    sys.modules.pop("tiny_problem")
    status, _, stderr = command(*given, "--retry-failed")
    again = tuning.SearchResult.load("out")
    assert status == 0, stderr
    assert [trial.state for trial in again.trials] == ["completed"] * 3
    assert [trial.hyperparameters for trial in again.trials] == [trial.hyperparameters for trial in first.trials]


def test_an_error_with_a_name_that_is_no_text_can_be_kept():
    assert one_line(OSError("caf\udce9")).encode("utf-8")


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "ascii"])
def test_a_terminal_without_greek_gets_its_text(encoding, monkeypatch, tmp_path):
    from tuning.cli import main

    monkeypatch.chdir(tmp_path)
    for arguments in (["optimizers"], ["optimizers", "--json"]):
        stdout = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        monkeypatch.setattr(sys, "stdout", stdout)
        assert main(arguments) == 0
        stdout.flush()
        printed = stdout.buffer.getvalue().decode(encoding)
        assert "adam" in printed
    assert json.loads(printed)["adam"]["search"]["learning_rate"]["symbol"] == "η"


def test_a_comparison_and_a_search_do_not_hide_each_other(command, tiny, tmp_path):
    given = ("--problem", tiny, "--trials", 1, "--epochs", 1, "--jit", JIT, "--directory")
    (tmp_path / "both").mkdir()
    content = {"optimizers": [{"optimizer": "adam", "directory": "adam"}], "differences": [], "objective": "val_loss"}
    (tmp_path / "both" / "comparison.json").write_text(json.dumps(content))
    status, _, stderr = command("tune", "adam", *given, "both")
    assert status == 2
    assert "holds a comparison" in one_sentence(stderr)
    status, _, stderr = command("export", "both", "--to", "json")
    assert status == 2
    assert "such as both/adam" in one_sentence(stderr)
    assert command("tune", "adam", *given, "search")[0] == 0
    status, _, stderr = command("compare", "adam", "momentum", *given, "search")
    assert status == 2
    assert "holds a search" in one_sentence(stderr)


def test_a_store_whose_json_lacks_a_key_is_damaged(tmp_path, command):
    from tuning.store.database import Store

    with Store.create(tmp_path / "lacking", {"space": {"axes": {}}}, {}) as store:
        store.begin_trial(0, {"learning_rate": 0.1}, 1, {}, {})
    status, _, stderr = command("show", "lacking")
    assert status == 2
    assert "is damaged (KeyError" in one_sentence(stderr)


def test_an_error_with_a_name_that_is_no_text_does_not_end_a_search(tmp_path):
    from tuning.store.database import Store

    with Store.create(tmp_path / "odd", {}, {}) as store:
        store.begin_trial(0, {}, 1, {}, {})
        store.end_trial(0, "failed", None, {}, {}, "caf\udce9", "caf\udce9")
        assert store.rows("trials")[0]["message"] == "caf\\udce9"


@pytest.mark.parametrize(
    "wrong",
    [
        {"objective": 7},
        {"problem": []},
        {"space": "x"},
        {"space": {**CONFIG["space"], "axes": None}},
        {"space": {"axes": {}}},
        *(
            {"space": {**CONFIG["space"], "axes": {"beta_1": {**AXES["beta_1"], **change}}}}
            for change in ({"symbol": None}, {"scale": "x"}, {"low": "x"}, {"high": None}, {"low": True})
        ),
        {"population": "x"},
        {"steps_per_epoch": 2.5},
        {"first": [{"of": "defaults"}]},
        {"first": [{"of": 7, "values": {}}]},
        {"first": [{"of": "defaults", "values": []}]},
        {"warm_start": {"note": 7, "directory": "there"}},
        {"warm_start": {"note": "", "directory": None}},
        {"warm_start": {"note": "", "directory": "", "told": [[7, 0.1]]}},
        {"warm_start": {"note": "", "directory": "", "told": [[{}, "x"]]}},
        {"further": [{"epochs": "x", "at": 3, "continues": [1]}]},
        {"further": [{"epochs": 3, "at": 3, "continues": [None]}]},
    ],
)
def test_a_store_whose_json_has_something_else_is_damaged(wrong, tmp_path, command):
    make_search(tmp_path / "wrong", ("completed",) * 2, config=wrong)
    for arguments in (["show", "wrong"], ["export", "wrong", "--to", "optuna"]):
        status, _, stderr = command(*arguments)
        assert status == 2
        assert "is damaged (" in one_sentence(stderr)


def test_a_listener_that_raises_hears_no_more_and_the_search_goes_on(tmp_path):
    class Broken(tuning.study.ledger.Listener):
        heard = []  # noqa: RUF012

        def trial_began(self, *arguments):
            self.heard.append(arguments)
            raise KeyError("a bug of the listener")

    class Light(tuning.Tuner):
        def run_trial(self, trial):
            return trial.hyperparameters.values["x"]

    oracle = keras_tuner.oracles.RandomSearchOracle(objective=keras_tuner.Objective("loss", "min"), max_trials=3, seed=3)
    given = {"directory": tmp_path, "project_name": "heard", "listener": Broken()}
    tuner = Light(oracle, lambda hp: hp.Float("x", 0.0, 1.0), **given)
    with pytest.warns(RuntimeWarning, match="hears no more of the search, as Broken.trial_began raised KeyError") as warned:
        tuner.search()
    assert len(Broken.heard) == 1
    assert len([each for each in warned if each.category is RuntimeWarning]) == 1
    assert [trial.state for trial in tuning.SearchResult.load(tmp_path / "heard").trials] == ["completed"] * 3


def test_a_failure_is_told_once_and_without_colours(tiny, tmp_path, command):
    (tmp_path / "colourful.py").write_text(
        "import tiny_problem, tuning\n\n\n"
        "def model():\n    raise ValueError('\\x1b[1mshape of\\n  the layer\\x1b[0m')\n\n\n"
        "def make_problem():\n    return tuning.Problem('colourful', tiny_problem.data, model, 'mse')\n"
    )
    given = ("tune", "adam", "--problem", "colourful:make_problem", "--directory", "out")
    status, _, stderr = command(*given, "--trials", 2)
    assert status == 1
    assert "\x1b" not in stderr
    first, second = (line for line in stderr.splitlines() if line.startswith("trial "))
    assert "failed (ValueError: shape of the layer) in" in first
    assert "failed as trial 0 did in" in second
    assert command("show", "out")[1].splitlines()[-1] == "trials 0, 1 failed: ValueError: shape of the layer"
    with sqlite3.connect("out/search.sqlite") as plain:
        assert not any("\x1b" in text for (text,) in plain.execute("SELECT traceback FROM trials"))
    plain.close()
    given = {"problem": "colourful:make_problem", "trials": 1, "directory": "silent"}
    with pytest.warns(UserWarning, match=r"No trial completed \(1 failed\); see silent"):
        tuning.search("adam", progress=False, **given)
