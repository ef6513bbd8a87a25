"""The algorithms: one file each, to be read beside its formula; `keras_optims` has their classes under their own names."""

from keras_optims.algorithms.adabelief import AdaBelief
from keras_optims.algorithms.adagrad import Adagrad
from keras_optims.algorithms.adam import Adam
from keras_optims.algorithms.adamw import AdamW
from keras_optims.algorithms.adan import Adan
from keras_optims.algorithms.ademamix import AdEMAMix
from keras_optims.algorithms.adopt import ADOPT
from keras_optims.algorithms.gradient_descent import GradientDescent
from keras_optims.algorithms.momentum import Momentum
from keras_optims.algorithms.muon import Muon
from keras_optims.algorithms.rmsprop import RMSprop
from keras_optims.algorithms.soap import SOAP
from keras_optims.algorithms.novograd import NovoGrad
from keras_optims.algorithms.radam import RAdam
from keras_optims.algorithms.rmsprop import RMSprop
from keras_optims.algorithms.yogi import Yogi
from keras_optims.optimizer import Optimizer

FAMILIES: dict[str, dict[str, type[Optimizer]]] = {
    "momentum and acceleration": {
        "gradient_descent": GradientDescent,
        "momentum": Momentum,
        "adan": Adan,
    },
    "adaptive rates": {
        "adagrad": Adagrad,
        "rmsprop": RMSprop,
        "adam": Adam,
        "adamw": AdamW,
        "radam": RAdam,
        "adabelief": AdaBelief,
        "yogi": Yogi,
        "adopt": ADOPT,
        "ademamix": AdEMAMix,
    },
    "layer-wise and large batch": {
        "novograd": NovoGrad,
    },
    "matrix methods": {
        "muon": Muon,
        "soap": SOAP,
    },
}
"""The optimizers by family, each by the name that the command line knows it by."""

OPTIMIZERS: dict[str, type[Optimizer]] = {name: cls for family in FAMILIES.values() for name, cls in family.items()}
"""All of them by these names."""

__all__ = [
    "ADOPT",
    "FAMILIES",
    "OPTIMIZERS",
    "SOAP",
    "AdEMAMix",
    "AdaBelief",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adan",
    "GradientDescent",
    "Momentum",
    "Muon",
    "NovoGrad",
    "RAdam",
    "RMSprop",
    "Yogi",
]
