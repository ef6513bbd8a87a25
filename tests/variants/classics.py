"""The six classics."""

from typing import Any

import keras

import keras_optims
from keras_optims.testing import reference
from tests.variants.variant import Variant

_SGD = keras.optimizers.SGD
_ADAM = {"learning_rate": 0.003, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}
_RMSPROP = {"learning_rate": 0.002, "rho": 0.9, "momentum": 0.0, "epsilon": 1e-7}
_ADAGRAD = {"learning_rate": 0.05, "initial_accumulator_value": 0.1, "epsilon": 1e-2}
_MOMENTUM = {"learning_rate": 0.02, "momentum": 0.9}
_IN_THE_ROOT: dict[str, Any] = {"huge_gradient": "stops", "power_of_epsilon": 2}
_BESIDE_THE_ROOT: dict[str, Any] = {"huge_gradient": "stops", "power_of_epsilon": 1}
_CENTERED: dict[str, Any] = {"huge_gradient": "breaks", "power_of_epsilon": 2}

VARIANTS = [
    Variant("gradient_descent", keras_optims.GradientDescent, reference.gradient_descent, _SGD, {"learning_rate": 0.02}),
    Variant("momentum", keras_optims.Momentum, reference.momentum, _SGD, _MOMENTUM),
    Variant("nesterov", keras_optims.Momentum, reference.momentum, _SGD, {**_MOMENTUM, "nesterov": True}),
    Variant("adagrad", keras_optims.Adagrad, reference.adagrad, keras.optimizers.Adagrad, _ADAGRAD, huge_gradient="stops"),
    Variant(
        "adagrad from 0",
        keras_optims.Adagrad,
        reference.adagrad,
        keras.optimizers.Adagrad,
        {**_ADAGRAD, "initial_accumulator_value": 0.0, "epsilon": 1e-5},
        **_IN_THE_ROOT,
    ),
    Variant("rmsprop", keras_optims.RMSprop, reference.rmsprop, keras.optimizers.RMSprop, _RMSPROP, **_IN_THE_ROOT),
    Variant(
        "rmsprop with momentum",
        keras_optims.RMSprop,
        reference.rmsprop,
        keras.optimizers.RMSprop,
        {**_RMSPROP, "momentum": 0.8},
        **_IN_THE_ROOT,
    ),
    Variant(
        "centered rmsprop",
        keras_optims.RMSprop,
        reference.rmsprop,
        keras.optimizers.RMSprop,
        {**_RMSPROP, "centered": True, "epsilon": 1e-3},
        **_CENTERED,
    ),
    Variant(
        "centered rmsprop with momentum",
        keras_optims.RMSprop,
        reference.rmsprop,
        keras.optimizers.RMSprop,
        {**_RMSPROP, "centered": True, "momentum": 0.8, "epsilon": 1e-3},
        **_CENTERED,
    ),
    Variant("adam", keras_optims.Adam, reference.adam, keras.optimizers.Adam, _ADAM, **_BESIDE_THE_ROOT),
    Variant("amsgrad", keras_optims.Adam, reference.adam, keras.optimizers.Adam, {**_ADAM, "amsgrad": True}, **_BESIDE_THE_ROOT),
    Variant(
        "adamw",
        keras_optims.AdamW,
        reference.adam,
        keras.optimizers.AdamW,
        {**_ADAM, "weight_decay": 0.3, "learning_rate": 0.01},
        **_BESIDE_THE_ROOT,
    ),
]
