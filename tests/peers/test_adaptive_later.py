"""The adaptive methods after Adam against torch.optim, optax and pytorch_optimizer, and where their conventions differ."""

import numpy as np
import optax
import pytest
import pytorch_optimizer
import torch

import keras_optims
from tests.peers.walking import TOLERANCE, distance, gradients, optaxs, ours, starts, torchs


def of_torch(cls, **arguments):
    return lambda weights, steps: torchs(lambda parameters: cls(parameters, **arguments), weights, steps)


def of_optax(transformation):
    return lambda weights, steps: optaxs(transformation, weights, steps)


def belief(**arguments):
    return of_torch(pytorch_optimizer.AdaBelief, lr=0.01, betas=(0.9, 0.98), eps=1e-10, **arguments)


def adan(**arguments):
    return of_torch(pytorch_optimizer.Adan, lr=0.05, weight_decay=0.1, **arguments)


def ademamix(**arguments):
    return of_torch(pytorch_optimizer.AdEMAMix, lr=0.01, betas=(0.9, 0.99, 0.999), alpha=5.0, **arguments)


def novograd(**arguments):
    return of_torch(pytorch_optimizer.NovoGrad, lr=0.01, betas=(0.95, 0.9), weight_decay=0.1, **arguments)


def our_ademamix(**arguments):
    return keras_optims.AdEMAMix(0.01, beta_2=0.99, beta_3=0.999, alpha=5.0, **arguments)


def our_adan(**arguments):
    return keras_optims.Adan(0.05, weight_decay=0.1, **arguments)


PEERS = {
    "RAdam, torch": (
        keras_optims.RAdam(0.01, beta_2=0.98, epsilon=1e-3, weight_decay=0.1),
        of_torch(torch.optim.RAdam, lr=0.01, betas=(0.9, 0.98), eps=1e-3, weight_decay=0.1, decoupled_weight_decay=True),
    ),
    "RAdam with β₂ = 0.999, torch": (
        keras_optims.RAdam(0.01, epsilon=1e-8),
        of_torch(torch.optim.RAdam, lr=0.01, eps=1e-8),
    ),
    "RAdam without ε, optax": (
        keras_optims.RAdam(0.01, beta_2=0.98, epsilon=0.0),
        of_optax(optax.radam(0.01, b2=0.98, eps=0.0)),
    ),
    "RAdam that skips, pytorch_optimizer": (
        keras_optims.RAdam(0.01, beta_2=0.98, epsilon=1e-3, early="skip"),
        of_torch(pytorch_optimizer.RAdam, lr=0.01, betas=(0.9, 0.98), eps=1e-3, degenerated_to_sgd=False),
    ),
    "AdaBelief, pytorch_optimizer": (
        keras_optims.AdaBelief(0.01, beta_2=0.98, epsilon=1e-10, rectify=False, weight_decay=0.1),
        belief(weight_decay=0.1),
    ),
    "AdaBelief, rectified, pytorch_optimizer": (
        keras_optims.AdaBelief(0.01, beta_2=0.98, epsilon=1e-10),
        belief(rectify=True),
    ),
    "AdaBelief, optax": (
        keras_optims.AdaBelief(0.01, beta_2=0.98, epsilon=1e-6, rectify=False),
        of_optax(optax.adabelief(0.01, b2=0.98, eps=1e-6, eps_root=1e-6)),
    ),
    "Yogi without ε, from 0, pytorch_optimizer": (
        keras_optims.Yogi(0.01, beta_2=0.98, epsilon=0.0, initial_accumulator_value=0.0),
        of_torch(pytorch_optimizer.Yogi, lr=0.01, betas=(0.9, 0.98), eps=0.0, initial_accumulator=0.0),
    ),
    "Yogi without ε, from 0, optax": (
        keras_optims.Yogi(0.01, beta_2=0.98, epsilon=0.0, initial_accumulator_value=0.0),
        of_optax(
            optax.chain(optax.scale_by_yogi(b2=0.98, eps=0.0, initial_accumulator_value=0.0), optax.scale_by_learning_rate(0.01))
        ),
    ),
    "ADOPT, optax": (
        keras_optims.ADOPT(0.01, beta_2=0.98),
        of_optax(optax.contrib.adopt(0.01, b2=0.98)),
    ),
    "ADOPT without clipping, optax": (
        keras_optims.ADOPT(0.01, beta_2=0.98, clip=False),
        of_optax(optax.contrib.adopt(0.01, b2=0.98, use_clipping=False)),
    ),
    "ADOPT with the clipping counted from 0, pytorch_optimizer": (
        keras_optims.ADOPT(0.01, beta_2=0.98),
        of_torch(
            pytorch_optimizer.ADOPT,
            lr=0.01,
            betas=(0.9, 0.98),
            clip_lambda=lambda t: (t - 1) ** 0.25,
        ),
    ),
    "AdEMAMix, optax": (
        our_ademamix(weight_decay=0.1),
        of_optax(optax.contrib.ademamix(0.01, b2=0.99, b3=0.999, alpha=5.0, weight_decay=0.1)),
    ),
    "AdEMAMix with warm-up, pytorch_optimizer": (
        our_ademamix(alpha_warmup=80, beta_3_warmup=80, weight_decay=0.1),
        ademamix(t_alpha_beta3=80, weight_decay=0.1, weight_decouple=True),
    ),
    "Adan, pytorch_optimizer": (our_adan(), adan()),
    "Adan, decay first, pytorch_optimizer": (our_adan(proximal=False), adan(weight_decouple=True)),
    "NovoGrad, pytorch_optimizer": (
        keras_optims.NovoGrad(0.01, beta_2=0.9, weight_decay=0.1),
        novograd(),
    ),
    "NovoGrad, optax": (
        keras_optims.NovoGrad(0.01, beta_2=0.9, epsilon=1e-6, weight_decay=0.1),
        of_optax(optax.novograd(0.01, b1=0.95, b2=0.9, weight_decay=0.1)),
    ),
}


