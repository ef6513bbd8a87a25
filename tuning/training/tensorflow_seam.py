"""What is used of TensorFlow's private interface; a version that changes it fails in `tests/tuning/test_seams.py`."""

from __future__ import annotations

import random

PRIVATE = {
    "_seed": "the seed of operations",
    "_rng": "what the seeds of operations are drawn with",
}
"""Attributes of `tensorflow.python.eager.context.context()`, and why each is used."""


def seed_operations(seed: int) -> None:
    """What `tf.random.set_seed` does, except that TensorFlow keeps what it has optimized of compiled functions.

    It throws that away, which makes the next call of each function take some 50 ms longer.
    """
    from tensorflow.python.eager import context

    eager = context.context()
    eager._seed, eager._rng = seed, random.Random(seed)
