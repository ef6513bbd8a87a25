"""Lookahead around any optimizer: slow weights that follow the fast ones, and at which to evaluate."""

import keras
import numpy as np
import pytest

import keras_optims
from keras_optims import Adam, AdamW, Ftrl, GradientDescent, Lookahead, Momentum, Prodigy, Rule, ScheduleFreeSGD
from keras_optims.testing.compiled_step import CompiledStep, as_numpy
from tests.models import compiled, data, fit, weights
from tests.stepping import state_of

SHAPES = [(4, 3), (3,), ()]


def starts(seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape).astype("float32") for shape in SHAPES]


def gradients(steps=13, seed=1):
    rng = np.random.default_rng(seed)
    return [[rng.normal(0.3, 1, size=shape).astype("float32") for shape in SHAPES] for _ in range(steps)]


def variables(dtype="float32"):
    return [keras.Variable(value, dtype=dtype, name=f"v{i}") for i, value in enumerate(starts())]


def slow_of(optimizer):
    return [as_numpy(optimizer._untracked.average[v]) for v in optimizer.variables_of_the_model()]


def momentum_twin(thetas, given, k, alpha, rate=0.1, momentum=0.9):
    """Algorithm 1 of Zhang et al. 2019 with momentum inside, in float64, whose velocity stays at a synchronization."""
    thetas = [np.float64(theta) for theta in thetas]
    phis, velocities = [theta.copy() for theta in thetas], [np.zeros_like(theta) for theta in thetas]
    for step, of_step in enumerate(given, start=1):
        for i, gradient in enumerate(of_step):
            velocities[i] = momentum * velocities[i] - rate * gradient
            thetas[i] = thetas[i] + velocities[i]
            if step % k == 0:
                phis[i] = phis[i] + alpha * (thetas[i] - phis[i])
                thetas[i] = phis[i].copy()
    return thetas, phis


def walked(optimizer, given, dtype="float32"):
    step = CompiledStep(optimizer, variables(dtype))
    for of_step in given:
        step(of_step)
    return step


def assert_close(found, expected, tolerance=2e-6):
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


def assert_same(found, expected):
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(("k", "alpha"), [(1, 0.5), (3, 0.8), (5, 0.5), (4, 1.0), (20, 0.5)])
def test_it_goes_where_its_twin_goes(k, alpha):
    given = gradients()
    optimizer = Lookahead(Momentum(0.1), k, alpha)
    step = walked(optimizer, given)
    thetas, phis = momentum_twin(starts(), given, k, alpha)
    assert_close(step.weights(), thetas)
    assert_close(slow_of(optimizer), phis)


@pytest.mark.parametrize("changed", [{"k": 4}, {"k": 6}, {"alpha": 0.505}, {"momentum": 0.0}])
def test_the_twin_notices_another_k_and_another_alpha(changed):
    exact = {"k": 5, "alpha": 0.5}
    twins = [momentum_twin(starts(), gradients(), **arguments) for arguments in (exact, exact | changed)]
    for one, other in zip(*twins, strict=True):
        assert max(np.abs(a - b).max() for a, b in zip(one, other, strict=True)) > 1e-3


def test_alpha_is_live():
    optimizer = Lookahead(GradientDescent(0.1), 2, 0.5)
    step = CompiledStep(optimizer, [keras.Variable(np.ones(3, "float32"), name="theta")])
    path = []
    for alpha in (0.5, 0.5, 1.0, 1.0):
        optimizer.lookahead_alpha = alpha
        step([np.ones(3, "float32")])
        path.append(step.weights()[0][0])
    np.testing.assert_allclose(path, [0.9, 0.9, 0.8, 0.7], rtol=1e-6)
    assert step.traces <= 1 or keras.backend.backend() == "torch"


