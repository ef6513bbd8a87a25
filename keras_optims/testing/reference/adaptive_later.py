"""Adaptive methods after Adam, and those that have grown from them."""

import math

import numpy as np

from keras_optims.testing.reference.steps import at, decayed, in_float64


def _numbered(gradients, numbers):
    """(number of the step from 1 on, gradient) of each."""
    gradients = in_float64(gradients)
    return list(zip(range(1, len(gradients) + 1) if numbers is None else numbers, gradients, strict=True))


def _rectified(t, beta):
    """Liu et al. 2020, Algorithm 2: r_t, or `None` where the variance of the rate is not tractable."""
    limit = 2 / (1 - beta) - 1
    rho = limit - 2 * t * beta**t / (1 - beta**t)
    if rho <= 5:
        return None
    return math.sqrt((rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho))


def radam(gradients, start, learning_rate, beta_1, beta_2, epsilon, early="momentum", weight_decay=None, numbers=None):
    """Liu et al. 2020, Algorithm 2, with ε beside the root of v itself: ε/√(1−β₂ᵗ) beside the corrected one."""
    theta, path = np.asarray(start, np.float64), []
    first, second = np.zeros_like(theta), np.zeros_like(theta)
    for t, gradient in _numbered(gradients, numbers):
        rate, b1, b2, eps = (at(each, t - 1) for each in (learning_rate, beta_1, beta_2, epsilon))
        theta = decayed(theta, learning_rate, weight_decay, t - 1)
        first = b1 * first + (1 - b1) * gradient
        second = b2 * second + (1 - b2) * gradient**2
        r = _rectified(t, b2)
        if r is not None:
            adaptive = 1 / (np.sqrt(second / (1 - b2**t)) + eps / math.sqrt(1 - b2**t))
            theta = theta - rate * r * adaptive * first / (1 - b1**t)
        elif early == "momentum":
            theta = theta - rate * first / (1 - b1**t)
        path.append(theta)
    return path


def adabelief(gradients, start, learning_rate, beta_1, beta_2, epsilon, rectify=True, weight_decay=None, numbers=None):
    """Zhuang et al. 2020, Algorithm 2, where ε is added to s_t itself; rectified as version 0.2.0 of the authors' code."""
    theta, path = np.asarray(start, np.float64), []
    first, deviation = np.zeros_like(theta), np.zeros_like(theta)
    for t, gradient in _numbered(gradients, numbers):
        rate, b1, b2, eps = (at(each, t - 1) for each in (learning_rate, beta_1, beta_2, epsilon))
        theta = decayed(theta, learning_rate, weight_decay, t - 1)
        first = b1 * first + (1 - b1) * gradient
        deviation = b2 * deviation + (1 - b2) * (gradient - first) ** 2 + eps
        first_hat, r = first / (1 - b1**t), _rectified(t, b2)
        if not rectify:
            theta = theta - rate * first_hat / (np.sqrt(deviation / (1 - b2**t)) + eps)
        elif r is None:
            theta = theta - rate * first_hat
        else:
            theta = theta - rate * r * math.sqrt(1 - b2**t) * first_hat / (np.sqrt(deviation) + eps)
        path.append(theta)
    return path


def yogi(
    gradients, start, learning_rate, beta_1, beta_2, epsilon, initial_accumulator_value=1e-6, weight_decay=None, numbers=None
):
    """Zaheer et al. 2018, Algorithm 2, with the corrections of TensorFlow Addons."""
    theta, path = np.asarray(start, np.float64), []
    first, second = np.zeros_like(theta), np.full_like(theta, initial_accumulator_value)
    for t, gradient in _numbered(gradients, numbers):
        rate, b1, b2, eps = (at(each, t - 1) for each in (learning_rate, beta_1, beta_2, epsilon))
        theta = decayed(theta, learning_rate, weight_decay, t - 1)
        first = b1 * first + (1 - b1) * gradient
        square = gradient**2
        second = np.where(
            second > square, second - (1 - b2) * square, np.where(second < square, second + (1 - b2) * square, second)
        )
        first_hat, second_hat = first / (1 - b1**t), second / (1 - b2**t)
        theta = theta - rate * first_hat / (np.sqrt(second_hat) + eps / math.sqrt(1 - b2**t))
        path.append(theta)
    return path


