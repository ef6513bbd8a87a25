"""What is done with gradients before a formula sees them: clipping, of rows too, and centralization."""

from __future__ import annotations

import keras
from keras import ops

from keras_optims.axes import EMBEDDING, VECTOR
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
    bound = largest_norm * scale
    factor = largest_norm / ops.where(bound > norm, bound, norm)  # `ops.maximum` of float64 is of float32 on torch
    return [gradient * ops.cast(factor, gradient.dtype) for gradient in scaled]


def measured(gradients):
    """(gradients times a scale, their L2 norm together, the scale): finite where the gradients are."""
    dtypes = {keras.backend.standardize_dtype(gradient.dtype) for gradient in gradients}
    # Keras's `result_type` makes float32 of float32 and float64 on torch.
    dtype = dtypes.pop() if len(dtypes) == 1 else "float64" if "float64" in dtypes else "float32"
    largest_element, *others = (ops.cast(_largest_element(gradient), dtype) for gradient in gradients)
    if others:  # not stacked, which is the same: of the two, the Mac's GPU has a kernel for this only
        largest_element = ops.max(ops.concatenate([ops.reshape(largest, (1,)) for largest in (largest_element, *others)]))
    scale = ops.where(largest_element > _LARGE, ops.cast(_SHRINK, dtype), ops.cast(1.0, dtype))
    scaled = [gradient * ops.cast(scale, gradient.dtype) for gradient in gradients]
    return scaled, ops.sqrt(sum(ops.cast(ops.sum(ops.square(gradient)), dtype) for gradient in scaled)), scale


def _largest_element(gradient):
    return ops.max(ops.abs(gradient), initial=0.0)  # `initial`: an empty variable has no largest element


_LEAST_WEIGHTS, _LEAST_GRADIENT = 1e-3, 1e-6


def adaptively_clipped(gradient, variable, axes, share):
    """A gradient, each output's part of which is at most as long as `share` times the output's weights (Brock et al. 2021).

    An output whose weights are shorter than 1e-3 is taken to be as long as that, so that one that begins at zero can move. Of a
    variable without inputs, the norm is that of the whole.

    Args:
        gradient: a tensor, or a `RowGradient`.
        variable: the variable, or its value in the gradient's dtype.
        axes: its `Axes`.
        share: the largest share, a scalar.
    """
    values = values_of(gradient)
    summed = tuple(range(len(variable.shape))) if axes.kind == VECTOR else axes.inputs
    weights = ops.cast(ops.convert_to_tensor(variable), values.dtype)
    allowed = ops.cast(share, values.dtype) * ops.maximum(_norms(weights, summed)[0], _LEAST_WEIGHTS)
    norms, scale = _norms(values, summed)
    shorter = values * scale * (allowed / ops.maximum(norms, _LEAST_GRADIENT * scale))
    return with_values(gradient, ops.where(norms > allowed * scale, shorter, values))


def _norms(values, axes):
    """(L2 norms over these axes times a power of two, that power)."""
    if 0 in values.shape:
        norms = ops.sqrt(ops.sum(ops.square(values), axes, keepdims=True))
        return norms, ops.ones_like(norms)
    largest = ops.max(ops.abs(values), axes, keepdims=True) if axes else ops.abs(values)
    scale = ops.where(largest > _LARGE, ops.cast(_SHRINK, values.dtype), ops.cast(1.0, values.dtype))
    squares = ops.square(values * scale)
    return ops.sqrt(ops.sum(squares, axes, keepdims=True) if axes else squares), scale


def is_centralized(axes, shape) -> bool:
    """Whether gradient centralization concerns a variable: not vectors, tables, and what has one input."""
    return axes.kind not in (VECTOR, EMBEDDING) and axes.sizes(shape)[1] > 1


def centralized(gradient, axes):
    """A gradient less its mean over the inputs, for each output (Yong et al. 2020)."""
    return gradient - ops.mean(gradient, axes.inputs, keepdims=True)
