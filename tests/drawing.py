"""What Hypothesis draws for the tests: hyperparameters of a variant, gradients, and how many examples of each.

A run draws the same examples every time. KERAS_OPTIMS_EXAMPLES=20 makes it 20 times as many, drawn anew.
"""

import os
import tempfile

import hypothesis
import numpy as np
from hypothesis import configuration
from hypothesis import strategies as st

from keras_optims.hyperparameter import DECAY_RATE

configuration.set_hypothesis_home_dir(os.path.join(tempfile.gettempdir(), "hypothesis-of-keras-optims"))  # not in the repository

_TIMES = int(os.environ.get("KERAS_OPTIMS_EXAMPLES", "1"))


def examples(number):
    """The settings of a property that is tried on so many examples."""
    return hypothesis.settings(
        max_examples=number * _TIMES,
        derandomize=_TIMES == 1,
        database=None,
        deadline=None,  # the first example compiles the step
        phases=[hypothesis.Phase.generate],  # a smaller example tells no more than a seed does, and takes minutes
        suppress_health_check=list(hypothesis.HealthCheck),
    )


def numbers_of(declared):
    """Values of a hyperparameter: along the scale of its search, and the ends of its domain that are in it.

    Not β = 0, though: there v + (1−β)·(g² − v), as Keras and the optimizers here compute the average, has lost the digits of g²
    wherever v was much larger before.
    """
    low, high, scale = declared.search.low, declared.search.high, declared.search.scale

    def at(place):
        if scale == "log":
            return low * (high / low) ** place
        return 1 - (1 - low) * ((1 - high) / (1 - low)) ** place if scale == "log1m" else low + (high - low) * place

    searched = st.floats(0, 1).map(at)
    if declared.domain == DECAY_RATE:
        return searched
    ends = [end for end in (declared.domain.low, declared.domain.high) if end in declared.domain and np.isfinite(end)]
    return st.one_of(searched, searched, searched, st.sampled_from([float(end) for end in ends])) if ends else searched


def hyperparameters(variant, **fixed):
    """The numbers of a variant's formula, and its weight decay; those that the variant leaves off stay off."""
    declared = variant.make.hyperparameters()
    names = [name for name, value in variant.arguments.items() if name in declared and value != 0]
    strategies = {name: numbers_of(declared[name]) for name in {*names, "weight_decay"}}
    if variant.arguments.get("centered"):
        # v − a² ≥ ρᵗ·v, as the averages began at zero: for these ρ it keeps its digits over ten steps.
        strategies["rho"] = st.floats(0.9, 0.999)
    return st.fixed_dictionaries(
        {name: strategies[name] for name in sorted(strategies)} | {k: st.just(v) for k, v in fixed.items()}
    )


@st.composite
def gradients(draw, steps, size, zeros=True):
    """float32 gradients of shape `(steps, size)`: magnitudes from 1e-4 to 1e4 that differ by element, some of them zero."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    low, decades = draw(st.integers(-4, 2)), draw(st.integers(0, 2))
    drawn = rng.normal(size=(steps, size)) * 10.0 ** rng.uniform(low, low + decades, size=size)
    if zeros:
        drawn[rng.random(drawn.shape) < draw(st.sampled_from([0.0, 0.3, 0.9]))] = 0
    return drawn.astype("float32")
