"""The optimizer of this package in a model."""

from __future__ import annotations

import keras

from keras_optims.optimizer import Optimizer


def own_optimizer(model: keras.Model) -> Optimizer | None:
    """The optimizer of a compiled model, if it is one of ours; that in a `LossScaleOptimizer`, too."""
    optimizer = getattr(model, "optimizer", None)
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    return optimizer if isinstance(optimizer, Optimizer) else None
