"""`tuning.Tuner` and its namesakes of KerasTuner, for somebody who knows that."""

import inspect
import pickle

import keras
import keras_tuner
import numpy as np
import pytest

import tuning
from tests.tuning.conftest import JIT
from tuning import SearchError, SearchResult
from tuning.console.space_table import space_table
from tuning.engines.local import LocalEngine
from tuning.study.ledger import Listener

NAMES = ("RandomSearch", "GridSearch", "BayesianOptimization", "Hyperband")
MIN = keras_tuner.Objective("score", "min")


def build(hp):
    """Declares a space, and makes no model."""
    hp.Float("x", 0.0, 1.0)
    hp.Choice("kind", ["a", "b", "c"])


class Light:
    """Trains nothing."""

    def run_trial(self, trial, verbose=None):
        self.__dict__.setdefault("seen", []).append(dict(trial.hyperparameters.values))
        return trial.hyperparameters.get("x")


def light(name="Tuner"):
    return type(name, (Light, getattr(tuning, name)), {})


def theirs(name):
    return type(name, (Light, getattr(keras_tuner, name)), {})


# -- the names of KerasTuner ------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_namesake_has_the_arguments_of_keras_tuner_and_their_defaults(name):
    ours, those = (inspect.signature(getattr(package, name)).parameters.values() for package in (tuning, keras_tuner))
    assert [(each.name, each.kind, each.default) for each in ours] == [(each.name, each.kind, each.default) for each in those]


def test_whatever_keras_tuner_s_tuners_take_ours_takes():
    here, there = (set(inspect.signature(package.Tuner).parameters) for package in (tuning, keras_tuner))
    assert there - here == {"logger"}  # which is deprecated, and goes on to KerasTuner
    names = set(keras_tuner.__all__ if hasattr(keras_tuner, "__all__") else vars(keras_tuner))
    public = {name for name in names if not name.startswith("_") and name not in ("src", "SklearnTuner")}
    for name in public - {"distribute", "utils", "protos", "version"}:
        assert getattr(tuning, name) is not None
    for name in vars(keras_tuner.oracles):
        assert name.startswith("_") or getattr(tuning.oracles, name) is getattr(keras_tuner.oracles, name)
    assert tuning.errors.FailedTrialError is keras_tuner.errors.FailedTrialError
    assert tuning.tuners.RandomSearch is tuning.RandomSearch
    with pytest.raises(AttributeError, match="NoSuchError"):
        tuning.errors.NoSuchError  # noqa: B018


@pytest.mark.parametrize(("name", "trials"), [("RandomSearch", 6), ("BayesianOptimization", 5), ("GridSearch", 5)])
def test_with_a_seed_it_tries_what_keras_tuner_tries(name, trials, tmp_path):
    seen = []
    for package in (light, theirs):
        tuner = package(name)(build, MIN, max_trials=trials, seed=7, directory=tmp_path / package.__name__)
        tuner.search(verbose=0)
        seen.append(tuner.seen)
    assert len(seen[0]) == trials
    assert seen[0] == seen[1]  # with Bayesian optimization these are the first, which are random


def test_hyperband_has_keras_tuner_s_brackets(tmp_path):
    epochs = []
    for package in (light, theirs):
        tuner = package("Hyperband")(build, MIN, max_epochs=9, seed=7, directory=tmp_path / package.__name__)
        tuner.search(verbose=0)
        epochs.append([values["tuner/epochs"] for values in tuner.seen])
    assert epochs[0] == epochs[1]
    ours = SearchResult.load(tmp_path / "light" / "untitled_project")
    tuner = light("Hyperband")(build, MIN, max_epochs=9, seed=7, directory=tmp_path / "light")
    assert tuner.get_best_hyperparameters()[0].values["tuner/epochs"] == 9
    assert tuner.get_best_hyperparameters()[0].get("x") == ours.best.hyperparameters["x"]


def test_without_a_seed_a_program_goes_on_where_it_was(tmp_path):
    for _ in range(2):
        tuner = light("RandomSearch")(build, MIN, max_trials=3, directory=tmp_path, project_name="twice")
        tuner.search(verbose=0)
    assert not hasattr(tuner, "seen")
    with pytest.raises(SearchError, match=r"it differs in seed \(0 there, 8 now\)"):
        light("RandomSearch")(build, MIN, max_trials=3, seed=8, directory=tmp_path, project_name="twice")


def test_an_oracle_without_a_seed_goes_on_with_the_one_it_began_with(tmp_path, capsys):
    for seed in (5, 6):  # as drawn by KerasTuner in one program and the next
        oracle = keras_tuner.oracles.RandomSearchOracle(MIN, max_trials=seed, seed=seed)
        tuner = light()(oracle, build, directory=tmp_path)
        tuner.search()
    assert oracle.seed == tuner.config["oracle_seed"] == 5
    assert capsys.readouterr().err.count("the oracle goes on with the seed 5, with which the search began") == 1
    assert len(tuner.seen) == 1


