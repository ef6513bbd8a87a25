"""Swapping `keras.optimizers` for `keras_optims` changes no result: 1e-6 relative after 100 steps."""

import inspect

import keras
import numpy as np
import pytest

import keras_optims
from keras_optims.arguments import NOT_OF_KERAS
from keras_optims.testing.compiled_step import CompiledStep
from tests.variants import ALL, OF_EACH_SCOPE

STEPS = 100
SHAPES = [(), (7,), (3, 5), (64, 33)]
OF_KERAS = [variant for variant in ALL if variant.keras is not None]

SETTINGS = {
    "plain": {},
    "weight_decay": {"weight_decay": 0.01},
    "clipnorm": {"clipnorm": 0.5},
    "global_clipnorm": {"global_clipnorm": 0.5},
    "clipvalue": {"clipvalue": 0.1},
    "use_ema": {"use_ema": True, "ema_momentum": 0.9},
    "ema_overwrite_frequency": {"use_ema": True, "ema_overwrite_frequency": 7},
    "loss_scale_factor": {"loss_scale_factor": 8.0},
    "gradient_accumulation_steps": {"gradient_accumulation_steps": 3, "clipnorm": 1.0},
    "schedule": {"learning_rate": keras.optimizers.schedules.ExponentialDecay(0.01, decay_steps=10, decay_rate=0.9)},
    "callable": {"learning_rate": lambda: 0.01},
}


def trained(optimizer):
    """The weights, and what finalizing makes of them, after 100 steps from a fixed start."""
    rng = np.random.default_rng(0)
    variables = [keras.Variable(rng.normal(size=shape).astype("float32"), name=f"v{i}") for i, shape in enumerate(SHAPES)]
    step = CompiledStep(optimizer, variables)
    for _ in range(STEPS):
        step([rng.normal(size=shape).astype("float32") for shape in SHAPES])
    weights = step.weights()
    if isinstance(optimizer, keras_optims.Optimizer) and optimizer.use_ema:
        optimizer.swap_averaged_weights()
    else:  # Keras's: at the end of fit
        optimizer.finalize_variable_values(variables)
    return weights + step.weights()


def assert_same(weights, expected):
    for ours, theirs in zip(weights, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6 * max(np.abs(theirs).max(), 1.0))


def variants_and_settings():
    """Each variant plain, and each setting, of which the base takes care, with one of each scope; on other backends with Adam."""
    for variant in OF_KERAS:
        for number, setting in enumerate(SETTINGS):
            if number and variant not in OF_EACH_SCOPE:
                continue
            if setting == "weight_decay" and variant.make.decay == "own":
                continue  # Keras's FTRL forgets what it has decayed: tests/test_reference_adaptive.py
            everywhere = number == 0 or str(variant) == "adam"
            marks = () if everywhere else pytest.mark.backend("tensorflow")
            yield pytest.param(variant, setting, marks=marks, id=f"{variant}-{setting}")


@pytest.mark.parametrize(("variant", "setting"), list(variants_and_settings()))
def test_weights_are_those_of_keras(variant, setting):
    assert_same(trained(variant.optimizer(**SETTINGS[setting])), trained(variant.namesake(**SETTINGS[setting])))


@pytest.mark.parametrize("variant", OF_KERAS, ids=str)
def test_from_zero_the_way_gone_is_that_of_keras_at_every_element(variant):
    paths = []
    for optimizer in (variant.optimizer(), variant.namesake()):
        rng = np.random.default_rng(0)
        step = CompiledStep(optimizer, [keras.Variable(np.zeros(200, "float32"), name="theta")])
        for _ in range(STEPS):  # gradients of one sign: what rounds differently does not cancel out, and hides behind no weight
            step([rng.uniform(0.5, 1.5, size=200).astype("float32")])
        paths.append(step.weights()[0])
    # Where v − a² is a small difference, what rounding does to 1 − ρ shows: TensorFlow's kernel rounds it otherwise than Keras.
    np.testing.assert_allclose(*paths, rtol=5e-6 if variant.arguments.get("centered") else 1e-6)


@pytest.mark.parametrize(
    ("ours", "theirs", "arguments"),
    [
        (keras_optims.RMSprop, keras.optimizers.RMSprop, {"rho": 0.999}),
        (keras_optims.RMSprop, keras.optimizers.RMSprop, {"rho": 0.999, "momentum": 0.9}),
        (keras_optims.Adam, keras.optimizers.Adam, {"beta_1": 0.99, "beta_2": 0.9999}),
    ],
)
def test_decay_rates_near_one_are_as_exact_as_in_keras(ours, theirs, arguments):
    """float32(0.999) is 1.3e-8 off, which is 1.3e-5 of 1 − 0.999."""
    paths = []
    for make in (ours, theirs):
        step = CompiledStep(make(0.01, **arguments), [keras.Variable(np.zeros(8, "float32"), name="theta")])
        for _ in range(30):
            step([np.linspace(0.5, 1.5, 8, dtype="float32")])
        paths.append(step.weights()[0])
    np.testing.assert_allclose(*paths, rtol=2e-6)


