"""The optimizers of docs/own_optimizer.md: as in their papers, kept by the contract, saved and resumed bit for bit."""

import pathlib
import re

import keras
import numpy as np
import pytest

from keras_optims.testing import check_optimizer
from keras_optims.testing.compiled_step import CompiledStep, EagerStep

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "own_optimizer.md"
SHAPES = [(4, 3), (5,), *[(2,)] * 9]
STEPS = 20


def classes():
    """The classes as the page has them, so that page and test cannot differ."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict = {"__name__": "own_optimizer"}
    for block in blocks:
        if "class " in block:
            exec(block, names)
    return {name: names[name] for name in ("Lion", "LAMB", "Prodigy")}


CLASSES = classes()


def lion(gradients, starts, rate=0.05, decay=0.1, b1=0.9, b2=0.99):
    weights, m = [w.copy() for w in starts], [0 * w for w in starts]
    for gradient in gradients:
        for i, g in enumerate(gradient):
            weights[i] = weights[i] * (1 - rate * decay) - rate * np.sign(b1 * m[i] + (1 - b1) * g)
            m[i] = b2 * m[i] + (1 - b2) * g
    return weights


def lamb(gradients, starts, rate=0.05, decay=0.1, b1=0.9, b2=0.999, eps=1e-3):
    weights, m, v = [w.copy() for w in starts], [0 * w for w in starts], [0 * w for w in starts]
    for t, gradient in enumerate(gradients, start=1):
        for i, g in enumerate(gradient):
            m[i], v[i] = b1 * m[i] + (1 - b1) * g, b2 * v[i] + (1 - b2) * g * g
            u = m[i] / (1 - b1**t) / (np.sqrt(v[i] / (1 - b2**t)) + eps) + decay * weights[i]
            long, short = np.linalg.norm(weights[i]), np.linalg.norm(u)
            weights[i] = weights[i] - rate * (long / short if long > 0 and short > 0 else 1.0) * u
    return weights


def prodigy(gradients, starts, rate=1.0, decay=0.1, b1=0.9, b2=0.999, eps=1e-3, d0=0.02):
    weights, m, v, s = [w.copy() for w in starts], *([0 * w for w in starts] for _ in range(3))
    d, numerator, b3 = d0, 0.0, np.sqrt(b2)
    for gradient in gradients:
        ell = d * rate
        along = sum(np.sum(g * (x - w)) for g, x, w in zip(gradient, starts, weights, strict=True))
        numerator = b3 * numerator + d / d0 * ell * along
        s = [b3 * each + d / d0 * ell * g for each, g in zip(s, gradient, strict=True)]
        new = max(d, numerator / sum(np.abs(each).sum() for each in s))
        for i, g in enumerate(gradient):
            m[i], v[i] = b1 * m[i] + (1 - b1) * d * g, b2 * v[i] + (1 - b2) * (d * g) ** 2
            weights[i] = weights[i] * (1 - decay * ell)
            weights[i] = weights[i] - ell * m[i] / (np.sqrt(v[i]) + new * eps)
        d = new
    return weights


TWINS = {
    "Lion": (lion, {"learning_rate": 0.05}),
    "LAMB": (lamb, {"learning_rate": 0.05, "epsilon": 1e-3}),
    "Prodigy": (prodigy, {"initial_d": 0.02, "epsilon": 1e-3}),
}


def problem(dtype):
    """Weights in a dtype, of which one variable begins at zero, as a bias does."""
    rng = np.random.default_rng(0)
    starts = [rng.normal(size=shape).astype("float32") * (i != 1) for i, shape in enumerate(SHAPES)]
    variables = [keras.Variable(start, dtype=dtype, name=f"v{i}") for i, start in enumerate(starts)]
    return variables, [np.array(keras.ops.convert_to_numpy(keras.ops.cast(v, "float32")), "float64") for v in variables]


def gradients_of_a_quadratic(twin, starts):
    """Those that the twin meets on its way to 1/2, with noise: what they do to it stays bounded."""
    rng, gradients = np.random.default_rng(1), []
    for _ in range(STEPS):
        weights = twin(gradients, starts)
        gradients.append([(w - 0.5 + 0.1 * rng.normal(size=w.shape)).astype("float32").astype("float64") for w in weights])
    return gradients


@pytest.mark.parametrize("step", [EagerStep, CompiledStep])
@pytest.mark.parametrize(
    ("dtype", "compensated"),
    [("float32", False), ("float16", False), ("float16", True), ("bfloat16", False), ("bfloat16", True)],
)
@pytest.mark.parametrize("name", CLASSES)
def test_it_follows_the_formula_of_its_paper(name, dtype, compensated, step):
    variables, starts = problem(dtype)
    twin, arguments = TWINS[name]
    gradients = gradients_of_a_quadratic(twin, starts)
    expected = twin(gradients, starts)
    run = step(CLASSES[name](weight_decay=0.1, compensated_summation=compensated, **arguments), variables)
    for gradient in gradients:
        run([g.astype("float32") for g in gradient])
    way = max(np.abs(after - before).max() for after, before in zip(expected, starts, strict=True))
    assert way > 0.1
    if name == "Prodigy":
        assert float(run.optimizer.d) > 5 * arguments["initial_d"]  # it has found out something
    half_a_unit = {"float32": 0.0, "float16": 2.0**-11, "bfloat16": 2.0**-8}[dtype] * max(np.abs(w).max() for w in expected)
    roundings = 2 if compensated else STEPS  # that of a step is given back in the next one
    for ours, theirs in zip(run.weights(), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=5e-6 * way + roundings * half_a_unit)


@pytest.mark.backend("tensorflow")  # of ours, tests/test_contract.py checks some on each
@pytest.mark.parametrize("name", CLASSES)
def test_it_keeps_the_contract(name):
    report = check_optimizer(CLASSES[name])
    assert not report.failed, str(report)


@pytest.mark.parametrize("name", CLASSES)
def test_a_training_with_it_goes_on_from_a_saved_model_bit_for_bit(name, tmp_path):
    x = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")

    def compiled():
        keras.utils.set_random_seed(0)
        layers = [keras.layers.Dense(4, name=f"hidden_{i}") for i in range(9)]
        model = keras.Sequential([keras.Input((4,)), *layers], name="deep")
        model.compile(CLASSES[name](**TWINS[name][1], weight_decay=0.01), loss="mse")
        return model

    def fit(model):
        model.fit(x, x, batch_size=8, shuffle=False, verbose=0)

    uninterrupted, model = compiled(), compiled()
    fit(uninterrupted)
    fit(uninterrupted)
    fit(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    fit(loaded)
    for ours, theirs in zip(loaded.get_weights(), uninterrupted.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