# -- tuning.Tuner -----------------------------------------------------------------------------------


def test_a_tuner_makes_its_own_oracle(tmp_path):
    tuner = light()(build, objective=MIN, max_trials=4, directory=tmp_path)
    assert type(tuner.oracle) is tuning.oracles.QuasirandomOracle
    tuner.search(verbose=0)
    assert len({values["x"] for values in tuner.seen}) == 4
    assert len(tuning.Tuner(hypermodel=build, objective="val_loss", directory=tmp_path / "other").oracle.get_space().space) == 2


def test_a_tuner_may_declare_its_whole_space_in_run_trial(tmp_path):
    class Parabola(tuning.Tuner):
        def run_trial(self, trial, verbose=None):
            return (trial.hyperparameters.Float("x", -1.0, 1.0) - 0.5) ** 2

    tuner = Parabola(max_trials=5, directory=tmp_path)
    tuner.search(verbose=0)
    result = SearchResult.load(tmp_path / "untitled_project")
    assert len({trial.hyperparameters["x"] for trial in result.trials}) == 5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "needs a HyperModel or a function"),
        ({"hypermodel": build, "seed": -1}, "seed must be an int of at least 0; received -1"),
        ({"hypermodel": build, "keep_models": 1.5}, "keep_models must be an int of at least 0; received 1.5"),
        ({"hypermodel": build, "workers": 0}, "workers must be an int of at least 1; received 0"),
        ({"hypermodel": build, "max_trials": True}, "max_trials must be an int of at least 1; received True"),
        ({"hypermodel": build, "workers": 2, "engine": LocalEngine(2)}, "give one of the two"),
        ({"hypermodel": build, "workers": 2, "loss": "mse"}, "a tuner with loss: leave that out"),
        (
            {"oracle": keras_tuner.oracles.RandomSearchOracle(MIN), "hypermodel": build, "objective": MIN, "max_trials": 3},
            "objective and max_trials belong to an oracle",
        ),
    ],
)
def test_what_is_wrong_with_a_tuner_is_one_sentence(arguments, words, tmp_path):
    with pytest.raises(SearchError, match=words):
        tuning.Tuner(**{"directory": tmp_path, **arguments})


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("RandomSearch", {"max_trials": 0}, "max_trials must be an int of at least 1; received 0"),
        ("GridSearch", {"max_trials": "9"}, "max_trials must be an int of at least 1; received '9'"),
        ("BayesianOptimization", {"num_initial_points": 0}, "num_initial_points must be an int of at least 1; received 0"),
        ("Hyperband", {"max_epochs": None}, "max_epochs must be an int of at least 1; received None"),
        ("Hyperband", {"factor": 1}, "factor must be an int of at least 2; received 1"),
        ("Hyperband", {"hyperband_iterations": 0.5}, "hyperband_iterations must be an int of at least 1; received 0.5"),
        ("RandomSearch", {"hyperparameters": 3}, "hyperparameters must be a keras_tuner.HyperParameters or None; received 3"),
        ("Tuner", {"hyperparameters": 3}, "hyperparameters must be a keras_tuner.HyperParameters or None; received 3"),
        ("RandomSearch", {"executions_per_trial": 0}, "executions_per_trial must be an int of at least 1; received 0"),
        ("RandomSearch", {"max_model_size": 0}, "max_model_size must be an int of at least 1; received 0"),
        ("RandomSearch", {"max_seconds": "1"}, "max_seconds must be a number of at least 0, or None; received '1'"),
        ("RandomSearch", {"seed": "a"}, "seed must be an int of at least 0; received 'a'"),
    ],
)
def test_wrong_numbers_and_spaces_are_one_sentence(name, arguments, words, tmp_path):
    with pytest.raises(SearchError, match=words):
        getattr(tuning, name)(hypermodel=build, objective=MIN, directory=tmp_path, **arguments)


def test_what_would_be_without_effect_is_refused(tmp_path):
    with pytest.raises(SearchError, match="max_retries_per_trial must be 0"):
        tuning.RandomSearch(build, MIN, max_retries_per_trial=1, directory=tmp_path)
    with pytest.raises(SearchError, match="a tuner with run_trial of its own: leave that out"):
        light()(build, objective=MIN, workers=2, directory=tmp_path)
    tuner = light()(build, objective=MIN, directory=tmp_path)
    with pytest.raises(SearchError, match=r"verbose must be one of 0, 1, 2, 'auto'; received 3"):
        tuner.search(verbose=3)


