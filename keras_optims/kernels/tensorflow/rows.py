"""Sparse gradients: only the rows of a table that a batch has used are read and written.

`tf.IndexedSlices` holds a row as often as the batch has used it. All that is done here has shapes known beforehand, so XLA
compiles it, and every operation has a kernel on the Mac's GPU.
"""

from __future__ import annotations

import tensorflow as tf

from keras_optims.kernels.tensorflow.fused import native
from keras_optims.kernels.tensorflow.groups import Part
from keras_optims.row_gradient import RowGradient
from keras_optims.stand_in import Place, StandIn


def summed(slices: tf.IndexedSlices, number_of_rows: int) -> RowGradient:
    """The gradient with the occurrences of each row added up, in their order."""
    rows, values = slices.indices, slices.values
    number = tf.size(rows)
    # Each occurrence writes its position at its row; the one that stays stands for the row. (As float32, exact up to 16.7 million
    # occurrences: the Mac's GPU has no kernel for integers here.)
    positions = tf.cast(tf.range(number), tf.float32)
    last = tf.tensor_scatter_nd_update(tf.zeros([number_of_rows]), tf.expand_dims(rows, 1), positions)
    stands = tf.cast(tf.gather(last, rows), tf.int32)
    return RowGradient(rows, tf.math.unsorted_segment_sum(values, stands, number), stands)


class Rows(Place):
    """Some rows of a variable; a row that occurs twice has the same value twice.

    Args:
        variable: the variable.
        rows: int tensor of shape `(k,)`.
        decays: whether the variable is decayed.
    """

    def __init__(self, variable, rows, decays=False):
        super().__init__(variable, decays)
        self._rows = rows

    def read(self):
        """The rows."""
        return tf.cast(tf.gather(native(self.variable), self._rows), self.dtype)

    def write(self, value):
        """Sets the rows."""
        value = tf.cast(value, self.variable.dtype)
        if isinstance(self.variable, Part):
            self.variable.assign(tf.tensor_scatter_nd_update(self.variable.value, tf.expand_dims(self._rows, 1), value))
        else:
            resource = native(self.variable).handle
            tf.raw_ops.ResourceScatterUpdate(resource=resource, indices=self._rows, updates=value)

    def slot(self, slot) -> Rows:
        """The same rows of a slot."""
        return Rows(slot.variable_of(self.variable), self._rows)


def update(frame, gradient: RowGradient, variable):
    """Weight decay and the formula, for the touched rows."""
    rows = StandIn(Rows(variable, gradient.rows, frame.optimizer.decays(variable)))
    frame.run(tf.gather(gradient.sums, gradient.stands), rows)