def apart(optimizer, peer):
    weights, steps = starts(), gradients()
    expected = peer(weights, steps)
    assert all(np.all(np.isfinite(weight)) for weight in expected)
    return distance(ours(optimizer, weights, steps), expected, weights)


@pytest.mark.parametrize("name", PEERS)
def test_it_goes_where_its_peer_goes(name):
    assert apart(*PEERS[name]) < TOLERANCE


DIFFERENT = {
    "optax adds ε to the corrected root of RAdam's v": (
        keras_optims.RAdam(0.01, beta_2=0.98, epsilon=1e-2),
        of_optax(optax.radam(0.01, b2=0.98, eps=1e-2)),
    ),
    "optax adds ε to the corrected root of Yogi's v, and starts m at 1e-6": (
        keras_optims.Yogi(0.01, beta_2=0.98),
        of_optax(optax.yogi(0.01, b2=0.98)),
    ),
    "optax weights Adan's difference by 1−β₂ in place of β₂": (
        keras_optims.Adan(0.01, weight_decay=None),
        of_optax(optax.adan(0.01, eps_root=0.0)),
    ),
    "pytorch_optimizer clips ADOPT's gradients to t^¼ in place of (t−1)^¼": (
        keras_optims.ADOPT(0.01, beta_2=0.98),
        of_torch(pytorch_optimizer.ADOPT, lr=0.01, betas=(0.9, 0.98)),
    ),
    "pytorch_optimizer decays in ADOPT's first step": (
        keras_optims.ADOPT(0.01, beta_2=0.98, weight_decay=1.0),
        of_torch(
            pytorch_optimizer.ADOPT,
            lr=0.01,
            betas=(0.9, 0.98),
            clip_lambda=lambda t: (t - 1) ** 0.25,
            weight_decay=1.0,
            weight_decouple=True,
        ),
    ),
    "pytorch_optimizer does not average NovoGrad's first gradient": (
        keras_optims.NovoGrad(0.01, beta_2=0.9, weight_decay=0.1, grad_averaging=True),
        novograd(grad_averaging=True),
    ),
}


@pytest.mark.parametrize("why", DIFFERENT)
def test_where_conventions_differ_so_do_the_ways(why):
    assert 1.0 > apart(*DIFFERENT[why]) > 100 * TOLERANCE


def test_optaxs_adan_is_ours_where_both_weights_of_the_difference_are_a_half():
    """1 − β₂ = β₂ there, so that the mistaken weight is the right one."""
    ours = keras_optims.Adan(0.01, beta_2=0.5, weight_decay=None)
    assert apart(ours, of_optax(optax.adan(0.01, b2=0.5, eps_root=0.0))) < TOLERANCE


def test_the_first_decay_alone_tells_our_adopt_from_pytorch_optimizers():
    """Their first step multiplies the weights by 1 − ηλ; from there on both go the same way."""
    weights, steps = starts(), gradients()
    decay, others = 1.0, {"clip_lambda": lambda t: (t - 1) ** 0.25, "weight_decay": 1.0, "weight_decouple": True}
    theirs = of_torch(pytorch_optimizer.ADOPT, lr=0.01, betas=(0.9, 0.98), **others)(weights, steps)
    decayed = [weight * np.float32(1 - 0.01 * decay) for weight in weights]
    found = ours(keras_optims.ADOPT(0.01, beta_2=0.98, weight_decay=decay), decayed, steps)
    assert distance(found, theirs, weights) < TOLERANCE
