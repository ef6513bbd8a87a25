"""Fused kernels compute what the formula in `update_step` says, and are left aside where somebody has changed the formula."""

import functools

import keras
import numpy as np
import pytest

import keras_optims
from tests.stepping import CompiledStep, as_numpy, state_of
from tests.variants import VARIANTS

CLASSES = list(keras_optims.OPTIMIZERS.values())
SHAPES = [(), (5,), (0, 2), (33, 7)]


def written_out(cls):
    """The same optimizer, whose formula counts as changed, so that every variable goes through `update_step`."""

    class WrittenOut(cls):
        def update_step(self, gradient, variable, learning_rate):
            super().update_step(gradient, variable, learning_rate)

    return WrittenOut


def variables():
    rng = np.random.default_rng(0)
    made = [keras.Variable(rng.normal(size=shape).astype("float32"), name=f"v{i}") for i, shape in enumerate(SHAPES)]
    return [*made, keras.Variable(np.ones(4, "float32"), dtype="bfloat16", name="half")]


def gradients(steps=30):
    rng = np.random.default_rng(1)
    shapes = [*SHAPES, (4,)]
    return [[(rng.normal(size=s) * 10.0 ** rng.uniform(-4, 1)).astype("float32") for s in shapes] for _ in range(steps)]


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_the_fused_path_agrees_with_the_formula(variant):
    fused, plain = variant.make(**variant.arguments), written_out(variant.make)(**variant.arguments)
    assert fused.fused_kernel is not None
    assert plain.fused_kernel is None
    steps = [CompiledStep(optimizer, variables()) for optimizer in (fused, plain)]
    for gradient in gradients():
        for step in steps:
            step(gradient)
    for ours, theirs in zip(steps[0].weights(), steps[1].weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-6, atol=2e-6)
    ours, theirs = state_of(fused), state_of(plain)
    assert list(ours) == list(theirs)
    for name in ours:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=2e-5, atol=1e-7, err_msg=name)


def _apply(optimizer, updated, *gradients):
    optimizer.apply(gradients, updated)


@pytest.mark.parametrize(
    ("cls", "name"),
    [(cls, name) for cls in CLASSES for name, declared in cls.hyperparameters().items() if 0 in declared.domain],
)
def test_the_fused_path_agrees_with_the_formula_where_a_hyperparameter_is_zero(cls, name):
    steps = [CompiledStep(make(**{name: 0.0}), variables()) for make in (cls, written_out(cls))]
    for gradient in gradients(5):
        for step in steps:  # elements of one size: v + (g² − v) forgets a g² far below v
            step([np.sign(g) * (1 + 0.1 * np.tanh(g)) for g in gradient])
    for ours, theirs in zip(steps[0].weights(), steps[1].weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-6, atol=2e-6)


@pytest.mark.backend("tensorflow")
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_eager_graph_and_xla_agree(variant):
    import tensorflow as tf

    results = []
    for wrap in (lambda f: f, tf.function, lambda f: tf.function(f, jit_compile=True)):
        optimizer, updated = variant.optimizer(weight_decay=0.01), variables()
        optimizer.build(updated)

        run = wrap(functools.partial(_apply, optimizer, updated))
        for gradient in gradients(10):
            run(*[tf.constant(g) for g in gradient])
        results.append([as_numpy(variable) for variable in updated])
    for other in results[1:]:
        for ours, theirs in zip(results[0], other, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("cls", keras_optims.OPTIMIZERS.values())
def test_a_subclass_that_leaves_the_formula_alone_keeps_the_kernel(cls):
    class Renamed(cls):
        def get_config(self):
            return {**super().get_config(), "name": "renamed"}

    assert Renamed().fused_kernel == cls().fused_kernel is not None


def test_a_subclass_with_another_formula_or_other_scalars_is_obeyed():
    class Still(keras_optims.Adam):
        def update_step(self, gradient, variable, learning_rate):
            pass

    class Slow(keras_optims.GradientDescent):
        def step_scalars(self, learning_rate):
            return {"learning_rate": learning_rate * 0.25}

    for optimizer, expected in ((Still(), 1.0), (Slow(1.0), 0.75)):
        step = CompiledStep(optimizer, [keras.Variable(np.ones(2, "float32"), name="theta")])
        step([np.ones(2, "float32")])
        np.testing.assert_allclose(step.weights()[0], expected)


@pytest.mark.backend("tensorflow")
def test_the_traced_step_of_a_fused_optimizer_has_one_kernel_for_each_variable():
    import tensorflow as tf

    def operations(optimizer, number):
        updated = [keras.Variable(np.ones((8, 8), "float32"), name=f"v{i}") for i in range(number)]
        optimizer.build(updated)
        step = tf.function(lambda gradients: optimizer.apply(gradients, updated))
        graph = step.get_concrete_function([tf.TensorSpec((8, 8))] * number).graph
        passive = {"Placeholder", "Const", "ReadVariableOp", "Identity", "NoOp"}
        return [op.type for op in graph.get_operations() if op.type not in passive]

    for make in (keras_optims.GradientDescent, keras_optims.Momentum, keras_optims.Adam):
        few, many = operations(make(), 2), operations(make(), 12)
        assert len(many) - len(few) == 10, make
        assert sum(op.startswith("ResourceApply") for op in many) == 12
