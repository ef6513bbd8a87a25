"""Hyperparameters at the ends of their ranges: formulas keep float32's digits there, however a kernel splits them."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_optims
from keras_optims.testing import reference
from tests.variants import distance, random_gradients

SIZE = 50


def path(optimizer, gradients):
    """The weights after each step, from 0."""
    variable, weights = keras.Variable(np.zeros(SIZE, "float32"), name="theta"), []
    optimizer.build([variable])
    for gradient in gradients:  # not compiled, as each number would be a trace
        optimizer.apply([ops.convert_to_tensor(gradient)], [variable])
        weights.append(np.array(ops.convert_to_numpy(variable)))
    return weights


def as_float32(number) -> float:
    return float(np.float32(number))


@pytest.mark.parametrize("momentum", [0.0, 1e-30, 0.9, 1.0])
@pytest.mark.parametrize("rate", [1e-30, 1e-17, 1e-12, 1e-9, 2.0**-27, 2.0**-28, 1e-5, 1.0, 1e3])
@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_at_any_rate(rate, momentum, nesterov):
    gradients = random_gradients((SIZE,), 4)
    gradients = [gradient[0] for gradient in gradients]
    arguments = {"momentum": momentum, "nesterov": nesterov}
    found = path(keras_optims.Momentum(rate, **arguments), gradients)
    twin = reference.momentum(gradients, np.zeros(SIZE), as_float32(rate), **arguments)
    assert scaled(found, twin, rate) < 1e-6


@pytest.mark.backend("torch")
@pytest.mark.parametrize("rate", [1e-38, 1e-36, 1e-34])
def test_a_step_below_the_least_normal_number_is_no_more_than_one_off_where_the_backend_has_such_numbers(rate):
    gradients = [np.linspace(1, 2, SIZE, dtype="float32")] * 3
    found = path(keras_optims.Momentum(rate), gradients)
    twin = reference.momentum(
        gradients, np.zeros(SIZE), float(ops.convert_to_numpy(keras_optims.Momentum(rate).learning_rate)), 0.9
    )
    np.testing.assert_allclose(found, twin, rtol=1e-6, atol=5e-45)


@pytest.mark.parametrize("momentum", [0.0, 0.5])
@pytest.mark.parametrize("epsilon", [1e-7, 1.0])
@pytest.mark.parametrize("one_minus_rho", [1e-3, 1e-5, 1e-6, 1.3e-7])
def test_rmsprop_whose_average_hardly_moves(one_minus_rho, epsilon, momentum):
    gradients = [gradient[0] for gradient in random_gradients((SIZE,), 6)]
    arguments = {"rho": 1 - one_minus_rho, "momentum": momentum, "epsilon": epsilon}
    found = path(keras_optims.RMSprop(0.01, **arguments), gradients)
    arguments["epsilon"] = as_float32(epsilon)
    twin = reference.rmsprop(gradients, np.zeros(SIZE), as_float32(0.01), **arguments)
    assert distance(found, twin) < 2e-6


def scaled(found, twin, rate):
    """The distance, where the way may be shorter than `distance` looks at."""
    return distance(np.array(found, np.float64) / rate, np.array(twin) / rate)


@pytest.mark.parametrize("members", [1, 9])  # nine small variables are a group on TensorFlow
@pytest.mark.parametrize("values", [(1e-7, 1e3, 1e-7), (1e-7, 1e-3, 1e-7, 10.0, 1e-7), (0.1, 1e-8, 0.05, 1e-8), (1.0, 1e-9)])
def test_an_epsilon_that_goes_up_and_down_takes_no_more_of_the_accumulator_than_its_rounding(values, members):
    first, *others = values
    for start in (0.0, 1e-6, 0.3):
        optimizer = keras_optims.Adagrad(1.0, initial_accumulator_value=start, epsilon=first)
        variables = [keras.Variable(np.zeros(3, "float32"), name=f"theta_{i}") for i in range(members)]
        optimizer.build(variables)
        for epsilon in others:
            optimizer.epsilon = epsilon
        found = np.array([ops.convert_to_numpy(ops.convert_to_tensor(each)) for each in optimizer.accumulator.of(variables)])
        last, bound = as_float32(others[-1]), np.finfo(np.float32).eps * max(*values, start)
        assert np.all(found >= last)
        np.testing.assert_allclose(found, start + last, rtol=1e-6, atol=bound)
        for gradient in (np.zeros(3, "float32"), np.ones(3, "float32")):
            optimizer.apply([ops.convert_to_tensor(gradient)] * members, variables)
        weights = np.array([ops.convert_to_numpy(variable) for variable in variables])
        np.testing.assert_allclose(weights, -1 / np.sqrt(1 + start + last), rtol=1e-6 + bound)
