"""Those that need no schedule."""

import keras_optims
from keras_optims.testing import reference
from tests.variants.variant import Variant

_SGD = {"learning_rate": 0.02, "beta": 0.9}
_ADAMW = {"learning_rate": 0.01, "beta_1": 0.9, "beta_2": 0.99, "epsilon": 1e-7}
_PRODIGY = {"learning_rate": 1.0, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8, "d0": 1e-3, "d_coef": 0.1}
_MEANS = {"warmup_steps": 20, "r": 1.0, "weight_lr_power": 1.5}


def _sgd(name, **arguments):
    return Variant(name, keras_optims.ScheduleFreeSGD, reference.schedule_free_sgd, None, {**_SGD, **arguments})


def _adamw(name, **arguments):
    return Variant(name, keras_optims.ScheduleFreeAdamW, reference.schedule_free_adamw, None, {**_ADAMW, **arguments})


def _prodigy(name, **arguments):
    return Variant(name, keras_optims.Prodigy, reference.prodigy, None, {**_PRODIGY, **arguments}, of_the_model=True)


VARIANTS = [
    _sgd("schedule_free_sgd"),
    _sgd("schedule_free_sgd with its mean kept", beta=0.3),
    _sgd("schedule_free_sgd with warm-up", **_MEANS),
    _adamw("schedule_free_adamw"),
    _adamw("schedule_free_adamw with its mean kept", beta_1=0.3),
    _adamw("schedule_free_adamw with warm-up and decay", weight_decay=0.3, **_MEANS),
    _prodigy("prodigy"),
    _prodigy("prodigy with bias correction", d_coef=0.3, use_bias_correction=True, weight_decay=0.1),
    _prodigy("prodigy that grows slowly", growth_rate=1.02, beta_3=0.99),
    _prodigy("prodigy with safeguarded warm-up", learning_rate=0.5, safeguard_warmup=True),
    _prodigy("prodigy in slices", slice_p=3),
]
EVERYWHERE = [
    variant for variant in VARIANTS if variant.name in ("schedule_free_adamw", "schedule_free_sgd with its mean kept", "prodigy")
]
