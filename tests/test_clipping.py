"""Clipping, element by element and by norm, at its bounds and where squares overflow."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_optims.clipping import _LARGE, _SHRINK, clipped

SIZES = [2.0**-20, 0.3, 1.0, 2.0**39, 2.0**40, 1.5 * 2.0**40, 2.0**41, 2.0**63, 1e20, 1e30, 1e37]
"""Of gradients; float32 squares overflow from 2⁶⁴ on, and are scaled down beyond 2⁴⁰."""


def clip(gradients, **bound):
    (bound,) = bound.items()
    found = clipped([ops.convert_to_tensor(gradient) for gradient in gradients], **{bound[0]: ops.cast(bound[1], "float32")})
    return [np.array(ops.convert_to_numpy(gradient)) for gradient in found]


def by_norm(gradients, largest):
    """In float64: times min(1, largest / norm)."""
    norm = np.sqrt(sum(np.sum(np.square(np.float64(gradient))) for gradient in gradients))
    return [np.float64(gradient) * min(1.0, largest / norm) for gradient in gradients]


@pytest.mark.parametrize("largest", [1e-3, 0.5, 1.0, 2.0**40, 2.0**41, 1e13, 1e25, 1e37])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["clipnorm", "global_clipnorm"])
def test_gradients_of_any_size_are_clipped_to_any_norm(kind, size, largest):
    gradients = [np.array([3, -1, 0.5, 0], "float32") * np.float32(size / 4), np.full((2, 2), size / 8, "float32")]
    gradients = [*gradients, -gradients[1]][:: -1 if size > 1 else 1]
    expected = by_norm(gradients, largest)
    if kind == "clipnorm":
        expected = [by_norm([gradient], largest)[0] for gradient in gradients]
    for found, its in zip(clip(gradients, **{kind: largest}), expected, strict=True):
        np.testing.assert_allclose(found, its, rtol=1e-6)


@pytest.mark.parametrize("kind", ["clipnorm", "global_clipnorm"])
def test_a_gradient_within_the_bound_is_left_as_it_is_to_the_last_bit(kind):
    draw = np.random.default_rng(0)
    for gradient in [draw.normal(size=7).astype("float32"), np.array([3, 4], "float32"), np.zeros(3, "float32")]:
        np.testing.assert_array_equal(clip([gradient], **{kind: 5.0})[0], gradient)
        np.testing.assert_array_equal(
            clip([gradient * np.float32(2.0**45)], **{kind: 2.0**48})[0], gradient * np.float32(2.0**45)
        )


def test_the_bound_itself_is_within_the_bound():
    np.testing.assert_array_equal(clip([np.array([3, 4], "float32")], clipnorm=5.0)[0], np.array([3, 4], "float32"))
    np.testing.assert_array_equal(clip([np.array([6, 8], "float32")], clipnorm=5.0)[0], np.array([3, 4], "float32"))
    np.testing.assert_array_equal(
        clip([np.array([-3, -2, 1, 2, 3], "float32")], clipvalue=2.0)[0], np.array([-2, -2, 1, 2, 2], "float32")
    )


def test_many_elements_just_below_the_scaling_do_not_overflow_when_they_are_summed():
    gradient = np.full(2**20, _LARGE, "float32")
    assert np.sqrt(gradient.size) * _LARGE < 2.0**63  # the square of the norm is far from float32's end
    np.testing.assert_allclose(clip([gradient], clipnorm=1.0)[0], np.full_like(gradient, 2.0**-10), rtol=1e-6)


def test_scaling_is_exact_and_keeps_the_largest_and_all_that_counts_beside_it():
    for power in (_LARGE, _SHRINK):
        assert np.frexp(power)[0] == 0.5  # a power of two
    largest = float(np.finfo(np.float32).max)
    assert (largest * _SHRINK) ** 2 * 2.0**24 < largest  # 16 million of the largest elements have a finite norm
    assert np.finfo(np.float32).tiny < (_LARGE * _SHRINK * 2.0**-12) ** 2  # 2⁻¹² of the smallest that is scaled counts


@pytest.mark.parametrize(("bad", "others"), [(np.inf, 0), (-np.inf, 0), (np.nan, np.nan)])
def test_an_element_that_is_not_finite_becomes_nan_and_nothing_else_moves_a_weight(bad, others):
    gradients = [np.array([1, bad], "float32"), np.ones(2, "float32")]
    for kind, beside in (("global_clipnorm", others), ("clipnorm", np.sqrt(0.5))):
        own, other = clip(gradients, **{kind: 1.0})
        np.testing.assert_array_equal(own, np.array([others, np.nan], "float32"))
        np.testing.assert_allclose(other, np.float32(beside), rtol=1e-6)


@pytest.mark.parametrize("kind", ["clipnorm", "global_clipnorm"])
def test_the_largest_element_may_be_anywhere_and_of_any_sign(kind):
    large, small = np.array([0, -1e30], "float32"), np.ones(2, "float32")
    for gradients in ([large], [large, small], [small, large]):
        found = clip(gradients, **{kind: 1.0})
        assert np.isfinite(np.concatenate(found)).all()
        assert min(each.min() for each in found) == pytest.approx(-1, rel=1e-6)


def test_each_gradient_has_a_norm_of_its_own_and_all_have_one_together():
    gradients = [np.array([3, 4], "float32"), np.array([12], "float32")]
    np.testing.assert_allclose(np.concatenate(clip(gradients, clipnorm=6.0)), [3, 4, 6], rtol=1e-6)
    np.testing.assert_allclose(np.concatenate(clip(gradients, global_clipnorm=6.5)), [1.5, 2, 6], rtol=1e-6)


@pytest.mark.backend("tensorflow", "torch")  # JAX has float64 switched off
@pytest.mark.parametrize("order", [1, -1])
def test_gradients_of_several_dtypes_have_one_norm_together(order):
    dtypes = ["float32", "float64", "float16"][::order]
    gradients = [ops.convert_to_tensor(np.array([size], dtype)) for size, dtype in zip([3, 4, 12], dtypes, strict=True)]
    found = clipped(gradients, global_clipnorm=ops.cast(6.5, "float32"))
    assert [keras.backend.standardize_dtype(each.dtype) for each in found] == dtypes
    np.testing.assert_allclose(np.concatenate([ops.convert_to_numpy(each) for each in found]), [1.5, 2, 6], rtol=1e-6)
    large = [ops.convert_to_tensor(each) for each in (np.zeros(1, "float32"), np.array([-1e150]))][::order]
    found = clipped(large, global_clipnorm=ops.cast(0.5, "float32"))
    np.testing.assert_allclose(sum(ops.convert_to_numpy(each) for each in found), [-0.5], rtol=1e-6)


@pytest.mark.parametrize("kind", ["clipnorm", "clipvalue", "global_clipnorm"])
def test_empty_gradients_and_those_without_dimensions_are_clipped_like_others(kind):
    empty, scalar = clip([np.zeros((0, 3), "float32"), np.float32(-8)], **{kind: 2.0})
    assert empty.shape == (0, 3)
    assert scalar == -2


def test_without_a_bound_gradients_are_the_same_objects():
    gradients = [ops.ones(2)]
    assert clipped(gradients) is gradients


@pytest.mark.parametrize("kind", ["clipnorm", "clipvalue", "global_clipnorm"])
def test_a_clipped_gradient_keeps_its_dtype(kind):
    for dtype in ("float32", "float16"):
        (found,) = clipped([ops.ones(4, dtype=dtype)], **{kind: ops.cast(0.5, "float32")})
        assert keras.backend.standardize_dtype(found.dtype) == dtype
