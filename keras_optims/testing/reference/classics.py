"""The twins of the six classics."""

import numpy as np

from keras_optims.testing.reference.steps import at, decayed, in_float64, number


def gradient_descent(gradients, start, learning_rate, weight_decay=None):
    """θ_t = θ_0 − Σ η_i g_i."""
    theta, path = np.asarray(start, np.float64), []
    for step, gradient in enumerate(in_float64(gradients)):
        theta = decayed(theta, learning_rate, weight_decay, step) - at(learning_rate, step) * gradient
        path.append(theta)
    return path


def momentum(gradients, start, learning_rate, momentum, nesterov=False, weight_decay=None):
    """Polyak's heavy ball; Nesterov's as Sutskever et al. 2013, eq. 3-4, following the lookahead weights θ + γu."""
    gradients = in_float64(gradients)
    theta, path = np.asarray(start, np.float64), []
    velocity = np.zeros_like(theta)
    for step, gradient in enumerate(gradients):
        theta = decayed(theta, learning_rate, weight_decay, step)
        gamma = at(momentum, step)
        if nesterov:
            before = theta - gamma * velocity  # the weights that the lookahead θ was made from
            velocity = gamma * velocity - at(learning_rate, step) * gradient
            theta = before + velocity + gamma * velocity
        else:
            velocity = gamma * velocity - at(learning_rate, step) * gradient
            theta = theta + velocity
        path.append(theta)
    return path


def adagrad(gradients, start, learning_rate, initial_accumulator_value, epsilon, weight_decay=None):
    """Duchi et al. 2011, Fig. 1, diagonal; G is the sum over all gradients so far, ε inside the root."""
    gradients = in_float64(gradients)
    theta, path = np.asarray(start, np.float64), []
    for step, gradient in enumerate(gradients):
        theta = decayed(theta, learning_rate, weight_decay, step)
        total = initial_accumulator_value + np.sum([g * g for g in gradients[: step + 1]], axis=0)
        theta = theta - at(learning_rate, step) * gradient / np.sqrt(total + at(epsilon, step))
        path.append(theta)
    return path


def rmsprop(gradients, start, learning_rate, rho, momentum, epsilon, centered=False, weight_decay=None):
    """Graves 2013, eq. 38-45, with ε inside the root; v and a as recursions because ρ may follow a schedule."""
    theta, path = np.asarray(start, np.float64), []
    mean_square, mean, velocity = (np.zeros_like(theta) for _ in range(3))
    for step, gradient in enumerate(in_float64(gradients)):
        theta = decayed(theta, learning_rate, weight_decay, step)
        decay = at(rho, step)
        mean_square = decay * mean_square + (1 - decay) * gradient**2
        mean = decay * mean + (1 - decay) * gradient
        variance = mean_square - mean**2 if centered else mean_square
        velocity = at(momentum, step) * velocity - at(learning_rate, step) * gradient / np.sqrt(variance + at(epsilon, step))
        theta = theta + velocity
        path.append(theta)
    return path


def adam(gradients, start, learning_rate, beta_1, beta_2, epsilon, amsgrad=False, weight_decay=None, numbers=None):
    """Kingma & Ba 2015, Algorithm 1, with the ε̂ of Section 2, i.e. ε/√(1−β₂ᵗ) beside the corrected root; AMSGrad before it."""
    theta, path = np.asarray(start, np.float64), []
    first, second, largest = (np.zeros_like(theta) for _ in range(3))
    for step, gradient in enumerate(in_float64(gradients)):
        theta = decayed(theta, learning_rate, weight_decay, step)
        t, b1, b2 = number(step, numbers), at(beta_1, step), at(beta_2, step)
        first = b1 * first + (1 - b1) * gradient
        second = b2 * second + (1 - b2) * gradient**2
        largest = np.maximum(largest, second)
        first_hat = first / (1 - b1**t)
        second_hat = (largest if amsgrad else second) / (1 - b2**t)
        epsilon_hat = at(epsilon, step) / np.sqrt(1 - b2**t)
        theta = theta - at(learning_rate, step) * first_hat / (np.sqrt(second_hat) + epsilon_hat)
        path.append(theta)
    return path
