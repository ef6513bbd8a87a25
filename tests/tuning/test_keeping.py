"""The models that a search keeps: which, at which epoch, as many as asked for, and whole after a kill."""

import io
import os
import zipfile

import keras
import keras_tuner
import numpy as np
import pytest

import keras_optims
import tuning
import tuning.study.ledger
from tests.tuning.conftest import JIT
from tuning import SearchError, SearchResult
from tuning.store.models import Models, model_path
from tuning.training import keeping


def search(problem, keep_models=1, directory="out", optimizer="adam", **options):
    options = {"trials": 4, "epochs": 3, "jit": JIT, "progress": False, **options}
    return tuning.search(optimizer, problem, keep_models=keep_models, directory=directory, **options)


def files(directory="out"):
    return sorted(name for name in os.listdir(directory) if "keras" in name)


def accuracy(model):
    """On the validation data of `tiny`."""
    import tiny_problem

    x, y = tiny_problem.data().validation
    logits = keras.ops.convert_to_numpy(model.predict(x, verbose=0))[:, 0]
    return float(np.mean((logits > 0) == (y > 0.5)))


def test_the_best_models_are_kept_at_their_best_epochs(tiny):
    result = search(tiny, 2, trials=5)
    best = result.ranking()[:2]
    assert files() == sorted(f"trial-{trial.number}.keras" for trial in best)
    for trial in best:
        assert accuracy(trial.model()) == pytest.approx(trial.score, abs=1e-6)
    assert any(trial.best_epochs[0] < 2 for trial in best)  # not simply the last epoch
    with pytest.raises(SearchError, match=r"model of trial \d is not kept.*keep_models.*keras-optims train out"):
        result.ranking()[-1].model()
    assert accuracy(SearchResult.load("out").best.model()) == pytest.approx(result.best.score, abs=1e-6)
    assert "directory" not in result.best.to_json()


def test_it_goes_on_training_as_from_its_best_epoch(tiny):
    """The optimizer is saved in the state that it had at that epoch."""
    result = search(tiny, trials=1, epochs=4)
    model = result.best.model()
    assert int(model.optimizer.iterations) == 4 * (result.best.best_epochs[0] + 1)
    assert float(model.optimizer.learning_rate) == pytest.approx(result.best.hyperparameters["learning_rate"], rel=1e-6)


def test_with_0_nothing_is_kept_and_nothing_is_copied(tiny, monkeypatch):
    monkeypatch.setattr(keeping, "state_of", None)
    result = search(tiny, 0, trials=2)
    assert files() == []
    assert [trial.state for trial in result.trials] == ["completed"] * 2


def test_an_epoch_that_is_not_good_enough_costs_nothing(monkeypatch):
    monkeypatch.setattr(keeping, "state_of", lambda model: ["state"])
    keeper = keeping.Keeper(0, keras_tuner.Objective("val_accuracy", "max"), 0.9, executions=1)
    (callback,) = keeper.callbacks()
    for epoch, value in enumerate([0.89, float("nan"), 0.9, 0.9, 0.95, 0.94]):
        callback.on_epoch_end(epoch, {"val_accuracy": value, "loss": 0.0})
        assert callback.epoch == [None, None, 2, 2, 4, 4][epoch]
    (callback,) = keeping.Keeper(0, keras_tuner.Objective("val_loss", "min"), 0.5, executions=1).callbacks()
    for epoch, value in enumerate([0.6, 0.5, 0.4, 0.4]):
        callback.on_epoch_end(epoch, {"val_loss": value})
    assert callback.epoch == 2
    (callback,) = keeping.Keeper(0, keras_tuner.Objective("val_loss", "min"), 0.5, executions=2).callbacks()
    callback.on_epoch_end(0, {"val_loss": 0.9})
    assert callback.epoch == 0  # the mean may still be good enough
    assert keeping.Keeper(0, keras_tuner.Objective("val_loss", "min"), None, executions=1).callbacks() == []


