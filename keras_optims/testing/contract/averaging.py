"""Averaged weights: the exponential moving average that `use_ema` keeps."""

from __future__ import annotations

from keras_optims.testing.compiled_step import CompiledStep
from keras_optims.testing.contract.accumulation import PARTS, means
from keras_optims.testing.contract.check import MakeOptimizer, contract_check
from keras_optims.testing.contract.making import bare
from keras_optims.testing.contract.walking import (
    Arrays,
    make_variables,
    put_averages_in_place,
    require_close,
    sample_gradients,
    starting_weights,
    walk,
)

KEPT = 0.5


@contract_check
def averaged_weights(make_optimizer: MakeOptimizer) -> None:
    """With `use_ema`, `finalize_variable_values` (or `swap_averaged_weights`) sets the weights to their average; no step does.

    The average is what is evaluated and saved in the end.
    """
    gradients = sample_gradients(3)
    path = walk(bare(make_optimizer, learning_rate=0.1), gradients)
    found, averages = _walk_with_averages(make_optimizer, gradients)
    require_close(found, path[-1], "the weights with and without use_ema, before they are finalized")
    require_close(averages, _average(path), "the finalized weights, and the moving average of the weights after each step")


@contract_check
def averaged_weights_under_accumulation(make_optimizer: MakeOptimizer) -> None:
    """With gradient accumulation the average moves with each update, as with the mean batch.

    Moved with each part of a batch, it counts the weights of one update several times.
    """
    parts = sample_gradients(3 * PARTS)  # the first update sets the average, so that two do not tell the difference
    path = walk(bare(make_optimizer, learning_rate=0.1), means(parts))
    _, averages = _walk_with_averages(make_optimizer, parts, gradient_accumulation_steps=PARTS)
    require_close(averages, _average(path), "the averaged weights with accumulation, and with the mean of each accumulated batch")


def _walk_with_averages(make_optimizer: MakeOptimizer, gradients, **arguments) -> tuple[Arrays, Arrays]:
    """The weights after the steps, and what they are finalized to."""
    optimizer = bare(make_optimizer, learning_rate=0.1, use_ema=True, ema_momentum=KEPT, **arguments)
    variables = make_variables(starting_weights())
    step = CompiledStep(optimizer, variables)
    for gradient in gradients:
        step(gradient)
    weights = step.weights()
    put_averages_in_place(optimizer, variables)
    return weights, step.weights()


def _average(path: list[Arrays]) -> Arrays:
    """The moving average after the last of these weights; it begins with the first of them."""
    averages = path[0]
    for weights in path[1:]:
        averages = [KEPT * average + (1 - KEPT) * weight for average, weight in zip(averages, weights, strict=True)]
    return averages
