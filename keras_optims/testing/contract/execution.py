"""However a step is run, its result is the same."""

from __future__ import annotations

import contextlib

import keras
import numpy as np
from keras import ops

from keras_optims.testing.compiled_step import as_numpy
from keras_optims.testing.contract.check import MakeOptimizer, NotApplicable, contract_check, require
from keras_optims.testing.contract.making import made
from keras_optims.testing.contract.walking import (
    make_model,
    make_variables,
    require_close,
    require_equal,
    sample_gradients,
    starting_weights,
    walk,
)


@contract_check
def deterministic(make_optimizer: MakeOptimizer) -> None:
    """Two new optimizers take the same steps, bit for bit.

    Otherwise no experiment can be repeated.
    """
    gradients = sample_gradients(3)
    first, second = (walk(made(make_optimizer, learning_rate=0.1), gradients)[-1] for _ in range(2))
    require_equal(first, second, "the weights after three steps of two new optimizers")


@contract_check
def compiled_as_eager(make_optimizer: MakeOptimizer) -> None:
    """Compiled steps (`tf.function` with and without XLA, `jax.jit`) give the weights that uncompiled ones give.

    Python that runs while a step is traced, and never again, shows here.
    """
    if keras.backend.backend() == "torch":
        raise NotApplicable("torch compiles no steps unless asked to")
    gradients = sample_gradients(3)
    eager = walk(made(make_optimizer, learning_rate=0.1), gradients)
    for number, weights in enumerate(walk(made(make_optimizer, learning_rate=0.1), gradients, compiled=True)):
        require_close(weights, eager[number], f"compiled and uncompiled weights after {number + 1} steps")
    if keras.backend.backend() == "tensorflow":
        with_xla = _walk_with_xla(made(make_optimizer, learning_rate=0.1), gradients)
        require_close(with_xla, eager[-1], "the weights with XLA and uncompiled ones")


@contract_check
def trains_in_fit(make_optimizer: MakeOptimizer) -> None:
    """`model.fit` trains with it: weights move and stay finite, and each batch is counted.

    That is what an optimizer is for.
    """
    model = make_model(4, 3)
    before = [np.array(weight) for weight in model.get_weights()]
    optimizer = made(make_optimizer, learning_rate=0.1)
    model.compile(optimizer, loss="mse")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12, 4)), rng.normal(10, 1, size=(12, 3))  # so far away that steps of one size do not come back
    with _random_numbers_kept():
        model.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0)
    for after, start in zip(model.get_weights(), before, strict=True):
        require(np.isfinite(after).all(), "weights are not finite after six batches")
        require((after != start).any(), "weights have not moved in six batches")
    if not optimizer.get_config().get("gradient_accumulation_steps"):
        require(int(optimizer.iterations) == 6, f"`iterations` is {int(optimizer.iterations)} after six batches")


@contextlib.contextmanager
def _random_numbers_kept():
    """A context after which torch's random numbers go on as before; its data loader draws one even if it does not shuffle."""
    if keras.backend.backend() != "torch":
        yield
        return
    import torch

    with torch.random.fork_rng(devices=[]):
        yield


def _walk_with_xla(optimizer, gradients):
    import tensorflow as tf

    variables = make_variables(starting_weights())
    optimizer.build(variables)

    @tf.function(jit_compile=True)
    def step(gradient):
        optimizer.apply(gradient, variables)

    for gradient in gradients:
        step([ops.convert_to_tensor(g) for g in gradient])
    return [as_numpy(variable) for variable in variables]
