"""Metrics that have a value for each class or output: the mean counts, callbacks hear all of them."""

import keras
import keras_tuner
import numpy as np
import pytest

import tuning
from tests.tuning.conftest import JIT
from tuning.results.search import SearchResult
from tuning.training.epochs import left_to_keras


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


# -- what a model of one's own measures, beside model.fit ---------------------------------------------


class SumAndCount(keras.metrics.Metric):
    """Gives several numbers by name."""

    def __init__(self, name="several"):
        super().__init__(name=name)
        self.sum, self.count = (self.add_weight(shape=(), initializer="zeros", name=name) for name in ("sum", "count"))

    def update_state(self, true, predicted, sample_weight=None):
        self.sum.assign_add(keras.ops.sum(predicted))
        self.count.assign_add(keras.ops.cast(keras.ops.size(predicted), "float32"))

    def result(self):
        return {"sum_of": self.sum + 0.0, "count_of": self.count + 0.0}


class MeasuresMore(keras.Model):
    """Adds a number to those of Keras, which only its `train_step` hears of."""

    def __init__(self):
        super().__init__()
        self.last = keras.layers.Dense(3)

    def call(self, x):
        return self.last(x)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return {**super().compute_metrics(x, y, y_pred, sample_weight), "mean_of": keras.ops.mean(y_pred)}


class TracksMore(MeasuresMore):
    """Has a metric beside those of `compile`, and a loss of its own."""

    compute_metrics = keras.Model.compute_metrics

    def __init__(self):
        super().__init__()
        self.more = keras.metrics.Mean(name="more")

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        found = super().compute_loss(x, y, y_pred, sample_weight, training) + 0.1 * keras.ops.mean(keras.ops.abs(y_pred))
        self.more.update_state(2 * found)
        return found


def several_metrics():
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activity_regularizer="l2")])


@pytest.mark.parametrize(
    ("make", "metrics", "left", "names"),
    [
        (several_metrics, lambda: [SumAndCount(), keras.metrics.R2Score(class_aggregation=None)], None, {"sum_of", "r2_score"}),
        (MeasuresMore, lambda: ["mae"], "the model has a compute_metrics of its own", {"mean_of", "mae"}),
        (TracksMore, lambda: ["mae"], None, {"more", "mae"}),
    ],
)
def test_a_model_of_ones_own_measures_what_it_measures_in_keras(make, metrics, left, names):
    chance = np.random.default_rng(2)
    x, y = chance.normal(size=(70, 4)).astype("float32"), chance.normal(size=(70, 3)).astype("float32")
    found = []
    for fit in (keras.Model.fit, tuning.fit):
        keras.utils.set_random_seed(3)
        model = make()
        model.compile(keras.optimizers.Adam(0.01), "mse", metrics=metrics())
        arguments = {"epochs": 2, "batch_size": 16, "shuffle": False, "verbose": 0, "validation_data": (x[54:], y[54:])}
        found.append(fit(model, x[:54], y[:54], **arguments).history)
        assert fit is keras.Model.fit or left_to_keras(model) == left
    assert found[0].keys() == found[1].keys() >= {*names, *(f"val_{name}" for name in names)}
    for name, values in found[0].items():
        np.testing.assert_allclose(np.array(values), np.array(found[1][name]), rtol=1e-4, atol=1e-5, err_msg=name)
