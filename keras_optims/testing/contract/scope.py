"""What an optimizer says of its formula's scope."""

from __future__ import annotations

import numpy as np

from keras_optims.testing.contract.check import MakeOptimizer, NotApplicable, contract_check, require
from keras_optims.testing.contract.making import made, weight_decays
from keras_optims.testing.contract.walking import Arrays, require_close, sample_gradients, starting_weights, walk

NUMBER, AT, STEPS, DECAY = 12, 5, 4, 0.1


@contract_check
def elementwise(make_optimizer: MakeOptimizer) -> None:
    """Where the class declares `elementwise`, permuting and splitting a variable's elements does so to its weights and slots.

    Such a formula is run on rows, on blocks, and on several variables end to end.
    """
    if not getattr(type(made(make_optimizer, learning_rate=0.1)), "elementwise", False):
        raise NotApplicable("its formula is not declared elementwise")
    decays = {name: DECAY for name in weight_decays(make_optimizer)}
    for arguments, how in (({}, ""), (decays, ", with weight decay")) if decays else (({}, ""),):
        _require_elementwise(make_optimizer, {"learning_rate": 0.1, **arguments}, how)


def _require_elementwise(make_optimizer: MakeOptimizer, arguments: dict[str, float], how: str):
    (start,), gradients = starting_weights([(NUMBER,)]), sample_gradients(STEPS, [(NUMBER,)])
    of_whole, of_parts = made(make_optimizer, **arguments), made(make_optimizer, **arguments)
    whole = walk(of_whole, gradients, [start])[-1][0]
    parts = walk(of_parts, [_parted(gradient[0]) for gradient in gradients], _parted(start))[-1]
    what = f"of a variable whose elements were permuted and split, and of the whole one{how}"
    require_close(parts, _parted(whole), f"the weights {what}", starts=_parted(start))
    expected = list(zip(*map(_parted, _slots(of_whole, (NUMBER,))), strict=True)) or [(), ()]
    for slots, its_expected in zip([_slots(of_parts, part.shape) for part in parts], expected, strict=True):
        require(len(slots) == len(its_expected), f"a part has {len(slots)} slots of its shape, a whole one {len(its_expected)}")
        for slot, other in zip(slots, its_expected, strict=True):
            require_close([slot], [other], f"a slot {what}", starts=[np.zeros_like(other)])


def _parted(array: np.ndarray) -> Arrays:
    permuted = array[np.random.default_rng(3).permutation(NUMBER)]
    return [permuted[:AT], permuted[AT:].reshape(1, NUMBER - AT)]


def _slots(optimizer, shape: tuple[int, ...]) -> Arrays:
    """What an optimizer saves that has this shape; the variables themselves may be buffers of several slots."""
    store: dict = {}
    optimizer.save_own_variables(store)
    return [value for value in map(np.asarray, store.values()) if value.shape == shape]
