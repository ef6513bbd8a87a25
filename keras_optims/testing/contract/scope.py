"""What an optimizer says of its formula's scope."""

from __future__ import annotations

import numpy as np

from keras_optims.testing.contract.check import MakeOptimizer, NotApplicable, contract_check
from keras_optims.testing.contract.making import made
from keras_optims.testing.contract.walking import require_close, sample_gradients, starting_weights, walk

NUMBER, AT, STEPS = 12, 5, 4


@contract_check
def elementwise(make_optimizer: MakeOptimizer) -> None:
    """Where the class declares `elementwise`, permuting and splitting the elements of a variable permutes and splits the result.

    Such a formula is run on rows, on blocks, and on several variables end to end.
    """
    if not getattr(type(made(make_optimizer, learning_rate=0.1)), "elementwise", False):
        raise NotApplicable("its formula is not declared elementwise")
    (start,), gradients = starting_weights([(NUMBER,)]), sample_gradients(STEPS, [(NUMBER,)])
    whole = walk(made(make_optimizer, learning_rate=0.1), gradients, [start])[-1][0]
    order = np.random.default_rng(3).permutation(NUMBER)

    def parted(array):
        permuted = array[order]
        return [permuted[:AT], permuted[AT:].reshape(1, NUMBER - AT)]

    parts = walk(made(make_optimizer, learning_rate=0.1), [parted(gradient[0]) for gradient in gradients], parted(start))[-1]
    what = "the weights of a variable whose elements were permuted and split, and of the whole one"
    require_close(parts, parted(whole), what, starts=parted(start))
