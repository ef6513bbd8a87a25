"""What docs/landscape.md says is to be seen on the surfaces is what the five optimizers do there."""

import functools

import numpy as np
import pytest

from tuning.landscape import landscape

pytestmark = pytest.mark.backend("tensorflow")


@functools.cache
def ways(name):
    """The weights after each step of each of the five, with the learning rates of the surface, by their names."""
    shown = landscape(surface=name)
    return {way.title: run.weights for way, run in zip(shown.contestants, shown.trajectories, strict=True)}


def test_in_the_ravine_gradient_descent_jumps_between_the_walls_and_creeps_along_the_floor():
    way = ways("ravine")["Gradient descent"]
    assert (way[1:21, 1] * way[:20, 1] < 0).all()
    np.testing.assert_allclose(way[1:, 0] / way[:-1, 0], 1 - 0.036, rtol=1e-4)


def test_momentum_coasts_across_the_plateau():
    far = np.hypot(*(ways("plateau")["Momentum"] - (2, 0)).T)
    assert np.argmax(far < 0.5) == 26
    for name in ("Gradient descent", "AdaGrad", "Adam"):
        assert ways("plateau")[name][-1, 0] < -1.6, name


def test_on_the_plateau_rmsprop_goes_ten_times_as_fast_as_those_that_remember_or_have_no_speed():
    steps = {name: np.diff(way[:, 0]) for name, way in ways("plateau").items()}
    assert steps["RMSProp"][60:140] == pytest.approx(0.01, abs=0.0007)
    for name in ("Gradient descent", "AdaGrad", "Adam"):
        assert steps[name][-10:] == pytest.approx(0.0012, abs=0.0002), name


def test_of_the_five_momentum_alone_leaves_the_shallow_minimum():
    last = {name: way[-1, 0] for name, way in ways("two_minima").items()}
    assert [name for name, weight in last.items() if weight > 0] == ["Momentum"]
    assert last["Momentum"] == pytest.approx(1.04, abs=0.01)


def test_at_the_saddle_those_with_one_rate_are_held_up_for_some_40_steps():
    """Until they are 0.05 beside the ridge, on which the loss falls slowly at first."""
    steps = {name: int(np.argmax(abs(way[:, 1]) > 0.05)) for name, way in ways("saddle").items()}
    assert steps == {"Gradient descent": 42, "Momentum": 42, "AdaGrad": 8, "RMSProp": 2, "Adam": 1}


def test_where_a_feature_is_rare_adagrad_and_adam_get_farthest_with_its_weight():
    moved = {name: abs(way[-1, 1]) for name, way in ways("sparse").items()}
    assert sorted(moved, key=moved.get)[-2:] == ["Adam", "AdaGrad"]
    assert moved["Adam"] > 1.4 * max(moved["Gradient descent"], moved["Momentum"], moved["RMSProp"])
