"""Algorithms whose step depends on the whole variable: norms, and means along its axes. Each array is one variable."""

import numpy as np

from keras_optims.testing.reference.steps import at, decayed, in_float64


def lamb(gradients, start, learning_rate, beta_1, beta_2, epsilon, always_adapt=True, trust_clip=False, weight_decay=None):
    """You et al. 2020, Algorithm 2, with φ the identity; `always_adapt` and `trust_clip` as in timm."""
    theta, path = np.asarray(start, np.float64), []
    first, second = np.zeros_like(theta), np.zeros_like(theta)
    for step, gradient in enumerate(in_float64(gradients)):
        t, b1, b2 = step + 1, at(beta_1, step), at(beta_2, step)
        first = b1 * first + (1 - b1) * gradient
        second = b2 * second + (1 - b2) * gradient**2
        ratio = (first / (1 - b1**t)) / (np.sqrt(second / (1 - b2**t)) + at(epsilon, step))
        update = ratio if weight_decay is None else ratio + at(weight_decay, step) * theta
        trust = 1.0
        if always_adapt or weight_decay is not None:
            weights, length = np.linalg.norm(theta.ravel()), np.linalg.norm(update.ravel())
            trust = float(weights / length) if weights > 0 and length > 0 else 1.0
        trust = min(trust, 1.0) if trust_clip else trust
        theta = theta - at(learning_rate, step) * trust * update
        path.append(theta)
    return path


def lars(
    gradients,
    start,
    learning_rate,
    momentum,
    trust_coefficient,
    nesterov=False,
    always_adapt=True,
    trust_clip=False,
    rate_outside=False,
    weight_decay=None,
):
    """You, Gitman & Ginsburg 2017, Algorithm 1; with the rate outside of the buffer as in timm; Nesterov as in `momentum`."""
    theta, path = np.asarray(start, np.float64), []
    buffer = np.zeros_like(theta)
    for step, gradient in enumerate(in_float64(gradients)):
        penalty = 0.0 if weight_decay is None else at(weight_decay, step)
        local = 1.0
        if always_adapt or weight_decay is not None:
            weights, length = np.linalg.norm(theta.ravel()), np.linalg.norm(gradient.ravel())
            if weights > 0 and length > 0:
                local = at(trust_coefficient, step) * weights / (length + penalty * weights)
        local = min(local, 1.0) if trust_clip else local
        eta, gamma = at(learning_rate, step), at(momentum, step)
        entering = local * (gradient + penalty * theta) * (1.0 if rate_outside else eta)
        buffer = gamma * buffer + entering
        way = gamma * buffer + entering if nesterov else buffer
        theta = theta - (eta * way if rate_outside else way)
        path.append(theta)
    return path


def adafactor(
    gradients,
    start,
    learning_rate,
    beta_2_decay,
    epsilon_1,
    epsilon_2,
    clip_threshold,
    relative_step=True,
    beta_1=None,
    scale_parameter=True,
    min_size_to_factor=0,
    weight_decay=None,
):
    """Shazeer & Stern 2018, Algorithms 4 to 6, with sums of rows and columns as in Algorithm 2, of the last two axes."""
    theta, path = np.asarray(start, np.float64), []
    factored = theta.ndim >= 2 and min(theta.shape[-2:]) >= min_size_to_factor
    rows, columns, whole, mean_step = 0.0, 0.0, 0.0, np.zeros_like(theta)
    for step, gradient in enumerate(in_float64(gradients)):
        theta, t = decayed(theta, learning_rate, weight_decay, step), step + 1
        beta = 1 - t ** at(beta_2_decay, step)
        squares = gradient**2 + at(epsilon_1, step)
        if factored:
            rows = beta * rows + (1 - beta) * squares.sum(axis=-1, keepdims=True)
            columns = beta * columns + (1 - beta) * squares.sum(axis=-2, keepdims=True)
            estimate = rows * columns / rows.sum(axis=-2, keepdims=True)
        else:
            whole = beta * whole + (1 - beta) * squares
            estimate = whole
        update = gradient / np.sqrt(estimate)
        update = update / max(1.0, _rms(update) / at(clip_threshold, step))
        rate = at(learning_rate, step)
        rate = min(rate, 1 / np.sqrt(t)) if relative_step else rate
        rate = rate * max(at(epsilon_2, step), _rms(theta)) if scale_parameter else rate
        if beta_1 is None:
            theta = theta - rate * update
        else:
            mean_step = at(beta_1, step) * mean_step + (1 - at(beta_1, step)) * rate * update
            theta = theta - mean_step
        path.append(theta)
    return path


def _rms(array):
    """Root mean square."""
    return np.sqrt(np.mean(array**2)) if array.size else 0.0