def test_slow_weights_begin_where_the_weights_are_at_the_first_update():
    optimizer, theta = Lookahead(GradientDescent(0.1), 2, 0.5), keras.Variable(np.zeros(3, "float32"), name="theta")
    step = CompiledStep(optimizer, [theta])
    theta.assign(np.ones(3, "float32"))  # as where weights are loaded once the optimizer is built
    for _ in range(2):
        step([np.ones(3, "float32")])
    np.testing.assert_allclose(step.weights()[0], 0.9, rtol=1e-6)


def test_a_step_is_an_update_where_gradients_are_accumulated():
    given = gradients(12)
    together = [[(a + b) / 2 for a, b in zip(*pair, strict=True)] for pair in zip(given[::2], given[1::2], strict=True)]
    accumulating = walked(Lookahead(Momentum(0.1, gradient_accumulation_steps=2), 3), given)
    assert_close(accumulating.weights(), walked(Lookahead(Momentum(0.1), 3), together).weights())


def test_what_is_evaluated_are_the_slow_weights():
    model = compiled(Lookahead(Adam(0.05), 3))
    fit(model, validation_data=data(), callbacks=[keras_optims.AveragedWeights()])  # four updates
    optimizer = model.optimizer
    fast, slow = weights(model), slow_of(optimizer)
    with optimizer.averaged_weights():
        assert_same([as_numpy(v) for v in model.trainable_variables], slow)
        assert optimizer.weights_are_averaged
    assert_same(weights(model), fast)
    assert max(np.abs(a - as_numpy(v)).max() for a, v in zip(slow, model.trainable_variables, strict=True)) > 1e-3


def test_training_from_the_slow_weights_begins_new_ones_there():
    optimizer = Lookahead(GradientDescent(0.1), 3, 0.5)
    step = CompiledStep(optimizer, [keras.Variable(np.ones(3, "float32"), name="theta")])
    for _ in range(5):  # φ = θ = 0.85 after the third, then θ = 0.65
        step([np.ones(3, "float32")])
    optimizer.swap_averaged_weights()
    np.testing.assert_allclose(step.weights()[0], 0.85, rtol=1e-6)
    step([np.ones(3, "float32")])  # the sixth: θ = 0.75, half of the way from 0.85
    assert not optimizer.weights_are_averaged
    np.testing.assert_allclose(step.weights()[0], 0.8, rtol=1e-6)


@pytest.mark.parametrize("swapped", [False, True])
def test_a_training_goes_on_bit_for_bit(swapped, tmp_path):
    uninterrupted, model = (compiled(Lookahead(AdamW(0.05), 3)) for _ in range(2))
    fit(uninterrupted, 2)
    fit(model)  # four updates: the second synchronization is after the second one of what follows
    if swapped:
        model.optimizer.swap_averaged_weights()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.lookahead == 3
    if swapped:
        loaded.optimizer.build(loaded.trainable_variables)
        loaded.optimizer.swap_averaged_weights()
    fit(loaded)
    assert_same(weights(loaded), weights(uninterrupted))
    assert_same(slow_of(loaded.optimizer), slow_of(uninterrupted.optimizer))


def test_slow_weights_that_a_state_lacks_begin_with_the_weights():
    without = walked(Momentum(0.1), gradients(2)).optimizer
    optimizer = Lookahead(Momentum(0.1))
    step = CompiledStep(optimizer, variables())
    step.variables[0].assign(2 * starts()[0])
    loaded = optimizer.load_state(without, partial=True)
    assert {"slow/v0", "slow/v1", "slow/v2", "lookahead_alpha"} <= set(loaded.fresh)
    assert_same(slow_of(optimizer), step.weights())


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_has_slow_weights_in_float32(dtype):
    given = gradients(6)
    optimizer = Lookahead(Momentum(0.01, compensated_summation=True), 3)
    step = walked(optimizer, given, dtype)
    first = [np.float64(value) for value in walked(GradientDescent(0.0), given[:1], dtype).weights()]  # rounded
    thetas, phis = momentum_twin(first, given, 3, 0.5, rate=0.01)
    slow = slow_of(optimizer)
    assert {value.dtype for value in slow} == {np.dtype("float32")}
    error = [as_numpy(optimizer.rounding_error[v]) for v in step.variables]
    for i in range(len(SHAPES)):
        np.testing.assert_allclose(slow[i], phis[i], atol=3e-5)
        np.testing.assert_allclose(step.weights()[i] + error[i], thetas[i], atol=3e-5)


