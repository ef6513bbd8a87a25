"""What is used of TensorFlow's private interface; a version that changes it fails in `tests/tuning/test_seams.py`."""

from __future__ import annotations

import random

PRIVATE = {
    "_seed": "the seed of operations",
    "_rng": "what the seeds of operations are drawn with",
    "clear_kernel_cache": "what is kept of functions that are gone",
}
"""Attributes of `tensorflow.python.eager.context.context()`, and why each is used."""


def seed_operations(seed: int) -> None:
    """What `tf.random.set_seed` does, except that TensorFlow keeps what it has optimized of compiled functions.

    It throws that away, which makes the next call of each function take some 50 ms longer.
    """
    from tensorflow.python.eager import context

    eager = context.context()
    eager._seed, eager._rng = seed, random.Random(seed)


def forget_kernels() -> None:
    """Lets go what TensorFlow keeps of each compiled function that was ever called, also when the function itself is gone.

    That is some 0.6 MB for a small model. Functions that live are optimized again at their next call, as `seed_operations` says.
    """
    from tensorflow.python.eager import context

    context.context().clear_kernel_cache()
