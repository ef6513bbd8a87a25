"""The optimizers that are measured, each with its formula in float64.

Those that treat all elements alike, so that the formula of some numbers is that of any variable that repeats them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras_optims
from keras_optims.testing import reference

EPSILONS = (1e-7, 1e-2)


@dataclasses.dataclass(frozen=True)
class Setting:
    """One setting of one optimizer.

    Attributes:
        make: the class.
        arguments: the hyperparameters, all that the formula has.
        formula: of `keras_optims.testing.reference`.
    """

    make: type[keras_optims.Optimizer]
    arguments: dict[str, Any]
    formula: Callable[..., list]

    def optimizer(self) -> keras_optims.Optimizer:
        """A new one."""
        return self.make(**self.arguments)

    def __str__(self):
        return f"{self.make.__name__}({', '.join(f'{name}={value}' for name, value in self.arguments.items())})"


def _settings():
    rate = {"learning_rate": 0.01}
    yield Setting(keras_optims.GradientDescent, rate, reference.gradient_descent)
    for nesterov in (False, True):
        yield Setting(keras_optims.Momentum, {**rate, "momentum": 0.9, "nesterov": nesterov}, reference.momentum)
    for epsilon in EPSILONS:
        adagrad = {**rate, "initial_accumulator_value": 0.1, "epsilon": epsilon}
        yield Setting(keras_optims.Adagrad, adagrad, reference.adagrad)
        for centered in (False, True):
            for momentum in (0.0, 0.9):
                rmsprop = {**rate, "rho": 0.9, "momentum": momentum, "epsilon": epsilon, "centered": centered}
                yield Setting(keras_optims.RMSprop, rmsprop, reference.rmsprop)
        for amsgrad in (False, True):
            adam = {**rate, "beta_1": 0.9, "beta_2": 0.999, "epsilon": epsilon, "amsgrad": amsgrad}
            yield Setting(keras_optims.Adam, adam, reference.adam)
    adamw = {**rate, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "weight_decay": 0.01}
    yield Setting(keras_optims.AdamW, adamw, reference.adam)
    small = {**rate, "beta_1": 0.9, "beta_2": 0.99, "epsilon": 1e-7}
    yield Setting(keras_optims.RAdam, {**small, "early": "momentum"}, reference.radam)
    yield Setting(keras_optims.AdaBelief, {**small, "rectify": True}, reference.adabelief)
    yield Setting(keras_optims.Yogi, {**small, "initial_accumulator_value": 1e-6}, reference.yogi)
    yield Setting(keras_optims.ADOPT, small, reference.adopt)
    yield Setting(keras_optims.AdEMAMix, {**small, "beta_3": 0.999, "alpha": 5.0}, reference.ademamix)
    yield Setting(keras_optims.Adan, {**small, "beta_3": 0.99, "weight_decay": 0.02}, reference.adan)
    yield Setting(keras_optims.SGD, {**rate, "momentum": 0.9}, reference.momentum)
    as_adam = {**rate, "beta_1": 0.9, "beta_2": 0.99, "epsilon": 1e-7}
    yield Setting(keras_optims.Nadam, as_adam, reference.nadam)
    yield Setting(keras_optims.NAdamW, {**as_adam, "weight_decay": 0.01}, reference.nadamw)
    yield Setting(keras_optims.Adamax, as_adam, reference.adamax)
    yield Setting(keras_optims.Adadelta, {"learning_rate": 1.0, "rho": 0.95, "epsilon": 1e-2}, reference.adadelta)
    penalties = {f"{name}_regularization_strength": 0.3 for name in ("l1", "l2", "l2_shrinkage")}
    ftrl = {"learning_rate": 0.1, "learning_rate_power": -0.5, "initial_accumulator_value": 0.1, **penalties, "beta": 1.0}
    yield Setting(keras_optims.Ftrl, ftrl, reference.ftrl)
    yield Setting(keras_optims.Lion, {**rate, "beta_1": 0.9, "beta_2": 0.99}, reference.lion)
    yield Setting(keras_optims.ScheduleFreeSGD, {**rate, "beta": 0.9}, reference.schedule_free_sgd)
    yield Setting(keras_optims.ScheduleFreeAdamW, as_adam, reference.schedule_free_adamw)


SETTINGS = tuple(_settings())
