"""Problems whose data come in batches: trained by Keras on the warm model, and refused where that cannot be."""

import keras
import numpy as np
import pytest

import keras_optims
import tuning
from tests.tuning.conftest import JIT
from tuning import Data, Problem, SearchError
from tuning.training.warm import WarmModels

X = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
Y = (X[:, :1] > 0).astype("float32")


class Batches(keras.utils.PyDataset):
    """Its batches of 16 are made when they are asked for."""

    def __len__(self):
        return 4

    def __getitem__(self, i):
        return X[16 * i : 16 * i + 16], Y[16 * i : 16 * i + 16]


def pydataset():
    return Batches()


def tensors():
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(16)


def loader():
    import torch

    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y)), batch_size=16)


MAKE = [
    pydataset,
    pytest.param(tensors, marks=pytest.mark.backend("tensorflow")),
    pytest.param(loader, marks=pytest.mark.backend("torch")),
]


def model():
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, activation="sigmoid")])


def problem(data):
    return Problem("batches", data, model, "binary_crossentropy", ("accuracy",), batch_size=16, epochs=2)


@pytest.mark.parametrize("make", MAKE)
def test_a_search_trains_on_batches(make, tmp_path, capsys, monkeypatch):
    taken = []
    take = WarmModels.take
    monkeypatch.setattr(WarmModels, "take", lambda self, fresh: taken.append(take(self, fresh)) or taken[-1])
    made = problem(lambda: Data(make(), make(), make()))
    result = tuning.search("adam", made, trials=2, jit=JIT, directory=tmp_path)
    assert [len(trial.curves[0]["val_accuracy"]) for trial in result.trials] == [2, 2]
    assert taken[0] is taken[1]
    assert "model.fit, which is slower, as the data are no arrays" in capsys.readouterr().err
    trained = tuning.train_best(tmp_path, problem=made)
    assert trained.metrics["val_accuracy"] == pytest.approx(result.best.score, abs=1e-6)
    assert trained.samples is None
    assert trained.metrics["test_accuracy"] == pytest.approx(trained.metrics["val_accuracy"], abs=1e-6)  # the same data
    with pytest.raises(SearchError, match="Batches cannot be put together"):
        tuning.train_best(tmp_path, problem=made, all_data=True)


def test_only_the_training_data_may_be_batches():
    trained = tuning.train(problem(Data(Batches(), (X, Y))), keras_optims.Adam(0.01), seed=1)
    right = (trained.predict(X, verbose=0) > 0.5) == Y
    assert trained.history.history["val_accuracy"][-1] == pytest.approx(float(np.mean(right)))


@pytest.mark.parametrize(
    ("data", "samples", "words"),
    [
        (Data(Batches()), None, "needs validation data of its own"),
        (Data(Batches(), (X, Y)), 32, "train_samples=32 cannot cut"),
        (Data([1, 2, 3], (X, Y)), None, "pair.*PyDataset.*received a list"),
        (Data((X, Y, Y), (X, Y)), None, r"received a tuple of 3 \(weights of samples are taken in batches \(x, y, weights\)\)"),
    ],
)
def test_what_batches_cannot_do_is_one_sentence(data, samples, words):
    with pytest.raises(SearchError, match=words):
        problem(data).load(samples)


class Endless(keras.utils.PyDataset):
    """Keras says so that it never ends."""

    num_batches = None

    def __getitem__(self, i):
        return X[:16], Y[:16]


@pytest.mark.parametrize(
    "make", [Endless, pytest.param(lambda: tensors().repeat(), marks=pytest.mark.backend("tensorflow"), id="repeat")]
)
def test_batches_without_end_are_refused_as_no_epoch_would_end(make):
    for data in (Data(make(), (X, Y)), Data(Batches(), make()), Data(Batches(), Batches(), make())):
        with pytest.raises(SearchError, match=r"data of batches never end, .*\.take\(BATCHES\); received a "):
            problem(data).load()


def test_a_schedule_of_batches_needs_to_know_how_many_there_are(tmp_path):
    class Unknown(Batches):
        def __len__(self):
            raise TypeError("nobody knows")

    with pytest.raises(SearchError, match="number of its batches must be known"):
        tuning.search("adam", problem(lambda: Data(Unknown(), (X, Y))), trials=1, schedule="cosine", directory=tmp_path, jit=JIT)
    result = tuning.search(
        "adam", problem(Data(Batches(), (X, Y))), trials=1, epochs=2, schedule="cosine", directory=tmp_path / "known", jit=JIT
    )
    assert "steps=8" in result.best.line
