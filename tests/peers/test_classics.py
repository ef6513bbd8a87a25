"""The classics against torch.optim and optax, where their conventions agree."""

import numpy as np
import optax
import pytest
import torch

import keras_optims
from tests.peers.walking import TOLERANCE, distance, gradients, optaxs, ours, starts, torchs

PEERS = {
    "gradient descent, torch": (
        keras_optims.GradientDescent(0.01),
        lambda weights, steps: torchs(lambda p: torch.optim.SGD(p, 0.01), weights, steps),
    ),
    "Nesterov, torch": (
        keras_optims.Momentum(0.01, momentum=0.9, nesterov=True),
        lambda weights, steps: torchs(lambda p: torch.optim.SGD(p, 0.01, momentum=0.9, nesterov=True), weights, steps),
    ),
    "Adam without ε, optax": (
        keras_optims.Adam(0.01, epsilon=0.0),
        lambda weights, steps: optaxs(optax.adam(0.01, eps=0.0), weights, steps),
    ),
    "AdamW without ε, torch": (
        keras_optims.AdamW(0.01, epsilon=0.0, weight_decay=0.1),
        lambda weights, steps: torchs(lambda p: torch.optim.AdamW(p, 0.01, eps=0.0, weight_decay=0.1), weights, steps),
    ),
}


@pytest.mark.parametrize("name", PEERS)
def test_it_goes_where_its_peer_goes(name):
    optimizer, peer = PEERS[name]
    weights, steps = starts(), gradients()
    expected = peer(weights, steps)
    assert all(np.all(np.isfinite(weight)) for weight in expected)
    assert distance(ours(optimizer, weights, steps), expected, weights) < TOLERANCE
