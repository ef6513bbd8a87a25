"""Schedule-Free and Prodigy: wrong formulas are noticed, what Keras does otherwise, and the weights that are evaluated."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_optims
from keras_optims.testing import reference
from keras_optims.testing.compiled_step import CompiledStep, as_numpy
from keras_optims.testing.reference.schedule_free import prodigy_with_d, schedule_free_sequences
from tests.models import compiled, data, fit
from tests.stepping import state_of
from tests.test_reference import TOLERANCE, departure
from tests.variants import BY_NAME, distance, random_gradients, run

BACKEND = keras.backend.backend()

# -- wrong formulas -------------------------------------------------------------------------------


class IgnoresBeta(keras_optims.ScheduleFreeSGD):
    """As Keras's on TensorFlow and torch: x is found with the z of after the step."""

    def step_along(self, direction, variable, s):
        z = self.base_weights[variable]
        self.assign(z, ops.where(s.is_first > 0, variable.value, z.value) - s.rate * direction)
        self.assign(variable, variable + s.c * (z - variable))


class DecaysOneSequence(keras_optims.ScheduleFreeAdamW):
    decay = "decoupled"

    def decay_of(self, variable):
        return None


class DecaysAtZ(keras_optims.ScheduleFreeAdamW):
    def step_along(self, direction, variable, s):
        z = ops.where(s.is_first > 0, variable.value, self.base_weights[variable].value)
        super().step_along(direction + self.decay_of(variable) * (z - variable), variable, s)


class WeighsTheWarmUpInFull(keras_optims.ScheduleFreeAdamW):
    def begin_step(self, gradients, variables):
        return {**super().begin_step(gradients, variables), "c": 1 / self.step_number}


class CorrectsNoStart(keras_optims.ScheduleFreeAdamW):
    def step_scalars(self, learning_rate):
        return {**super().step_scalars(learning_rate), "correction": 1.0, "epsilon": self.epsilon}


class ProdigyWithTheOldD(keras_optims.Prodigy):
    """ε in units of the d of before."""

    def step_scalars(self, learning_rate):
        return {**super().step_scalars(learning_rate), "epsilon": 1e3 * self.epsilon * self.of_step.d}


class ProdigyWithTheNewD(keras_optims.Prodigy):
    def step_scalars(self, learning_rate):
        return {**super().step_scalars(learning_rate), "rate": learning_rate * self.of_step.new_d}


class ProdigyTheOtherWay(keras_optims.Prodigy):
    """θ − θ₀ in place of θ₀ − θ."""

    def begin_step(self, gradients, variables):
        for variable in variables:
            self.assign(self.start[variable], 2 * variable.value - self.start[variable])
        returned = super().begin_step(gradients, variables)
        for variable in variables:
            self.assign(self.start[variable], 2 * variable.value - self.start[variable])
        return returned


class ProdigyOfGradientsUnscaled(keras_optims.Prodigy):
    def begin_step(self, gradients, variables):
        return {**super().begin_step(gradients, variables), "d": 1.0}


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("schedule_free_sgd", IgnoresBeta),
        ("schedule_free_sgd with warm-up", lambda warmup_steps, **arguments: keras_optims.ScheduleFreeSGD(**arguments)),
        ("schedule_free_sgd with its mean kept", lambda beta, **arguments: keras_optims.ScheduleFreeSGD(**arguments, beta=0.6)),
        ("schedule_free_adamw", CorrectsNoStart),
        ("schedule_free_adamw with warm-up and decay", DecaysOneSequence),
        ("schedule_free_adamw with warm-up and decay", DecaysAtZ),
        ("schedule_free_adamw with warm-up and decay", WeighsTheWarmUpInFull),
        ("prodigy", ProdigyWithTheNewD),
        ("prodigy", ProdigyWithTheOldD),
        ("prodigy", ProdigyTheOtherWay),
        ("prodigy", ProdigyOfGradientsUnscaled),
        ("prodigy with bias correction", lambda use_bias_correction, **a: keras_optims.Prodigy(**a)),
        ("prodigy that grows slowly", lambda growth_rate, **a: keras_optims.Prodigy(**a)),
        ("prodigy that grows slowly", lambda beta_3, **a: keras_optims.Prodigy(**a)),
        ("prodigy with safeguarded warm-up", lambda safeguard_warmup, **a: keras_optims.Prodigy(**a)),
    ],
)
@pytest.mark.backend("tensorflow")
def test_the_comparison_notices_a_wrong_formula(name, wrong):
    variant = BY_NAME[name]
    start = float("decay" in name)
    assert departure(variant, wrong(**variant.arguments), start=start) > 2 * TOLERANCE


