"""Gradient clipping, of dense gradients and of those that have rows only."""

from __future__ import annotations

from keras import ops

from keras_optims.row_gradient import values_of, with_values


def clipped(gradients, *, clipnorm=None, clipvalue=None, global_clipnorm=None):
    """The gradients after the one kind of clipping whose bound is not `None`; without one, as they are."""
    if clipnorm is clipvalue is global_clipnorm is None:
        return gradients
    values = [values_of(gradient) for gradient in gradients]
    if clipnorm is not None:
        values = [_clipped_to_norm([value], clipnorm)[0] for value in values]
    elif global_clipnorm is not None:
        values = _clipped_to_norm(values, global_clipnorm)
    else:
        lowest = -clipvalue  # once, not for each gradient
        values = [ops.clip(value, ops.cast(lowest, value.dtype), ops.cast(clipvalue, value.dtype)) for value in values]
    return [with_values(gradient, value) for gradient, value in zip(gradients, values, strict=True)]


# A float32 square overflows from 1.8e19 on, and a sum of squares before that. Gradients beyond this bound are scaled down by a
# power of two (which is exact) before they are squared, so a huge finite gradient has a finite norm.
_LARGE, _SHRINK = 2.0**40, 2.0**-80


def _clipped_to_norm(gradients, largest_norm):
    """The gradients times min(1, largest norm / their L2 norm together).

    Where one element is NaN, all become NaN; an infinite one becomes NaN, and what shares its norm 0.
    """
    scaled, norm, scale = measured(gradients)
    largest_norm = ops.cast(largest_norm, norm.dtype)
    factor = largest_norm / ops.maximum(norm, largest_norm * scale)
    return [gradient * factor for gradient in scaled]


def measured(gradients):
    """(gradients of one dtype times a scale, their L2 norm together, the scale): finite where the gradients are."""
    dtype = gradients[0].dtype
    largest_element, *others = (_largest_element(gradient) for gradient in gradients)
    if others:  # not stacked, which is the same: of the two, the Mac's GPU has a kernel for this only
        largest_element = ops.max(ops.concatenate([ops.reshape(largest, (1,)) for largest in (largest_element, *others)]))
    scale = ops.where(largest_element > _LARGE, ops.cast(_SHRINK, dtype), ops.cast(1.0, dtype))
    scaled = [gradient * scale for gradient in gradients]
    return scaled, ops.sqrt(sum(ops.sum(ops.square(gradient)) for gradient in scaled)), scale


def _largest_element(gradient):
    return ops.max(ops.abs(gradient), initial=0.0)  # `initial`: an empty variable has no largest element
