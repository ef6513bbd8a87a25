"""Which variables a step updates: some of those it was built with, others, and those of another optimizer."""

from __future__ import annotations

import numpy as np
from keras import ops

from keras_optims.testing.compiled_step import EagerStep, as_numpy
from keras_optims.testing.contract.check import MakeOptimizer, contract_check, require
from keras_optims.testing.contract.making import bare, made
from keras_optims.testing.contract.walking import (
    Arrays,
    make_variables,
    require_close,
    require_equal,
    sample_gradients,
    starting_weights,
    state_of,
    walk,
)


@contract_check
def frozen_variable(make_optimizer: MakeOptimizer) -> None:
    """A step on some of the variables that it was built with updates these alone.

    Layers are frozen in the middle of a training.
    """
    optimizer, variables = bare(make_optimizer, learning_rate=0.1), make_variables(starting_weights())
    optimizer.build(variables)
    gradients = [gradient[1:] for gradient in sample_gradients(2)]
    for gradient in gradients:
        optimizer.apply([ops.convert_to_tensor(g) for g in gradient], variables[1:])
    require_equal([as_numpy(variables[0])], starting_weights()[:1], "a frozen variable after two steps of the other, and before")
    alone = walk(bare(make_optimizer, learning_rate=0.1), gradients, starting_weights()[1:])[-1]
    what = "a variable updated while the other one is frozen, and alone"
    require_close([as_numpy(variables[1])], alone, what, starts=starting_weights()[1:])


@contract_check
def added_variable(make_optimizer: MakeOptimizer) -> None:
    """A step on a variable that it was not built with either works or is a `ValueError` that changes nothing.

    Layers are added in the middle of a training; their weights must not be left out, or meet another's slots, in silence.
    """
    optimizer, variables = bare(make_optimizer, learning_rate=0.1), make_variables(starting_weights())
    gradient = sample_gradients(1)[0]
    step = EagerStep(optimizer, variables[:1])
    before = state_of(optimizer)
    try:
        optimizer.apply([ops.convert_to_tensor(g) for g in gradient], variables)
    except ValueError:
        require_equal(step.weights(), starting_weights()[:1], "the known variable after the error")
        require_equal(state_of(optimizer), before, "the optimizer's variables after the error")
        return
    expected = walk(bare(make_optimizer, learning_rate=0.1), [gradient])[-1]
    require_close([as_numpy(variable) for variable in variables], expected, "a known and an added variable after a step")


@contract_check
def two_optimizers(make_optimizer: MakeOptimizer) -> None:
    """Two optimizers that take turns on two parts of a model do what each does alone.

    Generator and discriminator, or backbone and head, have an optimizer each.
    """
    starts, gradients = starting_weights([(3,), (3,)]), sample_gradients(3, [(3,), (3,)])
    steps = [EagerStep(made(make_optimizer, learning_rate=0.1), [variable]) for variable in make_variables(starts)]
    for gradient in gradients:
        for step, part in zip(steps, gradient, strict=True):
            step([part])
    for i, step in enumerate(steps):
        alone = walk(made(make_optimizer, learning_rate=0.1), [[gradient[i]] for gradient in gradients], [starts[i]])[-1]
        require_equal(step.weights(), alone, f"the weights of optimizer {i + 1} of 2, taking turns and alone")


@contract_check
def shapes(make_optimizer: MakeOptimizer) -> None:
    """Scalars, odd and large variables keep their shape, stay finite, and move.

    Models have all of them: a temperature, a kernel of 7×3×5, a table.
    """
    starts = starting_weights([(), (1,), (7, 3, 5), (130, 67)])
    _, second = _two_steps(make_optimizer, starts)  # the first may fill slots alone
    for after, start in zip(second, starts, strict=True):
        require((after != start).any(), f"a variable of shape {start.shape} has not moved in two steps")


@contract_check
def empty_variable(make_optimizer: MakeOptimizer) -> None:
    """A variable without elements is no error, and the others move.

    A layer of width 0 comes out of a search, or of a model that leaves a part out.
    """
    starts = starting_weights([(0, 3), (0,), (3,)])
    _, second = _two_steps(make_optimizer, starts)
    require((second[-1] != starts[-1]).any(), "a variable beside an empty one has not moved in two steps")


def _two_steps(make_optimizer: MakeOptimizer, starts: Arrays) -> list[Arrays]:
    path = walk(made(make_optimizer, learning_rate=0.1), sample_gradients(2, [start.shape for start in starts]), starts)
    for weights in path:
        for after, start in zip(weights, starts, strict=True):
            require(after.shape == start.shape, f"a variable of shape {start.shape} has shape {after.shape} after a step")
            require(np.isfinite(after).all(), f"a variable of shape {start.shape} is not finite after a step")
    return path
