"""Half precision: what rounding takes is kept if asked for; overflowing steps are skipped; extremes do what is documented."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_optims
from keras_optims.testing.compiled_step import CompiledStep, as_numpy
from tests.stepping import state_of
from tests.variants import OF_EACH_SCOPE, ONE_EACH, VARIANTS

HALF = ["float16", "bfloat16"]
BITS = {"float16": 11, "bfloat16": 8}  # of the significand


def trained(optimizer, dtype, gradient, steps, start=1.0):
    """A variable of two elements after some steps with the same gradient."""
    variable = keras.Variable(np.full(2, start), dtype=dtype, name="theta")
    step = CompiledStep(optimizer, [variable])
    for _ in range(steps):
        step([np.full(2, gradient, "float32")])
    return step.weights()[0][0]


@pytest.mark.parametrize("dtype", HALF)
def test_compensated_summation_keeps_updates_that_rounding_loses(dtype):
    rate = 2.0 ** -(BITS[dtype] + 2)  # a quarter of the distance from 1 to the next smaller number
    steps = 1000
    lost = trained(keras_optims.GradientDescent(rate), dtype, 1.0, steps)
    kept = trained(keras_optims.GradientDescent(rate, compensated_summation=True), dtype, 1.0, steps)
    assert lost == 1.0
    assert kept == pytest.approx(1 - rate * steps, abs=2.0 ** -BITS[dtype])


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("variant", OF_EACH_SCOPE, ids=str)
def test_compensated_summation_follows_the_formula_in_float32(variant, dtype):
    """Weights of half precision and what they lack, together, are the float32 weights to twice the bits."""
    rng = np.random.default_rng(0)
    start = ops.convert_to_numpy(ops.cast(ops.cast(rng.normal(size=(5, 3)).astype("float32"), dtype), "float32"))
    half = keras.Variable(start, dtype=dtype, name="theta")
    full = keras.Variable(start, dtype="float32", name="theta")
    optimizer = variant.optimizer(compensated_summation=True)
    steps = [CompiledStep(optimizer, [half]), CompiledStep(variant.optimizer(), [full])]
    for _ in range(50):
        gradient = rng.normal(size=(5, 3)).astype("float32")
        for step in steps:
            step([gradient])
    together = as_numpy(half) + as_numpy(optimizer.rounding_error[half])
    largest = np.abs(start).max() + np.abs(as_numpy(full)).max()
    np.testing.assert_allclose(together, as_numpy(full), atol=50 * largest * 2.0 ** (-2 * BITS[dtype]))
    assert keras.backend.standardize_dtype(optimizer.rounding_error[half].dtype) == dtype


def test_compensated_summation_makes_no_slot_for_float32():
    variable = keras.Variable(np.ones(3), dtype="float32", name="theta")
    with_it, without = keras_optims.Adam(compensated_summation=True), keras_optims.Adam()
    with_it.build([variable])
    without.build([variable])
    assert len(with_it.variables) == len(without.variables)


@pytest.mark.parametrize("dtype", HALF)
def test_compensated_summation_resumes_bit_for_bit(dtype, tmp_path):
    def model():
        keras.utils.set_random_seed(0)
        made = keras.Sequential([keras.Input((4,), dtype=dtype), keras.layers.Dense(3, dtype=dtype, name="dense")])
        made.compile(keras_optims.Adam(0.001, compensated_summation=True), "mse")
        return made

    x, y = np.random.default_rng(0).normal(size=(2, 32, 4)).astype("float32")
    straight = model()
    straight.fit(x, y[:, :3], epochs=4, shuffle=False, verbose=0)
    first = model()
    first.fit(x, y[:, :3], epochs=2, shuffle=False, verbose=0)
    first.save(tmp_path / "model.keras")
    resumed = keras.models.load_model(tmp_path / "model.keras")
    assert resumed.optimizer.get_config()["compensated_summation"] is True
    resumed.fit(x, y[:, :3], epochs=2, shuffle=False, verbose=0)
    for ours, theirs in zip(resumed.variables, straight.variables, strict=True):
        np.testing.assert_array_equal(as_numpy(ours), as_numpy(theirs))
    assert any(np.any(value) for name, value in state_of(resumed.optimizer).items() if name.startswith("rounding_error"))


@pytest.mark.backend("tensorflow")
@pytest.mark.parametrize("dtype", HALF)
def test_compensated_summation_of_the_rows_of_an_embedding(dtype):
    import tensorflow as tf

    table = keras.Variable(np.ones((6, 2)), dtype=dtype, name="table")
    optimizer = keras_optims.GradientDescent(2.0 ** -(BITS[dtype] + 2), compensated_summation=True)
    optimizer.build([table])

    @tf.function
    def step():
        optimizer.apply([tf.IndexedSlices(tf.ones((2, 2), dtype), tf.constant([1, 4]), tf.constant([6, 2]))], [table])

    for _ in range(100):
        step()
    expected = np.ones((6, 2))
    expected[[1, 4]] -= 100 * 2.0 ** -(BITS[dtype] + 2)
    np.testing.assert_allclose(as_numpy(table), expected, atol=2.0 ** -BITS[dtype])


@pytest.mark.backend("tensorflow")
@pytest.mark.parametrize("dtype", HALF)
def test_xla_does_not_simplify_the_compensation_away(dtype):
    import tensorflow as tf

    variable = keras.Variable(np.ones(2), dtype=dtype, name="theta")
    optimizer = keras_optims.GradientDescent(2.0 ** -(BITS[dtype] + 2), compensated_summation=True)
    optimizer.build([variable])
    step = tf.function(lambda: optimizer.apply([tf.ones(2, dtype)], [variable]), jit_compile=True)
    for _ in range(100):
        step()
    np.testing.assert_allclose(as_numpy(variable), 1 - 100 * 2.0 ** -(BITS[dtype] + 2), atol=2.0 ** -BITS[dtype])


def accuracy_on_digits(dtype, **arguments):
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x, order = x / 16, np.random.default_rng(0).permutation(len(x))
    train, test = order[:1400], order[1400:]
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((64,), dtype=dtype), keras.layers.Dense(64, "relu", dtype=dtype), keras.layers.Dense(10, dtype=dtype)]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras_optims.Adam(3e-4, **arguments), loss)
    model.fit(x[train], y[train], epochs=20, batch_size=16, verbose=0)
    predicted = ops.convert_to_numpy(ops.argmax(ops.cast(model.predict(x[test], verbose=0), "float32"), -1))
    return float(np.mean(predicted == y[test]))


@pytest.mark.slow
def test_a_net_of_pure_bfloat16_learns_digits_as_one_of_float32():
    pytest.importorskip("sklearn")
    full = accuracy_on_digits("float32")
    compensated = accuracy_on_digits("bfloat16", compensated_summation=True)
    plain = accuracy_on_digits("bfloat16")
    print(full, compensated, plain)
    assert compensated >= full - 0.01
    assert plain < compensated


# -- overflow under a loss scale ----------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.inf, np.nan])
@pytest.mark.parametrize("variant", [v for v in VARIANTS if v.name in ("momentum", "adagrad", "rmsprop", "adam")], ids=str)
def test_an_overflowing_step_is_skipped_and_leaves_the_state_untouched(variant, bad):
    """As in `mixed_float16`: Keras's `LossScaleOptimizer` around ours."""
    variable = keras.Variable(np.ones(3), dtype="float32", name="theta")
    inner = variant.optimizer()
    outer = keras.optimizers.LossScaleOptimizer(inner, initial_scale=8.0)
    step = CompiledStep(outer, [variable])
    step([np.full(3, 8.0, "float32")])  # a gradient of 1, scaled
    before, weights = state_of(inner), step.weights()[0]
    step([np.array([8.0, bad, 8.0], "float32")])
    for name, value in state_of(inner).items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)
    np.testing.assert_array_equal(step.weights()[0], weights)
    assert float(ops.convert_to_numpy(outer.dynamic_scale)) == 4.0
    step([np.full(3, 4.0, "float32")])
    alone = keras.Variable(np.ones(3), dtype="float32", name="theta")
    plain = CompiledStep(variant.optimizer(), [alone])
    for _ in range(2):
        plain([np.ones(3, "float32")])
    np.testing.assert_array_equal(step.weights()[0], plain.weights()[0])


