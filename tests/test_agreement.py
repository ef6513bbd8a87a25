"""The backends agree: after 100 steps to 1e-6 of the way gone (in the L2 norm), over random configurations.

An environment has one backend, so each run leaves its weights in `.venvs/agreement`, where the runs of the other environments
find them: in `scripts/test.sh --all` each environment is compared with all before it. What is kept is named after the code that
made it, so nothing old is compared.
"""

import hashlib
import importlib.metadata
import pathlib
import zlib

import keras
import numpy as np
import pytest

import keras_optims
from keras_optims.testing.compiled_step import CompiledStep
from tests.variants import EVERYWHERE, random_gradients

ROOT = pathlib.Path(__file__).parents[1]
STEPS, SIZE, CONFIGURATIONS = 100, 40, 3
SCALES = (1e-4, 1.0, 1e4)


def drawn_arguments(variant, rng):
    """The variant's arguments, with the numbers of its formula drawn from where a search looks."""
    arguments = {**variant.arguments, "weight_decay": None}
    for name, declared in variant.make.hyperparameters().items():
        is_drawn = variant.arguments.get(name, 0) != 0 and declared.search and not variant.of_the_model
        if is_drawn and name != "weight_decay":  # θ·(1 − λ·η) on torch, as in Keras, which rounds a small λ·η beside 1
            low, high, place = declared.search.low, declared.search.high, rng.uniform()
            decaying = declared.search.scale == "log1m"
            arguments[name] = 1 - (1 - low) * ((1 - high) / (1 - low)) ** place if decaying else low * (high / low) ** place
    return arguments


def ways(variant):
    """The way gone from zero, for each drawn configuration and scale of the gradients: shape `(configurations, scales, SIZE)`."""
    rng = np.random.default_rng(zlib.crc32(variant.name.encode()))
    gone = []
    for _ in range(CONFIGURATIONS):
        optimizer = variant.make(**drawn_arguments(variant, rng))
        variables = [keras.Variable(np.zeros(SIZE, "float32"), name=f"v{i}") for i in range(len(SCALES))]
        step = CompiledStep(optimizer, variables)
        for gradient in random_gradients((SIZE,), STEPS, seed=int(rng.integers(2**31)), scales=SCALES):
            step(list(gradient))
        gone.append(step.weights())
    return np.array(gone)


def digest():
    """Of all the code that the weights follow from, but for the backends."""
    sources = [
        *sorted((ROOT / "keras_optims").rglob("*.py")),
        pathlib.Path(__file__),
        *sorted((ROOT / "tests" / "variants").glob("*.py")),
    ]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]


def environment():
    backend = keras.backend.backend()
    return f"{backend}-{importlib.metadata.version(backend)}-keras-{keras.__version__}"


@pytest.mark.skipif(not (ROOT / ".venvs").is_dir(), reason="the environments of scripts/test.sh have not been made")
@pytest.mark.parametrize("variant", EVERYWHERE, ids=str)
def test_all_backends_go_the_same_way(variant):
    folder = ROOT / ".venvs" / "agreement" / digest()
    folder.mkdir(parents=True, exist_ok=True)
    own = ways(variant)
    kept = f"{variant.name.replace(' ', '-')}-of-"
    np.save(folder / f"{kept}{environment()}.npy", own)
    lengths = np.linalg.norm(own, axis=-1)
    allowed = 1e-5 if variant.make is keras_optims.Prodigy else 1e-6  # its rate follows from sums in which much cancels
    assert np.any(lengths > 0, axis=-1).all()  # FTRL's penalties may keep a weight of small gradients at zero
    for path in folder.glob(f"{kept}*.npy"):
        apart = np.linalg.norm(own - np.load(path, allow_pickle=False).astype(float), axis=-1) / np.maximum(lengths, 1e-30)
        assert np.all(apart < allowed), f"{environment()} and {path.stem}: {apart.max():.2g} apart"