@pytest.mark.parametrize(
    "make",
    [
        lambda: AdamW(0.01, weight_decay=0.1, rules=[Rule("v1", weight_decay=None, learning_rate_multiplier=0.1)]),
        lambda: Momentum(0.01, rules=[Rule(ndim=1, formula=Adam(0.01))]),
        lambda: Prodigy(),
        lambda: keras_optims.Muon(0.01),
        lambda: keras_optims.Lamb(0.01, cautious=False),
        lambda: Adam(0.01, cautious=True, clipnorm=1.0),
    ],
)
def test_around_any_optimizer_it_is_the_optimizer_between_synchronizations(make):
    given = gradients(3)
    optimizer = Lookahead(make(), 3, 0.25)
    step = walked(optimizer, given)
    inner = walked(make(), given).weights()
    expected = [phi + 0.25 * (theta - phi) for phi, theta in zip(starts(), inner, strict=True)]
    assert_close(step.weights(), expected)
    assert_close(slow_of(optimizer), expected)
    assert all("slow" in line.slots for line in optimizer.explain())
    inner_state = {k: v for k, v in state_of(walked(make(), given).optimizer).items() if k.split("|")[0] not in ("slow", "name")}
    own = state_of(optimizer)
    for name, value in inner_state.items():
        np.testing.assert_allclose(own[name], value, rtol=2e-5, atol=1e-6)  # its slots stay


def test_a_constraint_holds_for_the_slow_weights():
    unit = keras.constraints.UnitNorm(axis=0)
    theta = keras.Variable(np.eye(3, dtype="float32"), name="theta")
    theta.constraint = unit
    optimizer = Lookahead(GradientDescent(0.5), 2)
    step = CompiledStep(optimizer, [theta])
    for _ in range(4):
        step([np.full((3, 3), 1.0, "float32")])
    np.testing.assert_allclose(np.linalg.norm(slow_of(optimizer)[0], axis=0), 1, rtol=1e-5)
    assert_close(slow_of(optimizer), step.weights())


@pytest.mark.backend("tensorflow")
def test_synchronizations_reach_rows_that_no_batch_has_used():
    import tensorflow as tf

    table = keras.Variable(np.ones((4, 2), "float32"), name="table")
    optimizer = Lookahead(GradientDescent(0.1), 2)
    for row in (1, 2):
        optimizer.apply([tf.IndexedSlices(tf.ones((1, 2)), tf.constant([row]), tf.constant([4, 2]))], [table])
    np.testing.assert_allclose(as_numpy(table)[:, 0], [1, 0.95, 0.95, 1], rtol=1e-6)


def test_a_skipped_step_does_not_count():
    optimizer = keras.optimizers.LossScaleOptimizer(Lookahead(GradientDescent(0.1), 2), initial_scale=1.0)
    step = CompiledStep(optimizer, [keras.Variable(np.ones(3, "float32"), name="theta")])
    for size in (1.0, np.inf, 0.5):  # the second halves the scale
        step([np.full(3, size, "float32")])
    np.testing.assert_allclose(step.weights()[0], 0.9, rtol=1e-6)
    assert optimizer.lookahead == 2


# -- making one -----------------------------------------------------------------------------------


