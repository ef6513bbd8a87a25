"""Weight decay, and what is left out of it."""

from __future__ import annotations

import numpy as np
from keras import ops

from keras_optims.testing.compiled_step import CompiledStep, EagerStep
from keras_optims.testing.contract.check import MakeOptimizer, NotApplicable, contract_check, require
from keras_optims.testing.contract.making import bare, ties_its_variables, weight_decays
from keras_optims.testing.contract.walking import (
    SHAPES,
    Arrays,
    make_variables,
    require_close,
    require_equal,
    sample_gradients,
    starting_weights,
    walk,
)

RATE, DECAY, STEPS = 0.1, 0.5, 2
ZEROS: Arrays = [np.zeros(shape, "float32") for shape in SHAPES]


@contract_check
def weight_decay(make_optimizer: MakeOptimizer) -> None:
    """With zero gradients each step multiplies the weights by 1 − learning rate · weight decay, or the class has `decay = "own"`.

    That is decoupled weight decay (Loshchilov & Hutter 2019), which `weight_decay` means in Keras. A formula that decays by
    itself has to have the coefficient, all the same.
    """
    if _decays_by_itself(make_optimizer):
        _require_decay_of_its_own(make_optimizer, _decaying(make_optimizer), make_variables(starting_weights()), excluded=[])
        return
    found = walk(_decaying(make_optimizer), [ZEROS] * STEPS)[-1]
    require_close(found, _decayed(), f"the weights after {STEPS} steps of nothing but decay, and their formula")


@contract_check
def weight_decay_exclusions(make_optimizer: MakeOptimizer) -> None:
    """`exclude_from_weight_decay` leaves out the variables given as objects or by a part of their name, and no others; or all.

    Biases and scales of normalizations are not to decay.
    """
    for by in ("var_list", "var_names"):
        optimizer, variables = _decaying(make_optimizer), make_variables(starting_weights())
        optimizer.exclude_from_weight_decay(**{by: [variables[1]] if by == "var_list" else ["_1"]})
        step = EagerStep(optimizer, variables)
        for _ in range(STEPS):
            step(ZEROS)
        without = walk(bare(make_optimizer, learning_rate=RATE), [ZEROS] * STEPS)[-1]
        require_equal(step.weights()[1:], without[1:], f"a variable excluded by {by}, and without decay, after zero gradients")
        if _decays_by_itself(make_optimizer):
            optimizer, variables = _decaying(make_optimizer), make_variables(starting_weights())
            optimizer.exclude_from_weight_decay(**{by: [variables[1]] if by == "var_list" else ["_1"]})
            _require_decay_of_its_own(make_optimizer, optimizer, variables, excluded=[1])
            continue
        what = f"a variable that is not excluded (by {by}) after steps of nothing but decay, and its formula"
        require_close(step.weights()[:1], _decayed()[:1], what, starts=starting_weights()[:1])
    optimizer = _decaying(make_optimizer)
    optimizer.exclude_from_weight_decay(var_names=["theta"])
    expected = walk(bare(make_optimizer, learning_rate=RATE), sample_gradients(STEPS))[-1]
    found = walk(optimizer, sample_gradients(STEPS))[-1]
    require_close(found, expected, "the weights with all variables excluded from decay, and without decay")


@contract_check
def weight_decay_exclusions_once_built(make_optimizer: MakeOptimizer) -> None:
    """Excluding variables after the first compiled step has its effect or is an error.

    A compiled step that goes on decaying them says nothing.
    """
    optimizer, variables = _decaying(make_optimizer), make_variables(starting_weights())
    step = CompiledStep(optimizer, variables)
    step(ZEROS)
    before = step.weights()
    try:
        optimizer.exclude_from_weight_decay(var_list=variables)
    except (RuntimeError, ValueError):
        return
    step(ZEROS)
    require_equal(step.weights(), before, "weights excluded from decay after the first step, and a step later")


def _decays_by_itself(make_optimizer: MakeOptimizer) -> bool:
    """Whether its formula decays the weights, in a way of its own."""
    return getattr(type(bare(make_optimizer, learning_rate=RATE)), "decay", "decoupled") == "own"


def _require_decay_of_its_own(make_optimizer: MakeOptimizer, optimizer, variables, excluded: list[int]):
    """With the decay the weights end elsewhere than without, and those of excluded variables do not."""
    gradients = sample_gradients(1) * 40  # in which one that finds its rate itself has found it
    without = walk(bare(make_optimizer, learning_rate=RATE), gradients)[-1]
    step = EagerStep(optimizer, variables)
    for gradient in gradients:
        step(gradient)
    for i, (found, plain, start) in enumerate(zip(step.weights(), without, starting_weights(), strict=True)):
        if i not in excluded:
            require((found != plain).any(), f"the weights of variable {i} with decay are those without")
        elif not ties_its_variables(optimizer):
            require_close([found], [plain], f"the weights of variable {i}, excluded from decay, and without it", starts=[start])


def _decaying(make_optimizer: MakeOptimizer):
    names = weight_decays(make_optimizer)
    if not names:
        raise NotApplicable("it has no weight decay")
    optimizer = bare(make_optimizer, learning_rate=RATE, **{name: DECAY for name in names})
    require(float(ops.convert_to_numpy(optimizer.learning_rate)) == np.float32(RATE), "`learning_rate` is not what was given")
    return optimizer


def _decayed() -> Arrays:
    return [start * np.float32((1 - RATE * DECAY) ** STEPS) for start in starting_weights()]
