"""A running training moves from Keras's optimizer to ours and back, and goes on as if nothing had happened."""

import re

import keras
import numpy as np
import pytest

import keras_optims
from keras_optims.namesakes import NAMESAKES
from keras_optims.testing.compiled_step import CompiledStep, as_numpy
from tests.models import compiled, fit, weights
from tests.pages import ROOT
from tests.stepping import state_of
from tests.variants import BY_NAME, VARIANTS

SHAPES = [(5, 3), (3,), (), *[(2,)] * 8]  # the small ones are a group on TensorFlow
SCHEDULE = {"learning_rate": keras.optimizers.schedules.ExponentialDecay(0.01, 2, 0.9)}
OTHERS = {
    "average": {"use_ema": True, "ema_momentum": 0.9},
    "accumulation": {"gradient_accumulation_steps": 3},  # five steps end in the middle of one
    "decay and clipping": {"weight_decay": 0.1, "global_clipnorm": 1.0},
    "schedule": SCHEDULE,
}

OF_NEWER_KERAS = pytest.mark.skipif(not hasattr(keras.optimizers, "ScheduleFreeAdamW"), reason="this Keras has none")


def variables(seed=0):
    rng = np.random.default_rng(seed)
    return [keras.Variable(rng.normal(size=shape).astype("float32"), name=f"v{i}") for i, shape in enumerate(SHAPES)]


def trained(first, then=lambda optimizer: optimizer, before=5, after=5):
    """The weights and the last optimizer after `before` steps with `first`, and `after` with what `then` makes of it."""
    of_model, rng = variables(), np.random.default_rng(1)
    step = CompiledStep(first, of_model)
    for part, count in enumerate((before, after)):
        for _ in range(count):
            step([rng.normal(size=shape).astype("float32") for shape in SHAPES])
        if part == 0:
            optimizer = then(first)
            step = step if optimizer is first else CompiledStep(optimizer, of_model)
    return [as_numpy(variable) for variable in of_model], optimizer


CASES = [pytest.param(variant, {}, id=str(variant)) for variant in VARIANTS if variant.keras is not None]
CASES += [pytest.param(BY_NAME["adam"], arguments, id=name) for name, arguments in OTHERS.items()]


@pytest.mark.backend("tensorflow", "jax")  # JAX: with the lowest Keras
@pytest.mark.parametrize(("variant", "arguments"), CASES)
def test_training_goes_on_where_keras_was_and_where_we_were(variant, arguments):
    expected, _ = trained(variant.namesake(**arguments))
    moved, ours = trained(variant.namesake(**arguments), keras_optims.from_keras)
    back, theirs = trained(variant.optimizer(**arguments), keras_optims.to_keras)
    assert type(ours) is (variant.from_keras or variant.make)
    assert isinstance(theirs, variant.keras)
    for result in (moved, back):
        for own, other in zip(result, expected, strict=True):
            np.testing.assert_allclose(own, other, rtol=1e-6, atol=1e-6 * max(np.abs(other).max(), 1.0))


@pytest.mark.slow
@pytest.mark.parametrize(("variant", "arguments"), CASES)
def test_there_and_back_nothing_is_lost(variant, arguments):
    _, ours = trained(variant.optimizer(**arguments))
    again = keras_optims.from_keras(keras_optims.to_keras(ours))
    namesake = next(namesake for namesake in NAMESAKES if namesake.ours is type(again))
    assert again.get_config() == {name: ours.get_config()[name] for name in again.get_config()} | namesake.as_in_keras
    before, after = state_of(ours), state_of(again)
    if variant.from_keras is keras_optims.GradientDescent:  # which has neither γ nor a velocity
        before = {name: value for name, value in before.items() if not name.startswith(("momentum", "velocity"))}
    assert before.keys() == after.keys()
    for name, value in before.items():
        rounding = 1e-6 if name.startswith(("accumulator", "schedule_product")) else 0  # of G + ε − ε, and of Π / β₁ᵗ · β₁ᵗ
        np.testing.assert_allclose(after[name], value, rtol=rounding, err_msg=name)


