"""What searching uses of others' private interfaces exists and takes what it is given: a new version fails with one sentence."""

import ast
import importlib
import inspect
import pathlib
import re

import keras
import keras_tuner
import pytest

import tuning
from tuning.engines import ray_seam
from tuning.oracles import keras_tuner_seam
from tuning.training import keras_seam, tensorflow_seam

ROOT = pathlib.Path(tuning.__file__).parent
VERSION = importlib.import_module("keras_tuner.src.version").__version__
ORACLE = keras_tuner.oracles.RandomSearchOracle
BAYESIAN = keras_tuner.oracles.BayesianOptimizationOracle
GRID = keras_tuner.oracles.GridSearchOracle
HYPERBAND = keras_tuner.oracles.HyperbandOracle


@pytest.mark.parametrize(
    ("cls", "name", "arguments"),
    [
        (cls, name, arguments)
        for cls, methods in (
            (keras_tuner.Oracle, keras_tuner_seam.OF_ORACLES),
            (BAYESIAN, keras_tuner_seam.OF_BAYESIAN),
            (HYPERBAND, keras_tuner_seam.OF_HYPERBAND),
            (keras_tuner.Tuner, keras_tuner_seam.OF_TUNERS),
        )
        for name, (arguments, _) in methods.items()
    ],
)
def test_keras_tuner_has_the_method_and_it_takes_what_it_is_given(cls, name, arguments):
    missing = f"KerasTuner {VERSION} has no {cls.__name__}.{name}({arguments}): see tuning/oracles/keras_tuner_seam.py"
    assert hasattr(cls, name), missing
    assert ", ".join(inspect.signature(getattr(cls, name)).parameters) == arguments, missing


@pytest.mark.parametrize(
    ("cls", "name"),
    [
        *((ORACLE, name) for name in keras_tuner_seam.ATTRIBUTES_OF_ORACLES),
        *((GRID, name) for name in keras_tuner_seam.ATTRIBUTES_OF_GRIDS),
        *((BAYESIAN, name) for name in keras_tuner_seam.ATTRIBUTES_OF_BAYESIAN),
        *((HYPERBAND, name) for name in keras_tuner_seam.ATTRIBUTES_OF_HYPERBAND),
    ],
)
def test_keras_tuner_s_oracles_have_the_attribute(cls, name):
    assert hasattr(cls("loss"), name), (
        f"KerasTuner {VERSION} has no {cls.__name__}.{name}: see tuning/oracles/keras_tuner_seam.py"
    )


def space():
    hp = keras_tuner.HyperParameters()
    hp.Choice("x", [1, 2, 3])
    return hp


def test_the_seam_of_oracles_does_what_it_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    oracle = ORACLE("loss", 9, seed=1, hyperparameters=space())
    keras_tuner_seam.keeps_nothing(oracle)
    trial = oracle.create_trial("seat")
    assert keras_tuner_seam.was_tried(oracle, trial.hyperparameters.values)
    assert not keras_tuner_seam.was_tried(oracle, {"x": 4})
    assert keras_tuner_seam.hash_of(oracle, {"x": 1}) != keras_tuner_seam.hash_of(oracle, {"x": 2})
    left = {1, 2, 3} - {trial.hyperparameters.values["x"]}
    assert keras_tuner_seam.random_values(oracle)["x"] in left
    assert keras_tuner_seam.draws(oracle) > 0
    trial.status = "FAILED"
    oracle.end_trial(trial)
    keras_tuner_seam.run_again(oracle, [trial.trial_id])
    assert oracle.create_trial("seat").trial_id == trial.trial_id
    assert list(tmp_path.iterdir()) == []


def test_a_grid_in_order_goes_on_behind_its_last_point():
    oracle = GRID("loss", hyperparameters=space())
    keras_tuner_seam.keeps_nothing(oracle)
    first = oracle.create_trial("0")
    other = GRID("loss", hyperparameters=space())
    keras_tuner_seam.keeps_nothing(other)
    other.trials, other.start_order = dict(oracle.trials), list(oracle.start_order)
    keras_tuner_seam.put_in_order(other, [first.trial_id])
    assert other.create_trial("1").hyperparameters.values == oracle.create_trial("1").hyperparameters.values == {"x": 2}


