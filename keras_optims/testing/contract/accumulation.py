"""Gradient accumulation and the loss scale: a batch taken in parts, a loss taken larger."""

from __future__ import annotations

import numpy as np
from keras import ops

from keras_optims.testing.contract.check import MakeOptimizer, contract_check, require
from keras_optims.testing.contract.making import bare
from keras_optims.testing.contract.walking import require_close, require_equal, sample_gradients, starting_weights, walk

PARTS = 3


@contract_check
def accumulation(make_optimizer: MakeOptimizer) -> None:
    """Accumulating k gradients gives the step of their mean, and nothing moves before the k-th; `iterations` counts updates.

    It stands in for a batch that does not fit into memory.
    """
    parts = sample_gradients(2 * PARTS)
    optimizer = bare(make_optimizer, learning_rate=0.1, gradient_accumulation_steps=PARTS)
    path = walk(optimizer, parts, compiled=True)
    expected = walk(bare(make_optimizer, learning_rate=0.1), means(parts))
    require_equal(path[PARTS - 2], starting_weights(), "the weights before the first update, and at the start")
    require_equal(path[2 * PARTS - 2], path[PARTS - 1], "the weights before the second update, and after the first")
    for update in (0, 1):
        what = f"the weights after {update + 1} accumulated updates, and after as many with the mean gradient"
        require_close(path[PARTS * (update + 1) - 1], expected[update], what)
    require(int(optimizer.iterations) == 2, f"`iterations` is {int(optimizer.iterations)} after two updates")


@contract_check
def loss_scale(make_optimizer: MakeOptimizer) -> None:
    """With `loss_scale_factor`, `scale_loss` multiplies by it and the step divides by it.

    Without it small float16 gradients are zero; half of it is a wrong learning rate.
    """
    gradients = sample_gradients(3)
    optimizer = bare(make_optimizer, learning_rate=0.1, loss_scale_factor=8.0)
    scaled = float(np.array(ops.convert_to_numpy(optimizer.scale_loss(ops.convert_to_tensor(2.0)))))
    require(scaled == 16.0, f"scale_loss(2.0) is {scaled} with a factor of 8")
    found = walk(optimizer, [[8 * g for g in gradient] for gradient in gradients])[-1]
    expected = walk(bare(make_optimizer, learning_rate=0.1), gradients)[-1]
    require_close(found, expected, "the weights with and without a loss scale")


def means(parts):
    """The means of each `PARTS` gradients that follow one another."""
    return [
        [np.mean(same, axis=0, dtype="float64").astype("float32") for same in zip(*parts[i : i + PARTS], strict=True)]
        for i in range(0, len(parts), PARTS)
    ]
