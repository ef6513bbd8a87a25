"""Newton-Schulz iterations: the nearest orthogonal matrix, by multiplications alone.

A matrix U·S·Vᵀ becomes U·Vᵀ, or nearly: an odd polynomial of the matrix is the same polynomial of its singular values, and one
that is repeated drives all of them towards 1.
"""

from __future__ import annotations

from keras import ops

ORIGINAL = (3.4445, -4.7750, 2.0315)
"""K. Jordan et al. 2024, the steepest at 0 of those that stay bounded: singular values end between 0.68 and 1.14."""

QUINTIC = (
    (4.0848, -6.8946, 2.9270),
    (3.9505, -6.3029, 2.6377),
    (3.7418, -5.5913, 2.3037),
    (2.8769, -3.1427, 1.2046),
    (2.8366, -3.0525, 1.2012),
)
"""One polynomial for each of five iterations, as of timm: singular values from 0.01 on end between 0.97 and 1.04."""

POLAR_EXPRESS = (
    (8.156554524902461, -22.48329292557795, 15.878769915207462),
    (4.042929935166739, -2.808917465908714, 0.5000178451051316),
    (3.8916678022926607, -2.772484153217685, 0.5060648178503393),
    (3.285753657755655, -2.3681294933425376, 0.46449024233003106),
    (2.3465413258596377, -1.7097828382687081, 0.42323551169305323),
)
"""Amsel et al. 2025, https://arxiv.org/abs/2505.16932, for matrices shorter than 1; small singular values rise fastest."""


def orthogonalized(matrices, coefficients, epsilon=1e-7, margin=1.0, dtype=None):
    """The nearest orthogonal matrices, roughly.

    X ← X / (margin·‖X‖ + ε), with the Frobenius norm, which no singular value exceeds; then for each (a, b, c)

        A = X·Xᵀ,  X ← a·X + (b·A + c·A²)·X

    Args:
        matrices: a tensor (.., m, n); where m ≤ n, A is the smaller of the two products.
        coefficients: (a, b, c) for each iteration.
        epsilon: ε.
        margin: by how much longer than their norm the matrices are taken to be.
        dtype: of the iterations; `None`: that of the matrices.

    Returns:
        A tensor of the same shape and dtype.
    """
    norms = ops.sqrt(ops.sum(ops.square(matrices), axis=(-2, -1), keepdims=True))
    x = matrices / (norms * margin + epsilon)
    x = x if dtype is None else ops.cast(x, dtype)
    for a, b, c in coefficients:
        square = ops.matmul(x, ops.swapaxes(x, -2, -1))
        x = a * x + ops.matmul(b * square + c * ops.matmul(square, square), x)
    return ops.cast(x, matrices.dtype)