def test_the_optimizer_of_a_compiled_model_is_replaced_without_losing_its_slots():
    model, twin = compiled(keras.optimizers.Adam(0.01)), compiled(keras.optimizers.Adam(0.01))
    for each in (model, twin):
        fit(each)
    kept = model.optimizer
    compiled(keras_optims.from_keras(kept), model)
    for each in (model, twin):
        fit(each)
    assert int(model.optimizer.iterations) == 8
    assert int(kept.iterations) == 4  # Keras's is as it was, and its arrays are still its own
    assert all(np.isfinite(as_numpy(variable)).all() for variable in kept.variables)
    for own, other in zip(weights(model), weights(twin), strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-5, atol=1e-6)


def test_loss_scaling_goes_along():
    wrapped = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(), initial_scale=8.0, dynamic_growth_steps=3)
    of_model = variables()
    CompiledStep(wrapped, of_model)([np.ones(shape, "float32") for shape in SHAPES])
    ours = keras_optims.from_keras(wrapped)
    assert type(ours) is keras.optimizers.LossScaleOptimizer
    assert type(ours.inner_optimizer) is keras_optims.Adam
    assert (int(ours.step_counter), float(ours.dynamic_scale)) == (1, 8.0)
    assert int(ours.inner_optimizer.iterations) == 1
    back = keras_optims.to_keras(ours)
    assert isinstance(back.inner_optimizer, keras.optimizers.Adam)
    np.testing.assert_array_equal(as_numpy(back.inner_optimizer._velocities[0]), as_numpy(wrapped.inner_optimizer._velocities[0]))


@pytest.mark.backend("tensorflow")
def test_what_is_not_built_yet_keeps_its_arguments():
    theirs = keras.optimizers.SGD(0.3, momentum=0.5, nesterov=True, clipvalue=2.0, use_ema=True, ema_momentum=0.7)
    theirs.learning_rate = 0.1
    ours = keras_optims.from_keras(theirs)
    assert not ours.built
    config = {"learning_rate": 0.1, "momentum": 0.5, "nesterov": True, "clipvalue": 2.0, "ema_momentum": 0.7, "name": theirs.name}
    assert ours.get_config() | config == ours.get_config()
    back = keras_optims.to_keras(ours).get_config()
    assert back == theirs.get_config()


@pytest.mark.backend("tensorflow")
def test_variables_stay_out_of_the_decay():
    theirs, of_model = keras.optimizers.AdamW(0.1, weight_decay=0.5), variables()
    theirs.exclude_from_weight_decay(var_list=of_model[:1], var_names=["v1$"])
    theirs.build(of_model)
    ours = keras_optims.from_keras(theirs)
    assert [ours.decays(v) for v in of_model[:3]] == [False, False, True]
    back = keras_optims.to_keras(ours)
    assert [back._use_weight_decay(v) for v in of_model[:3]] == [False, False, True]


class MyAdam(keras.optimizers.Adam):
    pass


class OurAdam(keras_optims.Adam):
    pass


class MyLion(keras.optimizers.Lion):
    pass


@pytest.mark.parametrize("other", [MyLion, MyAdam, keras_optims.Adam])
def test_another_class_than_a_namesake_is_refused(other):
    with pytest.raises(TypeError, match="SGD, Adagrad, RMSprop, Adam, AdamW, Adafactor.*received .*" + other.__name__):
        keras_optims.from_keras(other())


@pytest.mark.parametrize("other", [keras.optimizers.Adam, OurAdam])
def test_another_class_than_ours_does_not_go_to_keras(other):
    with pytest.raises(TypeError, match=r"GradientDescent, Momentum, SGD, Adagrad.*received"):
        keras_optims.to_keras(other())


@pytest.mark.backend("tensorflow")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"beta_1": keras.optimizers.schedules.ExponentialDecay(0.9, 2, 0.9)}, "beta_1 of an optimizer of Keras is a number"),
        ({"learning_rate": lambda step: 0.1}, "learning_rate of an optimizer of Keras is a schedule"),
    ],
)
def test_what_keras_cannot_do_is_said(arguments, message):
    with pytest.raises(ValueError, match=message):
        keras_optims.to_keras(keras_optims.Adam(**arguments))


