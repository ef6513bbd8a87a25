"""The twins of the matrix methods, and of what is done with gradients and updates by output."""

import numpy as np

from keras_optims.testing.reference.steps import at, decayed, in_float64


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


POLYNOMIALS = {
    "original": [(3.4445, -4.7750, 2.0315)],
    "quintic": [
        (4.0848, -6.8946, 2.9270),
        (3.9505, -6.3029, 2.6377),
        (3.7418, -5.5913, 2.3037),
        (2.8769, -3.1427, 1.2046),
        (2.8366, -3.0525, 1.2012),
    ],
    "polar_express": [
        (8.156554524902461, -22.48329292557795, 15.878769915207462),
        (4.042929935166739, -2.808917465908714, 0.5000178451051316),
        (3.8916678022926607, -2.772484153217685, 0.5060648178503393),
        (3.285753657755655, -2.3681294933425376, 0.46449024233003106),
        (2.3465413258596377, -1.7097828382687081, 0.42323551169305323),
    ],
}


def newton_schulz(matrix, polynomials, epsilon=1e-7, margin=1.0):
    """Each polynomial a·x + b·x³ + c·x⁵ of the singular values of the matrix, which is scaled by its Frobenius norm before."""
    u, s, v = np.linalg.svd(np.asarray(matrix, np.float64), full_matrices=False)
    s = s / (margin * np.sqrt(np.sum(s**2)) + epsilon)
    for a, b, c in polynomials:
        s = a * s + b * s**3 + c * s**5
    return u @ np.diag(s) @ v


def muon(
    gradients,
    start,
    learning_rate,
    momentum=0.95,
    weight_decay=0.004,
    nesterov=True,
    ns_steps=5,
    scale="match_rms",
    rms_rate=0.2,
    coefficients="original",
    adam_beta_1=0.9,
    adam_beta_2=0.999,
    adam_weight_decay=0.004,
    adam_lr_ratio=1.0,
    epsilon=1e-7,
):
    """Jordan et al. 2024, with the scales and the decay of Liu et al. 2025, by the singular values; what is no matrix by Adam."""
    theta, path = np.asarray(start, np.float64), []
    if theta.ndim != 2 or 0 in theta.shape:
        return _adam_beside(gradients, theta, learning_rate, adam_beta_1, adam_beta_2, adam_weight_decay, adam_lr_ratio, epsilon)
    inputs, outputs = theta.shape
    known = POLYNOMIALS[coefficients]
    polynomials = [known[min(i, len(known) - 1)] for i in range(ns_steps)]
    least, margin = (1e-6, 1.02) if coefficients == "polar_express" else (1e-7, 1.0)
    s = {
        "match_rms": 1.0 if rms_rate is None else rms_rate * max(inputs, outputs) ** 0.5,
        "original": max(1.0, outputs / inputs) ** 0.5,
        "spectral": (outputs / inputs) ** 0.5,
    }[scale]
    total = np.zeros_like(theta)
    for step, gradient in enumerate(in_float64(gradients)):
        theta = decayed(theta, learning_rate, weight_decay, step)
        mu = at(momentum, step)
        total = mu * total + gradient
        update = gradient + mu * total if nesterov else total
        theta = theta - at(learning_rate, step) * s * newton_schulz(update, polynomials, least, margin)
        path.append(theta)
    return path


def _adam_beside(gradients, theta, learning_rate, beta_1, beta_2, weight_decay, ratio, epsilon):
    """Kingma & Ba 2015 with the rate r·η, and a decay by η alone."""
    path, m, v = [], np.zeros_like(theta), np.zeros_like(theta)
    for step, gradient in enumerate(in_float64(gradients)):
        theta = decayed(theta, learning_rate, weight_decay, step)
        t, b1, b2 = step + 1, at(beta_1, step), at(beta_2, step)
        m, v = b1 * m + (1 - b1) * gradient, b2 * v + (1 - b2) * gradient**2
        correction = np.sqrt(1 - b2**t)
        rate = at(learning_rate, step) * at(ratio, step)
        theta = theta - rate * (m / (1 - b1**t)) / (np.sqrt(v) / correction + at(epsilon, step) / correction)
        path.append(theta)
    return path


def soap(
    gradients,
    start,
    learning_rate,
    beta_1,
    beta_2,
    epsilon,
    weight_decay=0.01,
    shampoo_beta=None,
    precondition_frequency=10,
    max_precond_dim=10000,
):
    """Vyas et al. 2024, Algorithm 3, in the order of the authors' code; what is no matrix is not turned.

    The first moment is kept as it is, and turned for each step.
    """
    theta, path = np.asarray(start, np.float64), []
    sides = [i for i in range(2) if theta.ndim == 2 and 1 < theta.shape[i] <= max_precond_dim]
    squares = {i: np.zeros((theta.shape[i],) * 2) for i in sides}
    bases: dict = {}
    m, v = np.zeros_like(theta), np.zeros_like(theta)

    def turned(x):
        for i in sides:
            x = bases[i].T @ x if i == 0 else x @ bases[i]
        return x

    def back(x):
        for i in sides:
            x = bases[i] @ x if i == 0 else x @ bases[i].T
        return x

    for n, g in enumerate(in_float64(gradients)):
        b1, b2 = at(beta_1, n), at(beta_2, n)
        if n > 0:
            m = b1 * m + (1 - b1) * g
            v = b2 * v + (1 - b2) * turned(g) ** 2
            m_hat = turned(m) / (1 - b1**n)
            v_hat, c = v / (1 - b2**n), at(epsilon, n) / np.sqrt(1 - b2**n)
            theta = theta - at(learning_rate, n) * back(m_hat / (np.sqrt(v_hat) + c))
            theta = decayed(theta, learning_rate, weight_decay, n)
        beta = b2 if shampoo_beta is None else at(shampoo_beta, n)
        for i in sides:
            squares[i] = beta * squares[i] + (1 - beta) * (g @ g.T if i == 0 else g.T @ g)
            if n == 0:
                bases[i] = np.linalg.eigh(squares[i])[1][:, ::-1]
            elif n % precondition_frequency == 0:
                order = np.argsort(-np.diag(bases[i].T @ squares[i] @ bases[i]), kind="stable")
                v = np.take(v, order, axis=i)
                bases[i] = np.linalg.qr(squares[i] @ bases[i][:, order])[0]
        path.append(theta)
    return path
