"""MirroredStrategy on two virtual CPUs."""

import contextlib
import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_optims
from keras_optims import Adam, Momentum
from tests.distribution import problem
from tests.distribution.problem import ALL_TOGETHER, LABELS, SETTINGS, STEPS, TOKENS, assert_same_training

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
STRATEGY = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
SCOPES = {"mirrored": STRATEGY.scope, "single": contextlib.nullcontext}


def shares(batch):
    """Each replica's share of an array."""
    size = len(batch) // 2
    return STRATEGY.experimental_distribute_values_from_function(
        lambda replica: tf.constant(batch[replica.replica_id_in_sync_group * size :][:size])
    )


compiled_step = functools.partial(tf.function, autograph=False)


def loop(model, optimizer, mirrored, wrap=compiled_step, after_step=lambda step: None):
    """A training loop of one's own."""
    loss = problem.loss()

    @tf.autograph.experimental.do_not_convert
    def step(x, y):
        with tf.GradientTape() as tape:
            value = optimizer.scale_loss(loss(y, model(x, training=True)))
        optimizer.apply(tape.gradient(value, model.trainable_variables), model.trainable_variables)

    run = wrap(lambda *batch: STRATEGY.run(step, args=batch)) if mirrored else wrap(step)
    for i in range(STEPS):
        batch = (TOKENS[i], LABELS[i])
        run(*map(shares if mirrored else tf.constant, batch))
        after_step(i)


def apply(optimizer, weights, gradients, mirrored):
    """One step, with a row of `gradients` for each replica."""

    def step(gradients):
        optimizer.apply([tf.cast(tf.reduce_sum(gradients, axis=0), weights.dtype)], [weights])

    STRATEGY.run(step, (shares(gradients),)) if mirrored else step(gradients)


def trained(make, make_model=problem.model, **kwargs):
    """(model, optimizer) after the training on two replicas, and on one device."""
    results = []
    for name, scope in SCOPES.items():
        with scope():
            model, optimizer = make_model(), make()
            optimizer.build(model.trainable_variables)
        loop(model, optimizer, name == "mirrored", **kwargs)
        results.append((model, optimizer))
    assert_replicas_are_equal(*results[0])
    return results


def assert_replicas_are_equal(model, optimizer):
    for variable in [*model.variables, *optimizer.variables]:
        first, second = (np.asarray(copy) for copy in variable.value.values)
        np.testing.assert_array_equal(first, second, err_msg=variable.path)


def assert_trained_as_on_one_device(make, **kwargs):
    (model, optimizer), (single, its_optimizer) = trained(make, **kwargs)
    assert_same_training(model, single, optimizer, its_optimizer)


@pytest.mark.parametrize("setting", SETTINGS)
def test_two_replicas_train_as_one_device(setting):
    assert_trained_as_on_one_device(SETTINGS[setting])


@pytest.mark.parametrize("options", [{}, ALL_TOGETHER], ids=["plain", "all together"])
def test_two_replicas_train_as_one_device_eagerly(options):
    assert_trained_as_on_one_device(lambda: Momentum(0.05, **options), wrap=lambda run: run)


@pytest.mark.parametrize(("rho", "adaptive"), [(0.5, False), (2.0, True)])
def test_sharpness_aware_minimization_on_two_replicas_is_that_on_one_device(rho, adaptive):
    models, histories = [], []
    for scope in SCOPES.values():
        with scope():
            models.append(keras_optims.sam(problem.compiled(Momentum(0.05), metrics=["accuracy"]), rho, adaptive))
        histories.append([problem.fit(models[-1]).history])
        keras_optims.sam(models[-1], 2 * rho, adaptive)
        histories[-1].append(problem.fit(models[-1]).history)
    assert_same_training(*models)
    for mirrored, single in zip(*histories, strict=True):
        assert mirrored == {name: pytest.approx(values, rel=1e-5) for name, values in single.items()}


def test_hyperparameters_are_set_between_steps_without_a_retrace():
    optimizers, traces = [], []

    def make():
        optimizers.append(Adam(0.003))
        return optimizers[-1]

    def wrap(run):
        def traced(*batch):
            traces.append(1)
            run(*batch)

        return compiled_step(traced)

    def after_step(step):
        if step == 2:
            optimizers[-1].learning_rate, optimizers[-1].beta_1 = 0.02, 0.5

    assert_trained_as_on_one_device(make, wrap=wrap, after_step=after_step)
    assert len(traces) == 2  # one for two replicas and one for a single device


def test_constraints_hold_on_all_replicas():
    def constrained():
        model = problem.model()
        model.get_layer("hidden").kernel.constraint = keras.constraints.MaxNorm(0.5)
        return model

    assert_trained_as_on_one_device(lambda: Adam(0.01), make_model=constrained)


def test_half_precision_keeps_what_rounding_takes():
    # Gradients that are whole numbers: those of a batch would be rounded to bfloat16 on each replica, other than on one device.
    results = []
    for name, scope in SCOPES.items():
        with scope():
            weights = keras.Variable(np.linspace(-1, 1, 5), dtype="bfloat16", name="weights")
            optimizer = Adam(0.001, compensated_summation=True, use_ema=True, gradient_accumulation_steps=2)
            optimizer.build([weights])
        for i in range(STEPS):
            gradients = np.arange(-3, 7).reshape(2, 5) * (i + 1.0)
            apply(optimizer, weights, gradients, name == "mirrored")
        state = {}
        optimizer.save_own_variables(state)
        results.append((keras.ops.convert_to_numpy(keras.ops.cast(weights, "float32")), *state.values()))
    assert np.abs(results[0][0] - np.linspace(-1, 1, 5)).min() > 1e-3
    for ours, single in zip(*results, strict=True):
        np.testing.assert_array_equal(ours, single)


