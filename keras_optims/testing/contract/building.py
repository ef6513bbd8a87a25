"""What `build` makes: all state, once, for each variable its own."""

from __future__ import annotations

import numpy as np

from keras_optims.testing.compiled_step import EagerStep, as_numpy
from keras_optims.testing.contract.check import MakeOptimizer, NotApplicable, contract_check, require
from keras_optims.testing.contract.making import config_of, made, ties_its_variables
from keras_optims.testing.contract.walking import (
    make_variables,
    require_close,
    require_equal,
    sample_gradients,
    starting_weights,
    state_of,
    walk,
)


@contract_check
def state_is_built_once(make_optimizer: MakeOptimizer) -> None:
    """`build` makes all state, finite and at least float32; steps add none, change no shape or dtype, and are counted.

    State that appears later is missing in compiled steps on JAX and in checkpoints saved before it was there.
    """
    optimizer = made(make_optimizer, learning_rate=0.1)
    step = EagerStep(optimizer, make_variables(starting_weights()))
    require(optimizer.built, "`built` is false after build()")
    before = [(tuple(variable.shape), str(variable.dtype)) for variable in optimizer.variables]
    for value in state_of(optimizer):
        require(np.isfinite(value).all(), "a variable of the optimizer is not finite after build()")
    for _, dtype in before:
        require(dtype not in ("float16", "bfloat16"), f"the state of float32 variables has dtype {dtype}")
    for gradient in sample_gradients(3):
        step(gradient)
    after = [(tuple(variable.shape), str(variable.dtype)) for variable in optimizer.variables]
    require(after == before, f"build() made {len(before)} variables, of which three steps made {len(after)} or others")
    if not config_of(make_optimizer).get("gradient_accumulation_steps"):
        require(int(optimizer.iterations) == 3, f"`iterations` is {int(optimizer.iterations)} after three steps")


@contract_check
def build_twice(make_optimizer: MakeOptimizer) -> None:
    """A second `build` with the same variables changes nothing.

    Keras and its users call `build` again, on an optimizer that has trained already.
    """
    optimizer = made(make_optimizer, learning_rate=0.1)
    variables = make_variables(starting_weights())
    step = EagerStep(optimizer, variables)
    for gradient in sample_gradients(2):
        step(gradient)
    before = state_of(optimizer)
    optimizer.build(variables)
    require_equal(state_of(optimizer), before, "the optimizer's variables after a second build()")


@contract_check
def memory_is_not_shared(make_optimizer: MakeOptimizer) -> None:
    """Setting a weight, or one of the optimizer's variables, changes no other one.

    A slot that begins as a weight and was not copied is in its memory on torch, and changes with it.
    """
    optimizer, weights = made(make_optimizer, learning_rate=0.1), make_variables(starting_weights())
    optimizer.build(weights)
    variables = [*weights, *optimizer.variables]
    for i, variable in enumerate(variables):
        before = [as_numpy(each) for each in variables]
        variable.assign(variable + 1)
        after = [as_numpy(each) for each in variables]
        what = "the weights and the optimizer's variables, of which another one was set, and before"
        require_equal(after[:i] + after[i + 1 :], before[:i] + before[i + 1 :], what)


@contract_check
def each_variable_has_its_own_state(make_optimizer: MakeOptimizer) -> None:
    """Two variables are updated together as each of them is alone.

    Slots that are shared or mixed up train the wrong weights, and nothing says so.
    """
    if config_of(make_optimizer).get("global_clipnorm") is not None:
        raise NotApplicable("global_clipnorm ties its variables together")
    if ties_its_variables(made(make_optimizer, learning_rate=0.1)):
        raise NotApplicable("begin_step ties its variables together")
    shapes = [(3, 2), (4,), (3, 2)]
    starts, gradients = starting_weights(shapes), sample_gradients(3, shapes)
    together = walk(made(make_optimizer, learning_rate=0.1), gradients, starts)[-1]
    for i, start in enumerate(starts):
        alone = walk(made(make_optimizer, learning_rate=0.1), [[gradient[i]] for gradient in gradients], [start])[-1]
        what = f"variable {i} of 3, updated together with the others and alone"
        require_close([together[i]], alone, what, starts=[start])
