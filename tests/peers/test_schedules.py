"""Schedules against optax, where the formulas are the same."""

import numpy as np
import optax
import pytest

from keras_optims.schedules import Cosine, Linear, OneCycle, Piecewise, Warmup, WarmupStableDecay

STEPS = np.arange(120)
JOINED = [optax.linear_schedule(0, 0.3, 25), optax.constant_schedule(0.3), optax.linear_schedule(0.3, 0.03, 40)]

PEERS = {
    "cosine with a warm-up": (
        Cosine(0.3, 100, warmup=0.25, final=0.1),
        optax.warmup_cosine_decay_schedule(0.0, 0.3, warmup_steps=25, decay_steps=100, end_value=0.03),
    ),
    "linear": (Linear(0.3, 100, final=0.1), optax.linear_schedule(0.3, 0.03, 100)),
    "warm-up-stable-decay": (WarmupStableDecay(0.3, 100, 0.25, 0.4, 0.1), optax.join_schedules(JOINED, [25, 60])),
    "one cycle": (OneCycle(0.3, 100, warmup=0.3), optax.cosine_onecycle_schedule(100, 0.3)),
    "a warm-up of a number": (Warmup(0.3, 20), optax.linear_schedule(0.0, 0.3, 20)),
    "pieces along cosines": (
        Piecewise([0, 30, 90], [0.3, 0.15, 0.6], between="cosine"),
        optax.piecewise_interpolate_schedule("cosine", 0.3, {30: 0.5, 90: 4.0}),
    ),
}


@pytest.mark.parametrize("name", PEERS)
def test_it_gives_what_its_peer_gives(name):
    ours, peer = PEERS[name]
    np.testing.assert_allclose(ours.at(STEPS), [float(peer(step)) for step in STEPS], rtol=3e-6, atol=1e-7)
