"""Clipping: a bound on the gradients that the step sees."""

from __future__ import annotations

import numpy as np

from keras_optims.testing.contract.check import MakeOptimizer, NotApplicable, contract_check
from keras_optims.testing.contract.making import bare
from keras_optims.testing.contract.walking import Arrays, require_close, sample_gradients, walk

BOUND = 0.5


@contract_check
def clipnorm(make_optimizer: MakeOptimizer) -> None:
    """`clipnorm` scales each gradient down to that L2 norm, and leaves smaller ones alone.

    One bad batch must not throw the weights away.
    """
    _require_steps_of_clipped_gradients(make_optimizer, "clipnorm", lambda gradient: [_to_norm([g])[0] for g in gradient])


@contract_check
def global_clipnorm(make_optimizer: MakeOptimizer) -> None:
    """`global_clipnorm` scales all gradients together down to that L2 norm, and leaves smaller ones alone.

    One bad batch must not throw the weights away, nor change the direction.
    """
    _require_steps_of_clipped_gradients(make_optimizer, "global_clipnorm", _to_norm)


@contract_check
def clipvalue(make_optimizer: MakeOptimizer) -> None:
    """`clipvalue` limits each element of the gradients to that absolute value.

    One bad batch must not throw the weights away.
    """
    limited = lambda gradient: [np.clip(g, -BOUND, BOUND) for g in gradient]  # noqa: E731
    _require_steps_of_clipped_gradients(make_optimizer, "clipvalue", limited)


@contract_check
def clipping_of_huge_gradients(make_optimizer: MakeOptimizer) -> None:
    """Clipping by norm keeps the direction of gradients of 1e25, which are finite.

    The sum of their squares is not: the largest gradients, for which clipping is made, become zero or NaN.
    """
    gradients = [[g * np.float32(10.0**25) for g in gradient] for gradient in sample_gradients(2)]
    tried = False
    for kind, clip in {"clipnorm": lambda gradient: [_to_norm([g])[0] for g in gradient], "global_clipnorm": _to_norm}.items():
        try:
            clipping = bare(make_optimizer, learning_rate=0.1, **{kind: BOUND})
        except NotApplicable:
            continue
        tried = True
        expected = walk(bare(make_optimizer, learning_rate=0.1), [clip(gradient) for gradient in gradients])[-1]
        what = f"the weights after huge gradients with {kind}, and after clipped ones"
        require_close(walk(clipping, gradients)[-1], expected, what)
    if not tried:
        raise NotApplicable("it has no argument clipnorm or global_clipnorm")


def _require_steps_of_clipped_gradients(make_optimizer: MakeOptimizer, kind: str, clip):
    gradients = sample_gradients(3)
    gradients.append([g * np.float32(1e-3) for g in gradients[0]])  # smaller than the bound
    clipping = bare(make_optimizer, learning_rate=0.1, **{kind: BOUND})
    expected = walk(bare(make_optimizer, learning_rate=0.1), [clip(gradient) for gradient in gradients])[-1]
    require_close(walk(clipping, gradients)[-1], expected, f"the weights with {kind}={BOUND}, and after gradients clipped before")


def _to_norm(gradient: Arrays) -> Arrays:
    """The arrays times min(1, bound / their L2 norm together), computed in float64."""
    norm = np.sqrt(sum(np.sum(g.astype("float64") ** 2) for g in gradient))
    return [(g * min(1.0, BOUND / norm)).astype("float32") for g in gradient]