@pytest.mark.backend("tensorflow")
@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        (lambda: keras_optims.Nadam(momentum_decay=0.004), "momentum_decay.*Keras's Nadam.*1.0.*0.004"),
        (lambda: keras_optims.Ftrl(weight_decay=0.1), "weight_decay.*Keras's Ftrl.*None.*0.1"),
        (lambda: keras_optims.Lion(beta_1=0.0), "beta_1"),
    ],
)
def test_what_keras_computes_otherwise_is_said(optimizer, message):
    with pytest.raises(ValueError, match=message):
        keras_optims.to_keras(optimizer())


def test_keras_ftrl_with_a_decay_that_it_forgets_is_not_taken_over_silently():
    with pytest.raises(ValueError, match=r"weight_decay.*Keras's Ftrl"):
        keras_optims.from_keras(keras.optimizers.Ftrl(weight_decay=0.1))


@pytest.mark.backend("tensorflow")
def test_a_state_that_waits_for_the_variables_does_not_get_lost():
    source, target = keras_optims.Adam(), keras_optims.Adam()
    source.build(variables())
    target.load_state(source)
    with pytest.raises(ValueError, match="needs the optimizer to be built"):
        keras_optims.to_keras(target)


@pytest.mark.parametrize(
    ("optimizer", "name"),
    [
        (keras_optims.Lamb(trust_clip=True), "trust_clip"),
        (keras_optims.Adafactor(beta_1=0.9), "beta_1"),
        (keras_optims.Adafactor(flatten=True), "flatten"),
        pytest.param(keras_optims.ScheduleFreeAdamW(r=1.0), "r", marks=OF_NEWER_KERAS),
        (keras_optims.Adam(cautious=True), "cautious"),
        (keras_optims.Momentum(agc=0.01), "agc"),
        (keras_optims.Lion(gradient_centralization=True), "gradient_centralization"),
    ],
)
def test_an_option_that_keras_does_not_have_is_said(optimizer, name):
    with pytest.raises(ValueError, match=f"to_keras cannot take over {name}, which .*Keras"):
        keras_optims.to_keras(optimizer)


@OF_NEWER_KERAS
def test_schedule_free_goes_on_where_keras_was_with_its_two_sequences():
    moved, ours = trained(keras.optimizers.ScheduleFreeAdamW(0.01), keras_optims.from_keras)
    assert type(ours) is keras_optims.ScheduleFreeAdamW
    assert float(ours.sum_of_weights) == pytest.approx(10 * 0.01**2, rel=1e-5)  # five steps of each
    if keras.backend.backend() == "jax":  # where Keras's is right
        expected, _ = trained(keras.optimizers.ScheduleFreeAdamW(0.01))
        back, _ = trained(keras_optims.ScheduleFreeAdamW(0.01), keras_optims.to_keras)
        for result in (moved, back):
            for own, other in zip(result, expected, strict=True):
                np.testing.assert_allclose(own, other, rtol=1e-5, atol=1e-6)
    kept = keras_optims.ScheduleFreeAdamW(beta_1=0.3)
    kept.build(variables())
    back = keras_optims.to_keras(kept)
    assert back.get_config()["beta_1"] == 0.3


def test_each_class_of_keras_has_a_namesake_or_a_reason_why_not():
    """The table of docs/state.md lists them all."""
    rows = re.findall(r"^\| (`[A-Z].*?`) \| (.*?) \| (.*?) ?\|$", (ROOT / "docs/state.md").read_text(), flags=re.MULTILINE)
    listed = {name: (re.findall(r"`(\w+)`", ours), reason) for names, ours, reason in rows for name in re.findall(r"\w+", names)}
    classes = {name: cls for name, cls in vars(keras.optimizers).items() if isinstance(cls, type)}
    assert set(classes) <= set(listed)  # an older Keras has fewer
    for name, cls in classes.items():
        namesakes = {namesake.ours.__name__ for namesake in NAMESAKES if namesake.keras is cls}
        ours, reason = listed[name]
        if namesakes:
            assert set(ours) <= namesakes
            assert set(ours) == {"Momentum", "GradientDescent"} if name == "SGD" else ours == [name]
        else:
            is_an_older_one = name == "Muon" and not hasattr(keras.optimizers, "ScheduleFreeAdamW")
            assert name in {"LossScaleOptimizer", "MultiOptimizer", "OptimizerMap", "Optimizer"} or is_an_older_one
            assert not ours or is_an_older_one
            assert reason
