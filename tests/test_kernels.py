"""Fused kernels compute what the formula in `update_step` says, and are left aside where somebody has changed the formula."""

import functools

import keras
import numpy as np
import pytest

import keras_optims
from keras_optims.testing.compiled_step import CompiledStep, as_numpy
from tests.stepping import assert_eager_graph_and_xla_agree, state_of
from tests.variants import CLASSES, OF_EACH_SCOPE, ONE_EACH, VARIANTS

SHAPES = [(), (5,), (0, 2), (33, 7)]
WITH_KERNEL = [variant for variant in VARIANTS if variant.has_kernel]


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


@pytest.mark.parametrize("variant", WITH_KERNEL, ids=str)
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


@pytest.mark.parametrize(
    ("cls", "name"),
    [
        (cls, name)
        for cls in CLASSES
        for name, declared in cls.hyperparameters().items()
        if cls.kernel is not None and 0 in declared.domain
    ],
)
def test_the_fused_path_agrees_with_the_formula_where_a_hyperparameter_is_zero(cls, name):
    steps = [CompiledStep(make(**{name: 0.0}), variables()) for make in (cls, written_out(cls))]
    for gradient in gradients(5):
        for step in steps:  # elements of one size: v + (g² − v) forgets a g² far below v
            step([np.sign(g) * (1 + 0.1 * np.tanh(g)) for g in gradient])
    for ours, theirs in zip(steps[0].weights(), steps[1].weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-6, atol=2e-6)


# SOAP's eigenvectors are known only up to what the library that finds them rounds.
@pytest.mark.backend("tensorflow")
@pytest.mark.parametrize("variant", [*(v for v in ONE_EACH if v.has_kernel and v not in OF_EACH_SCOPE), *OF_EACH_SCOPE], ids=str)
def test_eager_graph_and_xla_agree(variant):
    assert_eager_graph_and_xla_agree(functools.partial(variant.optimizer, weight_decay=0.01), variables, gradients(10))


@pytest.mark.parametrize("cls", [cls for cls in CLASSES if cls.fused_kernel])
def test_a_subclass_that_leaves_the_formula_alone_keeps_the_kernel(cls):
    class Renamed(cls):
        def get_config(self):
            return {**super().get_config(), "name": "renamed"}

    assert Renamed().fused_kernel == cls().fused_kernel == cls.kernel


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


def paths(optimizer):
    return {line.variable: line.path for line in optimizer.explain()}


def served_by_torch():
    if keras.backend.backend() != "torch":
        return []
    from keras_optims.kernels.torch import fused

    return [variant for variant in VARIANTS if fused.serves(variant.make)]


@pytest.mark.backend("torch")
@pytest.mark.parametrize("variant", served_by_torch(), ids=str)
def test_where_a_device_has_no_fused_kernel_foreach_computes_the_same(variant, monkeypatch):
    from keras_optims.kernels.torch import fused as kernels

    optimizers = [variant.make(**variant.arguments) for _ in range(2)]
    steps = [CompiledStep(optimizer, variables()) for optimizer in optimizers]
    has_kernel = kernels.has_kernel
    for gradient in gradients():
        monkeypatch.setattr(kernels, "has_kernel", has_kernel)
        steps[0](gradient)
        monkeypatch.setattr(kernels, "has_kernel", lambda operation, device: False)
        steps[1](gradient)
    assert paths(optimizers[1]) == {"v0": "foreach", "v1": "foreach", "v2": "foreach", "v3": "foreach", "half": "packed"}
    for ours, theirs in zip(steps[0].weights(), steps[1].weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-6, atol=2e-6)


@pytest.mark.backend("torch")
def test_the_fused_kernels_of_torch_are_used_where_they_exist():
    fused = {"gradient_descent", "momentum", "adagrad", "adagrad from 0", "adam", "amsgrad", "adamw"}
    for variant in [v for v in VARIANTS if v.has_kernel]:
        optimizer = variant.optimizer()
        optimizer.build(variables())
        expected = "fused" if str(variant) in fused else "foreach" if variant in served_by_torch() else "packed"
        assert set(paths(optimizer).values()) == {expected, "packed"}, variant


