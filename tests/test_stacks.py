"""Small variables of one shape as one, on TensorFlow and torch: what a formula that is not elementwise gives, and when it is not
run so.
"""

import sys

import keras
import numpy as np
import pytest
from keras import ops

import keras_optims
from keras_optims import Rule
from keras_optims.testing.compiled_step import CompiledStep, EagerStep, as_numpy
from tests.variants import ONE_EACH, VARIANTS

BACKEND = keras.backend.backend()
pytestmark = pytest.mark.skipif(BACKEND == "jax", reason="JAX compiles the whole step")

SHAPES = [(6, 4)] * 3 + [(5,)] * 2 + [(3, 2, 4)] * 2 + [(), (), (300, 250)]
BY_VARIABLE = [
    variant
    for variant in (ONE_EACH if BACKEND == "tensorflow" else VARIANTS)
    if not (variant.make.elementwise or variant.make.overrides("update_steps"))
]


def made(optimizer, dtype="float32"):
    rng = np.random.default_rng(0)
    variables = [keras.Variable(rng.normal(size=shape), dtype=dtype, name=f"v{i}") for i, shape in enumerate(SHAPES)]
    optimizer.build(variables)
    return variables


def trained(optimizer, dtype="float32", one_by_one=False, steps=4):
    """The weights and all state after steps whose gradients are zero for a variable of each shape at first."""
    variables, rng = made(optimizer, dtype), np.random.default_rng(1)
    if one_by_one:
        optimizer._untracked.not_stacked = "a test"
    optimizer.exclude_from_weight_decay(variables[:1]) if not optimizer.built else None
    train = (EagerStep if one_by_one else CompiledStep)(optimizer, variables)
    for step in range(steps):
        gradients = [10.0 ** (i % 3) * rng.normal(size=shape) * (i + step > 0) for i, shape in enumerate(SHAPES)]
        train([gradient.astype("float32") for gradient in gradients])
    return [as_numpy(ops.cast(variable, "float32")) for variable in [*variables, *optimizer.variables]]


def paths(optimizer):
    return [line.path for line in optimizer.explain()]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("options", [{}, {"cautious": True}, {"rules": [Rule("v1", learning_rate_multiplier=0.5)]}], ids=str)
@pytest.mark.parametrize("variant", BY_VARIABLE, ids=str)
def test_a_stack_gives_what_each_variable_gives_by_itself(variant, options, dtype):
    if "cautious" in options and variant.arguments.get("weight_decay"):
        pytest.skip("refused: a mask knows no decay of the formula's own")
    arguments = {**variant.arguments, **options}
    optimizer = variant.make(**arguments)
    found = trained(optimizer, dtype)
    assert paths(optimizer) == ["stacked", "formula" if "rules" in options else "stacked", *["stacked"] * 7, "formula"]
    expected = trained(variant.make(**arguments), dtype, one_by_one=True)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-6 if dtype == "float32" else 1e-2, atol=1e-6)


def test_what_is_excluded_from_the_decay_is_in_no_stack_with_what_is_not():
    found, expected = (keras_optims.Lamb(0.1, weight_decay=0.5) for _ in range(2))
    for optimizer in (found, expected):
        optimizer.exclude_from_weight_decay(var_names=["v1"])
    for ours, theirs in zip(trained(found), trained(expected, one_by_one=True), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-6, atol=1e-6)


class ByVariable(keras_optims.Optimizer):
    """θ ← θ − η·g/‖g‖, and what a test adds to it."""

    def length(self, gradient, variable):
        return 1.0

    def update_step(self, gradient, variable, learning_rate):
        norm = ops.sqrt(ops.sum(ops.square(gradient)))
        length = self.length(gradient, variable) * learning_rate
        self.assign_sub(variable, length * gradient / ops.maximum(norm, 1e-12))


class GoesByPath(ByVariable):
    def length(self, gradient, variable):
        return 1.0 + ("v1" in variable.path)


class GoesByName(ByVariable):
    def length(self, gradient, variable):
        return 1.0 + ("v1" in variable.name)


class GoesByNumbers(ByVariable):
    def length(self, gradient, variable):
        return 2.0 if ops.max(gradient) > 2 else 1.0


class Counts(ByVariable):
    """Each variable moves by one more than that before it."""

    def build(self, variables):
        super().build(variables)
        self.number = self.add_shared("number")

    def length(self, gradient, variable):
        self.number.assign(ops.convert_to_tensor(self.number) + 1)
        return ops.convert_to_tensor(self.number) * 1.0


class Draws(ByVariable):
    def length(self, gradient, variable):
        return keras.random.uniform(())


@pytest.mark.parametrize(
    ("cls", "why"),
    [
        (GoesByPath, "path or name"),
        (GoesByName, "path or name"),
        pytest.param(GoesByNumbers, "data-dependent", marks=pytest.mark.backend("torch")),  # graphs refuse it
        (Counts, "all variables share"),
    ],
)
def test_a_formula_that_tells_variables_apart_takes_them_one_by_one(cls, why):
    optimizer = cls(0.1)
    found = trained(optimizer)
    assert set(paths(optimizer)) == {"formula"}
    assert why in optimizer.explain()[0].why
    for ours, theirs in zip(found, trained(cls(0.1), one_by_one=True), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_formula_that_draws_numbers_draws_them_for_each_variable():
    optimizer = Draws(0.1)
    trained(optimizer)
    assert optimizer.explain()[0].path == "formula"
    assert ("random" if BACKEND == "torch" else "draws numbers") in optimizer.explain()[0].why


def test_a_mistake_in_a_formula_is_told_as_without_stacks():
    class Wrong(ByVariable):
        def length(self, gradient, variable):
            return self.no_such_thing

    with pytest.raises(AttributeError, match="no_such_thing"):
        trained(Wrong(0.1))


class Prints(ByVariable):
    """Has an effect."""

    def length(self, gradient, variable):
        import tensorflow as tf

        tf.print("a step", output_stream=sys.stderr)
        return 1.0


@pytest.mark.backend("tensorflow")
def test_a_formula_with_an_effect_has_it_for_each_variable(capfd):
    optimizer = Prints(0.1)
    trained(optimizer, steps=2)
    assert set(paths(optimizer)) == {"formula"}
    assert capfd.readouterr().err.count("a step") == 2 * len(SHAPES)
