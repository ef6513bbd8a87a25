"""Matrix methods, on what is no matrix; on matrices: tests/test_reference_matrix.py."""

import keras_optims
from keras_optims.namesakes import NAMESAKES
from keras_optims.testing import reference
from tests.variants.variant import Variant

_MUON = {"learning_rate": 0.006, "adam_beta_1": 0.9, "adam_beta_2": 0.999, "epsilon": 1e-7, "adam_lr_ratio": 0.5}

_SOAP = {"learning_rate": 0.01, "beta_1": 0.9, "beta_2": 0.95, "epsilon": 1e-7, "weight_decay": 0.3}

_MUON_OF_KERAS = next((namesake.keras for namesake in NAMESAKES if namesake.ours is keras_optims.Muon), None)  # or an older one

VARIANTS = [
    Variant("muon", keras_optims.Muon, reference.muon, _MUON_OF_KERAS, _MUON),
    Variant("soap", keras_optims.SOAP, reference.soap, None, _SOAP),
]
EVERYWHERE = VARIANTS[:1]
