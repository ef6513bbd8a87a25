"""Defects of Keras 3.15's optimizers that do not exist here. (Settable hyperparameters: tests/test_hyperparameters.py.)"""

import keras
import numpy as np
import pytest
from keras import ops

import keras_optims
from keras_optims import Adam, AdamW, Momentum
from keras_optims.testing.compiled_step import CompiledStep, as_numpy
from tests.models import compiled, dense_model, fit
from tests.variants import CLASSES, OF_EACH_SCOPE


def walk(optimizer, gradient, steps=10, dtype="float32", shape=(4,), start=0.0):
    step = CompiledStep(optimizer, [keras.Variable(np.full(shape, start, "float32"), dtype=dtype, name="theta")])
    for _ in range(steps):
        step([np.full(shape, gradient, "float32")])
    return step.weights()[0]


def test_adam_moves_bfloat16_weights():
    # Keras: β₂ = 0.999 is 1.0 in bfloat16, and the weights stay where they are
    np.testing.assert_allclose(walk(Adam(0.01), 0.5, dtype="bfloat16"), -0.1, rtol=0.02)


def test_adam_on_float16_does_not_jump_where_gradients_are_small():
    # Keras: ten steps of 0.01 end at -6.0, because 1e-4 squared is 0 in float16
    np.testing.assert_allclose(walk(Adam(0.01), 1e-4, dtype="float16"), -0.1, rtol=0.02)


def test_another_hyperparameter_than_the_learning_rate_takes_effect_after_fit():
    # Keras: on TensorFlow and JAX the compiled step keeps the old value
    model, twin = compiled(Momentum(momentum=0.9)), compiled(Momentum(momentum=0.9))
    for each in (model, twin):
        fit(each)
    model.optimizer.momentum = 0.0
    for each in (model, twin):
        fit(each)
    assert max(np.abs(a - b).max() for a, b in zip(model.get_weights(), twin.get_weights(), strict=True)) > 1e-4


def test_the_average_moves_with_updates_and_not_with_accumulated_micro_steps():
    optimizer = Momentum(0.1, momentum=0.0, use_ema=True, ema_momentum=0.5, gradient_accumulation_steps=2)
    step = CompiledStep(optimizer, [keras.Variable(np.zeros(1, "float32"), name="theta")])
    averages = []
    for _ in range(6):
        step([np.ones(1, "float32")])
        averages.append(float(as_numpy(optimizer._untracked.average.variables[0])[0]))
    # updates: θ = -0.1, -0.2, -0.3; the first average is θ itself
    np.testing.assert_allclose(averages, [0, -0.1, -0.1, -0.15, -0.15, -0.225], rtol=1e-6)


@pytest.mark.parametrize("everything", [{"var_names": [""]}, {"var_list": True}])
def test_adamw_with_every_variable_excluded_from_decay_is_adam(everything):
    # Keras: an empty foreach list raises on torch
    models = [compiled(AdamW(weight_decay=0.5)), compiled(Adam())]
    if "var_list" in everything:
        everything = {"var_list": models[0].trainable_variables}
    models[0].optimizer.exclude_from_weight_decay(**everything)
    for model in models:
        fit(model)
    for ours, theirs in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_exclusion_from_decay_is_by_name_and_by_variable():
    variables = [keras.Variable(np.ones(2, "float32"), name=name) for name in ("kernel", "bias", "scale")]
    optimizer = AdamW(0.1, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_list=[variables[2]], var_names=["bias"])
    step = CompiledStep(optimizer, variables)
    step([np.zeros(2, "float32")] * 3)
    np.testing.assert_allclose([w[0] for w in step.weights()], [0.95, 1, 1])


def test_excluding_from_decay_once_built_raises():
    model = compiled(AdamW())
    fit(model)
    with pytest.raises(ValueError, match="before the optimizer is built"):
        model.optimizer.exclude_from_weight_decay(var_names=["bias"])


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("rate", [1, np.float32(0.5), np.float64(0.5), np.int64(1)], ids=repr)
def test_a_learning_rate_may_be_an_int_or_a_numpy_scalar(cls, rate):
    assert float(cls(rate).learning_rate) == rate


@pytest.mark.parametrize("cls", CLASSES)
def test_the_learning_rate_comes_back_as_it_was_given(cls):
    assert cls(0.001).get_config()["learning_rate"] == 0.001  # not 0.0010000000474974513


