"""Muon and SOAP against Keras's, torch's and pytorch_optimizer's, where their conventions agree."""

import keras
import numpy as np
import pytest
import pytorch_optimizer
import torch

import keras_optims
from tests.peers.walking import TOLERANCE, distance, gradients, ours, starts, torchs

MATRICES = {"square": (12, 12), "wide": (5, 12), "tall": (12, 5)}
MUON = {"learning_rate": 0.02, "momentum": 0.95, "weight_decay": 0.1, "ns_dtype": "float32"}


def walked(optimizer, peer, shapes):
    weights, steps = starts(shapes), gradients(shapes)
    expected = peer(weights, steps)
    assert all(np.all(np.isfinite(weight)) for weight in expected)
    return distance(ours(optimizer, weights, steps), expected, weights)


def test_muon_goes_where_keras_goes():
    shapes = {**MATRICES, "vector": (5,), "scalar": ()}
    assert walked(keras_optims.Muon(0.01), lambda w, s: ours(keras.optimizers.Muon(0.01), w, s), shapes) < TOLERANCE


@pytest.mark.parametrize("nesterov", [True, False])
def test_muon_goes_where_torch_goes_but_for_its_bfloat16(nesterov, monkeypatch):
    # torch's iterations are in bfloat16, whatever the device, and its matrices are (out, in)
    monkeypatch.setattr(torch.Tensor, "bfloat16", lambda tensor: tensor.clone())  # else it divides the velocity in place

    def peer(weights, steps):
        turned = torchs(
            lambda p: torch.optim.Muon(p, 0.02, weight_decay=0.1, momentum=0.95, nesterov=nesterov),
            [weight.T.copy() for weight in weights],
            [[gradient.T.copy() for gradient in of_step] for of_step in steps],
        )
        return [weight.T for weight in turned]

    optimizer = keras_optims.Muon(**MUON, scale="original", nesterov=nesterov)
    assert walked(optimizer, peer, MATRICES) < 10 * TOLERANCE


def test_torchs_iterations_are_in_bfloat16_as_ours_are_where_they_are_told_to():
    def peer(weights, steps):
        return torchs(lambda p: torch.optim.Muon(p, 0.02, weight_decay=0.1, momentum=0.95), weights, steps)

    shapes = {"square": (12, 12)}
    assert walked(keras_optims.Muon(**MUON, scale="original"), peer, shapes) > 1e-3
    rounded = keras_optims.Muon(**{**MUON, "ns_dtype": "bfloat16"}, scale="original")
    assert walked(rounded, peer, shapes) < 0.05


def test_soap_goes_where_pytorch_optimizer_goes():
    shapes = {"square": (8, 8), "other": (6, 6)}  # of another shape, the eigenvectors of the eigenvalue 0 are anyone's

    def peer(weights, steps):
        return torchs(
            lambda p: pytorch_optimizer.SOAP(
                p, lr=0.01, betas=(0.9, 0.95), weight_decay=0.0, precondition_frequency=10, eps=1e-8
            ),
            weights,
            steps,
        )

    optimizer = keras_optims.SOAP(0.01, 0.9, 0.95, weight_decay=None)
    assert walked(optimizer, peer, shapes) < 1e-3
