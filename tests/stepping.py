"""What the optimizer tests share: an optimizer's saved state, and that a step is the same however it is run."""

import functools

import numpy as np

from keras_optims.testing.compiled_step import as_numpy


def state_of(optimizer) -> dict[str, np.ndarray]:
    """What the optimizer saves: each of its numbers and slots by its name."""
    store: dict = {}
    optimizer.save_own_variables(store)
    return store


def assert_eager_graph_and_xla_agree(make_optimizer, make_variables, gradients):
    """On TensorFlow: the same weights after the steps, however they are run."""
    import tensorflow as tf

    results = []
    for wrap in (lambda f: f, tf.function, lambda f: tf.function(f, jit_compile=True)):
        optimizer, updated = make_optimizer(), make_variables()
        optimizer.build(updated)
        run = wrap(functools.partial(_apply, optimizer, updated))
        for gradient in gradients:
            run([tf.constant(g) for g in gradient])
        results.append([as_numpy(variable) for variable in updated])
    for other in results[1:]:
        for ours, theirs in zip(results[0], other, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=2e-6, atol=2e-6)


def _apply(optimizer, updated, gradients):
    optimizer.apply(gradients, updated)