def test_a_model_is_put_into_the_state_that_was_validated():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras_optims.Adam(0.1, use_ema=True), "mse")
    model.optimizer.build(model.trainable_variables)
    state, best = keeping.state_of(model), model.get_weights()
    model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0)
    trained = model.get_weights()
    keeping.put_evaluated(model, state)
    np.testing.assert_array_equal(model.get_weights()[0], best[0])  # the average is where it began, too
    assert model.optimizer.weights_are_averaged
    keeping.put_evaluated(model)  # it is there already
    assert model.optimizer.weights_are_averaged
    assert np.any(best[0] != trained[0])
    assert int(model.optimizer.iterations) == 0


def test_what_keras_never_saves_is_found_out_once(monkeypatch):
    """It makes an optimizer for that, and forgets."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(), "mse")
    keeping.saved(model)
    made, init = [], keras.optimizers.Optimizer.__init__
    monkeypatch.setattr(keras.optimizers.Optimizer, "__init__", lambda self, *a, **k: made.append(self) or init(self, *a, **k))
    content = keeping.saved(model)
    assert made == []
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        assert {"config.json", "metadata.json", "model.weights.h5"} <= set(file.namelist())


def test_going_on_keeps_fewer_or_says_what_is_missing(tiny, capsys):
    found = search(tiny, 3)
    assert len(files()) == 3
    found = search(tiny, 1)
    assert files() == [f"trial-{found.best.number}.keras"]
    found = search(tiny, 2, progress=True)
    second = found.ranking()[1].number
    assert f"no model of trial {second} is kept: `keras-optims train out`" in capsys.readouterr().err
    (model_path("out", found.best.number)).unlink()
    search(tiny, 1, fresh=True, trials=1)
    assert files() == ["trial-0.keras"]
    with open("out/trial-0.keras", "w") as file:
        file.write("nothing")
    with pytest.raises(SearchError, match=r"trial-0\.keras cannot be loaded"):
        SearchResult.load("out").best.model()


def test_several_trainings_of_a_trial_keep_the_best_of_them(tiny):
    result = search(tiny, trials=2, repeats=3)
    assert accuracy(result.best.model()) == pytest.approx(max(result.best.executions), abs=1e-6)


@pytest.mark.parametrize("plan", [{"optimizer": "adam", "fix": {"use_ema": True}}, {"optimizer": "schedule_free_sgd"}])
def test_averages_are_what_is_kept_where_they_were_validated(tiny, plan):
    result = search(tiny, trials=2, **plan)
    assert accuracy(result.best.model()) == pytest.approx(result.best.score, abs=1e-6)


def test_a_trial_that_trains_shorter_never_takes_the_place_of_one_that_trained_longer(tiny):
    result = search(tiny, 2, oracle="hyperband", epochs=4, trials=None)
    assert files() == sorted(f"trial-{trial.number}.keras" for trial in result.ranking()[:2])
    assert accuracy(result.best.model()) == pytest.approx(result.best.score, abs=1e-6)


@pytest.mark.backend("jax")
def test_trials_that_train_together_keep_theirs(tiny):
    result = search(tiny, 2, trials=4, batch_trials=4)
    assert files() == sorted(f"trial-{trial.number}.keras" for trial in result.ranking()[:2])
    for trial in result.ranking()[:2]:
        assert accuracy(trial.model()) == pytest.approx(trial.score, abs=1e-6)


@pytest.mark.slow
def test_workers_send_theirs(tiny):
    options = {"trials": 5, "schedule": "cosine", "search": {"warmup": (0.0, 0.2)}}
    result = search(tiny, 2, workers=2, **options)
    alone = search(tiny, 2, directory="alone", **options)
    assert [(trial.hyperparameters, trial.score) for trial in result.trials] == [
        (trial.hyperparameters, pytest.approx(trial.score, abs=1e-6)) for trial in alone.trials
    ]
    assert files() == sorted(f"trial-{trial.number}.keras" for trial in result.ranking()[:2])
    assert accuracy(result.best.model()) == pytest.approx(result.best.score, abs=1e-6)


# -- a kill at any moment ---------------------------------------------------------------------------


def test_a_model_that_was_written_when_the_search_was_killed_is_there_again(tmp_path):
    models = Models(tmp_path)
    models.put(3, b"three")
    models.put(4, b"four")
    assert not any(name.startswith("trial") for name in os.listdir(tmp_path))
    # Killed: trial 3 had ended as the best one, and trial 4 had not ended.
    assert Models(tmp_path).restore([3]) == []
    assert os.listdir(tmp_path) == ["trial-3.keras"]
    models.put(5, b"five")
    models.ended(5, [5])
    assert os.listdir(tmp_path) == ["trial-5.keras"]
    models.put(6, b"six")
    models.ended(6, [5])
    assert os.listdir(tmp_path) == ["trial-5.keras"]
    assert models.restore([5, 7]) == [7]
    (tmp_path / "trial-x.keras").touch()
    models.remove()
    assert os.listdir(tmp_path) == ["trial-x.keras"]


@pytest.mark.parametrize("step", ["put", "ended"])
def test_a_search_that_dies_while_it_keeps_a_model_has_it_when_it_goes_on(tiny, monkeypatch, step):
    class Killed(BaseException):
        pass

    def dies(self, *arguments):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Models, step, dies)
        with pytest.raises(Killed):
            search(tiny, trials=1)
    assert not [name for name in files() if name.startswith("trial")]
    result = search(tiny, trials=1)
    assert files() == ["trial-0.keras"]
    assert accuracy(result.best.model()) == pytest.approx(result.best.score, abs=1e-6)


# -- tuners of one's own ----------------------------------------------------------------------------


def build(hp):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, activation="relu"), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(hp.Float("learning_rate", 1e-3, 1e-1, sampling="log")), loss="mse")
    return model


def tuner(build, directory, keep_models=1, trials=3):
    oracle = keras_tuner.oracles.RandomSearchOracle(objective="val_loss", max_trials=trials, seed=1)
    return tuning.Tuner(oracle, build, directory=directory, project_name="own", seed=0, keep_models=keep_models)


def data():
    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    return x, x.sum(axis=1, keepdims=True)


def test_a_tuner_gives_its_best_models(tmp_path):
    x, y = data()
    own = tuner(build, tmp_path, 2)
    own.search(x, y, epochs=2, validation_data=(x, y))
    models, ranked = own.get_best_models(2), SearchResult.load(tmp_path / "own").ranking()
    assert [model.evaluate(x, y, verbose=0) for model in models] == pytest.approx([trial.score for trial in ranked[:2]])
    assert len(own.get_best_models()) == 1
    with pytest.raises(SearchError, match=r"not kept: .* as keep_models says.*tuner\.hypermodel\.build\(hp\)"):
        own.get_best_models(3)
    with pytest.raises(SearchError, match="keep_models must be an int of at least 0; received -1"):
        tuner(build, tmp_path, -1)


class WithoutConfig(keras.Model):
    def __init__(self, units):
        super().__init__()
        self.dense = keras.layers.Dense(1)

    def call(self, x):
        return self.dense(x)

    def get_config(self):
        raise NotImplementedError("no configuration")


def test_a_model_that_cannot_be_saved_is_no_error_and_is_said(tmp_path):
    def build(hp):
        model = WithoutConfig(3)
        model.compile(keras.optimizers.Adam(hp.Float("learning_rate", 1e-3, 1e-1, sampling="log")), loss="mse")
        return model

    said = []
    x, y = data()
    own = tuner(build, tmp_path, trials=1)
    own.ledger.listener = type("Hears", (tuning.study.ledger.Listener,), {"noted": lambda self, text: said.append(text)})()
    own.search(x, y, epochs=1, validation_data=(x, y))
    assert SearchResult.load(tmp_path / "own").best is not None
    assert [text for text in said if "model of trial 0 cannot be kept" in text]
