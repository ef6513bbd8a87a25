"""Keras callbacks in a search, and the epochs of a HyperModel's own fit: what is compiled, what is not, and that it is said."""

import threading

import keras
import keras_tuner
import numpy as np
import pytest

import tuning
import tuning.study.ledger
from tests.tuning.conftest import JIT, one_sentence
from tuning import SearchError, SearchResult
from tuning.console.search_table import table
from tuning.training import epochs


class Locked(keras.callbacks.Callback):
    """Has something that cannot be copied."""

    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()


def stopping():
    return [keras.callbacks.EarlyStopping("val_accuracy", min_delta=2.0, patience=1)]  # it stops after 2 epochs


def search(problem, **options):
    options = {"trials": 2, "epochs": 5, "jit": JIT, "directory": "out", "progress": False, **options}
    return tuning.search("adam", problem, **options)


@pytest.fixture
def with_stopping(tiny, tmp_path):
    with open(tmp_path / "tiny_problem.py", "a") as file:
        file.write(
            "\n\ndef stopping():\n"
            "    return keras.callbacks.EarlyStopping('val_accuracy', min_delta=2.0, patience=1)\n"
            "\n\ndef make_stopping():\n"
            "    import dataclasses\n\n    return dataclasses.replace(make_problem(), callbacks=stopping)\n"
        )
    return tiny


def test_early_stopping_works_and_its_epochs_are_counted(with_stopping, command):
    arguments = ("--problem", with_stopping, "--callbacks", "tiny_problem:stopping", "--directory", "out")
    status, _, stderr = command("tune", "adam", "--trials", 2, "--epochs", 5, "--jit", JIT, *arguments)
    assert status == 0, stderr
    assert "after 2 of 5 epochs" in stderr
    assert "model.fit" not in stderr
    result = SearchResult.load("out")
    assert [trial.trained for trial in result.trials] == [[2], [2]]
    assert "2 of 5" in table(result)
    assert result.best.to_json()["trained"] == [2]
    trained = tuning.train_best("out")
    assert trained.epochs == 2
    assert trained.metrics["val_accuracy"] == pytest.approx(result.best.score, abs=1e-6)
    assert "it differs in callbacks" in one_sentence(command("tune", "adam", "--problem", with_stopping, *arguments[4:])[2])


@pytest.mark.parametrize("given", ["list", "one", "function", "problem"])
def test_callbacks_may_be_given_in_each_way(with_stopping, given):
    wanted = {"list": stopping(), "one": stopping()[0], "function": stopping}.get(given)
    options = {} if wanted is None else {"callbacks": wanted}
    result = search(with_stopping if wanted is not None else "tiny_problem:make_stopping", **options)
    assert [trial.trained for trial in result.trials] == [[2], [2]]  # a list is copied: the second training begins anew
    if given in ("list", "one"):
        with pytest.raises(SearchError, match=r"were objects.*callbacks="):
            tuning.train_best("out")
        with pytest.raises(SearchError, match="differs in callbacks"):
            search(with_stopping, callbacks=[keras.callbacks.EarlyStopping("val_accuracy", patience=3)])


def test_a_callback_that_may_need_batches_falls_to_keras_and_that_is_said(tiny, capsys):
    seen = []

    class Batches(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(batch)

    search(tiny, trials=2, epochs=1, callbacks=lambda: Batches(), progress=True)
    assert len(seen) == 2 * 4
    said = capsys.readouterr().err
    assert said.count("epochs run in model.fit, which is slower, as Batches may hear of every batch") == 1


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("tiny_problem", "callbacks must be module:function.*'tiny_problem'"),
        ("tiny_problem:nothing", "no function 'nothing'; --callbacks takes"),
        ("tiny_problem:make_nothing", "must be Keras callbacks.*received 1"),
        ("tiny_problem:make_error", "tiny_problem:make_error did not make callbacks: KeyError"),
        ([3], r"must be Keras callbacks.*received \[3\]"),
        ([Locked()], r"cannot be \(TypeError: cannot pickle"),
    ],
)
def test_what_is_no_callback_is_one_sentence(tiny, wanted, words):
    with pytest.raises(SearchError, match=words):
        search(tiny, callbacks=wanted)


