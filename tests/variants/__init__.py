"""The table that the optimizer tests run over: every algorithm and variant, with its float64 twin and Keras's namesake.

It is also the table of what runs where: all of them on the newest TensorFlow; on older ones and on the other backends those of
`EVERYWHERE`, one for each way that a backend has of running a formula.
"""

import importlib.metadata

import keras
import numpy as np

from keras_optims.testing.compiled_step import CompiledStep
from tests.variants import adaptive, adaptive_later, classics, layerwise, matrix, schedule_free
from tests.variants.variant import Variant

__all__ = [
    "ALL",
    "BY_NAME",
    "BY_ROWS",
    "CLASSES",
    "EVERYWHERE",
    "OF_EACH_SCOPE",
    "ONE_EACH",
    "SHAPES",
    "VARIANTS",
    "Variant",
    "distance",
    "random_gradients",
    "run",
]

_LATER = (adaptive, adaptive_later, layerwise, matrix, schedule_free)
ALL = [*classics.VARIANTS, *(variant for family in _LATER for variant in family.VARIANTS)]
EVERYWHERE = [*classics.VARIANTS, *(variant for family in _LATER for variant in family.EVERYWHERE)]
_ON_THE_NEWEST = keras.backend.backend() == "tensorflow" and not importlib.metadata.version("tensorflow").startswith("2.19.")
VARIANTS = ALL if _ON_THE_NEWEST else EVERYWHERE
ONE_EACH = list({variant.make: variant for variant in reversed(VARIANTS)}.values())[::-1]
"""The first of each class: for what does not depend on a formula's options."""
BY_NAME = {variant.name: variant for variant in ALL}
OF_EACH_SCOPE = [BY_NAME[name] for name in ("momentum", "adam", "radam", "lamb with decay", "prodigy", "muon")]
"""One for each scope that a formula may have: with a kernel, by element, by variable, of the whole model, of lists."""
CLASSES = list(dict.fromkeys(variant.make for variant in VARIANTS))
BY_ROWS = list(dict.fromkeys(variant.make for variant in VARIANTS if variant.takes_rows))

SHAPES = {"scalar": (), "empty": (0, 3), "one": (1,), "odd": (7, 3, 5), "large": (130, 67)}


def random_gradients(shape, steps, seed=0, scales=(1.0,)):
    """Gradients of mixed sign, whose magnitude differs by element and drifts over the steps.

    Returns:
        `steps` float32 arrays of shape `(len(scales), *shape)`, the first axis a magnitude each.
    """
    rng = np.random.default_rng(seed)
    by_element = 10.0 ** rng.uniform(-1, 1, size=shape)
    by_scale = np.reshape(scales, (-1, *[1] * len(shape)))
    return [
        (rng.normal(0.3, 1, size=shape) * by_element * by_scale * 10.0 ** np.sin(step / 7)).astype("float32")
        for step in range(steps)
    ]


def run(optimizer, gradients, start, dtype="float32"):
    """Applies the gradients to one variable; the weights after each step, as NumPy arrays."""
    variable = keras.Variable(start, dtype=dtype, name="theta")
    step, path = CompiledStep(optimizer, [variable]), []
    for gradient in gradients:
        step([gradient])
        path += step.weights()
    return path


def distance(path, twin, start=0.0):
    """How far two paths lie apart, at the worst element and step, as a share of the way that the twin has gone.

    A weight that is large beside its way is known only to its own rounding, a few of whose units a step do not count.
    """
    path, twin = np.array(path, np.float64), np.array(twin)
    way = np.abs(twin - start).max(axis=0, initial=0.0)
    rounding = 2 * np.finfo(np.float32).eps * np.abs(start) * np.sqrt(len(twin))
    apart = np.maximum(np.abs(path - twin).max(axis=0, initial=0.0) - rounding, 0.0)
    return float(np.max(apart / np.maximum(way, 1e-30), initial=0.0))
