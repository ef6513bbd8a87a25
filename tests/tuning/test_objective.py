"""What a search makes best: where a problem does not say it, and where no training reports it."""

import types

import keras
import keras_tuner
import numpy as np
import pytest

import tuning
from tests.tuning.conftest import JIT, one_sentence
from tests.tuning.test_problems import own
from tuning.problems.objective import known_direction
from tuning.results.search import SearchResult
from tuning.study.ledger import Listener
from tuning.training.trainer import best, best_epoch


@pytest.mark.parametrize(
    ("given", "metrics", "objective"),
    [
        ({"loss": "mse"}, (), "val_loss"),
        ({"loss": keras.losses.Huber()}, (), "val_loss"),
        ({"loss": lambda true, predicted: true}, (), "val_loss"),
        ({"loss": ["mse", "binary_crossentropy"]}, (), "val_loss"),
        ({"loss": "bce"}, ("accuracy",), "val_accuracy"),
        ({"loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True)}, ("accuracy",), "val_accuracy"),
        ({"loss": keras.losses.categorical_focal_crossentropy}, ("accuracy",), "val_accuracy"),
        ({"loss": "bce", "metrics": []}, [], "val_loss"),
        ({"loss": "bce", "metrics": ["mae"]}, ["mae"], "val_loss"),
        ({"loss": "bce", "metrics": {"a": ["accuracy"]}}, {"a": ["accuracy"]}, "val_loss"),
        ({"loss": "mse", "metrics": ["accuracy"], "objective": "val_mae"}, ["accuracy"], "val_mae"),
    ],
)
def test_accuracy_is_of_classes_and_all_else_has_its_loss(given, metrics, objective):
    problem = own(**given)
    assert (problem.metrics, problem.objective) == (metrics, objective)
    problem = own(loss="bce", metrics=[keras.metrics.BinaryAccuracy(name="accuracy")])
    assert problem.objective == "val_accuracy"


def test_metrics_may_be_a_dict_of_those_of_each_output(tmp_path):
    def model():
        given = keras.Input((2,))
        outputs = {name: keras.layers.Dense(1, name=name)(given) for name in ("first", "second")}
        return keras.Model(given, outputs)

    x = np.ones((32, 2), "float32")
    part = (x, {"first": x[:, :1], "second": -x[:, :1]})
    problem = tuning.Problem(
        name="outputs",
        data=tuning.Data(part, part),
        model=model,
        loss={"first": "mse", "second": "mae"},
        metrics={"second": [keras.metrics.MeanAbsoluteError(name="distance")]},
        objective="val_second_distance",
        direction="min",
    )
    result = tuning.search("adam", problem, trials=2, epochs=1, jit=JIT, directory=tmp_path, progress=False)
    assert [trial.state for trial in result.trials] == ["completed"] * 2
    assert result.best.score == min(result.best.curves[0]["val_second_distance"])


def test_losses_of_several_outputs_may_have_weights(tmp_path):
    def model():
        given = keras.Input((2,))
        outputs = {name: keras.layers.Dense(1, name=name)(given) for name in ("first", "second")}
        return keras.Model(given, outputs)

    x = np.linspace(-1, 1, 64, dtype="float32").reshape(32, 2)
    part = (x, {"first": x[:, :1], "second": -x[:, :1]})
    losses, weights = {"first": "mse", "second": "mae"}, {"first": 0.5, "second": 4.0}
    problem = tuning.Problem("weights", tuning.Data(part, part), model, losses, loss_weights=weights)
    result = tuning.search("adam", problem, trials=2, epochs=2, jit=JIT, directory=tmp_path, progress=False)
    for trial in result.trials:
        (curve,) = trial.curves
        for loss, first, second in zip(curve["val_loss"], curve["val_first_loss"], curve["val_second_loss"], strict=True):
            assert loss == pytest.approx(0.5 * first + 4 * second, rel=1e-5)


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_an_objective_that_no_training_reports_ends_the_search_with_its_first_epoch(workers, tiny, command, tmp_path):
    (tmp_path / "wrong.py").write_text(
        "import dataclasses, tiny_problem\n\n\n"
        "def make_problem():\n"
        "    return dataclasses.replace(tiny_problem.make_problem(), objective='val_precision', direction='max')\n"
    )
    given = ("--trials", 4, "--directory", "out", "--workers", workers, "--jit", JIT)
    status, _, stderr = command("tune", "adam", "--problem", "wrong:make_problem", *given)
    assert status == 2
    assert "accuracy, loss, val_accuracy, val_loss; received 'val_precision'" in one_sentence(stderr)
    states = [trial.state for trial in SearchResult.load("out").trials]
    assert states == ["running"] * workers


def test_it_is_said_if_no_trial_can_be_stopped_early(tmp_path):
    class Scored(keras_tuner.HyperModel):
        def build(self, hp):
            model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
            model.compile(keras.optimizers.SGD(hp.Float("learning_rate", 1e-3, 1e-1, sampling="log")), loss="mse")
            return model

        def fit(self, hp, model, *args, **kwargs):
            model.fit(*args, **kwargs)
            return {"own_score": 1.0}

    class Hears(Listener):
        notes = []  # noqa: RUF012

        def noted(self, text):
            self.notes.append(text)

    oracle = keras_tuner.oracles.RandomSearchOracle(keras_tuner.Objective("own_score", "max"), max_trials=1, seed=1)
    arguments = {"project_name": "own", "seed": 0, "listener": Hears(), "pruner": "median"}
    x = np.ones((8, 2), "float32")
    tuning.Tuner(oracle, Scored(), directory=tmp_path, **arguments).search(x, x[:, :1], epochs=1)
    assert Hears.notes == ["no trial is pruned, as epochs do not report the objective own_score"]


def test_the_best_epoch_is_that_of_the_objective_and_a_diverged_training_has_none():
    losses = [{"val_loss": value} for value in (0.3, 0.1, 0.2, 0.1)]
    least, most = (keras_tuner.Objective("val_loss", direction) for direction in ("min", "max"))
    assert best_epoch(losses, None, least) == ({"val_loss": 0.1}, 1)  # the first of equal ones
    assert best_epoch(losses, None, most) == ({"val_loss": 0.3}, 0)
    assert best_epoch(losses, curve(losses), least)[1] == 1
    metrics, epoch = best_epoch(losses, curve(losses, diverged=True), least)
    assert (np.isnan(metrics["val_loss"]), epoch) == (True, 3)
    for epochs, words in (([{"loss": 1.0, "mae": 2.0}], "loss, mae; received 'val_loss'"), ([], "none; received 'val_loss'")):
        with pytest.raises(tuning.SearchError, match=words):
            best_epoch(epochs, None, least)


def test_what_a_fit_may_return_and_what_not():
    objective, trained = keras_tuner.Objective("val_loss", "min"), [{"val_loss": 0.5}, {"val_loss": 0.4}]
    assert best({"val_loss": np.float32(0.5), "other": 2}, curve(trained), objective) == ({"val_loss": 0.5, "other": 2.0}, 1)
    for number in (1, 0.5, np.float32(0.25)):
        assert best(number, curve(trained), objective) == ({"val_loss": float(number)}, 1)
    assert best(0.5, curve([]), objective) == ({"val_loss": 0.5}, 0)
    metrics, epoch = best(0.5, curve(trained, diverged=True), objective)
    assert (np.isnan(metrics["val_loss"]), epoch) == (True, 1)
    for wrong in ({"loss": 0.1}, None, "0.5"):
        with pytest.raises(tuning.SearchError, match=f"a History, a number, or a dict .* received {type(wrong).__name__}"):
            best(wrong, curve(trained), objective)


def curve(epochs, diverged=False):
    return types.SimpleNamespace(epochs=epochs, begun=[], diverged=diverged)


# -- large or small -------------------------------------------------------------------------------

NO_GOODNESS = {"Mean", "MeanMetricWrapper", "Metric", "Sum"}  # of whatever they are given
ARGUMENTS = {
    **dict.fromkeys(("PrecisionAtRecall", "RecallAtPrecision", "SensitivityAtSpecificity", "SpecificityAtSensitivity"), (0.8,)),
    **dict.fromkeys(("MeanIoU", "OneHotMeanIoU"), (2,)),
    **dict.fromkeys(("IoU", "OneHotIoU"), (2, (0, 1))),
}
METRICS = sorted(name for name, made in vars(keras.metrics).items() if isinstance(made, type) and name not in NO_GOODNESS)


def predictions(name):
    """(true values, good predictions, bad ones) as a metric takes them."""
    chance = np.random.default_rng(0)
    if name in ("IoU", "MeanIoU"):  # classes
        true = np.array([0, 1, 1, 0, 1, 0, 0, 1])
        return true, true, 1 - true
    if name.startswith("Sparse"):
        true = np.arange(8)
        return true[:, None], np.eye(8) * 0.9 + 0.01, 0.9 - np.eye(8) * 0.8
    if name.startswith(("TopK", "Categorical", "OneHot", "F1", "FBeta")):
        true = np.eye(2 if "OneHot" in name else 8)
        return true, true * 0.9 + 0.01, 0.9 - true * 0.8
    if name in ("R2Score", "PearsonCorrelation", "ConcordanceCorrelation", "CosineSimilarity"):
        true = chance.normal(size=(16, 3))
        return true, true + 0.1, chance.normal(size=(16, 3))
    if name == "Accuracy":
        true = np.array([[1.0], [2.0], [3.0]])
        return true, true, true + 1
    true = np.array([[0.0], [1.0], [1.0], [0.0], [1.0], [0.0]])
    return true, true * 0.8 + 0.1, 0.9 - true * 0.8


@pytest.mark.backend("tensorflow")  # nothing in it depends on the backend
@pytest.mark.parametrize("name", METRICS)
def test_a_metric_of_keras_is_made_what_it_is_of_good_predictions(name):
    true, good, bad = (np.asarray(part, "float32") for part in predictions(name))
    kind = getattr(keras.metrics, name)
    of_good, of_bad = (float(np.mean(kind(*ARGUMENTS.get(name, ()))(true, part))) for part in (good, bad))
    assert of_good != of_bad
    direction = "max" if of_good > of_bad else "min"
    made = kind(*ARGUMENTS.get(name, ()))
    reported = made.name if made.name.rstrip("_0123456789") else name
    assert known_direction(f"val_{reported}") == direction
    assert known_direction("mine", [kind(*ARGUMENTS.get(name, ()), name="mine")]) == direction
    subclass = type("Mine", (kind,), {})
    assert known_direction("val_out_mine", {"out": [subclass(*ARGUMENTS.get(name, ()), name="mine")]}) == direction


@pytest.mark.parametrize(
    ("objective", "metrics", "loss", "direction"),
    [
        ("val_loss", None, None, "min"),
        ("loss", None, None, "min"),
        ("val_acc", None, None, "max"),
        ("weighted_accuracy", None, None, "max"),
        ("val_auc_1", None, None, "max"),
        ("val_price_mae", {"price": ["mae"]}, None, "min"),
        ("val_price_loss", None, {"price": "mse", "place": "mse"}, "min"),
        ("val_price_top_f1_score", {"price": [], "price_top": ["f1_score"]}, None, "max"),
        ("val_price_top_loss", {"price": [], "price_top": ["f1_score"]}, {"price": "mse", "price_top": "bce"}, "min"),
        ("val_price_mae", None, None, None),
        ("val_price_mae", [["mae"], ["accuracy"]], None, None),
        ("val_cosine_similarity", ["cosine_similarity"], None, "max"),
        ("val_cosine_similarity", [keras.losses.cosine_similarity], None, "min"),
        ("val_huber", [keras.losses.huber], None, "min"),
        ("mean", [keras.metrics.Mean(name="mean")], None, None),
        ("val_mean", None, None, None),
        ("mine", [lambda true, predicted: true], None, None),
        ("val_get", None, None, None),
    ],
)
def test_of_which_objective_the_direction_is_known(objective, metrics, loss, direction):
    assert known_direction(objective, metrics, loss) == direction


def scored(*, largest):
    class Scored(keras_tuner.HyperModel):
        """Trains nothing; the best x is the `largest`."""

        def build(self, hp):
            hp.Float("x", 0.0, 1.0)
            model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
            model.compile("sgd", loss="mse")
            return model

        def fit(self, hp, model, *args, **kwargs):
            return {"val_f1_score": hp.get("x") if largest else -hp.get("x")}

    return Scored()


@pytest.mark.parametrize("made", ["Tuner", "RandomSearch", "GridSearch", "BayesianOptimization", "Hyperband", "Optuna"])
def test_an_objective_that_is_only_named_is_made_large_where_large_is_better(made, tmp_path):
    arguments = {"directory": tmp_path, "project_name": made, "seed": 1}
    if made == "Optuna":
        tuner = tuning.Tuner(
            tuning.OptunaOracle(objective="val_f1_score", max_trials=5, seed=1), scored(largest=True), **arguments
        )
    else:
        of_its_own = {"max_epochs": 3} if made == "Hyperband" else {"max_trials": 5}
        tuner = getattr(tuning, made)(scored(largest=True), objective="val_f1_score", **of_its_own, **arguments)
    tuner.search(verbose=0)
    best = tuner.get_best_hyperparameters()[0].get("x")
    assert best == max(trial.hyperparameters.get("x") for trial in tuner.oracle.trials.values())
    assert tuner.oracle.objective == keras_tuner.Objective("val_f1_score", "max")


def test_of_a_metric_that_nobody_knows_the_direction_is_asked_for(tmp_path):
    for objective in ("val_mine", ["val_loss", "val_mine"]):
        with pytest.raises(tuning.SearchError, match=r"val_mine .* give tuning\.Objective\('val_mine', 'min'\), or 'max'"):
            tuning.RandomSearch(scored(largest=True), objective=objective, directory=tmp_path)


def test_it_is_said_if_an_objective_is_made_small_of_which_a_large_one_is_better(tmp_path):
    notes = []

    class Hears(Listener):
        def noted(self, text):
            notes.append(text)

    oracle = keras_tuner.oracles.RandomSearchOracle("val_f1_score", max_trials=2, seed=1)  # KerasTuner makes it small
    tuning.Tuner(oracle, scored(largest=False), directory=tmp_path, project_name="s", seed=0, listener=Hears()).search()
    assert notes == ["val_f1_score is made as small as possible, as its objective says; a large one is better"]
