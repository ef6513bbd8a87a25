"""The twins of Nadam, NAdamW, Adamax, Adadelta, FTRL-Proximal and Lion."""

import numpy as np

from keras_optims.testing.reference.steps import at, decayed, in_float64, number


def nadam(gradients, start, learning_rate, beta_1, beta_2, epsilon, momentum_decay=1.0, weight_decay=None, numbers=None):
    """Dozat 2016, Algorithm 2, with the schedule of his report at the speed ψ; Π is the product of all μ, of the β₁ of now."""
    theta, path = np.asarray(start, np.float64), []
    first, second = np.zeros_like(theta), np.zeros_like(theta)
    for step, gradient in enumerate(in_float64(gradients)):
        theta = decayed(theta, learning_rate, weight_decay, step)
        t, b1, b2 = number(step, numbers), at(beta_1, step), at(beta_2, step)
        mu = [b1 * (1 - 0.5 * 0.96 ** (i * momentum_decay)) for i in range(1, t + 2)]  # μ₁ ... μₜ₊₁
        first = b1 * first + (1 - b1) * gradient
        second = b2 * second + (1 - b2) * gradient**2
        ahead = mu[t] * first / (1 - np.prod(mu)) + (1 - mu[t - 1]) * gradient / (1 - np.prod(mu[:t]))
        theta = theta - at(learning_rate, step) * ahead / (np.sqrt(second / (1 - b2**t)) + at(epsilon, step))
        path.append(theta)
    return path


def nadamw(gradients, start, learning_rate, beta_1, beta_2, epsilon, weight_decay=None, numbers=None):
    """Adam (Kingma & Ba 2015, Algorithm 1) whose corrected first moment counts the gradient once more, as if at the next step."""
    theta, path = np.asarray(start, np.float64), []
    first, second = np.zeros_like(theta), np.zeros_like(theta)
    for step, gradient in enumerate(in_float64(gradients)):
        theta = decayed(theta, learning_rate, weight_decay, step)
        t, b1, b2 = number(step, numbers), at(beta_1, step), at(beta_2, step)
        first = b1 * first + (1 - b1) * gradient
        second = b2 * second + (1 - b2) * gradient**2
        first_hat, second_hat = (b1 * first + (1 - b1) * gradient) / (1 - b1**t), second / (1 - b2**t)
        theta = theta - at(learning_rate, step) * first_hat / (np.sqrt(second_hat) + at(epsilon, step))
        path.append(theta)
    return path


def adamax(gradients, start, learning_rate, beta_1, beta_2, epsilon, weight_decay=None, numbers=None):
    """Kingma & Ba 2015, Algorithm 2, with ε beside the norm."""
    theta, path = np.asarray(start, np.float64), []
    first, norm = np.zeros_like(theta), np.zeros_like(theta)
    for step, gradient in enumerate(in_float64(gradients)):
        theta = decayed(theta, learning_rate, weight_decay, step)
        b1 = at(beta_1, step)
        first = b1 * first + (1 - b1) * gradient
        norm = np.maximum(at(beta_2, step) * norm, np.abs(gradient))
        theta = theta - at(learning_rate, step) / (1 - b1 ** number(step, numbers)) * first / (norm + at(epsilon, step))
        path.append(theta)
    return path


def adadelta(gradients, start, learning_rate, rho, epsilon, weight_decay=None):
    """Zeiler 2012, Algorithm 1, with a factor η on the step that is taken, which the mean of the squared steps does not see."""
    theta, path = np.asarray(start, np.float64), []
    of_gradients, of_steps = np.zeros_like(theta), np.zeros_like(theta)
    for step, gradient in enumerate(in_float64(gradients)):
        theta = decayed(theta, learning_rate, weight_decay, step)
        decay, eps = at(rho, step), at(epsilon, step)
        of_gradients = decay * of_gradients + (1 - decay) * gradient**2
        change = -np.sqrt(of_steps + eps) / np.sqrt(of_gradients + eps) * gradient
        of_steps = decay * of_steps + (1 - decay) * change**2
        theta = theta + at(learning_rate, step) * change
        path.append(theta)
    return path


def lion(gradients, start, learning_rate, beta_1, beta_2, weight_decay=None):
    """Chen et al. 2023, Algorithm 2."""
    theta, path = np.asarray(start, np.float64), []
    average = np.zeros_like(theta)
    for step, gradient in enumerate(in_float64(gradients)):
        theta = decayed(theta, learning_rate, weight_decay, step)
        b1, b2 = at(beta_1, step), at(beta_2, step)
        theta = theta - at(learning_rate, step) * np.sign(b1 * average + (1 - b1) * gradient)
        average = b2 * average + (1 - b2) * gradient
        path.append(theta)
    return path


def ftrl(
    gradients,
    start,
    learning_rate,
    learning_rate_power,
    initial_accumulator_value,
    l1_regularization_strength,
    l2_regularization_strength,
    l2_shrinkage_regularization_strength,
    beta,
    weight_decay=None,
):
    """McMahan et al. 2013, Algorithm 1, with TensorFlow's additions: the power, n at the start, 2·λ₂ for λ₂, the shrinkage.

    Weight decay shrinks the weights and the sum z that they are computed from.
    """
    theta, path = np.asarray(start, np.float64), []
    total, linear = np.full_like(theta, initial_accumulator_value), np.zeros_like(theta)
    for step, gradient in enumerate(in_float64(gradients)):
        theta = decayed(theta, learning_rate, weight_decay, step)
        linear = decayed(linear, learning_rate, weight_decay, step)
        rate, l1 = at(learning_rate, step), at(l1_regularization_strength, step)
        roots = [n**-learning_rate_power for n in (total, total + gradient**2)]
        sigma = (roots[1] - roots[0]) / rate
        total = total + gradient**2
        linear = linear + gradient + 2 * at(l2_shrinkage_regularization_strength, step) * theta - sigma * theta
        curvature = (at(beta, step) + roots[1]) / rate + 2 * at(l2_regularization_strength, step)
        theta = np.where(np.abs(linear) <= l1, 0.0, -(linear - np.sign(linear) * l1) / curvature)
        path.append(theta)
    return path
