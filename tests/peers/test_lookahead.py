"""Lookahead against pytorch_optimizer's, around two optimizers."""

import pytest
import pytorch_optimizer
import torch

import keras_optims
from tests.peers.walking import TOLERANCE, distance, gradients, ours, starts, torchs

INNER = {
    "Nesterov": (
        lambda: keras_optims.Momentum(0.01, momentum=0.9, nesterov=True),
        lambda parameters: torch.optim.SGD(parameters, 0.01, momentum=0.9, nesterov=True),
    ),
    "AdamW": (
        lambda: keras_optims.NAdamW(0.01, 0.0, 0.99, 1e-3, 0.3),
        lambda parameters: torch.optim.AdamW(parameters, 0.01, betas=(0.0, 0.99), eps=1e-3, weight_decay=0.3),
    ),
}


def apart(make, inner, k, alpha, its_k=None, its_alpha=None):
    weights, steps = starts(), gradients()

    def around(parameters):
        return pytorch_optimizer.Lookahead(inner(parameters), k=its_k or k, alpha=its_alpha or alpha, pullback_momentum="none")

    expected = torchs(around, weights, steps)
    return distance(ours(keras_optims.Lookahead(make(), k, alpha), weights, steps), expected, weights)


@pytest.mark.parametrize(("k", "alpha"), [(5, 0.5), (6, 0.8)])
@pytest.mark.parametrize("name", INNER)
def test_it_goes_where_its_peer_goes(name, k, alpha):
    assert apart(*INNER[name], k, alpha) < TOLERANCE


# Not k = 4: with given gradients all k that divide the number of steps end at the same weights.
@pytest.mark.parametrize("other", [{"its_k": 6}, {"its_alpha": 0.505}])
def test_another_k_and_another_alpha_go_elsewhere(other):
    assert apart(*INNER["Nesterov"], 5, 0.5, **other) > 100 * TOLERANCE
