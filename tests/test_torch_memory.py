"""Small variables of an elementwise formula lie in one memory on torch, where nobody else knows theirs."""

import copy

import keras
import numpy as np
import pytest
from keras import ops

import keras_optims
from keras_optims.testing.compiled_step import as_numpy

pytestmark = pytest.mark.backend("torch")

SHAPES = [(3, 2), (4,), (), (0, 2), (5, 5), (300, 250)]
SMALL = [0, 1, 2, 4]


class Halves(keras_optims.Optimizer):
    """m ← m/2 + g, θ ← θ − η·m, with slots that change places on the way."""

    elementwise = True

    def build(self, variables):
        super().build(variables)
        self.m, self.other = self.add_slot(variables, "m"), self.add_slot(variables, "other", "ones")

    def update_step(self, gradient, variable, learning_rate):
        m, other = self.m[variable], self.other[variable]
        old = m.value
        self.assign(m, other.value)
        self.assign(other, old / 2 + gradient)
        self.assign_sub(variable, learning_rate * other)


def made(dtype="float32"):
    rng = np.random.default_rng(0)
    return [keras.Variable(rng.normal(size=shape).astype("float32"), dtype=dtype, name=f"v{i}") for i, shape in enumerate(SHAPES)]


def step(optimizer, variables, seed=1):
    rng = np.random.default_rng(seed)
    optimizer.apply([ops.cast(rng.normal(size=shape), v.dtype) for shape, v in zip(SHAPES, variables, strict=True)], variables)


def storage(variable):
    return variable._value.untyped_storage().data_ptr()


def are_in_one(variables):
    return len({storage(variables[i]) for i in SMALL}) == 1


def values(variables):
    return [as_numpy(ops.cast(variable, "float32")) for variable in variables]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_they_lie_in_one_memory_and_end_as_each_by_itself(dtype):
    apart = type("Apart", (Halves,), {"update_step": Halves.update_step, "elementwise": False})
    found, expected = made(dtype), made(dtype)
    known = [variable._value for variable in found]
    optimizer, other = Halves(0.1), apart(0.1)
    for seed in range(4):
        step(optimizer, found, seed)
        step(other, expected, seed)
    for one, two in zip(values([*found, *optimizer.variables]), values([*expected, *other.variables]), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-6, atol=1e-6)
    assert all(variable._value is tensor for variable, tensor in zip(found, known, strict=True))
    assert are_in_one(found)
    assert are_in_one([optimizer.m[variable] for variable in found])
    assert storage(optimizer.m[found[0]]) != storage(found[0])
    assert not are_in_one(expected)
    before = storage(found[0])
    another = Halves(0.1)
    step(another, found)  # finds them so
    assert are_in_one(found)
    assert storage(found[0]) == before
    (plan,) = (plan for plan in another._untracked.plans.values() if hasattr(plan, "moved"))
    assert len(plan.moved) == len(SMALL)


@pytest.mark.parametrize("alias", ["tensor", "numpy", "view", "process", "tied"])
def test_what_somebody_else_knows_stays_where_it_is(alias):
    found, expected = made(), made()
    tensor = found[1]._value
    if alias == "process":
        held = tensor.share_memory_()
    elif alias == "tied":  # the tensor of another variable, which is not trained
        held = keras.Variable(np.zeros(4, "float32"))._value
        held.data = tensor.data
    else:
        held = {"tensor": tensor.detach, "numpy": tensor.detach().numpy, "view": lambda: tensor.detach()[1:]}[alias]()
    optimizer, other = Halves(0.1), Halves(0.1)
    for seed in range(2):
        step(optimizer, found, seed)
        step(other, expected, seed)
    for one, two in zip(values(found), values(expected), strict=True):
        np.testing.assert_array_equal(one, two)
    assert not are_in_one(found)
    assert are_in_one(expected)
    if alias == "process":
        assert tensor.is_shared()
        return
    held = np.asarray(held if alias == "numpy" else held.detach())
    np.testing.assert_array_equal(held, values(found)[1][-len(held) :])


@pytest.mark.parametrize("moved", [False, True])
def test_a_backward_pass_through_weights_that_have_changed_is_an_error(moved):
    import torch

    variables, optimizer = made(), Halves(0.1)
    if moved:
        step(optimizer, variables)
    loss = sum(torch.sum(variables[i]._value ** 2) for i in SMALL[1:])
    loss.backward(retain_graph=True)
    step(optimizer, variables)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_memory_that_is_taken_from_a_variable_is_noticed():
    found, expected = made(), made()
    optimizer, other = Halves(0.1), Halves(0.1)
    step(optimizer, found), step(other, expected)
    found[1]._value.data = found[1]._value.detach().clone()
    optimizer.m[found[0]]._value.data = optimizer.m[found[0]]._value.detach().clone()
    step(optimizer, found), step(other, expected)
    for one, two in zip(values([*found, *optimizer.variables]), values([*expected, *other.variables]), strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_model_is_trained_saved_and_loaded(tmp_path):
    def model():
        keras.utils.set_random_seed(0)
        made = keras.Sequential(
            [keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.BatchNormalization(), keras.layers.Dense(1)]
        )
        made.compile(keras_optims.Lion(0.01, weight_decay=0.1), "mse")
        return made

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(64, 4)).astype("float32"), rng.normal(size=(64, 1)).astype("float32")
    whole, first = model(), model()
    for each, epochs in ((whole, 4), (first, 2)):
        each.fit(x, y, epochs=epochs, shuffle=False, verbose=0)
    weights = first.trainable_variables
    assert len({variable._value.untyped_storage().data_ptr() for variable in weights}) == 1
    copied = copy.deepcopy(weights[0]._value)
    copied.detach().zero_()
    assert np.any(as_numpy(weights[0]))
    first.save(tmp_path / "m.keras")
    second = keras.models.load_model(tmp_path / "m.keras")
    second.fit(x, y, epochs=2, shuffle=False, verbose=0)
    for one, two in zip(whole.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
