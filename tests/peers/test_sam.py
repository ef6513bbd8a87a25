"""SAM and ASAM against pytorch_optimizer's, step by step, on a small network."""

import keras
import numpy as np
import pytest
import pytorch_optimizer
import torch

import keras_optims
from tests.models import data

STEPS, BATCH = 12, 16


def network():
    """The same layers in Keras and in torch."""
    keras.utils.set_random_seed(0)
    ours = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16, "tanh"), keras.layers.Dense(4)])
    theirs = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Tanh(), torch.nn.Linear(16, 4))
    for layer, module in zip(ours.layers, (theirs[0], theirs[2]), strict=True):
        layer.bias.assign(np.linspace(-0.5, 0.5, layer.units))
        kernel, bias = layer.get_weights()
        module.weight.data, module.bias.data = torch.tensor(kernel.T), torch.tensor(bias)
    return ours, theirs


@pytest.mark.parametrize(("rho", "adaptive"), [(0.05, False), (1.0, False), (0.5, True), (2.0, True)])
def test_it_goes_where_that_of_pytorch_optimizer_goes(rho, adaptive):
    ours, theirs = network()
    start = ours.get_weights()
    ours.compile(keras_optims.Momentum(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    keras_optims.sam(ours, rho, adaptive)
    peer = pytorch_optimizer.SAM(theirs.parameters(), torch.optim.SGD, rho=rho, adaptive=adaptive, lr=0.1, momentum=0.9)
    x, y = data(STEPS * BATCH)
    for step in range(STEPS):
        batch = slice(step * BATCH, (step + 1) * BATCH)
        inputs, labels = torch.tensor(x[batch]), torch.tensor(y[batch])

        def closure(inputs=inputs, labels=labels):
            peer.zero_grad()
            loss = torch.nn.functional.cross_entropy(theirs(inputs), labels)
            loss.backward()
            return loss

        expected = float(closure().detach())
        peer.step(closure)
        assert ours.train_on_batch(x[batch], y[batch]) == pytest.approx(expected, rel=1e-5)
        weights = [parameter.detach().numpy().T for parameter in theirs.parameters()]
        for one, other in zip(ours.get_weights(), weights, strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=2e-6)
    assert max(np.max(np.abs(one - first)) for one, first in zip(ours.get_weights(), start, strict=True)) > 0.1
