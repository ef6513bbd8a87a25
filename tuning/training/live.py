"""The numbers of an optimizer that are its state, and change while a model trains: the members of a population change theirs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

import keras_optims
from keras_optims.hyperparameter import rounded

Numbers = list[float]  # the live ones of an optimizer, in its own order


def numbers_of(optimizer: keras.optimizers.Optimizer) -> Numbers:
    """The live numbers, exactly as they were given."""
    optimizer = inner(optimizer)
    if isinstance(optimizer, keras_optims.Optimizer):
        return [hyperparameter.now(holder) for holder, hyperparameter in _constants(optimizer)]
    return [float(np.asarray(keras.ops.convert_to_numpy(optimizer.learning_rate)))] if _has_a_rate(optimizer) else []


def put_numbers(optimizer: keras.optimizers.Optimizer, numbers: Numbers) -> None:
    """Sets the live numbers of an optimizer of the same structure; those that are the same already stay untouched."""
    optimizer = inner(optimizer)
    if not isinstance(optimizer, keras_optims.Optimizer):
        for number in numbers:
            optimizer.learning_rate = number
        return
    for (holder, hyperparameter), number in zip(_constants(optimizer), numbers, strict=True):
        variable = hyperparameter.variable_of(holder)
        residual = hyperparameter.residual(holder)
        held = [float(keras.ops.convert_to_numpy(each)) for each in (variable, residual) if each is not None]
        if held != [rounded(number), *([] if residual is None else [rounded(number - rounded(number))])]:
            hyperparameter.set(optimizer, holder, number)


def without_numbers(model: keras.Model) -> str:
    """A text that is equal for models that differ in the live numbers of their optimizers at most, in any process.

    Raises:
        AttributeError, NotImplementedError, TypeError, ValueError: something has no configuration.
    """
    optimizer = model.optimizer
    config = {name: value for name, value in optimizer.get_config().items() if name not in ("name", "inner_optimizer")}
    own = config_without_numbers(inner(optimizer))
    return json.dumps(
        [type(model).__qualname__, model.get_config(), config if inner(optimizer) is not optimizer else {}, own],
        sort_keys=True,
        default=lambda value: getattr(value, "__qualname__", type(value).__qualname__),
    )


def config_without_numbers(optimizer: keras.optimizers.Optimizer, without_those_of_schedules: bool = False) -> dict[str, Any]:
    """The configuration of an optimizer with `"live"` in the place of each live number, and without its name.

    `without_those_of_schedules`: of those in `keras_optims.schedules`, too, nothing but what a compiled step knows of them.
    """
    config = {name: value for name, value in optimizer.get_config().items() if name != "name"}
    if not isinstance(optimizer, keras_optims.Optimizer):
        return config | ({"learning_rate": "live"} if _has_a_rate(optimizer) else {})
    configs = [config, *(rule["config"] for rule in config["rules"])]
    configs += [rule["config"]["formula"]["config"] for rule in config["rules"] if "formula" in rule["config"]]
    for each, (holder, held) in zip(configs, optimizer.holders(), strict=True):
        each.update({name: "live" for name, hyperparameter in held.items() if hyperparameter.is_constant(holder)})
        if without_those_of_schedules:
            each.update({name: schedule.structure() for name, schedule in holder.schedules.items()})
    return config


def inner(optimizer):
    """The optimizer in a `LossScaleOptimizer`, which Keras puts around it for half precision."""
    return getattr(optimizer, "inner_optimizer", optimizer)


class Changing(keras.callbacks.Callback):
    """Sets the live numbers of a model's optimizer at the beginning of certain epochs.

    Args:
        changes: epoch, from 0 -> the numbers that hold from it on.
    """

    def __init__(self, changes: Mapping[int, Numbers]):
        super().__init__()
        self._changes = changes

    def on_epoch_begin(self, epoch, logs=None):
        """Sets them, if they change here."""
        if epoch in self._changes:
            put_numbers(self.model.optimizer, self._changes[epoch])


def _constants(optimizer: keras_optims.Optimizer) -> list[tuple[Any, Any]]:
    """(its holder, hyperparameter) of each live number."""
    return [
        (holder, hyperparameter)
        for holder, held in optimizer.holders()
        for hyperparameter in held.values()
        if hyperparameter.is_constant(holder)
    ]


def _has_a_rate(optimizer) -> bool:
    return isinstance(optimizer.get_config().get("learning_rate"), (float, np.floating))