@pytest.mark.parametrize("arguments", [{}, {"gradient_accumulation_steps": 3}, {"use_ema": True, "weight_decay": 0.1}], ids=str)
def test_what_its_gradient_overwrites_becomes_what_keras_makes_of_it(arguments):
    """The scales of float8 layers; of those that are accumulated the largest element of each."""
    rng, results = np.random.default_rng(0), []
    gradients = [[rng.normal(size=3).astype("float32") for _ in range(4)] for _ in range(7)]
    for make in (keras_optims.Momentum, keras.optimizers.SGD):
        variables = [keras.Variable(np.full(3, 0.5, "float32"), name=name) for name in ("scale_0", "a", "scale_1", "b")]
        for scale in (variables[0], variables[2]):
            scale.overwrite_with_gradient = True
        step = CompiledStep(make(0.1, momentum=0.9, **arguments), variables)
        results.append([])
        for gradient in gradients:
            step(gradient)
            results[-1] += step.weights()
    assert_same(*results)


NAMESAKES = [
    (keras_optims.GradientDescent, keras.optimizers.SGD),
    (keras_optims.Momentum, keras.optimizers.SGD),
    (keras_optims.Adagrad, keras.optimizers.Adagrad),
    (keras_optims.RMSprop, keras.optimizers.RMSprop),
    (keras_optims.Adam, keras.optimizers.Adam),
    (keras_optims.AdamW, keras.optimizers.AdamW),
    (keras_optims.Adafactor, keras.optimizers.Adafactor),
    (keras_optims.Lamb, keras.optimizers.Lamb),
    (keras_optims.ScheduleFreeAdamW, keras.optimizers.ScheduleFreeAdamW),
    (keras_optims.Muon, keras.optimizers.Muon),
    (keras_optims.SGD, keras.optimizers.SGD),
    (keras_optims.Nadam, keras.optimizers.Nadam),
    (keras_optims.Adamax, keras.optimizers.Adamax),
    (keras_optims.Adadelta, keras.optimizers.Adadelta),
    (keras_optims.Ftrl, keras.optimizers.Ftrl),
    (keras_optims.Lion, keras.optimizers.Lion),
]
# `name`: older versions of Keras write the default out. `lazy`: Keras has no such choice. The others: a class of its own for what
# is an argument of SGD.
OURS_ALONE = {"name", *NOT_OF_KERAS}
DIFFERENT = {
    keras_optims.GradientDescent: {*OURS_ALONE, "momentum", "nesterov"},
    keras_optims.Momentum: {*OURS_ALONE, "momentum"},
    keras_optims.Muon: {*OURS_ALONE, "scale", "coefficients", "exclude_head", "flatten", "ns_dtype"},
    keras_optims.Nadam: {*OURS_ALONE, "momentum_decay"},
}


@pytest.mark.parametrize(("ours", "theirs"), NAMESAKES)
def test_arguments_order_and_defaults_are_those_of_keras(ours, theirs):
    def arguments(cls, left_out=()):
        parameters = inspect.signature(cls).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is not p.VAR_KEYWORD and p.name not in left_out}

    own, keras_ = arguments(ours), arguments(theirs)
    different = DIFFERENT.get(ours, OURS_ALONE | (ours.declarations().keys() - keras_.keys()))
    assert {k: v for k, v in own.items() if k not in different} == {k: v for k, v in keras_.items() if k not in different}
    positional = [p.name for p in inspect.signature(ours).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    of_keras = [name for name in keras_ if name in positional]
    assert positional[: len(of_keras)] == of_keras  # and after them what Keras does not have


def test_momentum_is_on_by_default_and_gradient_descent_has_none():
    assert keras_optims.Momentum().get_config()["momentum"] == 0.9
    with pytest.raises(ValueError, match="has no argument 'momentum'"):
        keras_optims.GradientDescent(momentum=0.9)


def test_positional_arguments_mean_the_same():
    assert keras_optims.AdamW(0.1, 0.2, 0.3).get_config()["weight_decay"] == 0.2
    assert keras_optims.Adam(0.1, 0.2, 0.3).get_config()["beta_2"] == 0.3
    assert keras_optims.Momentum(0.1, 0.2, True).get_config()["nesterov"] is True
