"""LAMB, LARS and Adafactor against optax, torch.optim and pytorch_optimizer; where they part, for which reason."""

import keras
import numpy as np
import optax
import pytest
import pytorch_optimizer
import torch

import keras_optims
from tests.peers.walking import TOLERANCE, distance, gradients, optaxs, ours, starts, torchs

LAMB, RATE = {"beta_1": 0.9, "beta_2": 0.99, "epsilon": 1e-6}, 0.01
MATRICES = {"matrix": (12, 5), "kernel": (3, 3, 4, 6)}  # pytorch_optimizer has no trust ratio for vectors


def optax_lamb(weights, steps, decay):
    return optaxs(optax.lamb(RATE, b1=0.9, b2=0.99, eps=1e-6, weight_decay=decay), weights, steps)


def optax_lars(weights, steps, decay, **options):
    made = optax.lars(1.0, weight_decay=decay, trust_coefficient=0.01, momentum=0.9, **options)
    return optaxs(made, weights, steps)


def pytorch_lars(weights, steps, decay):
    def make(parameters):
        return pytorch_optimizer.LARS(parameters, 1.0, weight_decay=decay, momentum=0.9, trust_coefficient=0.01)

    return torchs(make, weights, steps)


def optax_adafactor(weights, steps, **options):
    made = optax.adafactor(0.02, min_dim_size_to_factor=1, decay_rate=0.8, eps=1e-30, clipping_threshold=1.0, **options)
    return optaxs(made, weights, steps)


def torch_adafactor(weights, steps):
    return torchs(lambda p: torch.optim.Adafactor(p, 0.02, eps=(1e-30, 1e-3), weight_decay=0.0), weights, steps)


def lars(**arguments):
    return keras_optims.LARS(1.0, momentum=0.9, trust_coefficient=0.01, **arguments)


PEERS = {
    "LAMB, optax": (lambda: keras_optims.Lamb(RATE, **LAMB), lambda *of: optax_lamb(*of, 0.0)),
    "LAMB with decay, optax": (lambda: keras_optims.Lamb(RATE, **LAMB, weight_decay=0.1), lambda *of: optax_lamb(*of, 0.1)),
    "LARS, optax": (lars, lambda *of: optax_lars(*of, 0.0)),
    "Nesterov's LARS, optax": (lambda: lars(nesterov=True), lambda *of: optax_lars(*of, 0.0, nesterov=True)),
    "Adafactor, torch": (lambda: keras_optims.Adafactor(0.02), torch_adafactor),
    "Adafactor, optax": (lambda: keras_optims.Adafactor(0.02), optax_adafactor),
    "Adafactor with momentum, optax": (
        lambda: keras_optims.Adafactor(0.02, beta_1=0.9),
        lambda *of: optax_adafactor(*of, momentum=0.9),
    ),
    "Adafactor unscaled, optax": (
        lambda: keras_optims.Adafactor(0.02, scale_parameter=False),
        lambda *of: optax_adafactor(*of, multiply_by_parameter_scale=False),
    ),
}


def apart(optimizer, peer, shapes=None):
    given = (starts(), gradients()) if shapes is None else (starts(shapes), gradients(shapes))
    expected = peer(*given)
    assert all(np.all(np.isfinite(weight)) for weight in expected)
    return distance(ours(optimizer, *given), expected, given[0])


@pytest.mark.parametrize("name", PEERS)
def test_it_goes_where_its_peer_goes(name):
    make, peer = PEERS[name]
    assert apart(make(), peer) < TOLERANCE


@pytest.mark.parametrize("decay", [0.0, 0.05])
def test_lars_goes_where_that_of_pytorch_optimizer_goes_on_matrices(decay):
    optimizer = lars(rate_outside=True, weight_decay=decay or None)
    assert apart(optimizer, lambda *of: pytorch_lars(*of, decay), MATRICES) < TOLERANCE


def test_with_decay_lars_of_optax_has_the_norm_of_the_sum_in_the_denominator():
    class NormOfTheSum(keras_optims.LARS):
        def update_step(self, gradient, variable, learning_rate):
            decayed = gradient + self.decay_of(variable) * variable
            self._of_sum = decayed
            super().update_step(gradient, variable, learning_rate)

        def _trust_ratio(self, gradient, variable, decay, trust_coefficient):
            return super()._trust_ratio(self._of_sum, variable, None, trust_coefficient)

    make = {"learning_rate": 1.0, "momentum": 0.9, "trust_coefficient": 0.01, "weight_decay": 0.5}
    assert apart(keras_optims.LARS(**make), lambda *of: optax_lars(*of, 0.5)) > 1e-3
    assert apart(NormOfTheSum(**make), lambda *of: optax_lars(*of, 0.5)) < TOLERANCE


def test_a_rate_that_falls_shows_where_it_stands():
    given, expected = (starts(), gradients()), []
    for outside in (False, True):
        schedule = optax.linear_schedule(1.0, 0.1, 100)
        rate, after = (1.0, optax.scale_by_learning_rate(schedule, flip_sign=False)) if outside else (schedule, optax.identity())
        made = optax.chain(optax.lars(rate, weight_decay=0.0, trust_coefficient=0.01, momentum=0.9), after)
        expected.append(optaxs(made, *given))
    for outside in (False, True):
        optimizer = keras_optims.LARS(
            lambda step: 1 - 0.009 * keras.ops.cast(step, "float32"), momentum=0.9, trust_coefficient=0.01, rate_outside=outside
        )
        found = ours(optimizer, *given)
        assert distance(found, expected[outside], given[0]) < TOLERANCE
        assert distance(found, expected[not outside], given[0]) > 1e-3


def test_adafactor_of_optax_knows_no_bound_on_the_rate():
    rate = {"learning_rate": 0.5}
    given = (starts(), gradients())

    def peer(*of):
        return optaxs(
            optax.adafactor(0.5, min_dim_size_to_factor=1, clipping_threshold=1.0, multiply_by_parameter_scale=False), *of
        )

    make = {**rate, "scale_parameter": False}
    assert distance(ours(keras_optims.Adafactor(**make), *given), peer(*given), given[0]) > 0.1
    assert distance(ours(keras_optims.Adafactor(**make, relative_step=False), *given), peer(*given), given[0]) < TOLERANCE


def test_small_matrices_are_not_factored_where_that_is_asked_for_as_in_optax():
    def peer(*of):
        return optaxs(optax.adafactor(0.02, min_dim_size_to_factor=5, clipping_threshold=1.0), *of)

    assert apart(keras_optims.Adafactor(0.02, min_size_to_factor=5), peer) < TOLERANCE
    assert apart(keras_optims.Adafactor(0.02), peer) > 1e-2
