"""SGD, Nadam, NAdamW, Adamax, Adadelta, Ftrl and Lion against torch.optim, optax and the authors' packages."""

import lion_pytorch
import numpy as np
import optax
import pytest
import pytorch_optimizer
import torch

import keras_optims
from tests.peers.walking import TOLERANCE, distance, gradients, optaxs, ours, starts, torchs

NO_EPSILON = {"epsilon": 0.0}
DOZAT = {"momentum_decay": 0.004}

PEERS = {
    "SGD, torch": (
        keras_optims.SGD(0.01, momentum=0.9, nesterov=True, weight_decay=None),
        lambda *given: torchs(lambda p: torch.optim.SGD(p, 0.01, momentum=0.9, nesterov=True), *given),
    ),
    "Nadam by the published schedule, torch": (
        keras_optims.Nadam(0.01, 0.9, 0.99, epsilon=1e-8, **DOZAT),
        lambda *given: torchs(lambda p: torch.optim.NAdam(p, 0.01, (0.9, 0.99), eps=1e-8, momentum_decay=0.004), *given),
    ),
    "Nadam by Keras's schedule, torch": (
        keras_optims.Nadam(0.01, epsilon=1e-3),
        lambda *given: torchs(lambda p: torch.optim.NAdam(p, 0.01, eps=1e-3, momentum_decay=1.0), *given),
    ),
    "Nadam with decoupled weight decay, torch": (
        keras_optims.Nadam(0.01, weight_decay=0.3, **DOZAT),
        lambda *given: torchs(
            lambda p: torch.optim.NAdam(p, 0.01, eps=1e-7, weight_decay=0.3, decoupled_weight_decay=True), *given
        ),
    ),
    # ε inside of the maximum there: with none they agree.
    "Adamax without ε, torch": (
        keras_optims.Adamax(0.01, **NO_EPSILON),
        lambda *given: torchs(lambda p: torch.optim.Adamax(p, 0.01, eps=0.0), *given),
    ),
    "Adamax without ε, optax": (
        keras_optims.Adamax(0.01, **NO_EPSILON),
        lambda *given: optaxs(optax.adamax(0.01, eps=0.0), *given),
    ),
    "Adadelta, torch": (
        keras_optims.Adadelta(1.0, rho=0.9, epsilon=1e-6),
        lambda *given: torchs(lambda p: torch.optim.Adadelta(p, 1.0, rho=0.9, eps=1e-6), *given),
    ),
    "Adadelta, optax": (
        keras_optims.Adadelta(0.5, rho=0.95, epsilon=1e-4),
        lambda *given: optaxs(optax.adadelta(0.5, rho=0.95, eps=1e-4), *given),
    ),
    # λ₂ is the paper's there, which counts half of ours, and n starts at 0.
    "Ftrl, pytorch_optimizer": (
        keras_optims.Ftrl(0.1, -0.5, 0.0, l1_regularization_strength=2.0, l2_regularization_strength=1.5, beta=1.0),
        lambda *given: torchs(lambda p: pytorch_optimizer.FTRL(p, 0.1, beta=1.0, lambda_1=2.0, lambda_2=3.0), *given),
    ),
    "Lion, its authors' in torch": (
        keras_optims.Lion(0.001, weight_decay=0.3),
        lambda *given: torchs(lambda p: lion_pytorch.Lion(p, 0.001, betas=(0.9, 0.99), weight_decay=0.3), *given),
    ),
    "Lion, optax": (
        keras_optims.Lion(0.003, 0.95, 0.98),
        lambda *given: optaxs(optax.lion(0.003, b1=0.95, b2=0.98, weight_decay=0.0), *given),
    ),
}


@pytest.mark.parametrize("name", PEERS)
def test_it_goes_where_its_peer_goes(name):
    optimizer, peer = PEERS[name]
    weights, steps = starts(), gradients()
    expected = peer(weights, steps)
    assert all(np.all(np.isfinite(weight)) for weight in expected)
    assert distance(ours(optimizer, weights, steps), expected, weights) < TOLERANCE


def test_nadams_schedules_are_two():
    weights, steps = starts(), gradients()
    published = torchs(lambda p: torch.optim.NAdam(p, 0.01), weights, steps)
    assert distance(ours(keras_optims.Nadam(0.01), weights, steps), published, weights) > 1e-3


class OptaxsCorrections(keras_optims.NAdamW):
    """β₁·m/(1−β₁ᵗ⁺¹) + (1−β₁)·g/(1−β₁ᵗ): the first moment corrected as at the next step."""

    def update_step(self, gradient, variable, learning_rate):
        t, s = self.step_number, self.scalars(variable, learning_rate)
        m, v = self.first_moment[variable], self.second_moment[variable]
        self.assign_add(m, (gradient - m) * s.one_minus_beta_1)
        self.assign_add(v, (gradient * gradient - v) * s.one_minus_beta_2)
        late = (1 - self.beta_1**t) / (1 - self.beta_1 ** (t + 1))
        ahead = s.beta_1 * m * late + s.one_minus_beta_1 * gradient
        self.assign_sub(variable, ahead * s.alpha / (v.value**0.5 + s.epsilon))


def test_nadamw_of_optax_corrects_the_two_parts_apart():
    weights, steps = starts(), gradients()
    expected = optaxs(optax.nadamw(0.01, weight_decay=0.3), weights, steps)
    assert distance(ours(OptaxsCorrections(0.01, weight_decay=0.3), weights, steps), expected, weights) < TOLERANCE
    assert distance(ours(keras_optims.NAdamW(0.01, weight_decay=0.3), weights, steps), expected, weights) > 1e-3


def test_nadamw_without_averaging_is_adamw_of_torch():
    """With β₁ = 0 nothing is looked ahead of; the rule of timm, which has it, is held by the twin."""
    weights, steps = starts(), gradients()
    expected = torchs(lambda p: torch.optim.AdamW(p, 0.01, betas=(0.0, 0.99), eps=1e-3, weight_decay=0.3), weights, steps)
    optimizer = keras_optims.NAdamW(0.01, 0.0, 0.99, 1e-3, 0.3)
    assert distance(ours(optimizer, weights, steps), expected, weights) < TOLERANCE


def test_adamax_of_torch_has_epsilon_inside_of_the_maximum():
    weights, steps = starts(), gradients()
    expected = torchs(lambda p: torch.optim.Adamax(p, 0.01, eps=1.0), weights, steps)
    assert distance(ours(keras_optims.Adamax(0.01, epsilon=1.0), weights, steps), expected, weights) > 1e-3


def test_ftrl_without_penalties_from_zero_is_adagrad():
    """McMahan 2011, Section 2: FTRL-Proximal with λ₁ = 0 is gradient descent with the same rates; torch's AdaGrad has them."""
    weights, steps = [np.zeros_like(weight) for weight in starts()], gradients()
    expected = torchs(lambda p: torch.optim.Adagrad(p, 0.1, eps=0.0, initial_accumulator_value=0.1), weights, steps)
    assert distance(ours(keras_optims.Ftrl(0.1), weights, steps), expected, weights) < 10 * TOLERANCE