def test_a_function_may_return_what_cannot_be_copied_and_a_tuner_says_at_once_what_cannot(tiny, tmp_path):
    assert [trial.state for trial in search(tiny, callbacks=lambda: [Locked()], trials=1, epochs=1).trials] == ["completed"]
    own = tuning.RandomSearch(Own(), objective="val_loss", max_trials=1, directory=tmp_path, project_name="locked")
    with pytest.raises(SearchError, match=r"Callbacks are copied .* on_train_begin, or give `tuning\.search` a function"):
        own.search(np.zeros((8, 4)), np.zeros(8), validation_split=0.5, callbacks=[Locked()], verbose=0)
    assert not (tmp_path / "locked").exists()


# -- a HyperModel's own fit -------------------------------------------------------------------------


class Own(keras_tuner.HyperModel):
    def build(self, hp):
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(hp.Float("learning_rate", 1e-3, 1e-1, sampling="log")), loss="mse")
        return model

    def fit(self, hp, model, x, y, **kwargs):
        return model.fit(x, y, 16, **kwargs)  # the batch size by its place


class Public(Own):
    def fit(self, hp, model, x, y, **kwargs):
        return tuning.fit(model, x, y, batch_size=16, **kwargs)


class Weighted(Own):
    def fit(self, hp, model, x, y, **kwargs):
        return model.fit(x, y, sample_weight=np.ones(len(x)), **kwargs)


def run(hypermodel, directory):
    class Hears(tuning.study.ledger.Listener):
        notes = []  # noqa: RUF012

        def noted(self, text):
            self.notes.append(text)

    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    oracle = keras_tuner.oracles.RandomSearchOracle(objective="val_loss", max_trials=2, seed=1)
    tuner = tuning.Tuner(oracle, hypermodel, directory=directory, project_name="own", seed=0, listener=Hears())
    tuner.search(x, x[:, :1], epochs=2, validation_data=(x, x[:, :1]))
    return [trial.curves for trial in SearchResult.load(directory / "own").trials], Hears.notes


def test_model_fit_in_a_hypermodel_keeps_the_compiled_epochs(tmp_path, monkeypatch):
    trained = []
    make = epochs._compiled
    monkeypatch.setattr(epochs, "_compiled", lambda *arguments: trained.append(1) or make(*arguments))
    curves, notes = run(Own(), tmp_path / "model")
    assert (len(trained), notes) == (2, [])
    assert run(Public(), tmp_path / "public") == (curves, [])
    _, notes = run(Weighted(), tmp_path / "weighted")
    assert len(trained) == 4
    assert notes == ["epochs run in model.fit, which is slower, as sample_weight is asked for"]


# -- TensorBoard ------------------------------------------------------------------------------------


def hparams_in(folder):
    """Name -> value of what TensorBoard's page HParams shows of a training, and the names of its curves."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import plugin_data_pb2

    events = EventAccumulator(str(folder)).Reload()
    values = {}
    for tag in events.PluginTagToContent("hparams"):
        content = events.PluginTagToContent("hparams")[tag]
        parsed = plugin_data_pb2.HParamsPluginData.FromString(content)
        for name, value in parsed.session_start_info.hparams.items():
            values[name] = getattr(value, value.WhichOneof("kind"))
    return values


@pytest.mark.slow
@pytest.mark.backend("tensorflow")
def test_tensorboard_gets_a_folder_for_each_training_with_its_setting(tmp_path):
    class Late(Own):
        def fit(self, hp, model, x, y, **kwargs):
            return model.fit(x, y, hp.Choice("batch_size", [16, 32]), **kwargs)

    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    given = keras.callbacks.TensorBoard(tmp_path / "logs")
    tuner = tuning.RandomSearch(Late(), "val_loss", 2, executions_per_trial=2, directory=tmp_path, project_name="own")
    tuner.search(x, x[:, :1], epochs=1, validation_data=(x, x[:, :1]), callbacks=[given], verbose=0)
    assert given.log_dir == str(tmp_path / "logs")
    for trial in SearchResult.load(tmp_path / "own").trials:
        for execution in range(2):
            folder = tmp_path / "logs" / str(trial.number) / f"execution{execution}"
            assert hparams_in(folder) == trial.hyperparameters
            assert {path.name for path in folder.iterdir() if path.is_dir()} == {"train", "validation"}


@pytest.mark.slow
@pytest.mark.backend("tensorflow")
def test_so_does_that_of_a_search(tiny, tmp_path):
    result = search(tiny, epochs=1, trials=1, callbacks=lambda: keras.callbacks.TensorBoard(tmp_path / "logs"))
    for trial in result.trials:
        assert hparams_in(tmp_path / "logs" / str(trial.number) / "execution0") == trial.hyperparameters
