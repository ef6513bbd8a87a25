"""Gradients that are zero, or not there."""

from __future__ import annotations

import numpy as np

from keras_optims.testing.compiled_step import EagerStep
from keras_optims.testing.contract.check import ContractError, MakeOptimizer, NotApplicable, contract_check
from keras_optims.testing.contract.making import bare
from keras_optims.testing.contract.walking import (
    SHAPES,
    make_variables,
    require_close,
    require_equal,
    sample_gradients,
    starting_weights,
    walk,
)


@contract_check
def zero_gradient(make_optimizer: MakeOptimizer) -> None:
    """From a fresh start, without weight decay, zero gradients move nothing.

    Where the loss does not depend on a weight there is no reason to change it; 0/0 would make it NaN.
    """
    if not getattr(type(bare(make_optimizer, learning_rate=0.1)), "starts_from_the_weights", True):
        raise NotApplicable("it declares that it does not start from the weights")
    zeros = [np.zeros(shape, "float32") for shape in SHAPES]
    weights = walk(bare(make_optimizer, learning_rate=0.1), [zeros] * 3)[-1]
    require_close(weights, starting_weights(), "the weights after three steps with zero gradients, and before them")


@contract_check
def missing_gradient(make_optimizer: MakeOptimizer) -> None:
    """A variable whose gradient is `None` stays, the others are updated as without it; no gradient at all is a `ValueError`.

    Models with several heads train one part at a time; a loss that reaches no weight at all is a mistake in the model.
    """
    step = EagerStep(bare(make_optimizer, learning_rate=0.1), make_variables(starting_weights()))
    gradients = sample_gradients(2)
    for gradient in gradients:
        step([None, gradient[1]])
    alone = walk(bare(make_optimizer, learning_rate=0.1), [[gradient[1]] for gradient in gradients], [starting_weights()[1]])
    require_equal(step.weights()[:1], starting_weights()[:1], "a variable after two steps without its gradient, and before")
    what = "a variable updated while the other one's gradient is missing, and alone"
    require_close(step.weights()[1:], alone[-1], what, starts=starting_weights()[1:])
    try:
        step([None, None])
    except ValueError:
        return
    raise ContractError("a step without any gradient raised no ValueError")
