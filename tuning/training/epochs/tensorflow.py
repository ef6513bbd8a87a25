"""Compiled epochs on TensorFlow: a loop inside of one `tf.function`."""

from __future__ import annotations

import functools

import keras
import tensorflow as tf


class Epochs:
    """See `tuning.training.epochs`.

    Args:
        model: compiled and built.
        way: `"graph"` or `"xla"`.
    """

    def __init__(self, model: keras.Model, way: str):
        self.way = way
        steps = [model.train_step, model.test_step]
        if way == "xla":
            steps = [tf.function(step, jit_compile=True, autograph=False) for step in steps]
        self._train_step, self._test_step = steps
        # TensorFlow warns of functions that are traced often, and counts those of one line of code together. Models of one search
        # after the other would be such; of partial functions it counts each by itself.
        self._train = tf.function(functools.partial(self._train_epoch), autograph=False)
        self._test = tf.function(functools.partial(self._test_epoch), autograph=False)

    def seed(self, seed: int) -> None:
        """Nothing: all randomness is state of the model."""

    def train(self, data, order, batch_size: int) -> None:
        """Trains one epoch on the samples that `order`, an int32 array, names."""
        self._train(data, tf.constant(order), batch_size)

    def test(self, data, batch_size: int) -> None:
        """Evaluates all samples in their order."""
        self._test(data, min(batch_size, int(keras.tree.flatten(data)[0].shape[0])))

    def _train_epoch(self, data, order, batch_size):
        def batch(first, size):
            chosen = tf.ensure_shape(order[first : first + size], (size,))
            return keras.tree.map_structure(lambda tensor: tf.gather(tensor, chosen), data)

        _loop(lambda first, size: self._train_step(batch(first, size)), int(order.shape[0]), batch_size)

    def _test_epoch(self, data, batch_size):
        def batch(first, size):
            return keras.tree.map_structure(
                lambda tensor: tf.ensure_shape(tensor[first : first + size], (size, *tensor.shape[1:])), data
            )

        _loop(lambda first, size: self._test_step(batch(first, size)), int(keras.tree.flatten(data)[0].shape[0]), batch_size)


def _loop(step, count: int, size: int) -> None:
    """Calls `step(first sample, number of samples)` for all whole batches, then for what is left, as operations of a graph."""
    whole = count // size

    def body(i):
        with tf.control_dependencies(tf.nest.flatten(step(i * size, size))):
            return (i + 1,)

    done = tf.while_loop(lambda i: i < whole, body, (tf.constant(0),), parallel_iterations=1)
    if count % size:
        with tf.control_dependencies(list(done)):
            step(whole * size, count % size)
