"""Adaptive methods after Adam, and those that have grown from them."""

import keras_optims
from keras_optims.testing import reference
from tests.variants.variant import Variant

_ADAM = {"learning_rate": 0.003, "beta_1": 0.9, "beta_2": 0.99, "epsilon": 1e-7}
_RADAM = {**_ADAM, "beta_2": 0.98}
_ADABELIEF = {**_RADAM, "epsilon": 1e-14}
_YOGI = {**_ADAM, "learning_rate": 0.01, "epsilon": 1e-3, "initial_accumulator_value": 1e-6}
_ADOPT = {**_ADAM, "beta_2": 0.98, "epsilon": 1e-6}
_ADEMAMIX = {**_ADAM, "beta_3": 0.995, "alpha": 5.0, "epsilon": 1e-8}
_WARM = {**_ADEMAMIX, "alpha_warmup": 80, "beta_3_warmup": 100}
_ADAN = {"learning_rate": 0.003, "beta_1": 0.98, "beta_2": 0.92, "beta_3": 0.97, "epsilon": 1e-8, "weight_decay": 0.3}
_NOVOGRAD = {"learning_rate": 0.01, "beta_1": 0.95, "beta_2": 0.9, "epsilon": 1e-8}

VARIANTS = [
    Variant("radam", keras_optims.RAdam, reference.radam, None, _RADAM),
    Variant("radam that skips", keras_optims.RAdam, reference.radam, None, {**_RADAM, "early": "skip"}),
    Variant("adabelief", keras_optims.AdaBelief, reference.adabelief, None, _ADABELIEF),
    Variant("adabelief as it is", keras_optims.AdaBelief, reference.adabelief, None, {**_ADABELIEF, "rectify": False}),
    Variant("yogi", keras_optims.Yogi, reference.yogi, None, _YOGI),
    Variant("yogi from 0", keras_optims.Yogi, reference.yogi, None, {**_YOGI, "initial_accumulator_value": 0.0, "epsilon": 1e-7}),
    Variant("adopt", keras_optims.ADOPT, reference.adopt, None, _ADOPT),
    Variant("adopt without clipping", keras_optims.ADOPT, reference.adopt, None, {**_ADOPT, "clip": False}),
    Variant("ademamix", keras_optims.AdEMAMix, reference.ademamix, None, _ADEMAMIX),
    Variant("ademamix with warm-up", keras_optims.AdEMAMix, reference.ademamix, None, _WARM),
    Variant("ademamix of one average", keras_optims.AdEMAMix, reference.ademamix, None, {**_WARM, "beta_1": 0.0}),
    Variant("adan", keras_optims.Adan, reference.adan, None, _ADAN),
    Variant("adan, decay first", keras_optims.Adan, reference.adan, None, {**_ADAN, "proximal": False}),
    Variant("novograd", keras_optims.NovoGrad, reference.novograd, None, _NOVOGRAD),
    Variant("averaging novograd", keras_optims.NovoGrad, reference.novograd, None, {**_NOVOGRAD, "grad_averaging": True}),
]

EVERYWHERE = [variant for variant in VARIANTS if variant.name in ("radam", "adopt", "adan", "novograd")]
