"""Those whose step depends on the whole variable."""

import keras

import keras_optims
from keras_optims.testing import reference
from tests.variants.variant import Variant

_LAMB = {"learning_rate": 0.02, "beta_1": 0.9, "beta_2": 0.99, "epsilon": 1e-7}
_LARS = {"learning_rate": 0.5, "momentum": 0.9, "trust_coefficient": 0.02}
_ADAFACTOR = {"learning_rate": 0.05, "beta_2_decay": -0.8, "epsilon_1": 1e-10, "epsilon_2": 1e-3, "clip_threshold": 1.0}


def _lamb(name, of_keras=None, **arguments):
    return Variant(name, keras_optims.Lamb, reference.lamb, of_keras, {**_LAMB, **arguments})


def _lars(name, **arguments):
    return Variant(name, keras_optims.LARS, reference.lars, None, {**_LARS, **arguments})


def _adafactor(name, of_keras=None, **arguments):
    return Variant(name, keras_optims.Adafactor, reference.adafactor, of_keras, {**_ADAFACTOR, **arguments})


VARIANTS = [
    _lamb("lamb", keras.optimizers.Lamb),
    _lamb("lamb with decay", weight_decay=0.1),
    _lamb("lamb of decaying ones only", always_adapt=False),
    _lamb("lamb with a bounded ratio", weight_decay=0.1, trust_clip=True),
    _lars("lars"),
    _lars("lars with decay", weight_decay=0.1),
    _lars("nesterov lars", nesterov=True),
    _lars("lars with the rate outside", rate_outside=True, trust_clip=True),
    _adafactor("adafactor", keras.optimizers.Adafactor),
    _adafactor("adafactor without relative step", learning_rate=0.2, relative_step=False),
    _adafactor("adafactor with momentum", beta_1=0.9),
    _adafactor("adafactor unscaled", epsilon_2=0.0, scale_parameter=False),
    _adafactor("adafactor of large ones", min_size_to_factor=3),
]
EVERYWHERE = [variant for variant in VARIANTS if variant.name in ("lamb with decay", "lars with decay", "adafactor")]