@pytest.mark.parametrize("clipping", ["clipnorm", "global_clipnorm"])
@pytest.mark.parametrize("gradient", [1e25, 3e38, -1e20])
def test_clipping_a_huge_finite_gradient_keeps_its_direction(clipping, gradient):
    # Keras: the sum of squares overflows, and the update is zero
    optimizer = keras_optims.GradientDescent(1.0, **{clipping: 1.0})
    np.testing.assert_allclose(walk(optimizer, gradient, steps=1), -0.5 * np.sign(gradient), rtol=1e-6)


@pytest.mark.parametrize("clipping", ["clipnorm", "global_clipnorm", "clipvalue"])
def test_clipping_leaves_small_zero_and_empty_gradients_alone(clipping):
    optimizer = keras_optims.GradientDescent(1.0, **{clipping: 1.0})
    step = CompiledStep(optimizer, [keras.Variable(np.zeros(s, "float32"), name=f"v{i}") for i, s in enumerate([3, 2, 0])])
    step([np.full(3, 1e-25, "float32"), np.zeros(2, "float32"), np.zeros(0, "float32")])
    np.testing.assert_array_equal(step.weights()[0], np.float32(-1e-25))
    np.testing.assert_array_equal(step.weights()[1], 0)


# -- half precision -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize(
    "cls", [variant.make for variant in OF_EACH_SCOPE if not variant.make.overrides("evaluation_weights")]
)  # all follows from slots there
def test_half_precision_has_float32_state_and_is_rounded_once_a_step(cls, dtype):
    gradients = np.random.default_rng(0).normal(size=(20, 4)).astype("float32")
    arguments = {"learning_rate": 0.1, "weight_decay": 0.1, "use_ema": True, "gradient_accumulation_steps": 2}
    half = keras.Variable(np.ones(4, "float32"), dtype=dtype, name="theta")
    optimizer, twin = cls(**arguments), cls(**arguments)
    step = CompiledStep(optimizer, [half])
    assert all(v.dtype == "float32" for v in optimizer.variables[1:])
    full = keras.Variable(np.ones(4, "float32"), name="theta")
    step_twin = CompiledStep(twin, [full])
    for gradient in gradients:  # the float32 twin, with its weight rounded after each step
        gradient = as_numpy(ops.cast(ops.convert_to_tensor(gradient), dtype))
        step([gradient])
        step_twin([gradient])
        full.assign(ops.cast(ops.cast(full, dtype), "float32"))
    assert half.dtype == dtype
    np.testing.assert_array_equal(step.weights()[0], step_twin.weights()[0])


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "bfloat16"])
def test_fit_works_under_keras_precision_policies(policy):
    keras.config.set_dtype_policy(policy)
    try:
        model = compiled(Adam(0.01, use_ema=True, ema_overwrite_frequency=5), dense_model())
        history = fit(model, epochs=4)
    finally:
        keras.config.set_dtype_policy("float32")
    assert history.history["loss"][-1] < history.history["loss"][0]


@pytest.mark.backend("tensorflow", "torch")  # JAX has no float64 unless it is switched on
def test_float64_variables_are_updated_in_float64():
    start = 1 + 1e-12  # lost in float32
    variable = keras.Variable(np.full(3, start), dtype="float64", name="theta")
    step = CompiledStep(Momentum(0.5, momentum=0.5), [variable])
    step([np.full(3, 1.0)])
    np.testing.assert_allclose(step.weights()[0], start - 0.5, rtol=1e-14)


# -- gradients that are not there (of sparse ones, see test_sparse.py) -------------------------------------------------


def test_a_variable_without_gradient_stays_and_the_others_move():
    variables = [keras.Variable(np.ones(2, "float32"), name=name) for name in "ab"]
    step = CompiledStep(Adam(0.1, weight_decay=0.1), variables)
    with pytest.warns(UserWarning, match="Gradients do not exist"):
        step([None, np.ones(2, "float32")])
    np.testing.assert_array_equal(step.weights()[0], 1)
    assert (step.weights()[1] < 1).all()


@pytest.mark.parametrize("cls", [variant.make for variant in OF_EACH_SCOPE])
def test_a_model_with_an_embedding_learns(cls):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((5,), dtype="int32"), keras.layers.Embedding(20, 8), keras.layers.Flatten(), keras.layers.Dense(2)]
    )
    model.compile(cls(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x = np.random.default_rng(0).integers(0, 20, size=(128, 5))
    history = model.fit(x, (x[:, 0] > 9).astype(int), epochs=4, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0]
