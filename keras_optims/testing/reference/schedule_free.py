"""Algorithms that need no schedule. Each array is the whole model."""

import numpy as np

from keras_optims.testing.reference.steps import at, in_float64


def schedule_free_sgd(gradients, start, learning_rate, beta, weight_decay=None, **means):
    """Defazio et al. 2024, eq. 3-5, with the three sequences as they stand there; the path is that of y."""
    return [y for _, y in schedule_free_sequences(gradients, start, learning_rate, beta, weight_decay, **means)]


def schedule_free_adamw(gradients, start, learning_rate, beta_1, beta_2, epsilon, weight_decay=None, **means):
    """Defazio et al. 2024, Algorithm 1, with the decay at y as in the authors' package; the path is that of y."""
    adam = {"beta_2": beta_2, "epsilon": epsilon}
    return [y for _, y in schedule_free_sequences(gradients, start, learning_rate, beta_1, weight_decay, **adam, **means)]


def schedule_free_sequences(
    gradients,
    start,
    learning_rate,
    beta,
    weight_decay=None,
    beta_2=None,
    epsilon=0.0,
    warmup_steps=0,
    r=0.0,
    weight_lr_power=2.0,
):
    """[(x, y) after each step]; with `beta_2` the gradients are divided by the root of the mean of their squares."""
    x = y = z = np.asarray(start, np.float64)
    second, rates, weights, path = np.zeros_like(z), [], [], []
    for step, gradient in enumerate(in_float64(gradients)):
        t = step + 1
        rates.append(at(learning_rate, step) * (min(1.0, t / warmup_steps) if warmup_steps else 1.0))
        weights.append(t**r * max(rates) ** weight_lr_power)
        direction = gradient
        if beta_2 is not None:
            second = at(beta_2, step) * second + (1 - at(beta_2, step)) * gradient**2
            direction = gradient / (np.sqrt(second / (1 - at(beta_2, step) ** t)) + at(epsilon, step))
        if weight_decay is not None:
            direction = direction + at(weight_decay, step) * y
        z = z - rates[-1] * direction
        share = weights[-1] / sum(weights)
        x = (1 - share) * x + share * z
        y = (1 - at(beta, step)) * z + at(beta, step) * x
        path.append((x, y))
    return path


def prodigy(gradients, start, **hyperparameters):
    """Mishchenko & Defazio 2023, Algorithm 4, as the authors' package has it."""
    return [theta for theta, _ in prodigy_with_d(gradients, start, **hyperparameters)]


def prodigy_with_d(
    gradients,
    start,
    learning_rate,
    beta_1,
    beta_2,
    epsilon,
    d0,
    d_coef=1.0,
    beta_3=None,
    growth_rate=None,
    use_bias_correction=False,
    safeguard_warmup=False,
    slice_p=1,
    weight_decay=None,
):
    """[(weights, d) after each step]."""
    theta = begin = np.asarray(start, np.float64)
    seen = (np.arange(theta.size) % slice_p == 0).reshape(theta.shape)
    first, second, total = (np.zeros_like(theta) for _ in range(3))
    d, largest, numerator, path = float(d0), float(d0), 0.0, []
    for step, gradient in enumerate(in_float64(gradients)):
        t, b1, b2 = step + 1, at(beta_1, step), at(beta_2, step)
        b3 = np.sqrt(b2) if beta_3 is None else at(beta_3, step)
        rate = d * at(learning_rate, step) * (np.sqrt(1 - b2**t) / (1 - b1**t) if use_bias_correction else 1.0)
        numerator = b3 * numerator + d / d0 * rate * np.sum((gradient * (begin - theta))[seen])
        total = b3 * total + d / d0 * (d if safeguard_warmup else rate) * gradient
        first = b1 * first + (1 - b1) * d * gradient
        second = b2 * second + (1 - b2) * (d * gradient) ** 2
        norm = np.abs(total[seen]).sum()
        if norm > 0:
            estimate = at(d_coef, step) * numerator / norm
            d = max(d, estimate) if d == d0 else d
            largest = max(largest, estimate)
            d = min(largest, d * (np.inf if growth_rate is None else at(growth_rate, step)))
        if weight_decay is not None:
            theta = theta - at(weight_decay, step) * rate * theta
        root = np.sqrt(second) + d * at(epsilon, step)
        theta = theta - rate * np.divide(first, root, out=np.zeros_like(root), where=root > 0)
        path.append((theta, d))
    return path
