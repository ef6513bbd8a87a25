"""The algorithms: one file each, to be read beside its formula; `keras_optims` has their classes under their own names."""

from keras_optims.algorithms.adabelief import AdaBelief
from keras_optims.algorithms.adadelta import Adadelta
from keras_optims.algorithms.adafactor import Adafactor
from keras_optims.algorithms.adagrad import Adagrad
from keras_optims.algorithms.adam import Adam
from keras_optims.algorithms.adamax import Adamax
from keras_optims.algorithms.adamw import AdamW
from keras_optims.algorithms.adan import Adan
from keras_optims.algorithms.ademamix import AdEMAMix
from keras_optims.algorithms.adopt import ADOPT
from keras_optims.algorithms.ftrl import Ftrl
from keras_optims.algorithms.gradient_descent import GradientDescent
from keras_optims.algorithms.lamb import Lamb
from keras_optims.algorithms.lars import LARS
from keras_optims.algorithms.lion import Lion
from keras_optims.algorithms.momentum import Momentum
from keras_optims.algorithms.muon import Muon
from keras_optims.algorithms.nadam import Nadam
from keras_optims.algorithms.nadamw import NAdamW
from keras_optims.algorithms.novograd import NovoGrad
from keras_optims.algorithms.prodigy import Prodigy
from keras_optims.algorithms.radam import RAdam
from keras_optims.algorithms.rmsprop import RMSprop
from keras_optims.algorithms.schedule_free_adamw import ScheduleFreeAdamW
from keras_optims.algorithms.schedule_free_sgd import ScheduleFreeSGD
from keras_optims.algorithms.sgd import SGD
from keras_optims.algorithms.soap import SOAP
from keras_optims.algorithms.yogi import Yogi
from keras_optims.optimizer import Optimizer

FAMILIES: dict[str, dict[str, type[Optimizer]]] = {
    "momentum and acceleration": {
        "gradient_descent": GradientDescent,
        "momentum": Momentum,
        "sgd": SGD,
        "adan": Adan,
    },
    "adaptive rates": {
        "adagrad": Adagrad,
        "rmsprop": RMSprop,
        "adam": Adam,
        "adamw": AdamW,
        "adadelta": Adadelta,
        "adamax": Adamax,
        "nadam": Nadam,
        "nadamw": NAdamW,
        "ftrl": Ftrl,
        "radam": RAdam,
        "adabelief": AdaBelief,
        "yogi": Yogi,
        "adopt": ADOPT,
        "ademamix": AdEMAMix,
        "adafactor": Adafactor,
    },
    "layer-wise and large batch": {
        "lars": LARS,
        "lamb": Lamb,
        "novograd": NovoGrad,
    },
    "sign": {
        "lion": Lion,
    },
    "matrix methods": {
        "muon": Muon,
        "soap": SOAP,
    },
    "schedule-free and parameter-free": {
        "schedule_free_sgd": ScheduleFreeSGD,
        "schedule_free_adamw": ScheduleFreeAdamW,
        "prodigy": Prodigy,
    },
}
"""The optimizers by family, each by the name that the command line knows it by."""

OPTIMIZERS: dict[str, type[Optimizer]] = {name: cls for family in FAMILIES.values() for name, cls in family.items()}
"""All of them by these names."""

__all__ = [
    "ADOPT",
    "FAMILIES",
    "LARS",
    "OPTIMIZERS",
    "SGD",
    "SOAP",
    "AdEMAMix",
    "AdaBelief",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Adan",
    "Ftrl",
    "GradientDescent",
    "Lamb",
    "Lion",
    "Momentum",
    "Muon",
    "NAdamW",
    "Nadam",
    "NovoGrad",
    "Prodigy",
    "RAdam",
    "RMSprop",
    "ScheduleFreeAdamW",
    "ScheduleFreeSGD",
    "Yogi",
]
