"""Schedules of any hyperparameter of any optimizer here, whose numbers stay live.

optimizer = keras_optims.AdamW(keras_optims.schedules.Cosine(1e-3, steps=10_000, warmup=0.05))
optimizer.schedules["learning_rate"].final = 0.1  # holds from the next step on, and compiles nothing
"""

from keras_optims.schedules.of_a_training import Cosine, Linear, WarmupStableDecay
from keras_optims.schedules.one_cycle import OneCycle, OneCycleMomentum, one_cycle
from keras_optims.schedules.piecewise import Piecewise
from keras_optims.schedules.schedule import Number, Schedule
from keras_optims.schedules.warmup import Warmup

__all__ = [
    "Cosine",
    "Linear",
    "Number",
    "OneCycle",
    "OneCycleMomentum",
    "Piecewise",
    "Schedule",
    "Warmup",
    "WarmupStableDecay",
    "one_cycle",
]