@pytest.mark.backend("torch")
def test_a_stateless_step_on_torch_leaves_the_variables_alone():
    import torch

    optimizer, variable = keras_optims.Adam(0.1), keras.Variable(np.ones(3, "float32"), name="theta")
    optimizer.build([variable])
    state = [v.value.clone() for v in optimizer.variables]
    values, state = optimizer.stateless_apply(state, [torch.ones(3)], [variable.value.clone()])
    np.testing.assert_allclose(values[0].detach().numpy(), 0.9, rtol=1e-5)
    assert int(state[0]) == 1
    np.testing.assert_array_equal(as_numpy(variable), 1)
    assert int(optimizer.iterations.value) == 0


@pytest.mark.backend("jax")
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_what_jax_traces_for_a_variable_does_not_depend_on_the_bookkeeping(variant):
    import jax

    def equations(number, **arguments):
        updated = [keras.Variable(np.ones(3, "float32"), name=f"v{i}") for i in range(number)]
        optimizer = variant.optimizer(**arguments)
        optimizer.build(updated)
        values, state = [v.value for v in updated], [v.value for v in optimizer.variables]
        return len(jax.make_jaxpr(optimizer.stateless_apply)(state, values, values).jaxpr.eqns)

    schedule = keras.optimizers.schedules.CosineDecay(0.1, 100)
    per_variable = equations(3) - equations(2)
    assert per_variable == equations(12) - equations(11)
    assert per_variable <= 24 or not variant.has_kernel
    assert per_variable == equations(3, learning_rate=schedule) - equations(2, learning_rate=schedule)


@pytest.mark.parametrize("cls", CLASSES)
def test_explain_names_each_variable_its_path_and_why(cls):
    class Changed(cls):
        def update_step(self, gradient, variable, learning_rate):
            super().update_step(gradient, variable, learning_rate)

    with pytest.raises(ValueError, match="explain\\(\\) needs an optimizer that is built"):
        cls().explain()
    optimizer, changed = cls(weight_decay=0.1), Changed()
    optimizer.exclude_from_weight_decay(var_names=["half"])
    optimizer.build(variables())
    changed.build(variables())
    lines = optimizer.explain()
    assert [line.variable for line in lines] == ["v0", "v1", "v2", "v3", "half"]
    assert [line.shape for line in lines] == [*SHAPES, (4,)]
    assert [line.weight_decay for line in lines] == [True] * 4 + [False]
    table = str(lines)
    assert len(table.splitlines()) == 6 + len(optimizer._untracked.shared)
    assert "33x7" in table
    if keras.backend.backend() == "jax":
        assert {line.path for line in lines} == {"compiled"}
    elif cls is keras_optims.Muon:  # whose vectors go by Adam
        assert lines[3].path == "formula"
        assert {line.path for line in [*lines[:3], lines[4]]} <= {"fused", "compiled", "packed"}
    elif not cls.fused_kernel:
        of_formulas = {"grouped", "compiled"} if keras.backend.backend() == "tensorflow" else {"packed", "blocks"}
        assert {line.path for line in lines} <= (of_formulas if cls.elementwise else {"formula"})
    else:
        assert lines[-1].path == ("compiled" if keras.backend.backend() == "tensorflow" else "packed")
        assert "bfloat16" in lines[-1].why
        assert {line.path for line in lines[:4]} <= ({"fused", "foreach", "packed"} if cls.kernel else {"compiled", "packed"})
        assert all(line.path == "formula" and "Changed has a formula of its own" in line.why for line in changed.explain()[:4])


@pytest.mark.parametrize("value", [1e-7, keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)], ids=["number", "schedule"])
def test_adagrads_epsilon_is_in_its_accumulator_and_can_be_changed(value):
    """Against the formula: at each step √(G + ε) with the ε of that step, wherever ε is kept."""
    optimizer = keras_optims.Adagrad(0.1, initial_accumulator_value=0.0, epsilon=value)
    step = CompiledStep(optimizer, [keras.Variable(np.zeros(3, "float32"), name="theta")])
    theta, total = np.zeros(3), np.zeros(3)
    for i in range(6):
        if i in (2, 4) and isinstance(value, float):
            optimizer.epsilon = 0.1 * i
        gradient = np.array([0.1, 0.5, -1.0])
        epsilon = float(keras.ops.convert_to_numpy(optimizer.epsilon))
        total += gradient**2
        theta -= 0.1 * gradient / np.sqrt(total + epsilon)
        step([gradient.astype("float32")])
        np.testing.assert_allclose(step.weights()[0], theta, rtol=1e-5)
    assert step.traces == 1 or keras.backend.backend() == "torch"
    constant = isinstance(value, float)
    np.testing.assert_allclose(as_numpy(optimizer.accumulator.variables[0]), total + epsilon * constant, rtol=1e-5)