def test_it_makes_a_new_optimizer_with_the_same_arguments():
    def rate(step):
        return 0.1

    given = Adam(rate, beta_1=0.8, name="mine", rules=[Rule("bias", beta_2=0.9)])
    given.exclude_from_weight_decay(var_names=["bias"])
    given.group_below = 0
    made = Lookahead(given, 6, 0.7)
    assert type(made) is Adam
    assert (made.name, made.lookahead, made.group_below) == ("mine", 6, 0)
    assert (given.lookahead, given.lookahead_alpha) == (None, None)
    assert repr(made).startswith("Adam(learning_rate=")
    assert repr(made).endswith("lookahead=6, lookahead_alpha=0.7, rules=[Rule(path=['bias'], beta_2=0.9)])")
    assert made._untracked.excluded == given._untracked.excluded
    again = Adam.from_config(Lookahead(Adam(0.1), 6, 0.7).get_config())
    assert (again.lookahead, float(again.lookahead_alpha)) == (6, pytest.approx(0.7))


def built():
    optimizer = Adam()
    optimizer.build(variables())
    return optimizer


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Lookahead(keras.optimizers.Adam()), TypeError, "optimizer of keras_optims; keras_optims.from_keras makes"),
        (lambda: Lookahead("adam"), TypeError, "takes an optimizer of keras_optims.*Received 'adam'"),
        (lambda: Lookahead(keras.optimizers.LossScaleOptimizer(Adam())), TypeError, r"LossScaleOptimizer\(Lookahead"),
        (lambda: Lookahead(Lookahead(Adam())), ValueError, "cannot be put around Lookahead"),
        (lambda: Lookahead(built()), ValueError, "takes a new optimizer; received Adam, which is built already"),
        (lambda: Lookahead(Adam(), sync_period=6), ValueError, r"no argument 'sync_period'\. Did you mean k\?"),
        (lambda: Lookahead(Adam(), slow_step_size=0.5), ValueError, r"no argument 'slow_step_size'\. Did you mean alpha\?"),
        (lambda: Adam(sync_period=6), ValueError, r"Did you mean lookahead\?"),
        (lambda: Lookahead(Adam(), k=0), ValueError, r"lookahead must be None or an int in \[1, ∞\); received 0"),
        (lambda: Lookahead(Adam(), k=2.5), ValueError, r"an int in \[1, ∞\); received 2.5"),
        (lambda: Lookahead(Adam(), alpha=0), ValueError, r"lookahead_alpha \(α\) must be .* in \(0, 1\].*received 0"),
        (lambda: Lookahead(Adam(), alpha=1.5), ValueError, r"in \(0, 1\].*received 1.5"),
        (lambda: Lookahead(Adam(), alpha=None), ValueError, "given together or not at all.*received lookahead=5 alone"),
        (lambda: Adam(lookahead_alpha=0.5), ValueError, "given together or not at all.*received lookahead_alpha alone"),
        (lambda: Lookahead(Adam(use_ema=True)), ValueError, "lookahead and use_ema=True cannot be combined"),
        (lambda: Lookahead(ScheduleFreeSGD()), ValueError, "combined with ScheduleFreeSGD, which has weights to evaluate at"),
        (lambda: Lookahead(Ftrl()), ValueError, "combined with Ftrl, which computes its weights from its slots alone"),
        (lambda: Momentum(rules=[Rule(formula=Lookahead(Adam()))]), ValueError, "lookahead, lookahead_alpha concerns the step"),
        (lambda: Momentum(rules=[Rule("v", lookahead_alpha=0.1)]), ValueError, "cannot set 'lookahead_alpha'"),
        (
            lambda: Lookahead(Momentum(rules=[Rule("v1", formula=Ftrl())])).build(variables()),
            ValueError,
            "Lookahead cannot be combined with Ftrl",
        ),
        (lambda: keras_optims.to_keras(Lookahead(Adam())), ValueError, "to_keras cannot take over lookahead"),
    ],
)
def test_what_cannot_be_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("argument", [{"agc": 0.01}, {"gradient_centralization": True}, {"cautious": True}])
def test_to_keras_leaves_no_option_out(argument):
    with pytest.raises(ValueError, match=f"to_keras cannot take over {next(iter(argument))}, which no optimizer of Keras has"):
        keras_optims.to_keras(Adam(**argument))
