"""Muon and SOAP on matrices: their twins, exact values, which variables they are for, and what is the same in another basis."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_optims
from keras_optims import Adam, Muon, Rule, axes_of
from keras_optims.newton_schulz import ORIGINAL, POLAR_EXPRESS, QUINTIC, orthogonalized
from keras_optims.testing import reference
from keras_optims.testing.compiled_step import CompiledStep, as_numpy
from tests.stepping import state_of
from tests.variants import distance, random_gradients, run

BACKEND = keras.backend.backend()
STEPS = 60
TOLERANCE = 2e-4  # of the way gone


def gradients(shape, steps=STEPS, seed=0):
    """Of a few directions that go on, and noise of all sizes."""
    rng = np.random.default_rng(seed)
    lasting = rng.normal(size=shape)
    return [(lasting + rng.normal(size=shape) * 10.0 ** np.sin(step / 7)).astype("float32") for step in range(steps)]


def departure(optimizer, twin, shape=(12, 7), start=0.0, **arguments):
    given, start = gradients(shape), np.full(shape, start, "float32")
    return distance(run(optimizer, given, start), twin(given, start, **arguments), start)


# -- Newton-Schulz --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("coefficients", "margin", "expected"),
    [
        ([ORIGINAL] * 5, 1.0, (0.69896313, 1.11878104, 0.71200951, 0.68656069)),
        (QUINTIC, 1.0, (1.02682648, 1.00683116, 0.98783522, 0.99201192)),
        (POLAR_EXPRESS, 1.02, (1.00474565, 1.02149365, 1.13993609, 0.86618618)),
    ],
)
def test_singular_values_go_where_the_polynomials_take_them(coefficients, margin, expected):
    values = np.array([1.0, 0.5, 0.1, 0.01])
    found = orthogonalized(ops.convert_to_tensor(np.diag(values).astype("float32")), coefficients, 0.0, margin)
    np.testing.assert_allclose(np.diag(ops.convert_to_numpy(found)), expected, rtol=2e-5)
    twin = reference.newton_schulz(np.diag(values), coefficients, 0.0, margin)
    np.testing.assert_allclose(np.diag(twin), expected, rtol=1e-7)


@pytest.mark.parametrize(("coefficients", "low", "high"), [([ORIGINAL] * 5, 0.68, 1.14), (QUINTIC, 0.97, 1.04)])
def test_singular_values_from_one_hundredth_on_end_near_one(coefficients, low, high):
    rng = np.random.default_rng(0)
    u, _, v = np.linalg.svd(rng.normal(size=(30, 40)), full_matrices=False)
    values = np.geomspace(0.02, 1, 30)
    matrix = (u * (values / np.sqrt(np.sum(values**2)))) @ v
    found = orthogonalized(ops.convert_to_tensor(matrix.astype("float32")), coefficients, 0.0)
    singular = np.linalg.svd(ops.convert_to_numpy(found), compute_uv=False)
    assert low - 0.35 * (values[0] < 0.05) < singular.min()
    assert singular.max() < high


def test_bfloat16_iterations_are_orthogonal_to_bfloat16():
    matrix = np.random.default_rng(0).normal(size=(2, 16, 24)).astype("float32")
    exact, rounded = (
        ops.convert_to_numpy(orthogonalized(ops.convert_to_tensor(matrix), QUINTIC, dtype=dtype)) for dtype in (None, "bfloat16")
    )
    assert rounded.dtype == np.float32
    assert 1e-4 < np.abs(exact - rounded).max() < 0.05


# -- Muon -----------------------------------------------------------------------------------------

MUON = {"learning_rate": 0.01, "momentum": 0.9, "weight_decay": None}
OPTIONS = {
    "plain": {},
    "decay": {"weight_decay": 0.3},
    "without Nesterov": {"nesterov": False},
    "original scale": {"scale": "original"},
    "spectral scale": {"scale": "spectral"},
    "no scale": {"rms_rate": None},
    "quintic": {"coefficients": "quintic"},
    "polar express": {"coefficients": "polar_express"},
    "seven quintic": {"coefficients": "quintic", "ns_steps": 7},
    "three": {"ns_steps": 3},
}


@pytest.mark.parametrize("shape", [(12, 7), (7, 12), (9, 9), (5, 1), (1, 1), (130, 67)], ids=str)
@pytest.mark.parametrize("option", OPTIONS)
def test_muon_follows_its_float64_twin(option, shape):
    if BACKEND != "tensorflow" and shape not in ((12, 7), (7, 12)):
        pytest.skip("on TensorFlow")
    arguments = {**MUON, **OPTIONS[option]}
    assert departure(Muon(**arguments), reference.muon, shape, 1.0, **arguments) < TOLERANCE


def test_scheduled_hyperparameters_of_muon_follow_the_twin():
    def falling(value):
        return lambda step: value * (1 - 0.004 * ops.cast(step, "float32"))

    arguments = {name: falling(value) for name, value in {**MUON, "weight_decay": 0.3}.items()}
    assert departure(Muon(**arguments), reference.muon, start=1.0, **arguments) < 3 * TOLERANCE


@pytest.mark.backend("tensorflow")
@pytest.mark.parametrize(
    "wrong",
    [
        {"learning_rate": 0.0101},
        {"momentum": 0.901},
        {"weight_decay": 0.303},
        {"rms_rate": 0.202},
        {"ns_steps": 4},
        {"nesterov": False},
        {"muon_a": ORIGINAL[0] * 1.01},
        {"muon_b": ORIGINAL[1] * 1.01},
        {"muon_c": ORIGINAL[2] * 1.01},
        {"coefficients": "quintic"},
        {"scale": "original"},
    ],
    ids=str,
)
def test_the_comparison_notices_a_wrong_constant_of_muon(wrong):
    arguments = {**MUON, "weight_decay": 0.3}
    assert departure(Muon(**{**arguments, **wrong}), reference.muon, start=1.0, **arguments) > 4 * TOLERANCE


class AveragesInVelocity(Muon):
    """The update of an average in place of the sum, with the gradient as heavy as ever."""

    def update_steps(self, gradients, variables, learning_rates):
        super().update_steps([gradient * 0.1 for gradient in gradients], variables, learning_rates)
        for variable, gradient in zip(variables, gradients, strict=True):
            self.assign_add(self.velocity[variable], gradient * 0.1)


class ScalesByTheSmallerSide(Muon):
    def _length(self, sizes):
        return self.rms_rate * min(sizes[1:]) ** 0.5


class ScalesByTorchsSides(Muon):
    def _length(self, sizes):
        return super()._length((sizes[0], sizes[2], sizes[1]))


class TurnsAround(Muon):
    def _length(self, sizes):
        return -super()._length(sizes)


@pytest.mark.backend("tensorflow")
@pytest.mark.parametrize(
    ("wrong", "option"),
    [
        (AveragesInVelocity, {}),
        (ScalesByTheSmallerSide, {}),
        (ScalesByTorchsSides, {"scale": "original"}),
        (ScalesByTorchsSides, {"scale": "spectral"}),
        (TurnsAround, {}),
    ],
)
def test_the_comparison_notices_a_wrong_formula_of_muon(wrong, option):
    arguments = {**MUON, **option}
    assert departure(wrong(**arguments), reference.muon, (7, 12), **arguments) > 4 * TOLERANCE


def test_muon_of_a_transposed_matrix_is_the_transposed_muon():
    given = gradients((12, 7))
    one = run(Muon(**MUON), given, np.zeros((12, 7), "float32"))
    other = run(Muon(**MUON), [gradient.T for gradient in given], np.zeros((7, 12), "float32"))
    np.testing.assert_allclose(one[-1], other[-1].T, rtol=1e-4, atol=1e-6)


def test_muon_does_not_mind_the_size_of_gradients():
    given = gradients((12, 7))
    one, other = (run(Muon(**MUON), [g * np.float32(by) for g in given], np.zeros((12, 7), "float32"))[-1] for by in (1, 1024))
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def variables(shapes):
    rng = np.random.default_rng(0)
    made = []
    for path, shape in shapes.items():
        with keras.name_scope(path.rpartition("/")[0]):
            made.append(keras.Variable(rng.normal(size=shape).astype("float32"), name=path.rpartition("/")[2]))
    return made


def walked(optimizer, shapes, steps=5):
    step = CompiledStep(optimizer, variables(shapes))
    for number in range(steps):
        rng = np.random.default_rng(number)
        step([rng.normal(size=shape).astype("float32") for shape in shapes.values()])
    return step.weights()


def test_matrices_of_one_shape_are_one_batch_and_each_by_itself(monkeypatch):
    shapes = {"a/kernel": (6, 4), "b/kernel": (4, 6), "c/kernel": (6, 4), "d/kernel": (3, 2, 4), "e/kernel": (5, 4)}
    seen = []
    monkeypatch.setattr(
        Muon, "_orthogonalized", lambda self, m, of=Muon._orthogonalized: seen.append(tuple(m.shape)) or of(self, m)
    )
    axes = {"d/kernel": keras_optims.Axes((0, 1), (2,))}
    together = walked(Muon(**MUON, axes=axes), shapes)
    assert set(seen) == {(2, 6, 4), (1, 4, 6), (1, 6, 4), (1, 5, 4)}  # of `d` its axes are its own
    for number, (path, shape) in enumerate(shapes.items()):
        optimizer = Muon(**MUON, axes=axes if path == "d/kernel" else None)
        step = CompiledStep(optimizer, [variables(shapes)[number]])
        for seed in range(5):
            rng = np.random.default_rng(seed)
            step([rng.normal(size=each).astype("float32") for each in shapes.values()][number : number + 1])
        np.testing.assert_allclose(step.weights()[0], together[number], rtol=1e-5, atol=1e-6), shape


def test_a_convolution_goes_as_the_matrix_that_it_is():
    given = gradients((3, 3, 2, 5), 20)
    with keras.name_scope("conv"):
        variable = keras.Variable(np.zeros((3, 3, 2, 5), "float32"), name="kernel")
    step = CompiledStep(Muon(**MUON), [variable])
    for gradient in given:
        step([gradient])
    twin = reference.muon([g.reshape(18, 5) for g in given], np.zeros((18, 5)), **MUON)
    np.testing.assert_allclose(step.weights()[0].reshape(18, 5), twin[-1], rtol=1e-4, atol=1e-6)


def test_a_batch_of_matrices_goes_matrix_by_matrix():
    layer = layers.EinsumDense("abc,bcd->abd", (2, 3))
    layer.build((None, 2, 4))
    layer.kernel.assign(np.zeros((2, 4, 3)))
    given = gradients((2, 4, 3), 20)
    step = CompiledStep(Muon(**MUON, axes=axes_of(layer)), [layer.kernel])
    for gradient in given:
        step([gradient])
    for i in range(2):
        twin = reference.muon([g[i] for g in given], np.zeros((4, 3)), **MUON)
        np.testing.assert_allclose(step.weights()[0][i], twin[-1], rtol=1e-4, atol=1e-6)


def model():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6,), dtype="int32")
    x = layers.Embedding(11, 8, name="tokens")(inputs)
    x = layers.MultiHeadAttention(2, 4, name="attention")(x, x)
    x = layers.LayerNormalization(name="norm")(x)
    x = layers.Conv1D(8, 3, name="conv")(x)
    x = layers.DepthwiseConv1D(2, name="depthwise")(x)
    x = layers.GRU(5, name="gru")(x)
    x = layers.Dense(7, name="hidden")(x)
    return keras.Model(inputs, layers.Dense(3, name="head")(x))


def by_muon(optimizer, made):
    optimizer.build(made.trainable_variables)
    return {v.path for v in made.trainable_variables if v in optimizer.velocity}


MATRICES = {
    *(f"attention/{name}/kernel" for name in ("query", "key", "value", "attention_output")),
    *("conv/kernel", "gru/gru_cell/kernel", "gru/gru_cell/recurrent_kernel", "hidden/kernel"),
}


def test_muon_is_for_hidden_matrices():
    made = model()
    assert by_muon(Muon(exclude_head=True), made) == MATRICES
    assert by_muon(Muon(exclude_layers=["^head/"]), made) == MATRICES
    assert by_muon(Muon(), made) == {*MATRICES, "head/kernel"}
    assert by_muon(Muon(axes=axes_of(made)), made) == {*MATRICES, "head/kernel"}
    assert by_muon(Muon(exclude_layers=["gru", "head"]), made) == {path for path in MATRICES if "gru" not in path}
    assert by_muon(Muon(exclude_embeddings=False), made) == {*MATRICES, "head/kernel", "tokens/embeddings"}
    flat = {*(path for path in MATRICES if "attention" not in path and "conv" not in path), "gru/gru_cell/bias"}
    flat |= {f"attention/{name}/bias" for name in ("query", "key", "value")}
    assert by_muon(Muon(flatten=False), made) == {*flat, "head/kernel"}


def test_explain_tells_which_go_by_adam():
    made, optimizer = model(), Muon(exclude_head=True)
    optimizer.build(made.trainable_variables)
    found = {line.variable: line.by_rules.get("formula") for line in optimizer.explain()}
    assert {path for path, formula in found.items() if formula is None} == MATRICES
    assert set(found.values()) == {None, "Adam"}


SHAPES = {"hidden/kernel": (6, 4), "hidden/bias": (4,), "norm/gamma": (4,), "tokens/embeddings": (9, 3)}


def test_the_others_go_by_adam_with_the_hyperparameters_that_begin_so():
    optimizer = Muon(0.01, 0.8, 0.9, 0.3, 1e-3, adam_lr_ratio=0.5)
    found = walked(optimizer, SHAPES)
    others = {path: shape for path, shape in SHAPES.items() if path != "hidden/kernel"}
    start = [as_numpy(v) for v in variables(SHAPES)]
    for i, path in enumerate(SHAPES):
        if path in others:
            its = []
            for number in range(5):
                rng = np.random.default_rng(number)
                its.append([rng.normal(size=shape).astype("float32") for shape in SHAPES.values()][i])
            twin = reference.adam(its, start[i], 0.005, 0.8, 0.9, 1e-3, weight_decay=0.6)  # which is times η, and not η/2
            np.testing.assert_allclose(found[i], twin[-1], rtol=1e-5, atol=1e-6)


def test_hyperparameters_of_the_others_are_live_and_set_by_rule():
    rules = [Rule("gamma", learning_rate_multiplier=0.0), Rule("bias", adam_beta_1=0.5, weight_decay=None)]
    optimizer = Muon(0.01, adam_weight_decay=0.3, rules=rules)
    plain, found = walked(Muon(0.01, adam_weight_decay=0.3), SHAPES), walked(optimizer, SHAPES)
    np.testing.assert_allclose(found[0], plain[0], rtol=1e-6)
    np.testing.assert_array_equal(found[2], as_numpy(variables(SHAPES)[2]))
    np.testing.assert_allclose(found[3], plain[3], rtol=1e-6)
    expected = walked(Muon(0.01, adam_beta_1=0.5, adam_weight_decay=None), SHAPES)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-6, atol=1e-7)
    step = CompiledStep(optimizer, optimizer.variables_of_the_model())
    before = step.weights()
    optimizer.adam_lr_ratio = 0.0
    step([np.ones(shape, "float32") for shape in SHAPES.values()])
    np.testing.assert_array_equal(step.weights()[3], before[3])
    assert np.abs(step.weights()[0] - before[0]).max() > 1e-4


@pytest.mark.parametrize(
    "options", [{"clipnorm": 0.1}, {"agc": 0.01}, {"cautious": True}, {"gradient_centralization": True}], ids=str
)
def test_what_holds_for_all_holds_for_the_others_too(options):
    found = walked(Muon(0.01, adam_weight_decay=None, epsilon=0.1, **options), SHAPES)
    adam = walked(Adam(0.01, epsilon=0.1, **options), SHAPES)
    for i in (1, 2, 3):
        np.testing.assert_allclose(found[i], adam[i], rtol=2e-6, atol=2e-6)
    assert np.abs(walked(Muon(0.01), SHAPES)[0] - found[0]).max() > 1e-5


def test_a_rule_with_a_formula_of_its_own_goes_before():
    optimizer = Muon(0.01, rules=[Rule("hidden/", formula=keras_optims.GradientDescent(0.1))])
    found, plain = walked(optimizer, SHAPES), walked(Muon(0.01), SHAPES)
    descended = walked(keras_optims.GradientDescent(0.1), SHAPES)
    np.testing.assert_allclose(found[0], descended[0], rtol=1e-6)
    np.testing.assert_allclose(found[1], descended[1], rtol=1e-6)
    np.testing.assert_allclose(found[3], plain[3], rtol=1e-6)


def test_muon_may_be_the_formula_of_a_rule():
    optimizer = keras_optims.GradientDescent(0.1, rules=[Rule("hidden/", formula=Muon(0.01))])
    found, plain = walked(optimizer, SHAPES), walked(Muon(0.01), SHAPES)
    np.testing.assert_allclose(found[0], plain[0], rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(found[1], plain[1], rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(found[3], walked(keras_optims.GradientDescent(0.1), SHAPES)[3], rtol=1e-6)
    state, other = state_of(optimizer), keras_optims.GradientDescent(0.1, rules=[Rule("hidden/", formula=Muon(0.01))])
    assert {"velocity|hidden|kernel", "first_moment|hidden|bias"} <= set(state)
    other.build(variables(SHAPES))
    other.load_own_variables(state)
    for name, value in state_of(other).items():
        np.testing.assert_array_equal(value, state[name])


def test_a_training_with_muon_resumes_bit_for_bit(tmp_path):
    x, y = np.random.default_rng(0).integers(11, size=(32, 6)), np.random.default_rng(1).integers(3, size=32)

    def compiled():
        made = model()
        made.compile(Muon(0.01, exclude_head=True), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        return made

    uninterrupted, stopped = compiled(), compiled()
    for one, epochs in ((uninterrupted, 2), (stopped, 1)):
        one.fit(x, y, batch_size=16, epochs=epochs, shuffle=False, verbose=0)
    stopped.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    loaded.fit(x, y, batch_size=16, shuffle=False, verbose=0)
    for ours, theirs in zip(loaded.get_weights(), uninterrupted.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"coefficients": "quintic", "muon_a": 3.0}, r"muon_a, muon_b and muon_c are those of coefficients='original'"),
        ({"scale": "original", "rms_rate": 0.3}, "rms_rate is of scale='match_rms'; received rms_rate=0.3 and scale='original'"),
        ({"scale": "rms"}, "scale must be 'match_rms' or 'original' or 'spectral'; received 'rms'"),
        ({"exclude_layers": ["("]}, r"exclude_layers must be a regular expression; received '\('"),
        ({"exclude_layers": 3}, "exclude_layers must be a text or a list of them; received 3"),
        ({"ns_steps": 0}, r"ns_steps must be an int in \[1, ∞\]; received 0"),
    ],
)
def test_arguments_that_cannot_be_are_an_error(arguments, error):
    with pytest.raises(ValueError, match=error):
        Muon(**arguments)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_matrices_are_updated_in_float32(dtype):
    given = random_gradients((12, 7), 30)
    given = [gradient.reshape(12, 7) for gradient in given]
    found = run(Muon(**MUON, compensated_summation=True), given, np.ones((12, 7), "float32"), dtype)[-1]
    twin = reference.muon(given, np.ones((12, 7)), **MUON)[-1]
    np.testing.assert_allclose(found, twin, atol=2e-2 if dtype == "bfloat16" else 3e-3)


# -- SOAP -----------------------------------------------------------------------------------------

SOAP = {"learning_rate": 0.01, "beta_1": 0.9, "beta_2": 0.95, "epsilon": 1e-8, "weight_decay": None}
SOAP_OPTIONS = {
    "plain": {},
    "decay": {"weight_decay": 0.3},
    "every step": {"precondition_frequency": 1},
    "every third": {"precondition_frequency": 3},
    "its own β": {"shampoo_beta": 0.8},
    "large ε": {"epsilon": 0.3},
}


@pytest.mark.parametrize("option", SOAP_OPTIONS)
def test_soap_follows_its_float64_twin(option):
    arguments = {**SOAP, **SOAP_OPTIONS[option]}
    assert departure(keras_optims.SOAP(**arguments), reference.soap, (8, 8), 1.0, **arguments) < TOLERANCE


@pytest.mark.parametrize("strength", [1e-17, 1e-19, 1e-21, 1e-30, 0.0])
def test_the_bases_of_soap_stay_orthogonal_where_inputs_are_hardly_ever_on(strength):
    # Such as the pixels at the edge of a digit: their gradients are small beside the others', and the squares are not in float32.
    rng = np.random.default_rng(0)
    weights = keras.Variable(np.zeros((80, 3), "float32"), name="kernel")
    optimizer = keras_optims.SOAP(0.01)
    optimizer.build([weights])
    side, basis = np.zeros((2, 80, 80))
    for part, size in ((slice(0, 60), 1.0), (slice(60, 80), strength)):
        gradients = rng.normal(size=(part.stop - part.start, 200))
        side[part, part] = size * gradients @ gradients.T / 200
        basis[part, part] = np.linalg.qr(rng.normal(size=side[part, part].shape))[0]
    for _ in range(2):
        optimizer.apply([ops.zeros((80, 3))], [weights])
    optimizer.sides[0][weights].assign(side[None])
    optimizer.bases[0][weights].assign(basis[None])
    for _ in range(10):
        optimizer.apply([ops.zeros((80, 3))], [weights])
    found = ops.convert_to_numpy(optimizer.bases[0][weights])[0].astype("float64")
    assert np.abs(found - basis).max() > 1e-3
    assert np.abs(found.T @ found - np.eye(80)).max() < 1e-5


def test_soap_turns_no_side_that_is_too_long():
    # a side that is longer than the other has eigenvectors of the eigenvalue 0, of which any basis will do
    arguments = {**SOAP, "max_precond_dim": 7}
    optimizer = keras_optims.SOAP(**arguments)
    assert departure(optimizer, reference.soap, (12, 7), **arguments) < TOLERANCE
    assert [v.shape[1:] for side in optimizer.sides for v in side.variables] == [(7, 7)]
    arguments = {**SOAP, "max_precond_dim": 6}
    optimizer = keras_optims.SOAP(**arguments)
    assert departure(optimizer, reference.soap, (12, 7), **arguments) < TOLERANCE
    assert [v for side in optimizer.sides for v in side.variables] == []


@pytest.mark.parametrize("shape", [(), (5,), (1, 1), (5, 1)], ids=str)
def test_soap_of_what_is_no_matrix_is_adam_without_the_first_gradient(shape):
    given = gradients(shape)
    found = run(keras_optims.SOAP(**SOAP, max_precond_dim=1), given, np.ones(shape, "float32"))
    expected = run(Adam(0.01, 0.9, 0.95, 1e-8), given[1:], np.ones(shape, "float32"))
    np.testing.assert_array_equal(found[0], np.ones(shape))
    np.testing.assert_allclose(found[1:], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.backend("tensorflow")
@pytest.mark.parametrize(
    "wrong",
    [
        {"learning_rate": 0.0101},
        {"beta_1": 0.901},
        {"beta_2": 0.9505},
        {"weight_decay": 0.303},
        {"epsilon": 0.303},
        {"shampoo_beta": 0.94},
        {"precondition_frequency": 11},
        {"max_precond_dim": 7},
    ],
    ids=str,
)
def test_the_comparison_notices_a_wrong_constant_of_soap(wrong):
    arguments = {**SOAP, "weight_decay": 0.3, "epsilon": 0.3}
    assert departure(keras_optims.SOAP(**{**arguments, **wrong}), reference.soap, (8, 8), 1.0, **arguments) > 4 * TOLERANCE


class MovesAtOnce(keras_optims.SOAP):
    @property
    def step_number(self):
        return super().step_number + 1


class KeepsItsFirstBasis(keras_optims.SOAP):
    def _renew(self, batches):
        pass


class ForgetsToTurnTheFirstMoment(keras_optims.SOAP):
    def _renew(self, batches):
        variables = [variable for batch in batches for variable in batch]
        before = [self.first_moment[variable].value for variable in variables]
        super()._renew(batches)
        for variable, m in zip(variables, before, strict=True):
            self.assign(self.first_moment[variable], m)


class ForgetsToSortTheSecondMoment(keras_optims.SOAP):
    def _renew(self, batches):
        variables = [variable for batch in batches for variable in batch]
        before = [self.second_moment[variable].value for variable in variables]
        super()._renew(batches)
        for variable, v in zip(variables, before, strict=True):
            self.assign(self.second_moment[variable], v[:, ::-1])


class TurnsTheWrongWay(keras_optims.SOAP):
    @staticmethod
    def _turned_back(matrices, bases):
        return keras_optims.SOAP._turned(matrices, bases)


@pytest.mark.backend("tensorflow")
@pytest.mark.parametrize(
    "wrong", [MovesAtOnce, KeepsItsFirstBasis, ForgetsToTurnTheFirstMoment, ForgetsToSortTheSecondMoment, TurnsTheWrongWay]
)
def test_the_comparison_notices_a_wrong_formula_of_soap(wrong):
    assert departure(wrong(**SOAP), reference.soap, (8, 8), **SOAP) > 4 * TOLERANCE


def test_soap_of_a_transposed_matrix_is_the_transposed_soap():
    given = gradients((8, 8))
    one = run(keras_optims.SOAP(**SOAP), given, np.zeros((8, 8), "float32"))
    other = run(keras_optims.SOAP(**SOAP), [gradient.T for gradient in given], np.zeros((8, 8), "float32"))
    np.testing.assert_allclose(one[-1], other[-1].T, rtol=1e-2, atol=1e-4)


def test_eigenvectors_are_renewed_now_and_then_and_orthogonal():
    variable = keras.Variable(np.zeros((6, 6), "float32"), name="kernel")
    optimizer = keras_optims.SOAP(**SOAP, precondition_frequency=4)
    step = CompiledStep(optimizer, [variable])
    changes, before = [], None
    for gradient in gradients((6, 6), 14):
        step([gradient])
        basis = as_numpy(optimizer.bases[0][variable])[0]
        np.testing.assert_allclose(basis.T @ basis, np.eye(6), atol=1e-5)
        changes.append(before is not None and not np.array_equal(basis, before))
        before = basis
    assert [number for number, changed in enumerate(changes) if changed] == [4, 8, 12]


def test_soap_of_several_shapes_is_that_of_each_by_itself():
    shapes = {"a/kernel": (6, 4), "b/kernel": (4, 6), "c/bias": (4,), "d/kernel": (3, 2, 4), "e/kernel": (5, 4)}
    axes = {"d/kernel": keras_optims.Axes((0, 1), (2,))}
    options = {**SOAP, "precondition_frequency": 2, "max_precond_dim": 4}
    together = walked(keras_optims.SOAP(**options, axes=axes), shapes)
    for number, path in enumerate(shapes):
        optimizer = keras_optims.SOAP(**options, axes=axes if path == "d/kernel" else None)
        step = CompiledStep(optimizer, [variables(shapes)[number]])
        for seed in range(5):
            rng = np.random.default_rng(seed)
            step([rng.normal(size=each).astype("float32") for each in shapes.values()][number : number + 1])
        np.testing.assert_allclose(step.weights()[0], together[number], rtol=1e-4, atol=1e-5)
