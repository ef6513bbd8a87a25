"""Keras's other elementwise ones, NAdamW, and SGD under Keras's name."""

from typing import Any

import keras

import keras_optims
from keras_optims.testing import reference
from tests.variants.variant import Variant

_ADAM = {"learning_rate": 0.003, "beta_1": 0.9, "beta_2": 0.99, "epsilon": 1e-7}
_ADADELTA = {"learning_rate": 0.5, "rho": 0.95, "epsilon": 1e-5}
_FTRL = {
    "learning_rate": 0.05,
    "learning_rate_power": -0.5,
    "initial_accumulator_value": 0.1,
    "l1_regularization_strength": 0.0,
    "l2_regularization_strength": 0.0,
    "l2_shrinkage_regularization_strength": 0.0,
    "beta": 0.0,
}
_PENALTIES = {
    "initial_accumulator_value": 1.0,
    "l1_regularization_strength": 0.5,
    "l2_regularization_strength": 3.0,
    "l2_shrinkage_regularization_strength": 0.3,
    "beta": 1.0,
}

_AS_ADAM: dict[str, Any] = {"overflow": "stops", "epsilon_power": 1}

SGD = Variant(
    "sgd",
    keras_optims.SGD,
    reference.momentum,
    keras.optimizers.SGD,
    {"learning_rate": 0.02, "momentum": 0.0},
    from_keras=keras_optims.GradientDescent,
)
NADAM = Variant("nadam", keras_optims.Nadam, reference.nadam, keras.optimizers.Nadam, _ADAM, **_AS_ADAM)
FTRL = Variant("ftrl", keras_optims.Ftrl, reference.ftrl, keras.optimizers.Ftrl, _FTRL, overflow="nan")

VARIANTS = [
    SGD,
    Variant(
        "sgd with nesterov",
        keras_optims.SGD,
        reference.momentum,
        keras.optimizers.SGD,
        {"learning_rate": 0.02, "momentum": 0.9, "nesterov": True},
        from_keras=keras_optims.Momentum,
    ),
    NADAM,
    Variant(
        "nadam with a slow schedule", keras_optims.Nadam, reference.nadam, None, {**_ADAM, "momentum_decay": 0.05}, **_AS_ADAM
    ),
    Variant(
        "nadamw", keras_optims.NAdamW, reference.nadamw, None, {**_ADAM, "learning_rate": 0.01, "weight_decay": 0.3}, **_AS_ADAM
    ),
    Variant(
        "adamax",
        keras_optims.Adamax,
        reference.adamax,
        keras.optimizers.Adamax,
        _ADAM,
        overflow="bounded",
        epsilon_power=1,
    ),
    Variant("adadelta", keras_optims.Adadelta, reference.adadelta, keras.optimizers.Adadelta, _ADADELTA, overflow="stops"),
    FTRL,
    Variant(
        "ftrl with penalties",
        keras_optims.Ftrl,
        reference.ftrl,
        keras.optimizers.Ftrl,
        {**_FTRL, **_PENALTIES},
        overflow="nan",
    ),
    Variant(
        "ftrl with another power",
        keras_optims.Ftrl,
        reference.ftrl,
        keras.optimizers.Ftrl,
        {**_FTRL, "learning_rate_power": -0.4, "beta": 1.0},
        overflow="nan",
    ),
    Variant(
        "lion",
        keras_optims.Lion,
        reference.lion,
        keras.optimizers.Lion,
        {"learning_rate": 0.003, "beta_1": 0.9, "beta_2": 0.99},
        overflow="bounded",
    ),
]
EVERYWHERE = [NADAM, FTRL]
"""One with a state of the whole model, and one that decays its weights itself."""
