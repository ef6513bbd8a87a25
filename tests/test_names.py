"""Misspelled arguments are found out, and an optimizer prints as the call that makes it."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_optims
from keras_optims import Adam, Momentum, Optimizer, RMSprop, Rule
from keras_optims.testing.compiled_step import CompiledStep

MEANT = [
    (Adam, "lr", "learning_rate"),
    (Adam, "alpha", "learning_rate"),
    (RMSprop, "alpha", "rho"),
    (Adam, "betas", "beta_1 and beta_2"),
    (Adam, "beta1", "beta_1"),
    (Adam, "b2", "beta_2"),
    (Adam, "eps", "epsilon"),
    (Momentum, "wd", "weight_decay"),
    (Momentum, "weight_decay_rate", "weight_decay"),
    (Momentum, "max_grad_norm", "global_clipnorm"),
    (Momentum, "momentun", "momentum"),
]


def step_on(optimizer):
    return CompiledStep(optimizer, [keras.Variable(np.zeros(3, "float32"), name="theta")])


@pytest.mark.parametrize(("cls", "name", "meant"), MEANT)
def test_a_name_of_other_libraries_is_told_ours(cls, name, meant):
    with pytest.raises(ValueError, match=rf"no argument '{name}'\. Did you mean {meant}\?"):
        cls(**{name: 0.1})
    for build_first in (False, True):
        optimizer = cls()
        if build_first:
            step_on(optimizer)([np.ones(3, "float32")])
        with pytest.raises(AttributeError, match=rf"no '{name}', so setting it .* Did you mean {meant}\? Received 0\.1"):
            setattr(optimizer, name, 0.1)
        assert not hasattr(optimizer, name)


def test_names_that_mean_nothing_here_get_no_hint():
    with pytest.raises(ValueError, match=r"GradientDescent has no argument 'eps'\. Its arguments"):
        keras_optims.GradientDescent(eps=1e-3)


@pytest.mark.parametrize("value", [0.5, None, np.float32(0.5), np.array(0.5), lambda: 0.5, "0.5", True])
def test_whatever_may_be_meant_for_an_argument_is_refused(value):
    with pytest.raises(AttributeError, match="Did you mean beta_1"):
        Adam().beta1 = value


def test_other_attributes_stay_allowed():
    class Counting(Momentum):
        def build(self, variables):
            super().build(variables)
            self.momentums = self.add_slot(variables, "momentums")
            self.moment = 0.5

        def update_step(self, gradient, variable, learning_rate):
            self.last_rate = learning_rate
            super().update_step(gradient, variable, learning_rate)

    optimizer = Counting()
    optimizer.note = "mine"
    optimizer.momentum_of_each = [0.5]
    optimizer.momentum = 0.5
    step_on(optimizer)([np.ones(3, "float32")])
    optimizer.note = optimizer.moment = 1
    optimizer.group_below = 0
    assert len(optimizer.momentums.variables) == 1


def test_a_constructor_of_ones_own_may_set_what_it_likes():
    class OfKerasStyle(Adam):
        def __init__(self, learning_rate=0.1, betas=(0.8, 0.9), **kwargs):
            super().__init__(learning_rate, beta_1=betas[0], beta_2=betas[1], **kwargs)
            self.beta = betas[0]
            self.betas = betas

    optimizer = OfKerasStyle()
    step_on(optimizer)([np.ones(3, "float32")])
    optimizer.betas = (0.5, 0.6)
    with pytest.raises(AttributeError, match="Did you mean beta_2"):
        optimizer.beta2 = 0.5
    assert repr(optimizer) == "OfKerasStyle(betas=(0.5, 0.6), beta_1=0.8, beta_2=0.9)"


def a_rate(step):
    return 0.1 * ops.cast(step, "float32")


SCHEDULE = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)

SHOWN = [
    (Adam(), "Adam()"),
    (Adam(0.01), "Adam(learning_rate=0.01)"),
    (Adam(np.float32(0.01), amsgrad=True, name="mine"), "Adam(learning_rate=0.01, amsgrad=True)"),
    (Adam(0.001, beta_1=0.9, weight_decay=0.0), "Adam(weight_decay=0.0)"),
    (Momentum(a_rate), "Momentum(learning_rate=a_rate)"),
    (
        Momentum(SCHEDULE, use_ema=True),
        "Momentum(learning_rate=ExponentialDecay(initial_learning_rate=0.1, decay_steps=10, decay_rate=0.5, staircase=False), "
        "use_ema=True)",
    ),
    (
        Adam(rules=[Rule(ndim=1, weight_decay=None), Rule("kernel", beta_1=0.5)]),
        "Adam(rules=[Rule(ndim=[1], weight_decay=None), Rule(path=['kernel'], beta_1=0.5)])",
    ),
]


@pytest.mark.parametrize(("optimizer", "text"), SHOWN, ids=[text for _, text in SHOWN])
def test_an_optimizer_prints_as_the_call_that_makes_it(optimizer, text):
    assert repr(optimizer) == text


def test_what_is_printed_is_the_number_of_now():
    optimizer = Adam(0.1, rules=[Rule("theta", beta_1=0.5)])
    optimizer.learning_rate, optimizer.beta_2, optimizer.rules[0].beta_1 = 0.2, 0.9, 0.25
    assert repr(optimizer) == "Adam(learning_rate=0.2, beta_2=0.9, rules=[Rule(path=['theta'], beta_1=0.25)])"


def test_printing_never_fails():
    texts = []

    class Printing(Optimizer):
        def __init__(self):
            texts.append(repr(self))
            super().__init__(0.5)
            texts.append(repr(self))

        def update_step(self, gradient, variable, learning_rate):
            texts.append(repr(self))
            self.assign_sub(variable, gradient)

    step_on(Printing())([np.ones(3, "float32")])
    assert texts[0].startswith("Printing(")
    assert texts[1] == "Printing(learning_rate=0.5)"
    assert texts[2] in ("Printing(learning_rate=0.5)", "Printing(learning_rate=...)")  # on JAX nobody knows it while it traces
