"""`mixed_float16`: the arguments of our optimizers reach through Keras's `LossScaleOptimizer`; others' are as they were."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_optims
from tests.models import compiled, dense_model, fit, weights


@pytest.fixture
def mixed_float16():
    keras.config.set_dtype_policy("mixed_float16")
    yield
    keras.config.set_dtype_policy("float32")


def wrapped(inner, **arguments):
    return keras.optimizers.LossScaleOptimizer(inner, **arguments)


@pytest.mark.usefixtures("mixed_float16")
@pytest.mark.parametrize("fit_first", [False, True])
def test_a_hyperparameter_set_on_the_models_optimizer_is_what_the_next_step_uses(fit_first):
    ends = []
    for through_the_wrapper in (False, True):
        model = compiled(keras_optims.AdamW(0.01), dense_model())
        assert type(model.optimizer) is keras.optimizers.LossScaleOptimizer
        if fit_first:
            fit(model)
        optimizer = model.optimizer if through_the_wrapper else model.optimizer.inner_optimizer
        optimizer.beta_1 = 0.5
        optimizer.weight_decay = 0.5
        for name, value in {"beta_1": 0.5, "weight_decay": 0.5, "epsilon": np.float32(1e-7)}.items():
            assert float(getattr(model.optimizer, name)) == value
            assert getattr(model.optimizer, name) is getattr(model.optimizer.inner_optimizer, name)
        fit(model)
        ends.append(weights(model))
    for one, other in zip(*ends, strict=True):
        np.testing.assert_array_equal(one, other)


def test_errors_are_the_usual_ones():
    optimizer = wrapped(keras_optims.Adam())
    for name, value in {"beta_1": 1.5, "amsgrad": 1, "clipnorm": -1}.items():
        with pytest.raises(ValueError, match=name):
            setattr(optimizer, name, value)
    with pytest.raises(AttributeError, match=r"Adam has no 'beta1'.*Did you mean beta_1"):
        optimizer.beta1 = 0.5
    with pytest.raises(AttributeError, match="Did you mean learning_rate"):
        optimizer.lr = 0.5
    with pytest.raises(ValueError, match="loss_scale_factor must be None in a LossScaleOptimizer"):
        optimizer.loss_scale_factor = 2.0
    optimizer.amsgrad = optimizer.use_ema = True
    optimizer.build([keras.Variable(np.ones(3, "float32"))])
    with pytest.raises(ValueError, match="amsgrad cannot change once Adam is built"):
        optimizer.amsgrad = False
    with pytest.raises(ValueError, match="use_ema cannot change once Adam is built"):
        optimizer.use_ema = False
    with pytest.raises(AttributeError, match="'LossScaleOptimizer' object has no attribute 'momentum'"):
        _ = optimizer.momentum


def test_the_wrapper_has_no_averages_and_accumulators_of_its_own():
    inner = keras_optims.Adam(use_ema=True, gradient_accumulation_steps=2)
    optimizer, plain = wrapped(inner), wrapped(keras.optimizers.Adam())
    for each in (optimizer, plain):
        each.build([keras.Variable(np.ones(3, "float32"))])
    own = [len(each.variables) - len(each.inner_optimizer.variables) for each in (optimizer, plain)]
    assert own[0] == own[1]
    assert optimizer.use_ema
    assert optimizer.gradient_accumulation_steps == 2


def test_other_attributes_and_what_keras_passes_on_are_as_they_were():
    optimizer = wrapped(keras_optims.Adam(0.1), initial_scale=8.0)
    optimizer.note = "mine"
    optimizer.learning_rate = 0.5
    optimizer.initial_scale = 4.0
    assert (optimizer.note, optimizer.initial_scale) == ("mine", 4.0)
    assert float(optimizer.inner_optimizer.learning_rate) == 0.5
    assert "note" not in vars(optimizer.inner_optimizer)


def test_around_an_optimizer_of_keras_nothing_has_changed():
    optimizer = wrapped(keras.optimizers.Adam(0.1, weight_decay=0.25, use_ema=True))
    defaults = {"weight_decay": None, "clipnorm": None, "use_ema": False, "ema_momentum": 0.99, "loss_scale_factor": None}
    for name, value in defaults.items():
        assert getattr(optimizer, name) == value
        assert vars(optimizer)[name] == value
    assert {"name", "inner_optimizer", "initial_scale", "dynamic_growth_steps"} <= set(optimizer.get_config())
    for name in ("beta_1", "beta1", "weight_decay", "loss_scale_factor"):
        setattr(optimizer, name, 0.5)
        assert vars(optimizer)[name] == getattr(optimizer, name) == 0.5
        delattr(optimizer, name)
        with pytest.raises(AttributeError, match=f"'LossScaleOptimizer' object has no attribute '{name}'"):
            getattr(optimizer, name)
        assert not hasattr(optimizer, name)
    assert (optimizer.inner_optimizer.beta_1, optimizer.inner_optimizer.weight_decay) == (0.9, 0.25)


@pytest.mark.usefixtures("mixed_float16")
@pytest.mark.parametrize(("make", "arguments"), [(keras.optimizers.Adam, {}), (keras_optims.Adam, {"use_ema": True})])
def test_training_saving_and_loading_go_through_it(make, arguments, tmp_path):
    model = compiled(make(0.01, weight_decay=0.1, clipnorm=1.0, **arguments), dense_model())
    fit(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    fit(loaded)
    fit(model)
    for one, other in zip(weights(loaded), weights(model), strict=True):
        np.testing.assert_array_equal(one, other)
    assert int(ops.convert_to_numpy(loaded.optimizer.iterations)) == 8
