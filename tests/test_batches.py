"""Matrices of one shape as one batch."""

import numpy as np
from keras import ops

from keras_optims import batches
from keras_optims.axes import Axes


def test_only_those_of_one_kind_and_shape_are_together_and_not_too_many(monkeypatch):
    monkeypatch.setattr(batches, "MOST", 12)
    shapes = [(2, 3), (3, 2), (2, 3), (2, 3), (2, 3), (0, 3)]
    assert batches.alike("aabaaa", shapes) == [[0, 3], [4], [1], [2], [5]]


def test_a_matrix_larger_than_a_batch_is_alone(monkeypatch):
    monkeypatch.setattr(batches, "MOST", 5)
    assert batches.alike("aa", [(2, 3), (2, 3)]) == [[0], [1]]


def test_a_stack_of_kernels_is_their_matrices_behind_each_other_and_back():
    rng = np.random.default_rng(0)
    kernels = [rng.normal(size=(2, 3, 4, 5)).astype("float32") for _ in range(3)]
    axes = Axes(inputs=(0, 3), outputs=(2,), batch=(1,))
    matrices = axes.of_a_stack().as_matrices(batches.stacked(list(map(ops.convert_to_tensor, kernels))))
    each = np.concatenate([kernel.transpose(1, 0, 3, 2).reshape(3, 10, 4) for kernel in kernels])
    np.testing.assert_array_equal(ops.convert_to_numpy(matrices), each)
    back = axes.of_a_stack().from_matrices(matrices, (3, 2, 3, 4, 5))
    for one, kernel in zip(batches.unstacked(back), kernels, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(one), kernel)