# -- extreme gradients: the table of docs/precision.md ------------------------------------------------


def after(variant, *gradients, **arguments):
    """The weight of one element after each gradient, from 1."""
    variable = keras.Variable(np.ones(1), dtype="float32", name="theta")
    step, weights = CompiledStep(variant.optimizer(**arguments), [variable]), []
    for gradient in gradients:
        step([np.full(1, gradient, "float32")])
        weights.append(step.weights()[0][0])
    return weights


# LARS divides by the norm of the gradient, so that the smallest one has a full step.
@pytest.mark.parametrize("variant", [v for v in ONE_EACH if v.make is not keras_optims.LARS], ids=str)
def test_tiny_gradients_are_as_good_as_zero_where_they_are_squared_and_disturb_nothing(variant):
    for tiny in (1e-30, 1e-40):
        if variant.make is keras_optims.Lion:  # for which no gradient is tiny, if it is a number at all
            assert after(variant, tiny)[0] == pytest.approx(1 - variant.arguments["learning_rate"]) or tiny == 1e-40
            continue
        np.testing.assert_allclose(after(variant, tiny, 1.0), after(variant, 0.0, 1.0), rtol=1e-6, atol=1e-20)


@pytest.mark.parametrize("variant", [v for v in VARIANTS if v.has_kernel], ids=str)
def test_a_huge_gradient_moves_a_weight_or_stops_it_as_documented(variant):
    huge, later = after(variant, 1e30, 1.0)
    if variant.overflow == "stops":  # its square is infinite: the step is 0, and what comes later 0 or NaN, by the kernel
        decayed = 1 - variant.arguments.get("weight_decay", 0) * variant.arguments["learning_rate"]
        assert huge == pytest.approx(decayed)
        assert np.isnan(later) or later == pytest.approx(decayed**2)
    elif variant.overflow == "bounded":
        assert huge == pytest.approx(1 - variant.arguments["learning_rate"])
        assert np.isfinite(later)
    elif variant.overflow == "nan":  # RMSProp divides by the difference of two infinite squares, FTRL multiplies by one
        assert np.isnan(huge) or huge == 1
    else:
        assert -1e30 < huge < -1e20
        assert np.isfinite(later)


@pytest.mark.parametrize("variant", OF_EACH_SCOPE, ids=str)
def test_clipping_makes_a_huge_gradient_an_ordinary_one(variant):
    for clipping in ("clipnorm", "global_clipnorm", "clipvalue"):
        np.testing.assert_allclose(after(variant, 1e30, **{clipping: 1.0}), after(variant, 1.0), rtol=1e-6)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_an_infinite_gradient_and_nan_are_never_silent(variant):
    assert np.isnan(after(variant, np.nan)[0])
    infinite = after(variant, np.inf, 1.0, 1.0)  # ADOPT clips it, and v is infinite, and NaN after the next step
    if variant.overflow != "moves":
        assert np.isnan(infinite[-1])
    else:
        assert not np.isfinite(infinite[0])
