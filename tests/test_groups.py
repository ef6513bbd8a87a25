"""Small variables in one buffer: faster, and otherwise as if each had its own."""

import functools
import itertools

import keras
import numpy as np
import pytest

import keras_optims
from keras_optims.testing.compiled_step import CompiledStep, as_numpy
from tests.models import compiled, data
from tests.stepping import assert_eager_graph_and_xla_agree, state_of
from tests.variants import EVERYWHERE, OF_EACH_SCOPE, VARIANTS

pytestmark = pytest.mark.backend("tensorflow")

SHAPES = [(5,), (3, 4), (), (1, 7), (5,), (2, 2), (), (9,), (30, 20), (0, 3)]
HALF = (4,)
WITH_SLOTS = [v for v in VARIANTS if v.elementwise and v.make is not keras_optims.GradientDescent]
BY_WAY = [v for v in OF_EACH_SCOPE if v in WITH_SLOTS]
# Those of another way of running, or with a kernel of another rounding; what a group does to a formula depends on no other.
GROUPED = [*BY_WAY, *(v for v in EVERYWHERE if v.name in ("adagrad", "centered rmsprop with momentum", "ftrl", "nadam"))]

SETTINGS = {
    "plain": {},
    "weight decay": {"weight_decay": 0.05},
    "clipnorm": {"clipnorm": 0.5},
    "global_clipnorm": {"global_clipnorm": 0.5},
    "average": {"use_ema": True, "ema_momentum": 0.9, "ema_overwrite_frequency": 3},
    "accumulation": {"gradient_accumulation_steps": 3},
}


def variables():
    rng = np.random.default_rng(0)
    made = [keras.Variable(rng.normal(size=shape).astype("float32"), name=f"v{i}") for i, shape in enumerate(SHAPES)]
    return [*made, keras.Variable(np.ones(HALF, "float32"), dtype="bfloat16", name="half")]


def gradients(steps=7, without=()):
    rng = np.random.default_rng(1)
    made = [[rng.normal(size=shape).astype("float32") for shape in [*SHAPES, HALF]] for _ in range(steps)]
    return [[None if i in without else gradient for i, gradient in enumerate(step)] for step in made]


def trained(optimizer, group_below, given=None):
    """The weights after some steps, and the optimizer."""
    optimizer.group_below = group_below
    step = CompiledStep(optimizer, variables())
    for gradient in gradients() if given is None else given:
        step(gradient)
    return step.weights(), optimizer


def paths(optimizer):
    return {line.variable: line.path for line in optimizer.explain()}


def assert_equal(ours, theirs, units=0):
    """Equal, or at most so many units of float32 rounding apart."""
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=units * 2.0**-23, atol=units * 2.0**-23)


def assert_same_state(ours, theirs, units=0):
    ours, theirs = state_of(ours), state_of(theirs)
    assert sorted(ours) == sorted(theirs)
    assert_equal(ours.values(), [theirs[name] for name in ours], units)


def apart(variant):
    """Kernels with 1/√ or a power take it of eight numbers at a time, and of the rest one by one, with another rounding."""
    has_power = variant.arguments.get("learning_rate_power", -0.5) != -0.5
    return 4 if variant.make.kernel in ("adagrad", "adadelta") or has_power else 0


@pytest.mark.parametrize(
    ("variant", "setting"),
    [
        *((variant, "plain") for variant in GROUPED),
        *itertools.product(BY_WAY, list(SETTINGS)[1:]),
    ],
    ids=str,
)
def test_grouped_and_ungrouped_trainings_are_equal_bit_for_bit(variant, setting):
    grouped_weights, grouped = trained(variant.optimizer(**SETTINGS[setting]), 1000)
    weights, ungrouped = trained(variant.optimizer(**SETTINGS[setting]), 0)
    large = "fused" if variant.has_kernel else "compiled"
    assert list(paths(grouped).values()) == ["grouped"] * 9 + [large, "compiled"]
    assert set(paths(ungrouped).values()) == {large, "compiled"}
    assert_equal(grouped_weights, weights, apart(variant))
    assert_same_state(grouped, ungrouped, apart(variant))


@pytest.mark.parametrize("before", [1000, 10, 0])
@pytest.mark.parametrize("after", [1000, 10, 0])
@pytest.mark.parametrize("make", [keras_optims.Adam, functools.partial(keras_optims.Adagrad, weight_decay=0.1)])
def test_a_saved_state_loads_whatever_the_threshold_and_training_goes_on(make, before, after):
    uninterrupted, _ = trained(make(), before, gradients(7))
    optimizer = make()
    optimizer.group_below = before
    step = CompiledStep(optimizer, variables())
    for gradient in gradients(7)[:3]:
        step(gradient)
    resumed = make()
    resumed.group_below = after
    again = CompiledStep(resumed, variables())
    for variable, weight in zip(again.variables, step.weights(), strict=True):
        variable.assign(weight)
    resumed.load_own_variables(state_of(optimizer))
    assert_same_state(resumed, optimizer)
    for gradient in gradients(7)[3:]:
        again(gradient)
    assert_equal(again.weights(), uninterrupted, units=4 * isinstance(resumed, keras_optims.Adagrad))


