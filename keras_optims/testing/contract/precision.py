"""Variables of other dtypes than float32."""

from __future__ import annotations

import keras
import numpy as np

from keras_optims.testing.compiled_step import EagerStep, as_numpy
from keras_optims.testing.contract.check import MakeOptimizer, NotApplicable, contract_check, require
from keras_optims.testing.contract.making import bare
from keras_optims.testing.contract.walking import make_variables, require_close, walk


@contract_check
def float16_variables(make_optimizer: MakeOptimizer) -> None:
    """float16 variables stay float16 and finite, and go the way of float32 ones to within 5 %.

    A square of 1e-4 is 0 in float16: computed in it, a step is many times too large.
    """
    _require_the_way_of_float32(make_optimizer, "float16")


@contract_check
def bfloat16_variables(make_optimizer: MakeOptimizer) -> None:
    """bfloat16 variables stay bfloat16 and finite, and go the way of float32 ones to within 5 %.

    0.999 is 1 in bfloat16: computed in it, an average with that rate never moves.
    """
    _require_the_way_of_float32(make_optimizer, "bfloat16")


@contract_check
def float64_variables(make_optimizer: MakeOptimizer) -> None:
    """float64 variables stay float64, go the way of float32 ones, and are not rounded to float32 on it.

    Who asks for float64 pays for its digits.
    """
    start = np.array([0.3, -0.7, 1.1])
    if as_numpy(keras.Variable(start, dtype="float64")).dtype != np.float64:
        raise NotApplicable("this backend has float64 switched off")
    gradients = [[np.array([0.1, -0.2, 0.3]) * (i + 1)] for i in range(3)]
    weights = walk(bare(make_optimizer, learning_rate=0.1), gradients, [start], dtype="float64")[-1][0]
    require(weights.dtype == np.float64, f"float64 variables are {weights.dtype} after three steps")
    narrow = [[gradient[0].astype("float32")] for gradient in gradients]
    expected = walk(bare(make_optimizer, learning_rate=0.1), narrow, [start.astype("float32")])[-1]
    require_close([weights], expected, "float64 weights and their float32 twins after three steps", starts=[start])
    require((weights != weights.astype("float32")).any(), "float64 weights hold no more than float32's digits after three steps")


def _require_the_way_of_float32(make_optimizer: MakeOptimizer, dtype: str):
    sizes = [1e-4, -1e-2, 0.5, 4.0]
    gradients = [[np.array(sizes, "float32") * (1 + i % 2)] for i in range(5)]
    ends = []
    for each in ("float32", dtype):
        variables = make_variables([np.zeros(len(sizes), "float32")], each)
        step = EagerStep(bare(make_optimizer, learning_rate=0.1), variables)
        for gradient in gradients:
            step(gradient)
        found = keras.backend.standardize_dtype(variables[0].dtype)
        require(found == each, f"{each} variables are {found} after five steps")
        ends.append(step.weights()[0])
    for size, expected, end in zip(sizes, *ends, strict=True):
        what = f"five steps with gradients of about {size:g} end at {end:.3g} in {dtype} and at {expected:.3g} in float32"
        require(abs(end - expected) <= 0.05 * abs(expected), what)
