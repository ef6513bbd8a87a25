"""What is used of Keras's private interface exists and does what we take it to do: a new Keras fails here, with one sentence."""

import inspect
import pathlib
import re

import keras
import numpy as np
import pytest

import keras_optims
from keras_optims import keras_seam
from keras_optims.stand_in import Place, StandIn

BACKEND = keras.backend.backend()
ROOT = pathlib.Path(keras_optims.__file__).parent


def built(optimizer):
    variable = keras.Variable(np.ones(3, "float32"), name="theta")
    optimizer.build([variable])
    return optimizer, variable


@pytest.mark.parametrize("name", keras_seam.PRIVATE)
def test_keras_has_the_name(name):
    optimizer, _ = built(keras.optimizers.Adam())
    if name == "_distribution_strategy" and BACKEND != "tensorflow":
        pytest.skip("TensorFlow's")
    assert hasattr(optimizer, name), f"Keras {keras.__version__} has no Optimizer.{name}: see keras_optims/keras_seam.py"


@pytest.mark.parametrize("name", keras_seam.OF_NAMESAKES)
def test_keras_own_optimizers_have_the_name(name):
    optimizer = keras.optimizers.Adam(use_ema=True, gradient_accumulation_steps=2)
    optimizer.exclude_from_weight_decay(var_names=["a"])
    optimizer, _ = built(optimizer)
    assert hasattr(optimizer, name), f"Keras {keras.__version__} has no Adam.{name}: see keras_optims/keras_seam.py"


@pytest.mark.parametrize(("name", "arguments"), [("_var_key", ["self", "variable"]), ("_untrack_variable", ["self", "variable"])])
def test_its_methods_take_what_they_are_given(name, arguments):
    assert list(inspect.signature(getattr(keras.optimizers.Optimizer, name)).parameters) == arguments


def test_calls_are_counted_by_a_variable():
    optimizer, variable = built(keras.optimizers.Adam())
    optimizer.apply([keras.ops.ones(3)], [variable])
    assert int(keras.ops.convert_to_numpy(keras_seam.calls(optimizer))) == 1


def test_a_dropped_variable_is_none_of_the_optimizers():
    optimizer = keras.optimizers.Adam()
    rate = keras_seam.given_learning_rate(optimizer)
    assert isinstance(rate, keras.Variable)
    keras_seam.untrack(optimizer, rate)
    assert all(variable is not rate for variable in optimizer.variables)


def test_variables_are_known_by_a_key_of_their_own():
    optimizer, first = built(keras.optimizers.Adam())
    second = keras.Variable(np.ones(3, "float32"), name="theta")
    assert keras_seam.key_of(optimizer, first) == keras_seam.key_of(optimizer, first) != keras_seam.key_of(optimizer, second)


def test_the_layers_of_a_model_are_found_all_the_way_down():
    inner = keras.layers.Dense(2)
    model = keras.Sequential([keras.Input((2,)), keras.layers.SpectralNormalization(inner)], name="outer")
    assert [keras_seam.layers_of(model)[0], keras_seam.layers_of(model)[-1]] == [model, inner]


@pytest.mark.parametrize("name", keras_seam.OF_MODELS)
def test_keras_models_have_the_name(name):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    assert hasattr(model, name), f"Keras {keras.__version__} has no Model.{name}: see keras_optims/keras_seam.py"


def test_a_model_says_whether_it_takes_training_and_what_its_loss_is():
    class Plain(keras.Model):
        def call(self, x):
            return x

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None):  # as before Keras 3.3, without `training`
            return keras.ops.sum(y_pred * y * sample_weight)

    model = Plain()
    model.compile(keras.optimizers.SGD(0.1))
    assert not keras_seam.takes_training(model)
    loss = keras_seam.loss_of(model, *(keras.ops.convert_to_tensor([2.0, i]) for i in (5.0, 1.0, 2.0, 3.0)))
    assert float(loss) == 2**3 + 1 * 2 * 3
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dropout(0.5)])
    assert keras_seam.takes_training(model)
    model.compile(loss="mse")
    assert keras_seam.loss_tracker(model) is model.metrics[0]
    assert keras_seam.loss_tracker(model).name == "loss"


def test_an_assignment_in_a_scope_goes_through_add_update():
    """By which `sam` knows what a pass has assigned."""
    variable, updates = keras.Variable(np.ones(3, "float32")), []

    class Scope(keras.StatelessScope):
        def add_update(self, update):
            updates.append(update)
            super().add_update(update)

    with Scope() as scope:
        variable.assign_add(np.ones(3, "float32"))
    ((found, value),) = updates
    assert found is variable
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(value), 2 * np.ones(3))
    assert scope.get_current_value(variable) is value
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), np.ones(3))


def test_an_optimizer_that_is_set_built_is_what_keras_takes_for_built():
    optimizer, variable = keras_optims.GradientDescent(0.5), keras.Variable(np.ones(3, "float32"), name="theta")
    optimizer.build([variable])
    assert optimizer.built
    assert keras_seam.model_variables(optimizer) == [variable]
    if BACKEND != "tensorflow":
        values, _ = optimizer.stateless_apply([v.value for v in optimizer.variables], [keras.ops.ones(3)], [variable.value])
        np.testing.assert_allclose(keras.ops.convert_to_numpy(values[0]), 0.5)


def test_keras_takes_a_stand_in_for_a_variable():
    variable = keras.Variable(np.array([1.0, -4.0], "float32"), dtype="bfloat16", name="theta")
    stand_in = StandIn(Place(variable))
    assert isinstance(stand_in, keras.Variable)
    ops = keras.ops
    for function, expected in (
        (ops.abs, [1, 4]),
        (ops.square, [1, 16]),
        (lambda x: ops.maximum(x, 0.0), [1, 0]),
        (lambda x: ops.where(x > 0, x.value, 2 * x), [1, -8]),  # on JAX, Keras's `where` takes no variables
        (lambda x: ops.convert_to_numpy(ops.sum(x)), -3),
        (lambda x: -x + x**2 - x / 2 + 3 - x, [1.5, 29]),
        (lambda x: ops.cast(x, "float16"), [1, -4]),
    ):
        np.testing.assert_allclose(np.array(ops.convert_to_numpy(function(stand_in)), "float64"), expected)


def test_private_names_of_keras_stand_in_the_seam_alone():
    names = [
        name
        for name in (
            *keras_seam.PRIVATE,
            *keras_seam.OF_NAMESAKES,
            *keras_seam.OF_VARIABLES,
            *keras_seam.OF_LAYERS,
            *keras_seam.OF_MODELS,
        )
        if name != "_learning_rate"
    ]
    pattern = re.compile(rf"\.({'|'.join(names)})\b")
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in ROOT.rglob("*.py")
        if path.name != "keras_seam.py"
        for match in pattern.finditer(path.read_text(encoding="utf-8"))
    ]
    assert found == []
