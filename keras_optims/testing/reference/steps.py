"""What the twins share."""

import numpy as np


def at(hyperparameter, step):
    """The number that a hyperparameter is at a step."""
    return float(hyperparameter(step)) if callable(hyperparameter) else float(hyperparameter)


def in_float64(gradients):
    """The gradients as float64 arrays."""
    return [np.asarray(gradient, np.float64) for gradient in gradients]


def number(step, numbers):
    """t: the number of a step, 1 at the first, or as `numbers` has it: a row of a table may have no gradient in some steps."""
    return step + 1 if numbers is None else numbers[step]


def decayed(theta, learning_rate, weight_decay, step):
    """θ − η·λ·θ: decoupled weight decay (Loshchilov & Hutter 2019)."""
    if weight_decay is None:
        return theta
    return theta - at(learning_rate, step) * at(weight_decay, step) * theta