@pytest.mark.parametrize("name", ["get_state", "save", "_build_and_fit_model"])
def test_a_method_that_is_never_called_is_not_overwritten_in_silence(name, tmp_path):
    of_ones_own = type("Mine", (tuning.RandomSearch,), {name: lambda self, *arguments: {}})
    with pytest.raises(SearchError, match=f"Nothing calls {name} of KerasTuner's tuner here, .* received a Mine that overwrites"):
        of_ones_own(build, MIN, directory=tmp_path)


def test_failures_in_a_row_end_the_search_where_that_is_asked_for(tmp_path):
    class Fails(tuning.RandomSearch):
        def run_trial(self, trial, verbose=None):
            if int(trial.trial_id) > 1:
                raise RuntimeError(f"trial {trial.trial_id} has its own error")
            return 1.0

    tuner = Fails(build, MIN, max_trials=9, max_consecutive_failed_trials=2, directory=tmp_path)
    with pytest.raises(
        SearchError, match="2 trials failed in a row, so the search stops; the last one: RuntimeError: trial 3 has"
    ):
        tuner.search(verbose=0)
    assert [trial.state for trial in SearchResult.load(tmp_path / "untitled_project").trials] == ["completed"] * 2 + [
        "failed"
    ] * 2


def test_the_hooks_of_a_search_and_its_trials_are_called(tmp_path):
    called = []

    class Hooked(Light, tuning.Tuner):
        def on_search_begin(self):
            called.append("search begins")

        def on_trial_begin(self, trial):
            called.append(f"{int(trial.trial_id)} begins")

        def on_trial_end(self, trial):
            super().on_trial_end(trial)
            called.append(f"{int(trial.trial_id)} {trial.status} {self.oracle.get_trial(trial.trial_id).score:.0f}")

        def on_search_end(self):
            called.append("search ends")

    Hooked.run_trial = lambda self, trial, verbose: 7.0
    Hooked(build, objective=MIN, max_trials=2, directory=tmp_path).search(verbose=0)
    assert called == ["search begins", "0 begins", "0 COMPLETED 7", "1 begins", "1 COMPLETED 7", "search ends"]


# -- what it shows ----------------------------------------------------------------------------------


def test_a_search_is_shown_unless_verbose_is_0(tmp_path, capsys):
    light()(build, objective=MIN, max_trials=2, directory=tmp_path / "quiet").search(verbose=0)
    assert capsys.readouterr() == ("", "")
    tuner = light()(build, objective=MIN, max_trials=2, directory=tmp_path / "shown")
    tuner.search()
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert lines[0] == "build: 2 trials, score (min)"
    assert lines[1].startswith("trial 0: x=0.")
    assert " kind=" in lines[1]
    assert "best " in lines[2]
    tuner = light()(build, objective=MIN, max_trials=2, directory=tmp_path / "shown")
    tuner.search(verbose=2)
    assert "resumed: 2 trials are finished already" in capsys.readouterr().err
    assert tuner.ledger.listener is None


def test_a_pruner_that_learns_of_no_epoch_is_said_to_stop_nothing(tmp_path, capsys):
    light()(build, objective=MIN, max_trials=2, pruner="median", directory=tmp_path).search()
    assert capsys.readouterr().err.count("no trial is pruned, as epochs do not report the objective score") == 1


def test_a_listener_of_ones_own_hears_in_the_place_of_the_view(tmp_path, capsys):
    class Hears(Listener):
        def __init__(self):
            self.ended = []

        def trial_ended(self, number, state, score, message):
            self.ended.append(number)

    listener = Hears()
    light()(build, objective=MIN, max_trials=2, directory=tmp_path, listener=listener).search()
    assert listener.ended == [0, 1]
    assert capsys.readouterr().err == ""


def test_what_is_searched_and_what_was_found_is_printed(tmp_path, capsys):
    def conditional(hp):
        if hp.Choice("kind", ["deep", "wide"]) == "deep":
            with hp.conditional_scope("kind", ["deep"]):
                hp.Int("layers", 1, 3)
        hp.Float("rate", 1e-4, 1e-1, sampling="log")
        hp.Int("units", 32, 128, step=32)
        hp.Boolean("norm")
        hp.Fixed("seed", 3)

    tuner = light()(conditional, objective=MIN, max_trials=3, directory=tmp_path)
    tuner.search_space_summary()
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "6 hyperparameters",
        "  kind    deep, wide",
        "  layers  int, 1 to 3, linear              where kind is deep",
        "  rate    float, 0.0001 to 0.1, log",
        "  units   int, 32 to 128, linear, step 32",
        "  norm    True, False" if "True, False" in "".join(lines) else "  norm    False, True",
        "  seed    always 3",
    ]
    tuner.search_space_summary(extended=True)
    assert "default 1, where kind is deep" in capsys.readouterr().out
    assert space_table(keras_tuner.HyperParameters()) == "0 hyperparameters; what the trials declare will be added"
    tuner.results_summary()
    assert "There are no results in" in capsys.readouterr().out
    tuner.run_trial = lambda trial, verbose: trial.hyperparameters.get("rate")
    tuner.search(verbose=0)
    tuner.results_summary(2)
    out = capsys.readouterr().out
    best = SearchResult.load(tmp_path / "untitled_project").best
    assert "3 trials (3 completed" in out
    assert f"{best.score:.6g}" in out
    assert len([line for line in out.splitlines() if line.split()[0:1] in (["0"], ["1"], ["2"])]) == 2


