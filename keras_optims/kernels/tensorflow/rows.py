"""Sparse gradients: only the rows of a table that a batch has used are read and written.

`tf.IndexedSlices` holds a row as often as the batch has used it. All that is done here has shapes known beforehand, so XLA
compiles it, and every operation has a kernel on the Mac's GPU.
"""

from __future__ import annotations

import tensorflow as tf

from keras_optims.kernels.tensorflow.fused import native
from keras_optims.kernels.tensorflow.groups import Part
from keras_optims.row_gradient import RowGradient
from keras_optims.working_copy import WorkingCopy


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


class Rows(WorkingCopy):
    """Some rows of a variable, and of its slots, while they are updated; a row that occurs twice has the same value twice.

    Args:
        variable: the variable.
        rows: int tensor of shape `(k,)`.
    """

    def __init__(self, variable, rows):
        super().__init__(variable, tf.gather(native(variable), rows))
        self.value = tf.cast(self.value, self.dtype)
        self._rows = rows
        self._slots: dict = {}

    def slot(self, slot):
        """The same rows of the slot."""
        if slot not in self._slots:
            self._slots[slot] = Rows(slot[self.variable], self._rows)
        return self._slots[slot]

    def commit(self):
        """Writes the rows to the variable and to the slots."""
        value = tf.cast(self.value, self.variable.dtype)
        if isinstance(self.variable, Part):
            self.variable.assign(tf.tensor_scatter_nd_update(self.variable.value, tf.expand_dims(self._rows, 1), value))
        else:
            resource = native(self.variable).handle
            tf.raw_ops.ResourceScatterUpdate(resource=resource, indices=self._rows, updates=value)
        for rows in self._slots.values():
            rows.commit()


def update(optimizer, gradient: RowGradient, variable, learning_rate):
    """Weight decay and the formula, for the touched rows."""
    optimizer.update_copy(tf.gather(gradient.sums, gradient.stands), Rows(variable, gradient.rows), learning_rate)
