"""Metrics that have a value for each class or output: the mean counts, callbacks hear all of them."""

import keras
import keras_tuner
import numpy as np
import pytest

import tuning
from tests.tuning.conftest import JIT
from tuning.results.search import SearchResult


def macro_f1(true, predicted):
    """The mean over classes of 2PR / (P + R), of classes as numbers."""
    scores = []
    for each in np.unique(true):
        hits = np.sum((true == each) & (predicted == each))
        scores.append(2 * hits / max(1, np.sum(true == each) + np.sum(predicted == each)))
    return float(np.mean(scores))


@pytest.fixture
def three_classes():
    chance = np.random.default_rng(0)
    x = chance.normal(size=(160, 4)).astype("float32")
    classes = np.argmax(x[:, :3] + 0.3 * chance.normal(size=(160, 3)), axis=1)
    y = np.eye(3, dtype="float32")[classes]

    def model():
        return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])

    return tuning.Problem(
        name="three",
        data=tuning.Data((x[:96], y[:96]), (x[96:128], y[96:128]), (x[128:], y[128:])),
        model=model,
        loss="categorical_crossentropy",
        metrics=[keras.metrics.F1Score()],
        objective="val_f1_score",
    )


def check_f1(result, problem):
    x, y = problem.load().validation
    predicted = np.argmax(keras.ops.convert_to_numpy(result.best.model()(x)), axis=1)
    assert result.best.score == pytest.approx(macro_f1(np.argmax(y, axis=1), predicted), abs=1e-6)
    assert result.best.score == max(trial.score for trial in result.trials)
    for trial in result.trials:
        assert all(isinstance(value, float) for values in trial.curves[0].values() for value in values)


@pytest.mark.parametrize("oracle", ["random", "asha"])
@pytest.mark.parametrize("left_to_keras", [False, True])
def test_of_a_metric_with_a_value_for_each_class_the_mean_counts(oracle, left_to_keras, three_classes, tmp_path, capsys):
    heard = []

    class Hears(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            heard.append(np.shape(logs["val_f1_score"]))

    class HearsBatches(Hears):
        def on_train_batch_end(self, batch, logs=None):
            pass

    arguments = {"trials": 5, "epochs": 3, "jit": JIT, "directory": tmp_path, "oracle": oracle}
    callbacks = HearsBatches if left_to_keras else Hears
    result = tuning.search("adam", three_classes, callbacks=callbacks, **arguments)
    check_f1(result, three_classes)
    assert set(heard) == {(3,)}  # callbacks hear what Keras tells them
    said = capsys.readouterr().err
    assert ("epochs run in model.fit" in said) == left_to_keras
    assert said.count("f1_score has several values, of which the mean counts") == 1
    trained = tuning.train_best(tmp_path, problem=three_classes, callbacks=callbacks)
    assert trained.metrics["val_f1_score"] == pytest.approx(result.best.score, abs=1e-6)
    x, y = three_classes.load().test
    predicted = np.argmax(keras.ops.convert_to_numpy(trained.model(x)), axis=1)
    assert trained.metrics["test_f1_score"] == pytest.approx(macro_f1(np.argmax(y, axis=1), predicted), abs=1e-6)


@pytest.mark.backend("jax")
def test_the_mean_counts_in_a_program_of_several_trials_too(three_classes, tmp_path):
    arguments = {"trials": 4, "epochs": 2, "progress": False}
    together = tuning.search("adam", three_classes, batch_trials=4, directory=tmp_path / "together", **arguments)
    check_f1(together, three_classes)
    alone = tuning.search("adam", three_classes, directory=tmp_path / "alone", **arguments)
    assert [trial.score for trial in together.trials] == pytest.approx([trial.score for trial in alone.trials], abs=1e-6)


@pytest.mark.parametrize("fits", ["history", "dict", "build"])
def test_a_hypermodel_may_have_such_a_metric_too(fits, three_classes, tmp_path):
    class Own(keras_tuner.HyperModel):
        def build(self, hp):
            model = three_classes.build()
            optimizer = keras.optimizers.Adam(hp.Float("rate", 1e-3, 1e-1))
            model.compile(optimizer, "categorical_crossentropy", metrics=[keras.metrics.F1Score()])
            return model

        def fit(self, hp, model, *args, **kwargs):
            history = model.fit(*args, **kwargs)
            return history if fits == "history" else {name: values[-1] for name, values in history.history.items()}

    made = Own().build if fits == "build" else Own()
    data = three_classes.load()
    tuner = tuning.RandomSearch(made, "val_f1_score", max_trials=2, seed=0, directory=tmp_path, project_name=fits)
    tuner.search(*data.train, validation_data=data.validation, epochs=2, verbose=0)
    assert [trial.state for trial in SearchResult.load(tuner.project_dir).trials] == ["completed"] * 2
    x, y = data.validation
    predicted = np.argmax(tuner.get_best_models()[0].predict(x, verbose=0), axis=1)
    score = tuner.oracle.get_best_trials()[0].score
    assert score == pytest.approx(macro_f1(np.argmax(y, axis=1), predicted), abs=1e-6)