# -- training ---------------------------------------------------------------------------------------


def data():
    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    return x, x.sum(axis=1, keepdims=True)


def model_of(hp):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(hp.Int("units", 2, 6)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(hp.Float("learning_rate", 1e-3, 1e-2, sampling="log")), loss="mse")
    return model


class OwnBatchSize(tuning.RandomSearch):
    """The idiom by which KerasTuner's users search what `fit` takes."""

    def run_trial(self, trial, *args, **kwargs):
        kwargs["batch_size"] = trial.hyperparameters.Choice("batch_size", [64, 16])
        kwargs["epochs"] = 2
        return super().run_trial(trial, *args, **kwargs)

    def on_epoch_end(self, trial, model, epoch, logs=None):
        self.epochs.append((int(trial.trial_id), epoch, "val_loss" in logs))

    def on_batch_end(self, trial, model, batch, logs=None):
        self.batches.append((int(trial.trial_id), batch))


@pytest.mark.slow
def test_a_run_trial_may_train_with_other_arguments(tmp_path, capsys):
    tuner = OwnBatchSize(model_of, "val_loss", max_trials=2, seed=1, directory=tmp_path, jit=JIT == "on")
    tuner.epochs, tuner.batches = [], []
    x, y = data()
    tuner.search(x, y, epochs=9, batch_size=1, validation_data=(x, y), verbose=1)
    sizes = [trial.hyperparameters["batch_size"] for trial in SearchResult.load(tmp_path / "untitled_project").trials]
    assert sizes[0] == 64  # the default, as the oracle did not know of it
    assert tuner.epochs == [(number, epoch, True) for number in range(2) for epoch in range(2)]
    assert tuner.batches == [(number, batch) for number in range(2) for _ in range(2) for batch in range(64 // sizes[number])]
    assert "as _Batches may hear of every batch" in capsys.readouterr().err
    models = tuner.get_best_models(2)
    assert [model.evaluate(x, y, verbose=0) for model in models] == pytest.approx(
        [trial.score for trial in SearchResult.load(tmp_path / "untitled_project").ranking()], rel=1e-5
    )


@pytest.mark.slow
def test_what_a_run_trial_may_return_of_keras_counts(tmp_path):
    class Plain(tuning.RandomSearch):
        def run_trial(self, trial, *args, **kwargs):
            model = self.hypermodel.build(trial.hyperparameters)
            return self.hypermodel.fit(trial.hyperparameters, model, *args, verbose=0, **kwargs)

    x, y = data()
    tuner = Plain(model_of, "val_loss", max_trials=1, directory=tmp_path)
    tuner.search(x, y, epochs=2, validation_data=(x, y))
    assert SearchResult.load(tmp_path / "untitled_project").best.score > 0


class Unregistered(keras.layers.Layer):
    """Keras is not told of it, so that it cannot load a model with it."""

    def call(self, x):
        return 2 * x


@pytest.mark.slow
def test_compiling_and_the_size_of_models_are_as_keras_tuner_s(tmp_path):
    def bare(hp):
        return keras.Sequential([keras.Input((4,)), Unregistered(), keras.layers.Dense(hp.Choice("units", [1, 100]))])

    x, y = data()
    tuner = tuning.GridSearch(
        *(bare, "val_mae"),
        optimizer=keras.optimizers.SGD(0.01),
        loss="mse",
        metrics=["mae"],
        max_model_size=10,
        directory=tmp_path,
    )
    tuner.search(x, y, epochs=1, validation_data=(x, y), verbose=0)
    small, large = SearchResult.load(tmp_path / "untitled_project").trials
    assert small.state == "completed"
    assert large.message == "FailedTrialError: The model has 500 parameters, and max_model_size allows 10."
    (model,) = tuner.get_best_models(2)
    assert model.evaluate(x, y, return_dict=True, verbose=0)["mae"] == pytest.approx(small.score, rel=1e-5)


def test_a_local_engine_is_that_of_the_workers_asked_for(tmp_path):
    tuner = tuning.RandomSearch(model_of, "val_loss", workers=3, directory=tmp_path)
    assert isinstance(tuner.engine, LocalEngine)
    assert tuner.engine.workers == 3
    tuner._source = tuner.ledger
    with tuner.ledger.opened(1):
        assert pickle.loads(pickle.dumps(tuner.trainer((), {}))).hypermodel.build is model_of
