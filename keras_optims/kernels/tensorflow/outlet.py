"""The way of an array out of a compiled step."""

import tensorflow as tf


class Outlet:
    """See `keras_optims.kernels`. XLA compiles no call of Python, so what leaves is a variable, which belongs to no model."""

    def __init__(self):
        self._variables = None

    def put(self, number, array):
        """See `keras_optims.kernels`."""
        with tf.init_scope():  # outside of the function that is being traced
            if self._variables is None:
                self._variables = tf.Variable(_NOTHING, dtype=tf.int64), tf.Variable(tf.zeros(array.shape))
        self._variables[0].assign(tf.cast(number, tf.int64))
        self._variables[1].assign(array)

    def take(self):
        """See `keras_optims.kernels`."""
        if self._variables is None or (number := int(self._variables[0])) == _NOTHING:
            return None
        self._variables[0].assign(_NOTHING)
        return number, self._variables[1].numpy()


_NOTHING = -1