@pytest.mark.parametrize(("module", "name"), ray_seam.PRIVATE)
def test_ray_has_the_name(module, name):
    ray = pytest.importorskip("ray")
    assert hasattr(importlib.import_module(module), name), f"Ray {ray.__version__} has no {name}: see tuning/engines/ray_seam.py"


@pytest.mark.parametrize("name", keras_seam.OF_MODELS)
def test_keras_s_models_have_the_name(name):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    assert hasattr(model, name), f"Keras {keras.__version__} has no Model.{name}: see tuning/training/keras_seam.py"
    keras_seam.make_variables(model, (keras.ops.ones((2, 2)), keras.ops.ones((2, 1))))
    assert model.optimizer.built
    assert keras_seam.compiled_with(model)["loss"] == "mse"
    assert keras_seam.compiled_loss(model) is keras_seam.compiled_loss(model)
    assert not keras_seam.is_distributed(model)


@pytest.mark.parametrize(("module", "name"), keras_seam.OF_MODULES)
def test_keras_s_modules_have_the_name(module, name):
    missing = f"Keras {keras.__version__} has no {module}.{name}: see tuning/training/keras_seam.py"
    assert hasattr(importlib.import_module(module), name), missing


def test_the_seam_of_keras_does_what_it_says():
    before = keras_seam.global_generator()
    try:
        mine = keras.random.SeedGenerator(3)
        keras_seam.set_global_generator(mine)
        assert keras_seam.global_generator() is mine
        keras_seam.set_global_seed(5)
        assert keras_seam.global_generator() is not mine
    finally:
        keras_seam.set_global_generator(before)
    keras_seam.count_names_from_the_start()
    assert [keras.layers.Dense(1).name for _ in range(2)] == ["dense", "dense_1"]


@pytest.mark.backend("tensorflow")
def test_tensorflow_s_operations_are_seeded_as_by_its_own_function():
    import tensorflow as tf
    from tensorflow.python.eager import context

    tf.random.set_seed(1)  # makes them
    for name in tensorflow_seam.PRIVATE:
        missing = f"TensorFlow {tf.__version__} has no {name} in its eager context: see tuning/training/tensorflow_seam.py"
        assert hasattr(context.context(), name), missing
    drawn = []
    for seed in (tf.random.set_seed, tensorflow_seam.seed_operations):
        seed(3)
        drawn.append([context.context()._internal_operation_seed() for _ in range(3)])
    assert drawn[0] == drawn[1]


def test_private_names_stand_in_the_seams_alone():
    seams = ("keras_tuner_seam.py", "ray_seam.py", "keras_seam.py", "tensorflow_seam.py")
    names = {
        *keras_tuner_seam.OF_ORACLES,
        *keras_tuner_seam.ATTRIBUTES_OF_ORACLES,
        *keras_tuner_seam.ATTRIBUTES_OF_GRIDS,
        *keras_tuner_seam.OF_BAYESIAN,
        *keras_tuner_seam.OF_HYPERBAND,
        *keras_tuner_seam.ATTRIBUTES_OF_HYPERBAND,
        *keras_tuner_seam.ATTRIBUTES_OF_BAYESIAN,
        *keras_tuner_seam.OF_TUNERS,
        *keras_seam.OF_MODELS,
        *(name for _, name in ray_seam.PRIVATE),
    }
    patterns = rf"\b(?:{'|'.join(names)})\b|keras\.src|ray\._private|tensorflow\.python|\boptuna\._\w|\.src\."
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in ROOT.rglob("*.py")
        if path.name not in seams
        for match in re.finditer(patterns, path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_no_private_attribute_of_another_s_object_is_touched_elsewhere():
    own = {"self", "cls", "super()", "store", "view"}  # the last two in their own classes
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)}"
        for path in ROOT.rglob("*.py")
        if not path.name.endswith("_seam.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__")
        if ast.unparse(node.value) not in own
        and ast.unparse(node) not in ("os._exit", "parser._actions")  # of the standard library
    ]
    assert found == []
