"""State that is saved and read: training goes on as if it had never stopped."""

from __future__ import annotations

import functools
import pathlib
import tempfile
import warnings
from typing import Any

import keras

from keras_optims.testing.compiled_step import CompiledStep, EagerStep
from keras_optims.testing.contract.check import MakeOptimizer, NotApplicable, contract_check, require
from keras_optims.testing.contract.making import bare, made
from keras_optims.testing.contract.walking import (
    make_model,
    make_variables,
    put_averages_in_place,
    require_equal,
    sample_gradients,
    starting_weights,
    state_of,
)


@contract_check
def saved_model(make_optimizer: MakeOptimizer) -> None:
    """A model saved as `.keras` comes back with the same optimizer, config and state, and takes the same next steps.

    A restart in the middle of a training must not change it.
    """
    model = _compiled(made(make_optimizer, learning_rate=0.1))
    optimizer = model.optimizer
    gradients = sample_gradients(4, [(3, 2), (2,)])
    step = EagerStep(optimizer, model.trainable_variables)
    for gradient in gradients[:2]:
        step(gradient)
    loaded = _saved_and_loaded(model)
    require(type(loaded.optimizer) is type(optimizer), f"the optimizer comes back as a {type(loaded.optimizer).__name__}")
    require(loaded.optimizer.get_config() == optimizer.get_config(), "the optimizer comes back with another config")
    # Names are made up anew (sequential_1 becomes sequential), so values are compared in their order.
    saved, read = (list(_saved(each).values()) for each in (optimizer, loaded.optimizer))
    require_equal(read, saved, "the optimizer's state in the model that was loaded")
    loaded_step = EagerStep(loaded.optimizer, loaded.trainable_variables)
    for gradient in gradients[2:]:
        step(gradient)
        loaded_step(gradient)
    require_equal(loaded_step.weights(), step.weights(), "the weights after two more steps of the model that was loaded")


@contract_check
def saved_before_the_first_step(make_optimizer: MakeOptimizer) -> None:
    """A model that is compiled, saved and loaded takes the same first steps.

    A model that is to be trained elsewhere is saved so.
    """
    model = _compiled(made(make_optimizer, learning_rate=0.1))
    loaded = _saved_and_loaded(model)
    step, loaded_step = (EagerStep(each.optimizer, each.trainable_variables) for each in (model, loaded))
    for gradient in sample_gradients(2, [(3, 2), (2,)]):
        step(gradient)
        loaded_step(gradient)
    require_equal(loaded_step.weights(), step.weights(), "the weights after two steps of the model that was loaded")


@contract_check
def resume(make_optimizer: MakeOptimizer) -> None:
    """Saved after any step and loaded into a new optimizer, the state gives the same weights bit for bit.

    A restart in the middle of a training must not change it.
    """
    _resume_after_each_step(functools.partial(made, make_optimizer, learning_rate=0.1), steps=4)


@contract_check
def resume_within_an_accumulation(make_optimizer: MakeOptimizer) -> None:
    """The same with gradient accumulation, also in its middle.

    Gradients accumulated so far are state like any other.
    """
    # Compiled, because JAX compiles the two branches of an accumulation anew at each step that is not.
    accumulating = functools.partial(bare, make_optimizer, learning_rate=0.1, gradient_accumulation_steps=2)
    _resume_after_each_step(accumulating, steps=4, step=CompiledStep)


@contract_check
def resume_with_averaged_weights(make_optimizer: MakeOptimizer) -> None:
    """The same with averaged weights: also the averages are equal in the end.

    An average that begins anew forgets what it was kept for.
    """
    averaging = functools.partial(bare, make_optimizer, learning_rate=0.1, use_ema=True, ema_momentum=0.5)
    _resume_after_each_step(averaging, steps=3, finalize=True)


@contract_check
def state_that_does_not_fit(make_optimizer: MakeOptimizer) -> None:
    """Loading the state of other variables is an error, and changes nothing.

    State that is dropped without an error looks like a resumed training, and is a new one.
    """
    optimizer, other = made(make_optimizer, learning_rate=0.1), made(make_optimizer, learning_rate=0.1)
    step = EagerStep(optimizer, make_variables(starting_weights([(3,), (2,)])))
    other_step = EagerStep(other, make_variables(starting_weights([(3,)])))
    step(sample_gradients(1, [(3,), (2,)])[0])
    other_step(sample_gradients(1, [(3,)])[0])
    if sum(value.size for value in state_of(optimizer)) == sum(value.size for value in state_of(other)):
        raise NotApplicable("its state does not depend on the variables")
    before, refused = state_of(optimizer), False
    try:
        optimizer.load_own_variables(_saved(other))
    except Exception:
        refused = True
    require(refused, "the state of one variable was accepted by an optimizer of two without an error")
    require_equal(state_of(optimizer), before, "the optimizer's variables after the error")


def _resume_after_each_step(make, steps: int, *, step: Any = EagerStep, finalize=False):
    gradients = sample_gradients(steps)
    uninterrupted = step(make(), make_variables(starting_weights()))
    stops = []
    for gradient in gradients:
        uninterrupted(gradient)
        stops.append((_saved(uninterrupted.optimizer), uninterrupted.weights()))
    expected = _final_weights(uninterrupted, finalize)
    for number, (state, weights) in enumerate(stops[:-1], start=1):
        resumed = step(make(), make_variables(weights))
        resumed.optimizer.load_own_variables(state)
        for gradient in gradients[number:]:
            resumed(gradient)
        what = f"the weights of a training that was saved after step {number} of {steps} and resumed, and of one that ran through"
        require_equal(_final_weights(resumed, finalize), expected, what)


def _final_weights(step, finalize: bool):
    if finalize:
        put_averages_in_place(step.optimizer, step.variables)
    return step.weights()


def _compiled(optimizer):
    model = make_model(3, 2)
    model.compile(optimizer, loss="mse")
    return model


def _saved_and_loaded(model):
    cls = type(model.optimizer)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Keras, that the optimizer has no state yet
        path = pathlib.Path(folder, "model.keras")
        model.save(path)
        return keras.models.load_model(path, custom_objects={cls.__name__: cls})


def _saved(optimizer) -> dict[str, Any]:
    store: dict[str, Any] = {}
    optimizer.save_own_variables(store)
    return {name: value.copy() for name, value in store.items()}
