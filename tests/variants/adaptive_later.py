"""Adaptive methods after Adam, and those that have grown from them."""

import numpy as np

import keras_optims
from keras_optims.testing import reference
from tests.variants.variant import Variant

_ADAM = {"learning_rate": 0.003, "beta_1": 0.9, "beta_2": 0.99, "epsilon": 1e-7}
_RADAM = {**_ADAM, "beta_2": 0.98}
_ADABELIEF = {**_RADAM, "epsilon": 1e-14}
_YOGI = {**_ADAM, "learning_rate": 0.01, "epsilon": 1e-3, "initial_accumulator_value": 1e-6}
_ADOPT = {**_ADAM, "beta_2": 0.98, "epsilon": 1e-6}
_ADEMAMIX = {**_ADAM, "beta_3": 0.995, "alpha": 5.0, "epsilon": 1e-8}
_ADAN = {"learning_rate": 0.003, "beta_1": 0.98, "beta_2": 0.92, "beta_3": 0.97, "epsilon": 1e-8, "weight_decay": 0.3}
_NOVOGRAD = {"learning_rate": 0.01, "beta_1": 0.95, "beta_2": 0.9, "epsilon": 10.0}  # beside the norm of a variable


def _variant(name, make, twin, arguments, **others):
    return Variant(name, make, twin, None, arguments, **others)


def _radam(name, overflow, **arguments):
    others = {"overflow": overflow, "rates": _rates_while_unknown}
    return _variant(name, keras_optims.RAdam, reference.radam, {**_RADAM, **arguments}, **others)


def _adabelief(name, rates, overflow, **arguments):
    arguments = {**_ADABELIEF, **arguments}
    return _variant(name, keras_optims.AdaBelief, reference.adabelief, arguments, rates=rates, overflow=overflow)


def _yogi(name, epsilon_power, **arguments):
    others = {"epsilon_power": epsilon_power, "overflow": "stops", "rates": _rates_of_yogi}
    return _variant(name, keras_optims.Yogi, reference.yogi, {**_YOGI, **arguments}, **others)


def _adopt(name, **arguments):
    others = {"epsilon_power": 1, "overflow": "stops"}
    return _variant(name, keras_optims.ADOPT, reference.adopt, {**_ADOPT, **arguments}, **others)


def _ademamix(name, **arguments):
    others = {"epsilon_power": 1, "overflow": "stops", "rates": _rates_of_ademamix}
    return _variant(name, keras_optims.AdEMAMix, reference.ademamix, {**_ADEMAMIX, **arguments}, **others)


def _adan(name, **arguments):
    others = {"epsilon_power": 1, "overflow": "stops", "rates": _rates_of_adan}
    return _variant(name, keras_optims.Adan, reference.adan, {**_ADAN, **arguments}, **others)


def _novograd(name, **arguments):
    others = {"epsilon_power": 1, "overflow": "stops", "rates": _rates_of_novograd}
    return _variant(name, keras_optims.NovoGrad, reference.novograd, {**_NOVOGRAD, **arguments}, **others)


# -- the effective learning rates after a few steps -----------------------------------------------


def _average(values, decay):
    """The moving average of values in float64, from zero."""
    return sum((1 - decay) * decay**age * np.asarray(value, np.float64) for age, value in enumerate(reversed(values)))


def _rates_while_unknown(gradients, learning_rate, beta_1, early="momentum", **others):
    """Where β₂ is so large that ρ is no more than 5 yet."""
    return learning_rate / (1 - beta_1 ** len(gradients)) if early == "momentum" else 0.0


def _rates_of_adabelief(gradients, learning_rate, beta_1, beta_2, epsilon, rectify):
    t = len(gradients)
    errors = [gradients[i] - _average(gradients[: i + 1], beta_1) for i in range(t)]
    deviation = _average([error**2 for error in errors], beta_2) + epsilon * sum(beta_2**i for i in range(t))
    return learning_rate / (1 - beta_1**t) / (np.sqrt(deviation / (1 - beta_2**t)) + epsilon)


def _rates_of_yogi(gradients, learning_rate, beta_1, beta_2, epsilon, initial_accumulator_value):
    second, t = initial_accumulator_value, len(gradients)
    for square in np.square(np.asarray(gradients, np.float64)):
        second = second - (1 - beta_2) * np.sign(second - square) * square
    return learning_rate * np.sqrt(1 - beta_2**t) / (1 - beta_1**t) / (np.sqrt(second) + epsilon)


def _rates_of_ademamix(gradients, learning_rate, beta_2, epsilon, **others):
    second = _average(np.square(np.asarray(gradients, np.float64)), beta_2)
    return learning_rate / (np.sqrt(second / (1 - beta_2 ** len(gradients))) + epsilon)


def _rates_of_adan(gradients, learning_rate, beta_1, beta_2, beta_3, epsilon, **others):
    given, t = np.asarray(gradients, np.float64), len(gradients)
    ahead = given + beta_2 * np.diff(given, axis=0, prepend=given[:1])
    return learning_rate / (1 - beta_1**t) / (np.sqrt(_average(ahead**2, beta_3) / (1 - beta_3**t)) + epsilon)


def _rates_of_novograd(gradients, learning_rate, beta_1, beta_2, epsilon, grad_averaging=False):
    norms = [np.sum(np.square(np.asarray(gradient, np.float64))) for gradient in gradients]
    second = _average(norms, beta_2) + beta_2 ** len(norms) * norms[0]  # it begins at the first
    return learning_rate * (1 - beta_1 if grad_averaging else 1) / (np.sqrt(second) + epsilon)


VARIANTS = [
    _radam("radam", "moves"),
    _radam("radam that skips", "stops", early="skip"),  # in its first steps
    _adabelief("adabelief", _rates_while_unknown, "moves"),
    _adabelief("adabelief as it is", _rates_of_adabelief, "stops", rectify=False),
    _yogi("yogi", None),
    _yogi("yogi from 0", 1, initial_accumulator_value=0.0, epsilon=1e-7),
    _adopt("adopt"),
    _adopt("adopt without clipping", clip=False),
    _ademamix("ademamix"),
    _ademamix("ademamix with warm-up", alpha_warmup=80, beta_3_warmup=100),
    _ademamix("ademamix of one average", beta_1=0.0, alpha_warmup=80, beta_3_warmup=100),
    _adan("adan"),
    _adan("adan, decay first", proximal=False),
    _novograd("novograd"),
    _novograd("averaging novograd", learning_rate=0.2, grad_averaging=True),
]
EVERYWHERE = [variant for variant in VARIANTS if variant.name in ("radam", "adopt", "adan", "novograd")]
