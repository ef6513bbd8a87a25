"""The experiments of docs/claims.md with the real optimizers: the tests check their numbers, `picture_claims.py` draws them.

A weight's gradient is a NumPy function of the weight and the step; the step is compiled as each backend's `fit` compiles it.
All but `long_training` cost a few hundred steps of a few weights, or a thousand.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import keras
import numpy as np
from keras import ops

import keras_optims
from keras_optims.testing.compiled_step import CompiledStep, as_numpy

Gradient = Callable[[np.ndarray, int], np.ndarray]  # of the weights and the number of steps so far


def train(optimizer, start, gradient: Gradient, steps: int, every: int = 1, **watched) -> dict[str, np.ndarray]:
    """What an optimizer does with weights that begin at `start`.

    Args:
        every, watched: after every so many steps, the values of these functions of the variable are kept by their names.

    Returns:
        `weights`, of shape (steps + 1, *shape), and what is watched, of shape (steps // every, *shape); float32.
    """
    variable = keras.Variable(np.asarray(start, "float32"), name="weights")
    return _go_on(CompiledStep(optimizer, [variable]), gradient, steps, every, watched)


def _go_on(step, gradient, steps, every, watched):
    (variable,) = step.variables
    kept: dict[str, list] = {"weights": [as_numpy(variable)], **{name: [] for name in watched}}
    for number in range(steps):
        step([np.asarray(gradient(kept["weights"][-1], number), "float32")])
        kept["weights"].append(as_numpy(variable))
        for name, value in watched.items() if (number + 1) % every == 0 else ():
            kept[name].append(np.broadcast_to(ops.convert_to_numpy(value(variable)), variable.shape).copy())
    return {name: np.stack(values) for name, values in kept.items()}


# -- momentum -------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Inertia:
    """Ways over a plateau; θ begins at 0, and the slope is −1 but for the plateau, where it is 0.

    Args:
        learning_rate: η of all.
        plateau: where it begins and ends.
        gradient_descent: θ before and after each step, (steps + 1,).
        momentum: the same by γ.
    """

    learning_rate: float
    plateau: tuple[float, float]
    gradient_descent: np.ndarray
    momentum: dict[float, np.ndarray]


def inertia() -> Inertia:
    """A ball on a slope that becomes level, and goes down again farther on."""
    learning_rate, (begin, end), steps = 0.03, (1.0, 2.5), 60

    def gradient(weight, _):
        return np.where((weight < begin) | (weight > end), -1.0, 0.0)

    def way(optimizer):
        return train(optimizer, 0.0, gradient, steps)["weights"]

    return Inertia(
        learning_rate,
        (begin, end),
        way(keras_optims.GradientDescent(learning_rate)),
        {momentum: way(keras_optims.Momentum(learning_rate, momentum)) for momentum in (0.8, 0.9)},
    )


def two_minima(weight):
    """A loss with a shallow minimum at θ = 0, a hill at 1 and a deep minimum at 3."""
    return weight**4 / 4 - 4 * weight**3 / 3 + 3 * weight**2 / 2


def two_minima_gradient(weight, _=None):
    """Its gradient, θ·(θ − 1)·(θ − 3)."""
    return weight * (weight - 1) * (weight - 3)


@dataclasses.dataclass(frozen=True)
class Escape:
    """Ways from θ = −1.2 on `two_minima`.

    Args:
        learning_rate: η of gradient descent and momentum.
        large_rate: η/(1−γ) with γ = 0.9, at which a constant gradient moves gradient descent as fast as momentum.
        gradient_descent, faster_descent: θ before and after each step with either rate, (steps + 1,).
        momentum: the same by γ.
        threshold: a γ below and one above the smallest with which momentum leaves, from a bisection.
    """

    learning_rate: float
    large_rate: float
    gradient_descent: np.ndarray
    faster_descent: np.ndarray
    momentum: dict[float, np.ndarray]
    threshold: tuple[float, float]


def escape(steps=200) -> Escape:
    """A ball that rolls into the shallow minimum, and has to pass the hill behind it."""
    learning_rate, start = 0.01, -1.2
    variable = keras.Variable(np.float32(start), name="weights")
    optimizer = keras_optims.Momentum(learning_rate)
    step = CompiledStep(optimizer, [variable])

    def way(momentum):
        optimizer.momentum = momentum  # live: the compiled step is the same for all
        optimizer.velocity[variable].assign(0.0)
        variable.assign(start)
        return _go_on(step, two_minima_gradient, steps, 1, {})["weights"]

    stays, leaves = 0.8, 0.9
    momentum = {value: way(value) for value in (stays, leaves)}
    for _ in range(5):
        middle = (stays + leaves) / 2
        stays, leaves = (stays, middle) if way(middle)[-1] > 1 else (middle, leaves)

    def descent(rate):
        return train(keras_optims.GradientDescent(rate), start, two_minima_gradient, steps)["weights"]

    large_rate = learning_rate / (1 - 0.9)
    return Escape(learning_rate, large_rate, descent(learning_rate), descent(large_rate), momentum, (stays, leaves))


# -- AdaGrad and RMSProp --------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class RareAndFrequent:
    """Weights whose gradient is 1 at every step, every 4th, 16th and 64th, and 0 otherwise.

    Args:
        learning_rate: η of all.
        every: how many steps are between two gradients of a weight, (4,).
        rates: the effective learning rates of AdaGrad after each step, (steps, 4).
        adagrad, gradient_descent: how far each weight has moved, (steps + 1, 4).
    """

    learning_rate: float
    every: np.ndarray
    rates: np.ndarray
    adagrad: np.ndarray
    gradient_descent: np.ndarray


def rare_and_frequent(steps=512) -> RareAndFrequent:
    """Weights of features that are seen often and seldom."""
    learning_rate, every = 0.1, np.array([1, 4, 16, 64])

    def gradient(_, number):
        return (number + 1) % every == 0

    adagrad = keras_optims.Adagrad(learning_rate)
    kept = train(adagrad, np.zeros(4), gradient, steps, rate=adagrad.effective_learning_rate)
    descent = train(keras_optims.GradientDescent(learning_rate), np.zeros(4), gradient, steps)
    return RareAndFrequent(learning_rate, every, kept["rate"], -kept["weights"], -descent["weights"])


@dataclasses.dataclass(frozen=True)
class LongTraining:
    """What `long_training` gives.

    Args:
        learning_rate: η.
        losses: cross-entropy before each step, (tasks, steps of a task).
        rates: effective learning rates after every tenth step, (all steps / 10, weights).
        moved: how far each weight has moved in each task, the lengths of its steps together, (tasks, weights).
    """

    learning_rate: float
    losses: np.ndarray
    rates: np.ndarray
    moved: np.ndarray


def long_training(optimizer, tasks=15, steps=100) -> LongTraining:
    """Softmax regression on the digits of scikit-learn that is never done: after every 100 steps each digit is named as the next.

    It begins at zero, and every step takes the gradient of the same 600 images.
    """
    from sklearn.datasets import load_digits

    images, digits = load_digits(return_X_y=True)
    images, digits = np.hstack([images / 16, np.ones((len(images), 1))])[:600].astype("float32"), digits[:600]
    losses = []

    def gradient(weights, number):
        logits = images @ weights
        logits -= logits.max(axis=1, keepdims=True)
        logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
        named = (np.arange(len(digits)), (digits + number // steps) % 10)
        losses.append(-logits[named].mean())
        errors = np.exp(logits)
        errors[named] -= 1
        return images.T @ errors / len(digits)

    start = np.zeros((images.shape[1], 10))
    kept = train(optimizer, start, gradient, tasks * steps, every=10, rate=optimizer.effective_learning_rate)
    return LongTraining(
        optimizer.get_config()["learning_rate"],
        np.reshape(losses, (tasks, steps)),
        kept["rate"].reshape(tasks * steps // 10, -1),
        np.abs(np.diff(kept["weights"], axis=0)).reshape(tasks, steps, -1).sum(axis=1),
    )


def long_run() -> dict[str, LongTraining]:
    """The long trainings with `adagrad` and `rmsprop`."""
    return {
        "adagrad": long_training(keras_optims.Adagrad(0.2)),
        "rmsprop": long_training(keras_optims.RMSprop(0.01)),
    }


@dataclasses.dataclass(frozen=True)
class Forgetting:
    """How much past gradients count.

    Args:
        weights: by ρ, the weight in RMSProp's v of the square of a gradient that is 0, 1, 2 ... steps old, (steps,).
        adagrad_weights: the same in AdaGrad's G.
        burst: the gradients of another training, in which some are large, (steps,).
        rates: by ρ, RMSProp's effective learning rate after each of its steps, divided by η, (steps,).
        adagrad_rates: AdaGrad's.
    """

    weights: dict[float, np.ndarray]
    adagrad_weights: np.ndarray
    burst: np.ndarray
    rates: dict[float, np.ndarray]
    adagrad_rates: np.ndarray


def forgetting(steps=100) -> Forgetting:
    """As many weights as steps, each with a gradient of 1 at one step and 0 at all others: what is left of it in the slot."""
    burst = np.ones(3 * steps)
    burst[steps : steps + 10] = 10.0

    def left(optimizer, slot):
        return train(optimizer, np.zeros(steps), lambda _, n: np.arange(steps) == n, steps, slot=slot)["slot"][-1][::-1]

    def rate(optimizer):
        kept = train(optimizer, 0.0, lambda _, n: burst[n], len(burst), rate=optimizer.effective_learning_rate)
        return kept["rate"] / optimizer.get_config()["learning_rate"]

    weights, rates = {}, {}
    for rho in (0.9, 0.99):
        rmsprop = keras_optims.RMSprop(0.01, rho)
        weights[rho] = left(rmsprop, lambda variable, own=rmsprop: own.mean_square[variable])
        rates[rho] = rate(keras_optims.RMSprop(0.01, rho))
    adagrad = keras_optims.Adagrad(0.01, initial_accumulator_value=1.0, epsilon=0.0)
    adagrad_weights = left(adagrad, lambda variable: adagrad.accumulator[variable]) - 1
    return Forgetting(weights, adagrad_weights, burst, rates, rate(keras_optims.Adagrad(0.01)))


# -- Adam -----------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class BiasCorrection:
    """Adam's first steps with a gradient of 1, and those of an Adam that lacks corrections.

    Args:
        beta_1, beta_2: β₁ and β₂.
        first_moment, second_moment: m and v after each step, (steps,).
        lengths: the lengths of the steps divided by η, (steps,), of Adam (`both`), and with the correction of only `m`, only `v`,
            or `neither`.
    """

    beta_1: float
    beta_2: float
    first_moment: np.ndarray
    second_moment: np.ndarray
    lengths: dict[str, np.ndarray]


def moments_of(adam) -> dict:
    """What `train` is to keep of Adam."""
    return {"m": lambda variable: adam.first_moment[variable], "v": lambda variable: adam.second_moment[variable]}


def bias_correction(beta_1=0.9, beta_2=0.999, steps=400) -> BiasCorrection:
    """A learning rate that depends on the step takes a correction out of the real Adam again."""
    learning_rate = 0.001

    def without(m, v):
        def rate(step):
            t = ops.cast(step, "float32") + 1
            return learning_rate * (1 - beta_1**t if m else 1) / (ops.sqrt(1 - beta_2**t) if v else 1)

        return rate

    rates = {"both": learning_rate, "v": without(True, False), "m": without(False, True), "neither": without(True, True)}
    lengths, kept = {}, {}
    for name, rate in rates.items():
        adam = keras_optims.Adam(rate, beta_1, beta_2)
        kept |= train(adam, 0.0, lambda *_: 1.0, steps, **(moments_of(adam) if name == "both" else {}))
        lengths[name] = -np.diff(kept["weights"].astype("float64")) / learning_rate
    return BiasCorrection(beta_1, beta_2, kept["m"], kept["v"], lengths)


@dataclasses.dataclass(frozen=True)
class TwoMoments:
    """Adam on noisy gradients, in many weights at once, with one β changed at a time.

    Args:
        gradients: of mean 0.5 and standard deviation 1, (steps, weights).
        first_moment: by (β₁, β₂), m after each step, (steps, weights).
        second_moment: the same of v.
        steps: the same of the changes of the weights, divided by η.
    """

    gradients: np.ndarray
    first_moment: dict[tuple[float, float], np.ndarray]
    second_moment: dict[tuple[float, float], np.ndarray]
    steps: dict[tuple[float, float], np.ndarray]


BETA_1, BETA_2 = (0.0, 0.9, 0.98), (0.9, 0.98, 0.995)  # of `two_moments`; one changes while the other keeps its middle value


def two_moments(steps=300, weights=400) -> TwoMoments:
    """β₁ = 0, 0.9, 0.98 with the same β₂, and β₂ = 0.9, 0.98, 0.995 with the same β₁."""
    learning_rate = 0.01
    gradients = np.random.default_rng(0).normal(0.5, 1.0, (steps, weights)).astype("float32")
    found = TwoMoments(gradients, {}, {}, {})
    for betas in dict.fromkeys([(beta_1, BETA_2[1]) for beta_1 in BETA_1] + [(BETA_1[1], beta_2) for beta_2 in BETA_2]):
        adam = keras_optims.Adam(learning_rate, *betas)
        kept = train(adam, np.zeros(weights), lambda _, n: gradients[n], steps, **moments_of(adam))
        found.first_moment[betas], found.second_moment[betas] = kept["m"], kept["v"]
        found.steps[betas] = np.diff(kept["weights"], axis=0) / learning_rate
    return found


@dataclasses.dataclass(frozen=True)
class Joined:
    """Adam with one of its halves at rest, and the optimizer that the other half is.

    Args:
        adam_as_momentum, momentum: a weight before and after each step with gradients of 1 and −1, (steps + 1,).
        adam_as_rmsprop, rmsprop: the same with gradients of any size.
        beta_1, beta_2: β₁, which is γ, and β₂, which is ρ.
    """

    adam_as_momentum: np.ndarray
    momentum: np.ndarray
    adam_as_rmsprop: np.ndarray
    rmsprop: np.ndarray
    beta_1: float
    beta_2: float


def joined(beta_1=0.9, beta_2=0.95, steps=150) -> Joined:
    """With gradients of one size v is at rest, and with β₁ = 0 m is the gradient.

    As neither Momentum nor RMSProp corrects its average, the learning rate takes that correction out of Adam.
    """
    learning_rate = 0.01
    rng = np.random.default_rng(2)
    signs, gradients = np.where(rng.random(steps) < 0.6, 1.0, -1.0), rng.normal(0.3, 1.0, steps)

    def way(optimizer, given):
        return train(optimizer, 0.0, lambda _, n: given[n], steps)["weights"]

    def without_correction_of_m(step):
        return learning_rate * (1 - beta_1 ** (ops.cast(step, "float32") + 1))

    def without_correction_of_v(step):
        return learning_rate / ops.sqrt(1 - beta_2 ** (ops.cast(step, "float32") + 1))

    return Joined(
        way(keras_optims.Adam(without_correction_of_m, beta_1, beta_2), signs),
        way(keras_optims.Momentum(learning_rate * (1 - beta_1), beta_1), signs),
        way(keras_optims.Adam(without_correction_of_v, 0.0, beta_2), gradients),
        way(keras_optims.RMSprop(learning_rate, beta_2), gradients),
        beta_1,
        beta_2,
    )


# -- AdamW ----------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class WeightDecay:
    """Three weights that begin at 1, with gradients of three sizes that change sign at every step: only the decay has an aim.

    Args:
        learning_rate, decay: η and λ of both.
        sizes: of the gradients, (3,).
        penalty: the weights before and after each step of Adam with λθ in the gradient, (steps + 1, 3).
        decoupled: the same of AdamW.
    """

    learning_rate: float
    decay: float
    sizes: np.ndarray
    penalty: np.ndarray
    decoupled: np.ndarray


def weight_decay(steps=1000) -> WeightDecay:
    """The same decay as a penalty of the loss, which goes through Adam's division, and beside it."""
    learning_rate, decay, sizes, start = 0.01, 0.1, np.array([1.0, 4.0, 16.0]), np.ones(3)

    def gradient(_, number):
        return sizes * (-1) ** number

    def with_penalty(weights, number):
        return gradient(weights, number) + decay * weights

    return WeightDecay(
        learning_rate,
        decay,
        sizes,
        train(keras_optims.Adam(learning_rate), start, with_penalty, steps)["weights"],
        train(keras_optims.AdamW(learning_rate, weight_decay=decay), start, gradient, steps)["weights"],
    )
