"""The six classics."""

import keras

import keras_optims
from keras_optims.testing import reference
from tests.variants.variant import Variant

_SGD = keras.optimizers.SGD
_ADAM = {"learning_rate": 0.003, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}
_RMSPROP = {"learning_rate": 0.002, "rho": 0.9, "momentum": 0.0, "epsilon": 1e-7}
_ADAGRAD = {"learning_rate": 0.05, "initial_accumulator_value": 0.1, "epsilon": 1e-2}
_MOMENTUM = {"learning_rate": 0.02, "momentum": 0.9}
_SQUARING = {"epsilon_power": 2, "overflow": "stops"}
_CENTERED = {"epsilon_power": 2, "overflow": "nan"}
_LIKE_ADAM = {"epsilon_power": 1, "overflow": "stops"}

VARIANTS = [
    Variant("gradient_descent", keras_optims.GradientDescent, reference.gradient_descent, _SGD, {"learning_rate": 0.02}),
    Variant("momentum", keras_optims.Momentum, reference.momentum, _SGD, _MOMENTUM),
    Variant("nesterov", keras_optims.Momentum, reference.momentum, _SGD, {**_MOMENTUM, "nesterov": True}),
    Variant("adagrad", keras_optims.Adagrad, reference.adagrad, keras.optimizers.Adagrad, _ADAGRAD, overflow="stops"),
    Variant(
        "adagrad from 0",
        keras_optims.Adagrad,
        reference.adagrad,
        keras.optimizers.Adagrad,
        {**_ADAGRAD, "initial_accumulator_value": 0.0, "epsilon": 1e-5},
        **_SQUARING,
    ),
    Variant("rmsprop", keras_optims.RMSprop, reference.rmsprop, keras.optimizers.RMSprop, _RMSPROP, **_SQUARING),
    Variant(
        "rmsprop with momentum",
        keras_optims.RMSprop,
        reference.rmsprop,
        keras.optimizers.RMSprop,
        {**_RMSPROP, "momentum": 0.8},
        **_SQUARING,
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
    Variant("adam", keras_optims.Adam, reference.adam, keras.optimizers.Adam, _ADAM, **_LIKE_ADAM),
    Variant(
        "amsgrad",
        keras_optims.Adam,
        reference.adam,
        keras.optimizers.Adam,
        {**_ADAM, "amsgrad": True},
        **_LIKE_ADAM,
    ),
    Variant(
        "adamw",
        keras_optims.AdamW,
        reference.adam,
        keras.optimizers.AdamW,
        {**_ADAM, "weight_decay": 0.3, "learning_rate": 0.01},
        **_LIKE_ADAM,
    ),
]
