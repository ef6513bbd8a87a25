"""Lookahead around any optimizer: k steps forward, one step back (Zhang, Lucas, Hinton & Ba 2019)."""

from __future__ import annotations

from typing import Any

import keras

from keras_optims.copying import attributes_of, config_as_it_is
from keras_optims.hyperparameter import shown
from keras_optims.names import did_you_mean
from keras_optims.optimizer import Optimizer


def Lookahead(optimizer: Optimizer, k: int = 5, alpha: float = 0.5, **unknown: Any) -> Any:
    """An optimizer like the given one, with slow weights that follow those it trains.

        model.compile(keras_optims.Lookahead(keras_optims.Adam(1e-3)), loss=...)

    The slow weights φ start as the weights θ do. The optimizer moves θ; after every k-th update,

        φ ← φ + α·(θ − φ)
        θ ← φ

    What the optimizer remembers, such as its velocity, stays. The weights to evaluate at are φ: `averaged_weights()` and the
    callback `AveragedWeights` put them in the weights' place.

    Args:
        optimizer: an optimizer of this package that is not built yet. It stays as it is.
        k: the number of updates between two synchronizations, from 1 on. Usually 5 to 10; default 5.
        alpha: α in (0, 1], how far φ goes; the result's live hyperparameter `lookahead_alpha`. Usually 0.5 to 0.8; default 0.5.
        **unknown: none; names of other libraries are told ours.

    Returns:
        A new optimizer of the same class, name and arguments, with `lookahead=k` and `lookahead_alpha=alpha`.

    Raises:
        TypeError: an optimizer of Keras, or anything else.
        ValueError: an optimizer that is built, or has slow weights or averages already; one whose weights to evaluate at are its
            own (Schedule-Free), or whose weights follow from its slots alone (FTRL).

    Reference: Zhang et al. 2019, "Lookahead Optimizer: k steps forward, 1 step back", https://arxiv.org/abs/1907.08610,
    Algorithm 1.
    """
    for name in unknown:
        allowed = ("optimizer", "k", "alpha")
        raise ValueError(
            f"Lookahead has no argument {name!r}.{did_you_mean(name, allowed)} Its arguments are {', '.join(allowed)}."
        )
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        raise TypeError(
            "Lookahead takes the optimizer inside of a LossScaleOptimizer: LossScaleOptimizer(Lookahead(optimizer)); received "
            "the LossScaleOptimizer."
        )
    if not isinstance(optimizer, Optimizer):
        raise TypeError(
            "Lookahead takes an optimizer of keras_optims; keras_optims.from_keras makes one of an optimizer of Keras. Received "
            f"{shown(optimizer)}."
        )
    if optimizer.lookahead is not None:
        raise ValueError(f"Lookahead cannot be put around Lookahead; received {shown(optimizer)}.")
    if optimizer.built or optimizer._untracked.pending_state is not None:
        state = "is built" if optimizer.built else "has loaded a state"
        raise ValueError(f"Lookahead takes a new optimizer; received {type(optimizer).__name__}, which {state} already.")
    new = type(optimizer).from_config(config_as_it_is(optimizer))
    for name, value in attributes_of(optimizer).items():
        setattr(new, name, value)
    new._untracked.excluded = optimizer._untracked.excluded
    new.lookahead, new.lookahead_alpha = k, alpha
    new.check_arguments()
    return new
