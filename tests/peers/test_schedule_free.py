"""Schedule-Free and Prodigy against the authors' packages and optax; where they part, for which reason."""

import functools

import keras
import numpy as np
import optax
import prodigyopt
import pytest
import schedulefree
import torch

import keras_optims
from tests.peers.walking import TOLERANCE, distance, gradients, optaxs, ours, starts

SGD, ADAMW = schedulefree.SGDScheduleFree, schedulefree.AdamWScheduleFree


def walked(make, weights, steps):
    """[(y, x)] after the last step of one of the authors' optimizers."""
    parameters = [torch.nn.Parameter(torch.tensor(weight)) for weight in weights]
    optimizer = make(parameters)
    optimizer.train()
    for of_step in steps:
        for parameter, gradient in zip(parameters, of_step, strict=True):
            parameter.grad = torch.tensor(gradient)
        optimizer.step()
    y = [parameter.detach().numpy().copy() for parameter in parameters]
    optimizer.eval()
    return y, [parameter.detach().numpy().copy() for parameter in parameters]


def both_of_ours(optimizer, weights, steps):
    y = ours(optimizer, weights, steps)
    with optimizer.averaged_weights():
        x = [keras.ops.convert_to_numpy(variable).copy() for variable in optimizer.variables_of_the_model()]
    return y, x


SCHEDULE_FREE = {
    "SGD": (keras_optims.ScheduleFreeSGD(0.05), functools.partial(SGD, lr=0.05, foreach=False)),
    "SGD with warm-up, decay and weights": (
        keras_optims.ScheduleFreeSGD(0.05, beta=0.95, weight_decay=0.1, warmup_steps=20, r=1.0, weight_lr_power=1.0),
        functools.partial(
            SGD, lr=0.05, momentum=0.95, weight_decay=0.1, warmup_steps=20, r=1.0, weight_lr_power=1.0, foreach=False
        ),
    ),
    "SGD with its mean kept": (keras_optims.ScheduleFreeSGD(0.05, beta=0.2), functools.partial(SGD, lr=0.05, momentum=0.2)),
    "AdamW": (keras_optims.ScheduleFreeAdamW(0.01), functools.partial(ADAMW, lr=0.01, foreach=False)),
    "AdamW with warm-up and decay": (
        keras_optims.ScheduleFreeAdamW(0.01, beta_2=0.99, weight_decay=0.1, warmup_steps=20),
        functools.partial(ADAMW, lr=0.01, betas=(0.9, 0.99), weight_decay=0.1, warmup_steps=20, foreach=False),
    ),
}


@pytest.mark.parametrize("name", SCHEDULE_FREE)
def test_what_is_trained_and_what_is_evaluated_are_the_authors(name):
    optimizer, peer = SCHEDULE_FREE[name]
    weights, steps = starts(), gradients()
    for found, expected in zip(both_of_ours(optimizer, weights, steps), walked(peer, weights, steps), strict=True):
        assert distance(found, expected, weights) < TOLERANCE


def test_without_warm_up_it_is_also_that_of_optax():
    """Which finds x anew of y and z in each step, so that what rounding takes adds up."""
    weights, steps = starts(), gradients()
    expected = optaxs(optax.contrib.schedule_free_adamw(0.01, b1=0.9, b2=0.99, eps=1e-8), weights, steps)
    assert distance(ours(keras_optims.ScheduleFreeAdamW(0.01, beta_2=0.99), weights, steps), expected, weights) < 5 * TOLERANCE


def test_the_warm_up_of_optax_begins_at_a_rate_of_zero():
    weights, steps = starts(), gradients()
    expected = optaxs(optax.contrib.schedule_free_adamw(0.01, warmup_steps=20, b1=0.9, b2=0.999), weights, steps)
    assert distance(ours(keras_optims.ScheduleFreeAdamW(0.01, warmup_steps=20), weights, steps), expected, weights) > 1e-2


def downhill(weights):
    """The gradients of Σ (θ − 1)²/2 with noise, where the weights are at that step: what is found is a distance to something."""
    rng = np.random.default_rng(3)
    return [(weight - 1 + 0.1 * rng.normal(size=weight.shape)).astype("float32") for weight in weights]


def prodigy_of_the_authors(weights, number, given=None, **options):
    """The gradients that it was given, the weights after the last of them, and d."""
    parameters = [torch.nn.Parameter(torch.tensor(weight)) for weight in weights]
    optimizer, steps = prodigyopt.Prodigy(parameters, **options), []
    for i in range(number):
        steps.append(downhill([p.detach().numpy() for p in parameters]) if given is None else given[i])
        for parameter, gradient in zip(parameters, steps[-1], strict=True):
            parameter.grad = torch.tensor(gradient)
        optimizer.step()
    return steps, [p.detach().numpy() for p in parameters], optimizer.param_groups[0]["d"]


PRODIGY = {
    "plain": ({}, {}),
    "bias correction and decay": (
        {"use_bias_correction": True, "weight_decay": 0.01, "beta_2": 0.99},  # of 1 − 0.999ᵗ float32 keeps five digits
        {"use_bias_correction": True, "weight_decay": 0.01, "betas": (0.9, 0.99)},
    ),
    "bounded growth": ({"growth_rate": 1.05, "d0": 1e-4}, {"growth_rate": 1.05, "d0": 1e-4}),
    "safeguarded, half the rate": ({"learning_rate": 0.5, "safeguard_warmup": True}, {"lr": 0.5, "safeguard_warmup": True}),
    "slices, a factor, a rate of its own": (
        {"slice_p": 5, "d_coef": 0.5, "beta_3": 0.99, "beta_2": 0.99},
        {"slice_p": 5, "d_coef": 0.5, "beta3": 0.99, "betas": (0.9, 0.99)},
    ),
}


@pytest.mark.parametrize("name", PRODIGY)
def test_prodigy_goes_where_that_of_its_authors_goes(name):
    own, theirs = PRODIGY[name]
    weights = starts()
    steps, expected, d = prodigy_of_the_authors(weights, 100, **theirs)
    optimizer = keras_optims.Prodigy(**own)
    assert d > 2 * optimizer.d0
    assert distance(ours(optimizer, weights, steps), expected, weights) < TOLERANCE
    assert float(optimizer.d) == pytest.approx(d, rel=1e-5)


def test_that_of_optax_always_corrects_the_start():
    weights = starts()
    steps, _, _ = prodigy_of_the_authors(weights, 100, use_bias_correction=True, betas=(0.9, 0.99))
    expected = optaxs(optax.contrib.prodigy(1.0, betas=(0.9, 0.99)), weights, steps)
    corrected, plain = (keras_optims.Prodigy(beta_2=0.99, use_bias_correction=corrects) for corrects in (True, False))
    assert distance(ours(corrected, weights, steps), expected, weights) < TOLERANCE
    assert distance(ours(plain, weights, steps), expected, weights) > 1e-2