def test_the_state_has_the_names_of_the_variables_and_no_trace_of_the_groups():
    _, optimizer = trained(keras_optims.RMSprop(), 1000)
    assert not [name for name in state_of(optimizer) if "group" in name or "scratch" in name]
    assert {f"mean_square|v{i}" for i in range(10)} <= set(state_of(optimizer))


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
@pytest.mark.parametrize("variant", BY_WAY, ids=str)
def test_a_variable_of_a_group_without_a_gradient_stays_and_so_do_its_slots(variant):
    given = [*gradients(2), *gradients(4, without=(0, 3)), *gradients(2)]
    grouped_weights, grouped = trained(variant.optimizer(weight_decay=0.1), 1000, given)
    weights, ungrouped = trained(variant.optimizer(weight_decay=0.1), 0, given)
    assert_equal(grouped_weights, weights, apart(variant))
    assert_same_state(grouped, ungrouped, apart(variant))


def test_a_step_on_some_of_the_variables_leaves_the_others():
    optimizer, updated = keras_optims.Momentum(0.1), variables()
    optimizer.build(updated)
    before = [as_numpy(variable) for variable in updated]
    optimizer.apply([keras.ops.ones(updated[1].shape)], [updated[1]])
    for i, (variable, value) in enumerate(zip(updated, before, strict=True)):
        assert i == 1 or np.array_equal(as_numpy(variable), value)
    np.testing.assert_allclose(as_numpy(updated[1]), before[1] - 0.1, rtol=1e-6)


def test_excluded_variables_are_a_group_of_their_own_and_are_not_decayed():
    def excluding(group_below):
        optimizer = keras_optims.AdamW(0.1, weight_decay=0.5)
        optimizer.exclude_from_weight_decay(var_names=["b"])
        optimizer.group_below = group_below
        updated = [keras.Variable(np.ones(2 + i % 3, "float32"), name=f"{'ab'[i % 2]}{i}") for i in range(18)]
        step = CompiledStep(optimizer, updated)
        for _ in range(3):
            step([np.zeros(v.shape, "float32") for v in updated])
        return step.weights(), optimizer

    grouped, optimizer = excluding(1000)
    assert_equal(grouped, excluding(0)[0])
    assert set(paths(optimizer).values()) == {"grouped"}
    for i, weight in enumerate(grouped):
        np.testing.assert_allclose(weight, 1 if i % 2 else 0.95**3, rtol=1e-6)
    assert [line.weight_decay for line in optimizer.explain()] == [i % 2 == 0 for i in range(18)]


@pytest.mark.parametrize("variant", BY_WAY, ids=str)
def test_eager_graph_and_xla_agree_on_groups(variant):
    assert_eager_graph_and_xla_agree(functools.partial(variant.optimizer, weight_decay=0.01), variables, gradients(5))


def test_a_part_of_a_buffer_reads_and_assigns_like_a_variable():
    _, optimizer = trained(keras_optims.Momentum(), 1000)
    before = state_of(optimizer)
    part = optimizer.velocity[optimizer.variables_of_the_model()[1]]
    assert part.shape == (3, 4)
    assert part.dtype == "float32"
    part.assign(np.full((3, 4), 7.0))
    np.testing.assert_array_equal(np.array(part), 7)
    np.testing.assert_array_equal(keras.ops.add(part, 1), 8)
    after = state_of(optimizer)
    assert [name for name in after if not np.array_equal(after[name], before[name])] == ["velocity|v1"]


def test_a_changed_epsilon_of_adagrad_reaches_the_groups():
    def changed(group_below):
        optimizer = keras_optims.Adagrad(0.1, initial_accumulator_value=0.0)
        _, optimizer = trained(optimizer, group_below, gradients(2))
        optimizer.epsilon = 0.5
        return optimizer

    grouped, ungrouped = changed(1000), changed(0)
    assert_same_state(grouped, ungrouped)
    before = trained(keras_optims.Adagrad(0.1, initial_accumulator_value=0.0), 0, gradients(2))[1]
    moved = state_of(grouped)["accumulator|v1"] - state_of(before)["accumulator|v1"]
    np.testing.assert_allclose(moved, 0.5, rtol=1e-6)


def deep_model(seed=0):
    """Twelve variables, all of them small."""
    keras.utils.set_random_seed(seed)
    hidden = [keras.layers.Dense(6, activation="tanh") for _ in range(5)]
    return keras.Sequential([keras.Input((8,)), *hidden, keras.layers.Dense(4)])


@pytest.mark.parametrize("jit_compile", [True, False, "auto"])
def test_a_model_trains_saves_and_goes_on_with_groups(jit_compile, tmp_path):
    def fitted(model):
        x, y = data(64)
        model.fit(x, y, batch_size=16, shuffle=False, verbose=0)
        return [np.array(w) for w in model.get_weights()]

    uninterrupted, model = (compiled(keras_optims.Adam(), deep_model(), jit_compile=jit_compile) for _ in range(2))
    fitted(uninterrupted)
    expected = fitted(uninterrupted)
    assert set(paths(uninterrupted.optimizer).values()) == {"grouped"}
    fitted(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert_equal(fitted(loaded), expected)

    model.save_weights(tmp_path / "model.weights.h5")
    ungrouped = keras_optims.Adam()
    ungrouped.group_below = 0
    other = compiled(ungrouped, deep_model(seed=1), jit_compile=jit_compile)
    other.load_weights(tmp_path / "model.weights.h5")
    for ours, theirs in zip(fitted(other), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-6, atol=2e-6)


def test_few_small_variables_are_not_grouped():
    optimizer = keras_optims.Adam()
    optimizer.build([keras.Variable(np.ones(3, "float32"), name=f"v{i}") for i in range(7)])
    assert set(paths(optimizer).values()) == {"fused"}


def test_under_a_distribution_strategy_there_are_no_groups():
    import tensorflow as tf

    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        optimizer, updated = keras_optims.Adam(), variables()
        optimizer.build(updated)
    assert set(paths(optimizer).values()) == {"fused", "formula"}
