"""Pickled and copied optimizers go on where they were, and say so at once."""

import copy
import pickle

import keras
import numpy as np
import pytest
from keras import ops

import keras_optims
from keras_optims.testing.compiled_step import CompiledStep, as_numpy
from tests.models import compiled, fit, weights
from tests.stepping import state_of
from tests.variants import BY_NAME

SHAPES = [(5, 3), (3,), (), *[(2,)] * 8]  # the small ones are a group on TensorFlow


class Unregistered(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule without a config, which no file could keep."""

    def __call__(self, step):
        return 0.1 / (1 + ops.cast(step, "float32"))


def a_rate(step):
    return 0.1 / (1 + ops.cast(step, "float32"))


class OfKerasStyle(keras_optims.Adam):
    """A class with an argument and a slot of its own, registered nowhere."""

    def __init__(self, learning_rate=0.1, halving=True, **kwargs):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.halving = halving

    def build(self, variables):
        super().build(variables)
        self.counts = self.add_optimizer_variables(variables, "count")

    def update_step(self, gradient, variable, learning_rate):
        self.assign_add(self.counts[self._get_variable_index(variable)], ops.ones_like(gradient))
        super().update_step(gradient, variable, learning_rate * (0.5 if self.halving else 1.0))

    def get_config(self):
        return super().get_config() | {"halving": self.halving}


MAKE = {
    "momentum": BY_NAME["momentum"].optimizer,
    "centered rmsprop": BY_NAME["centered rmsprop with momentum"].optimizer,
    "amsgrad, averages": lambda: keras_optims.Adam(0.1, amsgrad=True, use_ema=True, clipnorm=1.0),
    "accumulation": lambda: keras_optims.Adam(0.1, gradient_accumulation_steps=2),
    "rules": lambda: keras_optims.Adam(
        0.1, weight_decay=0.1, rules=[keras_optims.Rule("v1", learning_rate_multiplier=0.5, beta_1=a_rate)]
    ),
    "a schedule": lambda: keras_optims.Momentum(keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.9)),
    "a schedule that is registered nowhere": lambda: keras_optims.Momentum(Unregistered()),
    "a callable": lambda: keras_optims.Momentum(a_rate),
    "an own class": lambda: OfKerasStyle(0.1, halving=False),
}
HOW = {"pickle": lambda it: pickle.loads(pickle.dumps(it)), "deepcopy": copy.deepcopy, "copy": copy.copy}


def variables(values=None):
    draw = np.random.default_rng(0)
    values = [draw.normal(size=shape).astype("float32") for shape in SHAPES] if values is None else values
    return [keras.Variable(value, name=f"v{i}") for i, value in enumerate(values)]


def gradients(steps):
    draw = np.random.default_rng(1)
    return [[draw.normal(size=shape).astype("float32") for shape in SHAPES] for _ in range(steps)]


@pytest.mark.parametrize(("name", "how"), [*((name, "pickle") for name in MAKE), ("rules", "deepcopy"), ("an own class", "copy")])
def test_a_copy_goes_on_bit_for_bit(name, how):
    optimizer, of_model = MAKE[name](), variables()
    step = CompiledStep(optimizer, of_model)
    for gradient in gradients(5)[:3]:
        step(gradient)
    copied, start = HOW[how](optimizer), [as_numpy(variable) for variable in of_model]
    assert int(copied.iterations) == int(optimizer.iterations)
    for gradient in gradients(5)[3:]:
        step(gradient)  # which the copy must not notice
    again = CompiledStep(HOW[how](copied), variables(start))  # a copy of a copy that is not built yet
    for gradient in gradients(5)[3:]:
        again(gradient)
    for one, other in zip(again.weights(), step.weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert type(again.optimizer) is type(optimizer)
    expected = state_of(optimizer)
    for key, value in state_of(again.optimizer).items():
        np.testing.assert_array_equal(value, expected[key])


@pytest.mark.parametrize("how", HOW)
def test_a_copy_has_its_numbers_at_once_and_they_can_be_set_before_it_is_built(how):
    optimizer = keras_optims.Adam(0.1, rules=[keras_optims.Rule("v0", epsilon=1e-3)])
    optimizer.beta_1 = 0.5
    step = CompiledStep(optimizer, variables())
    step(gradients(1)[0])
    copied = HOW[how](optimizer)
    assert int(copied.iterations) == 1
    assert float(copied.beta_1) == 0.5
    copied.beta_1 = 0.25
    copied.rules[0].epsilon = 0.5
    copied.learning_rate.assign(0.75)
    copied.build(variables())
    assert [float(each) for each in (copied.beta_1, copied.rules[0].epsilon, copied.learning_rate)] == [0.25, 0.5, 0.75]
    assert float(optimizer.beta_1) == 0.5
    assert copied.get_config()["beta_2"] == 0.999


@pytest.mark.parametrize("how", HOW)
def test_a_copy_before_the_first_step_is_as_new(how):
    optimizer = keras_optims.Adam(0.1, name="mine", weight_decay=0.1)
    optimizer.group_below = 0
    optimizer.exclude_from_weight_decay(var_names=["v0"])
    copied = HOW[how](optimizer)
    assert copied.get_config() == optimizer.get_config()
    assert copied.group_below == 0
    copied.weight_decay = None  # nothing waits that it would not fit
    copied = HOW[how](optimizer)
    first, second = (CompiledStep(each, variables()) for each in (optimizer, copied))
    for gradient in gradients(2):
        first(gradient)
        second(gradient)
    for one, other in zip(first.weights(), second.weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_copy_that_meets_other_variables_says_so():
    optimizer = keras_optims.Adam()
    CompiledStep(optimizer, variables())(gradients(1)[0])
    with pytest.raises(ValueError, match="does not fit"):
        copy.deepcopy(optimizer).build(variables()[:3])


def test_what_cannot_come_along_is_an_error():
    optimizer, of_model = keras_optims.Adam(weight_decay=0.1), variables()
    optimizer.exclude_from_weight_decay(var_list=of_model[:1])
    for how in HOW.values():
        with pytest.raises(TypeError, match=r"cannot be pickled or copied after exclude_from_weight_decay\(var_list"):
            how(optimizer)
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(keras_optims.Adam(lambda: 0.1))


def test_cloudpickle_takes_a_lambda_along():
    cloudpickle = pytest.importorskip("cloudpickle")
    optimizer = keras_optims.Momentum(lambda step: 0.5 / (1 + ops.cast(step, "float32")))
    CompiledStep(optimizer, variables())(gradients(1)[0])
    assert float(pickle.loads(cloudpickle.dumps(optimizer)).learning_rate) == 0.25


def test_the_optimizer_of_a_compiled_model_is_copied_for_a_model_of_the_same_layers():
    model = compiled(keras_optims.Adam())
    fit(model)
    copied = copy.deepcopy(model.optimizer)
    other = keras.models.clone_model(model)
    other.set_weights(model.get_weights())
    compiled(copied, other)
    fit(model)
    fit(other)
    for one, another in zip(weights(model), weights(other), strict=True):
        np.testing.assert_array_equal(one, another)


def test_a_loss_scale_optimizer_takes_the_state_of_ours_along():
    inner = keras_optims.Adam()
    wrapper, of_model = keras.optimizers.LossScaleOptimizer(inner), variables()
    wrapper.build(of_model)
    inner.apply([ops.convert_to_tensor(gradient) for gradient in gradients(1)[0]], of_model)
    with pytest.warns(UserWarning, match="Skipping variable loading for optimizer 'loss_scale_optimizer"):  # its own two
        copied = pickle.loads(pickle.dumps(wrapper))
    copied.inner_optimizer.build(variables())
    assert int(copied.inner_optimizer.iterations) == 1
