"""`keras-optims train`: the best setting of a search, trained anew."""

import json

import keras
import pytest

import tuning
from tests.tuning.conftest import JIT, load, one_sentence
from tests.tuning.hand_made import make_comparison, make_search


@pytest.fixture
def searched(tiny):
    return tuning.search("adam", tiny, trials=3, epochs=3, repeats=2, jit=JIT, directory="out", progress=False)


def test_it_is_the_best_training_once_more(searched, command):
    best = searched.best
    status, stdout, stderr = command("train", "out", "--output", "model.keras", "--json")
    assert status == 0, stderr
    said = load(stdout)
    at = best.executions.index(max(best.executions))
    assert said["metrics"]["val_accuracy"] == pytest.approx(max(best.executions), abs=1e-6)
    assert (said["seed"], said["best_epoch"], said["epochs"]) == (best.seeds[at], best.best_epochs[at], 3)
    assert (said["line"], said["samples"], said["output"]) == (best.line, 64, "model.keras")
    for word in (best.line, "64 samples", "3 epochs", f"val_accuracy {max(best.executions):.6g}", "model.keras"):
        assert word in stderr
    import tiny_problem

    x, y = tiny_problem.data().validation
    evaluated = keras.saving.load_model("model.keras").evaluate(x, y, verbose=0, return_dict=True)
    assert evaluated["accuracy"] == pytest.approx(max(best.executions), abs=1e-6)


def test_all_data_are_the_training_and_the_validation_data(searched):
    best = searched.best
    trained = tuning.train_best("out", all_data=True)
    assert trained.samples == 96
    assert trained.epochs == round(sum(epoch + 1 for epoch in best.best_epochs) / 2)
    assert set(trained.metrics) == {"loss", "accuracy"}
    assert (trained.best_epoch, trained.model.optimizer.iterations) == (trained.epochs - 1, 6 * trained.epochs)
    assert tuning.train_best("out", all_data=True, epochs=1, seed=5).epochs == 1


def test_the_test_data_are_evaluated_at_the_best_epoch(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tuning.search("adam", "digits_mlp", trials=1, epochs=2, jit=JIT, train_samples=320, directory="out", progress=False)
    trained = tuning.train_best("out")
    made = tuning.problems.make_problem("digits_mlp")
    x, y = made.load(320).test
    assert trained.samples == 320
    assert trained.metrics["test_accuracy"] == pytest.approx(
        trained.model.evaluate(x, y, verbose=0, return_dict=True)["accuracy"]
    )
    assert json.dumps(trained.to_json())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--output", "model.h5"], ["ends in .keras", "'model.h5'"]),
        (["--output", "nowhere/model.keras"], ["there is no folder"]),
        (["--output", "model.keras", "--epochs", "0"], ["at least 1", "'0'"]),
        ([], ["--output"]),
        (["--output", "taken.keras"], ["taken.keras exists and is not a model"]),
        (["--output", "model.keras", "--problem", "nothing"], ["problem must be one of"]),
    ],
)
def test_what_is_wrong_is_one_sentence(arguments, words, tiny, command, tmp_path):
    tuning.search("adam", tiny, trials=1, epochs=1, jit=JIT, directory="out", progress=False)
    (tmp_path / "taken.keras").write_text("somebody's")
    status, stdout, stderr = command("train", "out", *arguments)
    assert (status, stdout) == (2, "")
    message = stderr if arguments in ([], ["--output", "model.keras", "--epochs", "0"]) else one_sentence(stderr)
    for word in words:
        assert word in message


def test_a_folder_that_has_no_best_setting_is_refused(command, tmp_path, tiny):
    make_comparison(tmp_path / "compared")
    make_search(tmp_path / "none", ("diverged",))
    for folder, words in (("compared", "holds a comparison"), ("none", "no completed trial"), ("empty", "no search in empty")):
        status, _, stderr = command("train", folder, "--output", "model.keras")
        assert (status, words in one_sentence(stderr)) == (2, True)