# -- what is evaluated ----------------------------------------------------------------------------

ADAMW = {"learning_rate": 0.01, "beta_1": 0.9, "beta_2": 0.99, "epsilon": 1e-7}


def schedule_free(cls, beta, **arguments):
    name = cls.interpolation
    return cls(learning_rate=0.02, **{name: beta}, **arguments)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("beta", [0.9, 0.5, 0.1, 0.0])
@pytest.mark.parametrize("cls", [keras_optims.ScheduleFreeSGD, keras_optims.ScheduleFreeAdamW])
def test_x_is_that_of_the_twin_whether_it_is_kept_or_not(cls, beta, dtype):
    gradients = [g[0] for g in random_gradients((6,), 40)]
    variable = keras.Variable(np.ones(6, "float32"), dtype=dtype, name="theta")
    optimizer = schedule_free(cls, beta, weight_decay=0.1, warmup_steps=5)
    step = CompiledStep(optimizer, [variable])
    for gradient in gradients:
        step([gradient])
    adam = {} if cls is keras_optims.ScheduleFreeSGD else {"beta_2": 0.999, "epsilon": 1e-8}
    x, y = schedule_free_sequences(gradients, np.ones(6), 0.02, beta, 0.1, warmup_steps=5, **adam)[-1]
    way, tolerance = np.abs(y - 1).max(), {"float32": 1e-5, "bfloat16": 1e-2}[dtype]
    assert (variable in optimizer.mean_weights) == (beta < 0.5 or dtype == "bfloat16")
    np.testing.assert_allclose(as_numpy(variable), y, rtol=0, atol=tolerance * way)
    with optimizer.averaged_weights():
        np.testing.assert_allclose(as_numpy(variable), x, rtol=0, atol=tolerance * way)
    np.testing.assert_allclose(as_numpy(variable), y, rtol=0, atol=tolerance * way)
    if dtype == "bfloat16":  # the sequences are float32, so that rounding y adds up to nothing
        np.testing.assert_allclose(as_numpy(optimizer.mean_weights[variable]), x, rtol=0, atol=1e-3 * way)


def test_no_third_copy_is_kept_unless_it_is_needed():
    variables = [
        keras.Variable(np.ones((3, 4), "float32"), name="theta"),
        keras.Variable(np.ones(5), dtype="float16", name="half"),
    ]
    optimizer = keras_optims.ScheduleFreeAdamW(rules=[keras_optims.Rule("theta", beta_1=0.4)])
    optimizer.build(variables)
    assert [variable in optimizer.mean_weights for variable in variables] == [True, True]
    optimizer = keras_optims.ScheduleFreeAdamW()
    optimizer.build(variables)
    assert [variable in optimizer.mean_weights for variable in variables] == [False, True]
    optimizer = keras_optims.ScheduleFreeAdamW(beta_1=keras.optimizers.schedules.ExponentialDecay(0.95, 10, 0.9))
    optimizer.build(variables)
    assert [variable in optimizer.mean_weights for variable in variables] == [True, True]


def test_where_beta_changes_x_and_z_stay():
    gradients = [g[0] for g in random_gradients((6,), 30)]
    variable = keras.Variable(np.ones(6, "float32"), name="theta")
    optimizer = keras_optims.ScheduleFreeSGD(0.02)
    step = CompiledStep(optimizer, [variable])
    for gradient in gradients[:10]:
        step([gradient])
    x, z = as_numpy(optimizer.evaluation_weights(variable)), as_numpy(optimizer.base_weights[variable])
    optimizer.beta = 0.6
    np.testing.assert_allclose(as_numpy(optimizer.evaluation_weights(variable)), x, rtol=1e-6)
    np.testing.assert_array_equal(as_numpy(optimizer.base_weights[variable]), z)
    np.testing.assert_allclose(as_numpy(variable), 0.6 * x + 0.4 * z, rtol=1e-6)
    for gradient in gradients[10:]:
        step([gradient])
    # The sequence of the twin whose β changes after the tenth step, and whose y follows at once.
    sequences = schedule_free_sequences(gradients, np.ones(6), 0.02, lambda i: 0.9 if i < 10 else 0.6)
    assert distance([as_numpy(optimizer.evaluation_weights(variable))], [sequences[-1][0]], 1.0) < 1e-5
    with pytest.raises(ValueError, match=r"beta of this ScheduleFreeSGD cannot become smaller than 0\.5.*received 0\.2"):
        optimizer.beta = 0.2
    with optimizer.averaged_weights(), pytest.raises(ValueError, match="call swap_averaged_weights"):
        optimizer.beta = 0.8
    assert float(optimizer.beta) == np.float32(0.6)