def adopt(gradients, start, learning_rate, beta_1, beta_2, epsilon, clip=True, weight_decay=None, numbers=None):
    """Taniguchi et al. 2024, Algorithm 2 (clipped by c_t = t^¼ with t from 0), decay decoupled and none in the first step."""
    theta, path = np.asarray(start, np.float64), []
    first, second = np.zeros_like(theta), np.zeros_like(theta)
    for t, gradient in _numbered(gradients, numbers):
        if t == 1:
            second = gradient**2
            path.append(theta)
            continue
        rate, b1, b2, eps = (at(each, t - 1) for each in (learning_rate, beta_1, beta_2, epsilon))
        theta = decayed(theta, learning_rate, weight_decay, t - 1)
        normalized = gradient / np.maximum(np.sqrt(second), eps)
        if clip:
            normalized = np.clip(normalized, -((t - 1) ** 0.25), (t - 1) ** 0.25)
        first = b1 * first + (1 - b1) * normalized
        theta = theta - rate * first
        second = b2 * second + (1 - b2) * gradient**2
        path.append(theta)
    return path


def ademamix(
    gradients,
    start,
    learning_rate,
    beta_2,
    beta_3,
    alpha,
    epsilon,
    beta_1=0.0,
    alpha_warmup=None,
    beta_3_warmup=None,
    weight_decay=None,
    numbers=None,
):
    """Pagliardini et al. 2024, Algorithm 1, with its schedules of α (linear) and β₃ (linear in the half-life, Appendix A.1)."""
    theta, path = np.asarray(start, np.float64), []
    fast, slow, second = (np.zeros_like(theta) for _ in range(3))
    for t, gradient in _numbered(gradients, numbers):
        values = (learning_rate, beta_1, beta_2, beta_3, alpha, epsilon)
        rate, b1, b2, b3, a, eps = (at(each, t - 1) for each in values)
        theta = decayed(theta, learning_rate, weight_decay, t - 1)
        if alpha_warmup is not None:
            a = min(t * a / alpha_warmup, a)
        if beta_3_warmup is not None and t < beta_3_warmup:
            low, high = (math.log(0.5) / math.log(b) if b else 0.0 for b in (b1, b3))
            b3 = 0.5 ** (1 / ((1 - t / beta_3_warmup) * low + t / beta_3_warmup * high))
        fast = b1 * fast + (1 - b1) * gradient
        slow = b3 * slow + (1 - b3) * gradient
        second = b2 * second + (1 - b2) * gradient**2
        theta = theta - rate * (fast / (1 - b1**t) + a * slow) / (np.sqrt(second / (1 - b2**t)) + eps)
        path.append(theta)
    return path


def adan(gradients, start, learning_rate, beta_1, beta_2, beta_3, epsilon, weight_decay=None, proximal=True, numbers=None):
    """Xie et al. 2022, Algorithm 1, with 1−β for the paper's β, no restart, and the bias corrections of the authors' code."""
    theta, path = np.asarray(start, np.float64), []
    m, v, n = (np.zeros_like(theta) for _ in range(3))
    before = np.zeros_like(theta)
    for t, gradient in _numbered(gradients, numbers):
        values = (learning_rate, beta_1, beta_2, beta_3, epsilon, weight_decay or 0.0)
        rate, b1, b2, b3, eps, decay = (at(each, t - 1) for each in values)
        difference = gradient - before if t > 1 else np.zeros_like(gradient)
        m = b1 * m + (1 - b1) * gradient
        v = b2 * v + (1 - b2) * difference
        n = b3 * n + (1 - b3) * (gradient + b2 * difference) ** 2
        step = rate / (np.sqrt(n / (1 - b3**t)) + eps) * (m / (1 - b1**t) + b2 * v / (1 - b2**t))
        theta = (theta - step) / (1 + rate * decay) if proximal else theta * (1 - rate * decay) - step
        before = gradient
        path.append(theta)
    return path


def novograd(gradients, start, learning_rate, beta_1, beta_2, epsilon, grad_averaging=False, weight_decay=None):
    """Ginsburg et al. 2019, Algorithm 1; one v for the whole array."""
    theta, path = np.asarray(start, np.float64), []
    first, second = np.zeros_like(theta), None
    for step, gradient in enumerate(in_float64(gradients)):
        rate, b1, b2, eps, decay = (at(each, step) for each in (learning_rate, beta_1, beta_2, epsilon, weight_decay or 0.0))
        norm = float(np.sum(gradient**2))
        second = norm if second is None else b2 * second + (1 - b2) * norm
        entering = gradient / (math.sqrt(second) + eps) + decay * theta
        first = b1 * first + (1 - b1 if grad_averaging else 1.0) * entering
        theta = theta - rate * first
        path.append(theta)
    return path
