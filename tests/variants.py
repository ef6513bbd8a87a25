"""The table that the optimizer tests run over: every algorithm and variant, with its float64 twin and Keras's namesake."""

import dataclasses
from typing import Any

import keras
import numpy as np

import keras_optims
from keras_optims.testing import reference
from keras_optims.testing.compiled_step import CompiledStep


@dataclasses.dataclass(frozen=True)
class Variant:
    """One setting of one optimizer.

    `arguments` holds all hyperparameters of the formula, given to the optimizer and to the twin alike.
    """

    name: str
    make: type[keras_optims.Optimizer]
    twin: Any
    keras: Any
    arguments: dict[str, Any]

    def optimizer(self, **others):
        return self.make(**{**self.arguments, **others})

    def namesake(self, **others):
        return self.keras(**{**self.arguments, **others})

    def __str__(self):
        return self.name


_SGD = keras.optimizers.SGD
_ADAM = {"learning_rate": 0.003, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}
_RMSPROP = {"learning_rate": 0.002, "rho": 0.9, "momentum": 0.0, "epsilon": 1e-7}
_ADAGRAD = {"learning_rate": 0.05, "initial_accumulator_value": 0.1, "epsilon": 1e-2}
_MOMENTUM = {"learning_rate": 0.02, "momentum": 0.9}

VARIANTS = [
    Variant("gradient_descent", keras_optims.GradientDescent, reference.gradient_descent, _SGD, {"learning_rate": 0.02}),
    Variant("momentum", keras_optims.Momentum, reference.momentum, _SGD, _MOMENTUM),
    Variant("nesterov", keras_optims.Momentum, reference.momentum, _SGD, {**_MOMENTUM, "nesterov": True}),
    Variant("adagrad", keras_optims.Adagrad, reference.adagrad, keras.optimizers.Adagrad, _ADAGRAD),
    Variant(
        "adagrad from 0",
        keras_optims.Adagrad,
        reference.adagrad,
        keras.optimizers.Adagrad,
        {**_ADAGRAD, "initial_accumulator_value": 0.0, "epsilon": 1e-5},
    ),
    Variant("rmsprop", keras_optims.RMSprop, reference.rmsprop, keras.optimizers.RMSprop, _RMSPROP),
    Variant(
        "rmsprop with momentum", keras_optims.RMSprop, reference.rmsprop, keras.optimizers.RMSprop, {**_RMSPROP, "momentum": 0.8}
    ),
    Variant(
        "centered rmsprop",
        keras_optims.RMSprop,
        reference.rmsprop,
        keras.optimizers.RMSprop,
        {**_RMSPROP, "centered": True, "epsilon": 1e-3},
    ),
    Variant(
        "centered rmsprop with momentum",
        keras_optims.RMSprop,
        reference.rmsprop,
        keras.optimizers.RMSprop,
        {**_RMSPROP, "centered": True, "momentum": 0.8, "epsilon": 1e-3},
    ),
    Variant("adam", keras_optims.Adam, reference.adam, keras.optimizers.Adam, _ADAM),
    Variant("amsgrad", keras_optims.Adam, reference.adam, keras.optimizers.Adam, {**_ADAM, "amsgrad": True}),
    Variant(
        "adamw", keras_optims.AdamW, reference.adam, keras.optimizers.AdamW, {**_ADAM, "weight_decay": 0.3, "learning_rate": 0.01}
    ),
]

BY_NAME = {variant.name: variant for variant in VARIANTS}

SHAPES = {"scalar": (), "empty": (0, 3), "one": (1,), "odd": (7, 3, 5), "large": (130, 67)}


def random_gradients(shape, steps, seed=0, scales=(1.0,)):
    """Gradients of mixed sign, whose magnitude differs by element and drifts over the steps.

    Returns:
        `steps` float32 arrays of shape `(len(scales), *shape)`, the first axis a magnitude each.
    """
    rng = np.random.default_rng(seed)
    by_element = 10.0 ** rng.uniform(-1, 1, size=shape)
    by_scale = np.reshape(scales, (-1, *[1] * len(shape)))
    return [
        (rng.normal(0.3, 1, size=shape) * by_element * by_scale * 10.0 ** np.sin(step / 7)).astype("float32")
        for step in range(steps)
    ]


def run(optimizer, gradients, start, dtype="float32"):
    """Applies the gradients to one variable; the weights after each step, as NumPy arrays."""
    variable = keras.Variable(start, dtype=dtype, name="theta")
    step, path = CompiledStep(optimizer, [variable]), []
    for gradient in gradients:
        step([gradient])
        path += step.weights()
    return path


def distance(path, twin, start=0.0):
    """How far two paths lie apart, at the worst element and step, as a share of the way that the twin has gone.

    A weight that is large beside its way is known only to its own rounding, a few of whose units a step do not count.
    """
    path, twin = np.array(path, np.float64), np.array(twin)
    way = np.abs(twin - start).max(axis=0, initial=0.0)
    rounding = 2 * np.finfo(np.float32).eps * np.abs(start) * np.sqrt(len(twin))
    apart = np.maximum(np.abs(path - twin).max(axis=0, initial=0.0) - rounding, 0.0)
    return float(np.max(apart / np.maximum(way, 1e-30), initial=0.0))