def trained_model(optimizer, epochs=2, **arguments):
    model = compiled(optimizer)
    history = fit(model, epochs, **arguments)
    return model, history


def trainable(model):
    return [as_numpy(variable) for variable in model.trainable_variables]


MAKERS = {
    "SGD": lambda **a: keras_optims.ScheduleFreeSGD(0.5, **a),
    "AdamW": lambda **a: keras_optims.ScheduleFreeAdamW(0.02, warmup_steps=3, **a),
    "AdamW, x kept": lambda **a: keras_optims.ScheduleFreeAdamW(0.02, beta_1=0.3, **a),
}


@pytest.mark.parametrize("name", MAKERS)
def test_validation_and_checkpoints_see_x_and_training_goes_on_from_y(name, tmp_path):
    saving = keras.callbacks.ModelCheckpoint(tmp_path / "model.keras")
    callbacks = [keras_optims.AveragedWeights(at_epoch_end=True), saving]
    model, history = trained_model(MAKERS[name](), validation_data=data(), callbacks=callbacks)
    plain, _ = trained_model(MAKERS[name]())
    for ours, theirs in zip(trainable(model), trainable(plain), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    optimizer = model.optimizer
    y, x = trainable(model), [as_numpy(optimizer.evaluation_weights(v)) for v in model.trainable_variables]
    assert max(np.abs(a - b).max() for a, b in zip(x, y, strict=True)) > 1e-4
    at_y = model.evaluate(*data(), batch_size=16, verbose=0)
    with optimizer.averaged_weights():
        at_x = model.evaluate(*data(), batch_size=16, verbose=0)
    assert history.history["val_loss"][-1] == pytest.approx(at_x, rel=1e-5)
    assert model.evaluate(*data(), batch_size=16, verbose=0) == at_y
    loaded = keras.models.load_model(tmp_path / "model.keras")  # with x in the weights' place, and y beside it
    for ours, theirs in zip(trainable(loaded), x, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    fit(loaded, callbacks=[keras_optims.AveragedWeights()])
    fit(model)
    for ours, theirs in zip(trainable(loaded), trainable(model), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_an_error_in_a_callback_leaves_both_views(tmp_path):
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise KeyboardInterrupt

    model, twin = compiled(MAKERS["AdamW"]()), compiled(MAKERS["AdamW"]())
    with pytest.raises(KeyboardInterrupt):
        fit(model, callbacks=[keras_optims.AveragedWeights(at_epoch_end=True), Stop()])
    assert model.optimizer.weights_are_averaged
    fit(model, callbacks=[keras_optims.AveragedWeights()])
    fit(twin, 2)
    for ours, theirs in zip(trainable(model), trainable(twin), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_weights_that_are_loaded_once_the_optimizer_is_built_are_where_the_sequences_begin():
    model, other = compiled(MAKERS["AdamW"]()), compiled(MAKERS["AdamW"]())
    loaded = [np.random.default_rng(1).normal(size=w.shape).astype("float32") for w in model.get_weights()]
    model.optimizer.build(model.trainable_variables)
    for each in (model, other):
        each.set_weights(loaded)
        fit(each)
    for ours, theirs in zip(trainable(model), trainable(other), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_with_use_ema_the_moving_average_of_y_is_evaluated():
    model = compiled(MAKERS["AdamW"](use_ema=True, ema_momentum=0.5))
    fit(model)
    average = [as_numpy(each) for each in model.optimizer._untracked.average.variables]
    with model.optimizer.averaged_weights():
        for ours, theirs in zip(trainable(model), average, strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("arguments", [{}, {"use_ema": True, "ema_momentum": 0.5}])
def test_as_the_formula_of_a_rule_its_variables_are_evaluated_at_x(arguments):
    rule = keras_optims.Rule(ndim=2, formula=keras_optims.ScheduleFreeSGD(0.5))
    model = compiled(keras_optims.GradientDescent(0.1, rules=[rule], **arguments))
    history = fit(model, validation_data=data(), callbacks=[keras_optims.AveragedWeights()])
    optimizer = model.optimizer
    kernel, formula, before = model.trainable_variables[0], optimizer.rules[0].formula, trainable(model)
    x = as_numpy(formula.evaluation_weights(kernel))
    with optimizer.averaged_weights():
        np.testing.assert_array_equal(as_numpy(kernel), x)
        moved = [not np.array_equal(a, b) for a, b in zip(trainable(model), before, strict=True)]
        at_x = model.evaluate(*data(), batch_size=16, verbose=0)
    assert history.history["val_loss"][-1] == pytest.approx(at_x, rel=1e-5)
    assert moved == [len(v.shape) == 2 or bool(arguments) for v in model.trainable_variables]
    for now, was in zip(trainable(model), before, strict=True):
        np.testing.assert_array_equal(now, was)


# -- Keras's defects ------------------------------------------------------------------------------


def walk(optimizer, steps=20, decay=None):
    gradients, start = [g[0] for g in random_gradients((6,), steps)], np.ones(6, "float32")
    return gradients, start, run(optimizer, gradients, start)


def test_beta_1_has_an_effect_on_each_backend():
    # Keras: on TensorFlow and torch `momentum.value` is the memory that the step then changes, and β₁ cancels out
    gradients, start, _ = walk(keras_optims.ScheduleFreeAdamW(**ADAMW))
    for beta in (0.9, 0.6):
        expected = reference.schedule_free_adamw(gradients, start, **{**ADAMW, "beta_1": beta})
        assert distance(walk(keras_optims.ScheduleFreeAdamW(**{**ADAMW, "beta_1": beta}))[2], expected, start) < 1e-5
        theirs = walk(keras.optimizers.ScheduleFreeAdamW(**{**ADAMW, "beta_1": beta}))[2]
        if BACKEND == "jax":
            assert distance(theirs, expected, start) < 1e-4
        else:
            assert distance(theirs, expected, start) > 1e-2
    if BACKEND != "jax":
        theirs = [walk(keras.optimizers.ScheduleFreeAdamW(**{**ADAMW, "beta_1": beta}))[2][-1] for beta in (0.9, 0.6)]
        np.testing.assert_allclose(theirs[0], theirs[1], rtol=1e-5)


def test_the_decay_is_of_both_sequences():
    # Keras: the base class decays y, and z knows nothing of it
    gradients, start, found = walk(keras_optims.ScheduleFreeAdamW(**ADAMW, weight_decay=0.5))
    expected = reference.schedule_free_adamw(gradients, start, **ADAMW, weight_decay=0.5)
    assert distance(found, expected, start) < 1e-5
    theirs = walk(keras.optimizers.ScheduleFreeAdamW(**ADAMW, weight_decay=0.5))[2]
    assert distance(theirs, expected, start) > 1e-2
    still = [np.zeros(4, "float32")] * 3
    variables = [keras.Variable(np.ones(4, "float32"), name=name) for name in ("ours", "theirs")]
    ours, theirs = (
        keras_optims.ScheduleFreeAdamW(0.1, weight_decay=0.5),
        keras.optimizers.ScheduleFreeAdamW(0.1, weight_decay=0.5),
    )
    for optimizer, variable in zip((ours, theirs), variables, strict=True):
        step = CompiledStep(optimizer, [variable])
        for gradient in still:
            step([gradient])
    assert (as_numpy(ours.base_weights[variables[0]]) < 0.95).all()
    np.testing.assert_array_equal(as_numpy(theirs._momentums[0]), 1)


def test_what_is_evaluated_is_x():
    # Keras: nothing in it gives x, and a model is evaluated and saved with what is trained: y; where β₁ has no effect, x itself
    gradients, start, _ = walk(keras_optims.ScheduleFreeAdamW(**ADAMW))
    (x, y) = schedule_free_sequences(gradients, start, 0.01, 0.9, beta_2=0.99, epsilon=1e-7)[-1]
    results = []
    for optimizer in (keras_optims.ScheduleFreeAdamW(**ADAMW), keras.optimizers.ScheduleFreeAdamW(**ADAMW)):
        variable = keras.Variable(start, name="theta")
        step = CompiledStep(optimizer, [variable])
        for gradient in gradients:
            step([gradient])
        optimizer.finalize_variable_values([variable])
        if isinstance(optimizer, keras_optims.Optimizer):
            optimizer.swap_averaged_weights()
        results.append(as_numpy(variable))
    assert np.abs(x - y).max() > 1e-3
    np.testing.assert_allclose(results[0], x, rtol=1e-5)
    trained = y if BACKEND == "jax" else x
    np.testing.assert_allclose(results[1], trained, rtol=1e-4)


def test_the_weights_of_the_warm_up_count_less():
    # Keras: each step counts as much as any other
    gradients, start, found = walk(keras_optims.ScheduleFreeAdamW(**ADAMW, warmup_steps=15))
    expected = reference.schedule_free_adamw(gradients, start, **ADAMW, warmup_steps=15)
    assert distance(found, expected, start) < 1e-5
    theirs = walk(keras.optimizers.ScheduleFreeAdamW(**ADAMW, warmup_steps=15))[2]
    assert distance(theirs, expected, start) > 1e-2


# -- Prodigy --------------------------------------------------------------------------------------


def quadratic(optimizer, steps=150, target=3.0, shapes=((4, 3), (5,))):
    """The d of each step on Σ (θ − target)²/2, from 0."""
    variables = [keras.Variable(np.zeros(shape, "float32"), name=f"v{i}") for i, shape in enumerate(shapes)]
    step, path = CompiledStep(optimizer, variables), []
    for _ in range(steps):
        step([weight - np.float32(target) for weight in step.weights()])
        path.append(float(as_numpy(optimizer.d)))
    return path, step.weights()


def test_d_grows_from_a_millionth_to_the_size_of_the_way_and_never_falls():
    path, weights = quadratic(keras_optims.Prodigy())
    assert np.all(np.diff(path) >= 0)
    assert 0.3 < path[-1] < 10  # the way is 3
    assert all(np.abs(weight - 3).max() < 0.3 for weight in weights)


def test_d_is_of_the_whole_model():
    """That of two variables is that of the twin of both, end to end."""
    gradients, starts = [g[0] for g in random_gradients((10,), 60)], np.ones(10, "float32")
    variables = [keras.Variable(starts[:4].reshape(2, 2), name="a"), keras.Variable(starts[4:], name="b")]
    arguments = BY_NAME["prodigy"].arguments
    optimizer = keras_optims.Prodigy(**arguments)
    step = CompiledStep(optimizer, variables)
    for gradient in gradients:
        step([gradient[:4].reshape(2, 2), gradient[4:]])
    theta, d = prodigy_with_d(gradients, starts, **arguments)[-1]
    assert d > 2 * arguments["d0"]
    assert float(as_numpy(optimizer.d)) == pytest.approx(d, rel=1e-5)
    found = np.concatenate([weight.ravel() for weight in step.weights()])
    np.testing.assert_allclose(found, theta, rtol=0, atol=1e-4 * np.abs(theta - 1).max())
    assert state_of(optimizer)["d"] == pytest.approx(d, rel=1e-5)


def test_slices_save_memory_and_find_about_the_same():
    def numbers(optimizer):
        return sum(int(np.prod(v.shape)) for v in optimizer.variables)

    whole, sliced = keras_optims.Prodigy(), keras_optims.Prodigy(slice_p=11)
    shapes = ((40, 30), (50,))
    of_whole, of_sliced = (quadratic(optimizer, shapes=shapes)[0][-1] for optimizer in (whole, sliced))
    assert of_sliced == pytest.approx(of_whole, rel=0.2)
    assert numbers(whole) > 4 * 1250
    assert numbers(sliced) < 2.3 * 1250


def test_growth_is_bounded_where_that_is_asked_for():
    path, _ = quadratic(keras_optims.Prodigy(growth_rate=1.02))
    steps = np.array(path[1:]) / path[:-1]
    assert steps[1:].max() < 1.0201  # from d₀ it may jump
    assert steps.min() >= 1


@pytest.mark.parametrize("name", ["prodigy", "schedule_free_adamw"])
def test_without_gradients_nothing_moves_and_d_stays(name):
    variable = keras.Variable(np.ones(3, "float32"), name="theta")
    optimizer = BY_NAME[name].optimizer(epsilon=0.0)
    step = CompiledStep(optimizer, [variable])
    for _ in range(3):
        step([np.zeros(3, "float32")])
    np.testing.assert_array_equal(step.weights()[0], 1)
    assert all(np.isfinite(value).all() for value in state_of(optimizer).values())
