"""Learning rate and hyperparameters that change while the optimizer trains."""

from __future__ import annotations

import keras
import numpy as np

from keras_optims.testing.compiled_step import CompiledStep
from keras_optims.testing.contract.check import ContractError, MakeOptimizer, NotApplicable, contract_check, require
from keras_optims.testing.contract.making import bare, numbers_of
from keras_optims.testing.contract.walking import (
    Arrays,
    make_variables,
    require_close,
    restore,
    sample_gradients,
    starting_weights,
    state_of,
    walk,
)

STEPS = 3


@contract_check
def learning_rate_can_be_set(make_optimizer: MakeOptimizer) -> None:
    """A learning rate set after the first compiled step is the one of the next step, and nothing is traced again.

    Callbacks that lower the learning rate rely on it; a compiled step that keeps the old value says nothing.
    """
    settable = _TracedOptimizer(bare(make_optimizer, learning_rate=0.1))
    found = settable.weights_with("learning_rate", 0.025)
    settable.require_one_trace()
    expected = walk(bare(make_optimizer, learning_rate=0.025), sample_gradients(STEPS))[-1]
    what = "the weights after a change of learning_rate, and of an optimizer made with it"
    require_close(found, expected, what, tolerance=1e-4)


@contract_check
def hyperparameters_can_be_set(make_optimizer: MakeOptimizer) -> None:
    """Every other hyperparameter set after the first compiled step is the one of the next step, or setting it is an error.

    A value that was baked into the compiled step stays, and nothing says so.
    """
    hyperparameters = numbers_of(bare(make_optimizer, learning_rate=0.1).get_config())
    gradients = sample_gradients(STEPS)
    before = walk(bare(make_optimizer, learning_rate=0.1), gradients)[-1]
    settable = _TracedOptimizer(bare(make_optimizer, learning_rate=0.1))
    seen, ignored = [], []
    for name, value in hyperparameters.items():
        for other in (value / 2, 0.1):  # half of an epsilon of 1e-7 cannot be seen
            expected = walk(bare(make_optimizer, learning_rate=0.1, **{name: other}), gradients)[-1]
            visible = _apart(before, expected)
            if visible < 1e-4:
                continue
            try:
                found = settable.weights_with(name, other)
            except (AttributeError, TypeError, ValueError):
                break  # an error is an answer
            seen.append(name)
            if not _apart(found, expected) <= 0.05 * visible:
                ignored.append(name)
            break
    if not seen:
        raise NotApplicable("it has no hyperparameter but learning_rate that can be set and has an effect")
    settable.require_one_trace()
    require(not ignored, f"setting {', '.join(ignored)} has not the effect that making the optimizer with it has")


@contract_check
def schedules(make_optimizer: MakeOptimizer) -> None:
    """A `LearningRateSchedule` gives the steps that its values give when they are assigned one by one.

    A schedule read once, or at the wrong step, is hard to notice in a loss curve.
    """
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, decay_steps=1, decay_rate=0.5)
    gradients = sample_gradients(4)
    scheduled = walk(bare(make_optimizer, learning_rate=schedule), gradients, compiled=True)
    by_hand = bare(make_optimizer, learning_rate=0.1)
    step = CompiledStep(by_hand, make_variables(starting_weights()))
    for i, gradient in enumerate(gradients):
        by_hand.learning_rate = 0.1 * 0.5**i
        step(gradient)
        require_close(scheduled[i], step.weights(), f"the weights after {i + 1} scheduled steps and as many with assigned rates")


class _TracedOptimizer:
    """An optimizer whose compiled step exists already, and that begins anew again and again."""

    def __init__(self, optimizer):
        self.optimizer, self.variables = optimizer, make_variables(starting_weights())
        self.step = CompiledStep(optimizer, self.variables)
        self.state, self.weights = state_of(optimizer), starting_weights()
        self.step(sample_gradients(1)[0])
        self.traces = self.step.traces

    def weights_with(self, name: str, value: float) -> Arrays:
        """The weights after some steps from the beginning, with one hyperparameter set to another value for that while."""
        restore(self.optimizer.variables, self.state)
        restore(self.variables, self.weights)
        before = self.optimizer.get_config()[name]
        setattr(self.optimizer, name, value)
        for gradient in sample_gradients(STEPS):
            self.step(gradient)
        found = self.step.weights()
        setattr(self.optimizer, name, before)
        return found

    def require_one_trace(self):
        if keras.backend.backend() != "torch" and self.step.traces != self.traces:
            raise ContractError(f"the step was traced {self.step.traces} times instead of {self.traces}")


def _apart(found: Arrays, expected: Arrays) -> float:
    """The largest difference, as a share of the way of `expected`."""
    way = max(np.abs(right - start).max() for right, start in zip(expected, starting_weights(), strict=True))
    return max(np.abs(left - right).max() for left, right in zip(found, expected, strict=True)) / max(way, 1e-30)
