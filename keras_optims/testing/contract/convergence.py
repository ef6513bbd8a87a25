"""It minimizes, with one of a few learning rates: two quadratics, Rosenbrock's valley, and a regression on real digits."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from keras_optims.testing.compiled_step import CompiledStep
from keras_optims.testing.contract.check import ContractError, MakeOptimizer, NotApplicable, contract_check
from keras_optims.testing.contract.making import made
from keras_optims.testing.contract.walking import Arrays, make_variables

LEARNING_RATES = (0.1, 0.01, 1.0, 0.001, 10.0, 100.0, 0.003, 0.005)

Problem = Callable[[Arrays], tuple[float, Arrays]]
"""A function of the weights that returns its value and its gradients."""


@contract_check
def converges_on_a_quadratic(make_optimizer: MakeOptimizer) -> None:
    """200 steps on a round quadratic bring the loss below a hundredth, with one of eight learning rates.

    There is no easier problem.
    """
    _require_convergence(make_optimizer, functools.partial(_quadratic, np.ones((3, 2))), [np.full((3, 2), 2.0)], 200, 1e-2)


@contract_check
def converges_on_an_ill_conditioned_quadratic(make_optimizer: MakeOptimizer) -> None:
    """200 steps on a quadratic of condition number 1000 bring the loss below a hundredth, with one of eight learning rates.

    Curvatures of real networks differ by more.
    """
    curvatures = np.logspace(0, -3, 6).reshape(3, 2)
    _require_convergence(make_optimizer, functools.partial(_quadratic, curvatures), [np.full((3, 2), 2.0)], 200, 1e-2)


@contract_check
def converges_on_rosenbrock(make_optimizer: MakeOptimizer) -> None:
    """500 steps along Rosenbrock's curved valley bring the loss below a tenth, with one of eight learning rates.

    Direction and scale of the gradient change all the way.
    """
    _require_convergence(make_optimizer, _rosenbrock, [np.array([-1.2, 1.0])], 500, 0.1)


@contract_check
def converges_on_real_digits(make_optimizer: MakeOptimizer) -> None:
    """100 steps of logistic regression on 300 real digits bring the loss below a third, with one of eight learning rates.

    Real gradients are sparse, correlated and of many sizes.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise NotApplicable("scikit-learn, which brings the digits, is not installed") from None
    x, labels = (each[:300] for each in load_digits(return_X_y=True))
    problem = functools.partial(_logistic_regression, x / 16, np.eye(10)[labels])
    _require_convergence(make_optimizer, problem, [np.zeros((64, 10)), np.zeros(10)], 100, 1 / 3)


def _require_convergence(make_optimizer: MakeOptimizer, problem: Problem, start: Arrays, steps: int, factor: float):
    first = problem(start)[0]
    best = (np.inf, 0.0)
    for learning_rate in LEARNING_RATES:
        optimizer = made(make_optimizer, learning_rate=learning_rate)
        step = CompiledStep(optimizer, make_variables([each.astype("float32") for each in start]))
        for _ in range(steps):
            loss, gradients = problem([weight.astype("float64") for weight in step.weights()])
            if not loss < 1e6 * first:  # diverged, or NaN
                break
            step([gradient.astype("float32") for gradient in gradients])
        loss = problem([weight.astype("float64") for weight in step.weights()])[0]
        if loss < factor * first:
            return
        best = min(best, (loss if np.isfinite(loss) else np.inf, learning_rate))
    at_best = f"{best[0]:.3g} at best, with learning rate {best[1]:g}"
    raise ContractError(f"the loss went from {first:.3g} to {at_best}, and not below {factor * first:.3g}")


def _quadratic(curvatures: np.ndarray, weights: Arrays) -> tuple[float, Arrays]:
    """½ Σ c·(θ − 1)²."""
    apart = weights[0] - 1
    return float(0.5 * np.sum(curvatures * apart**2)), [curvatures * apart]


def _rosenbrock(weights: Arrays) -> tuple[float, Arrays]:
    """(1 − x)² + 100·(y − x²)², Rosenbrock 1960."""
    x, y = weights[0]
    gradient = np.array([-2 * (1 - x) - 400 * x * (y - x * x), 200 * (y - x * x)])
    return float((1 - x) ** 2 + 100 * (y - x * x) ** 2), [gradient]


def _logistic_regression(x: np.ndarray, y: np.ndarray, weights: Arrays) -> tuple[float, Arrays]:
    """The mean cross-entropy of softmax(x·W + b), for one-hot y."""
    logits = x @ weights[0] + weights[1]
    logits = logits - logits.max(axis=1, keepdims=True)
    log_probabilities = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    residual = (np.exp(log_probabilities) - y) / len(x)
    return float(-np.mean(np.sum(y * log_probabilities, axis=1))), [x.T @ residual, residual.sum(axis=0)]