@pytest.mark.parametrize("slot_dtype", ["bfloat16", "int8"])
def test_slots_in_fewer_bits_are_those_of_one_device(slot_dtype):
    # Gradients that are whole numbers, as above: the last bit of a sum may decide which way a number is rounded.
    results = []
    for name, scope in SCOPES.items():
        with scope():
            weights = keras.Variable(np.linspace(-1, 1, 5000), name="weights")
            optimizer = Adam(0.01, slot_dtype=slot_dtype, gradient_accumulation_steps=2)
            optimizer.build([weights])
        for i in range(STEPS):
            gradients = (np.arange(10_000) % 23 - 9.0).reshape(2, 5000) * (i + 1.0)
            apply(optimizer, weights, gradients, name == "mirrored")
        state = {}
        optimizer.save_own_variables(state)
        results.append((np.asarray(weights), *state.values()))
    assert np.abs(results[0][0] - np.linspace(-1, 1, 5000)).max() > 1e-3
    for ours, single in zip(*results, strict=True):
        np.testing.assert_array_equal(ours, single)


def test_a_loss_scale_skips_the_step_where_a_gradient_is_not_finite():
    # On the first replica: LossScaleOptimizer of Keras 3.15 looks at no other.
    results = []
    for name, scope in SCOPES.items():
        with scope():
            weights = keras.Variable(np.ones(3, "float32"), name="weights")
            optimizer = keras.optimizers.LossScaleOptimizer(Adam(0.1), initial_scale=8.0, dynamic_growth_steps=3)
            optimizer.build([weights])
        for i in range(STEPS):
            gradients = np.array([[1, 2, 3], [3, 1, 2]], "float32") * 8
            gradients[0, 0] = np.inf if i == 1 else 1
            apply(optimizer, weights, gradients, name == "mirrored")
        results.append(
            [np.array(keras.ops.convert_to_numpy(v)) for v in (weights, optimizer.dynamic_scale, optimizer.iterations)]
        )
    assert results[1][2] == STEPS - 1
    for ours, single in zip(*results, strict=True):
        np.testing.assert_allclose(ours, single, rtol=1e-6)


def test_fit_validates_with_the_averages_as_on_one_device():
    models, histories, averages = [], [], []
    for scope in SCOPES.values():
        with scope():
            model = problem.compiled(Adam(0.01, use_ema=True, ema_momentum=0.8))
        validation = (TOKENS.reshape(-1, 4), LABELS.reshape(-1))
        callbacks = [keras_optims.AveragedWeights()]
        histories.append(problem.fit(model, validation_data=validation, callbacks=callbacks).history)
        models.append(model)
        model.optimizer.swap_averaged_weights()
        averages.append(model.get_weights())
        if scope is STRATEGY.scope:
            assert_replicas_are_equal(model, model.optimizer)
        model.optimizer.swap_averaged_weights()
    assert_same_training(*models)
    assert_replicas_are_equal(models[0], models[0].optimizer)
    assert max(np.abs(a - w).max() for a, w in zip(averages[1], models[1].get_weights(), strict=True)) > 1e-3
    for ours, single in zip(*averages, strict=True):
        np.testing.assert_allclose(ours, single, rtol=0, atol=1e-6)
    np.testing.assert_allclose(histories[0]["val_loss"], histories[1]["val_loss"], rtol=1e-6)


@pytest.mark.parametrize(("saved_on", "loaded_on"), [("mirrored", "single"), ("single", "mirrored")])
def test_a_training_goes_on_elsewhere(saved_on, loaded_on, tmp_path):
    with SCOPES[saved_on]():
        model = problem.compiled(problem.resumable())
    problem.fit(model, problem.FIRST)
    model.save(tmp_path / "model.keras")
    problem.fit(model, problem.SECOND)
    with SCOPES[loaded_on]():
        loaded = keras.models.load_model(tmp_path / "model.keras")
    problem.fit(loaded, problem.SECOND)
    assert_same_training(loaded, model)


def test_apply_outside_of_a_replica_updates_all_of_them_or_says_why_not():
    with STRATEGY.scope():
        mirrored, optimizer = keras.Variable(np.ones(3, "float32"), name="v"), Momentum(0.1, gradient_accumulation_steps=2)
        optimizer.build([mirrored])
        with pytest.raises(ValueError, match=r"must be called on a replica, in the function that strategy.run\(...\) runs"):
            optimizer.apply([tf.ones(3)], [mirrored])
    for _ in range(4):
        optimizer.apply([tf.ones(3)], [mirrored])
    for copy in mirrored.value.values:
        np.testing.assert_allclose(copy, 1 - 0.1 - 0.19, rtol=1e-6)


def test_an_optimizer_that_was_made_outside_of_the_scope_is_refused():
    with STRATEGY.scope():
        mirrored = keras.Variable(np.ones(3, "float32"), name="v")
    optimizer = Adam()
    optimizer.build([mirrored])
    with pytest.raises(ValueError, match=r"must be made in the scope of the tf\.distribute strategy that runs it"):
        STRATEGY.run(lambda: optimizer.apply([tf.ones(3)], [mirrored]))
    np.testing.assert_array_equal(mirrored.numpy(), np.ones(3))
