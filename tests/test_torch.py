"""torch's ways of running a formula that has no kernel: lists of variables, as on a GPU, and torch's compiler."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_optims
from keras_optims.testing.compiled_step import as_numpy
from tests.variants import VARIANTS

pytestmark = [
    pytest.mark.backend("torch"),
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),  # torch's compiler itself uses it
]

SHAPES = [(7, 3), (300, 250), (5,), (), (0, 2), (4, 2, 3)]


def formula_of(cls, **words):
    """The class without its kernel."""
    written_again = {"update_step": lambda self, *arguments: cls.update_step(self, *arguments), "elementwise": cls.elementwise}
    return type(f"{cls.__name__}Again", (cls,), {**written_again, **words})


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    from keras_optims.kernels.torch import pieces

    monkeypatch.setattr(pieces, "are_lists", lambda device: True)
    monkeypatch.setattr(pieces, "LIST", 1000)  # so that the large variable is in a list of its own


def trained(optimizer, dtype="float32", steps=5, change=lambda optimizer, step: None):
    rng = np.random.default_rng(0)
    variables = [keras.Variable(rng.normal(size=shape), dtype=dtype, name=f"v{i}") for i, shape in enumerate(SHAPES)]
    for step in range(steps):
        change(optimizer, step)
        gradients = [rng.normal(size=shape).astype("float32") for shape in SHAPES]
        optimizer.apply([ops.cast(gradient, dtype) for gradient in gradients], variables)
    slots = [as_numpy(variable) for variable in optimizer.variables]
    return [as_numpy(ops.cast(variable, "float32")) for variable in variables], slots, optimizer


def assert_the_same(found, expected, rtol=2e-6):
    for ours, theirs in zip((*found[0], *found[1]), (*expected[0], *expected[1]), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=rtol)


def paths(optimizer):
    return {each.path for each in optimizer.explain() if 0 not in each.shape}


@pytest.mark.usefixtures("as_on_a_gpu")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("variant", [variant for variant in VARIANTS if variant.make.elementwise], ids=str)
def test_a_formula_on_lists_is_the_formula(variant, dtype):
    arguments = {**variant.arguments, "weight_decay": 0.1}
    found = trained(formula_of(variant.make)(**arguments), dtype)
    expected = trained(formula_of(variant.make, elementwise=False)(**arguments), dtype)
    assert_the_same(found, expected)
    assert paths(found[2]) == {"foreach"}
    assert paths(expected[2]) == {"formula"}


class Everything(keras_optims.Optimizer):
    """Takes what a formula may take: functions that there are for lists, and some that there are not."""

    elementwise = True

    def build(self, variables):
        super().build(variables)
        self.m = self.add_slot(variables, "m")
        self.start = self.add_slot(variables, "start", "variable")

    def update_step(self, gradient, variable, learning_rate):
        m, g = self.m[variable], gradient
        self.assign(m, ops.where(g > 0, ops.maximum(m, g), ops.minimum(m.value, -g) / 2))
        u = ops.sign(g) * ops.abs(m) ** 2 + ops.square(g) - ops.exp(-ops.abs(g)) + ops.tanh(m) / (1 + ops.sqrt(ops.abs(g)))
        u = u + (1 - g) * ops.clip(g, -0.5, 0.5) + ops.zeros_like(g) + ops.ones(g.shape) * 2 - ops.cast(g > 0.1, g.dtype)
        u = (
            u
            + 2.0 / (1.0 + ops.abs(m))
            - ops.log1p(ops.abs(g))
            + ops.logaddexp(g, 0.0)
            + (3 - ops.negative(g))
            + ops.abs(g) ** 1.5
        )
        self.assign(variable, variable - learning_rate * u + 0.01 * (self.start[variable] - variable))


@pytest.mark.usefixtures("as_on_a_gpu")
def test_what_lists_have_no_function_for_is_done_one_by_one():
    apart = type("Apart", (Everything,), {"update_step": Everything.update_step, "elementwise": False})
    found, expected = trained(Everything(0.01)), trained(apart(0.01))
    assert paths(found[2]) == {"foreach"}
    assert_the_same(found, expected)


@pytest.mark.usefixtures("as_on_a_gpu")
def test_a_formula_that_is_not_elementwise_fails_on_lists():
    class OverItsMean(keras_optims.Optimizer):
        elementwise = True

        def update_step(self, gradient, variable, learning_rate):
            self.assign_sub(variable, learning_rate * gradient / ops.mean(ops.abs(gradient)))

    with pytest.raises(TypeError, match="is not elementwise, and the formula is declared elementwise"):
        trained(OverItsMean(0.01))


class SwapsItsSlots(keras_optims.Optimizer):
    elementwise = True

    def build(self, variables):
        super().build(variables)
        self.a, self.b = self.add_slot(variables, "a"), self.add_slot(variables, "b", "ones")

    def update_step(self, gradient, variable, learning_rate):
        a, b = self.a[variable], self.b[variable]
        old = a.value
        self.assign(a, b.value)
        self.assign(b, old + gradient)
        self.assign_sub(variable, learning_rate * b)


@pytest.mark.usefixtures("as_on_a_gpu")
def test_slots_that_change_places_on_lists_keep_what_they_had():
    apart = type("Apart", (SwapsItsSlots,), {"update_step": SwapsItsSlots.update_step, "elementwise": False})
    assert_the_same(trained(SwapsItsSlots(0.01)), trained(apart(0.01)))


# -- torch's compiler -----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("cls", [keras_optims.Adam, SwapsItsSlots, Everything])
def test_a_compiled_formula_is_the_formula(cls, dtype):
    found = trained(formula_of(cls, torch_compile=True)(0.01, weight_decay=0.1), dtype)
    expected = trained(formula_of(cls)(0.01, weight_decay=0.1), dtype)
    assert paths(found[2]) == {"compiled"}
    assert_the_same(found, expected, 2e-6 if dtype == "float32" else 2e-2)


@pytest.mark.slow
@pytest.mark.usefixtures("as_on_a_gpu")
def test_a_formula_compiled_on_lists_is_the_formula():
    found = trained(formula_of(keras_optims.Adam, torch_compile=True)(0.01, weight_decay=0.1))
    assert_the_same(found, trained(formula_of(keras_optims.Adam, elementwise=False)(0.01, weight_decay=0.1)))


@pytest.mark.slow
def test_hyperparameters_of_a_compiled_formula_are_live():
    class ReadsThemItself(keras_optims.Optimizer):
        elementwise = True
        torch_compile = True
        share = keras_optims.Hyperparameter(0.5, symbol="s", domain=keras_optims.Interval(0, 1))

        def update_step(self, gradient, variable, learning_rate):
            self.assign_sub(variable, learning_rate * self.share * gradient)

    def change(optimizer, step):
        optimizer.share = 0.1 * step
        optimizer.learning_rate = 0.01 * (step + 1)

    apart = type("Apart", (ReadsThemItself,), {"update_step": ReadsThemItself.update_step, "torch_compile": False})
    assert_the_same(trained(ReadsThemItself(0.01), change=change), trained(apart(0.01), change=change))


@pytest.mark.slow
def test_a_rule_has_its_own_compiled_formula():
    rules = [keras_optims.Rule(ndim=1, learning_rate_multiplier=0.1, weight_decay=None)]
    found = trained(formula_of(keras_optims.Adam, torch_compile=True)(0.01, weight_decay=0.1, rules=rules))
    expected = trained(formula_of(keras_optims.Adam)(0.01, weight_decay=0.1, rules=rules))
    assert_the_same(found, expected)
