"""The twins of the matrix methods, and of what is done with gradients and updates by output."""

import numpy as np


def adaptively_clipped(gradient, weights, units, share):
    """Brock et al. 2021, eq. 3: for each unit, G ← λ·max(‖W‖, 1e-3)/‖G‖·G where ‖G‖ is larger than that share of ‖W‖.

    `units` are the axes that are summed over; `None`: all.
    """
    gradient, weights = np.asarray(gradient, np.float64), np.asarray(weights, np.float64)
    of_weights = np.maximum(np.sqrt(np.sum(weights**2, axis=units, keepdims=True)), 1e-3)
    of_gradient = np.sqrt(np.sum(gradient**2, axis=units, keepdims=True))
    clipped = gradient * (share * of_weights / np.maximum(of_gradient, 1e-6))
    return np.where(of_gradient > share * of_weights, clipped, gradient)


def centralized(gradient, inputs):
    """Yong et al. 2020, eq. 1: the gradient of each output less its mean."""
    gradient = np.asarray(gradient, np.float64)
    return gradient - gradient.mean(axis=inputs, keepdims=True)


def cautious(update, gradient):
    """Liang et al. 2024, Algorithm 1 as in their code: u·φ/max(mean φ, 1e-3) where φ = 1 if u·g > 0, for θ ← θ − u."""
    mask = np.asarray(update * gradient > 0, np.float64)
    return update * mask / max(mask.mean(), 1e-3)
