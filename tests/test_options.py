"""Cautious updates, gradient centralization and adaptive clipping: of any optimizer, by rule, in any precision."""

import functools

import keras
import numpy as np
import pytest
from keras import ops

from keras_optims import Adam, AdamW, Axes, GradientDescent, Momentum, RMSprop, Rule
from keras_optims.clipping import adaptively_clipped, centralized, is_centralized
from keras_optims.testing import reference
from keras_optims.testing.compiled_step import CompiledStep, as_numpy
from tests.stepping import state_of

BACKEND = keras.backend.backend()
SHAPES = {"head/kernel": (7, 5), "head/bias": (5,), "conv/kernel": (3, 3, 2, 4), "table/embeddings": (6, 3), "x": ()}


def variables(dtype="float32", shapes=SHAPES):
    rng = np.random.default_rng(0)
    made = []
    for path, shape in shapes.items():
        with keras.name_scope(path.rpartition("/")[0] or "top"):
            made.append(keras.Variable(rng.normal(size=shape).astype("float32"), dtype=dtype, name=path.rpartition("/")[2]))
    return made


def gradients(steps=12, shapes=SHAPES, seed=1):
    rng = np.random.default_rng(seed)
    return [[(rng.normal(0.2, 1, size=shape)).astype("float32") for shape in shapes.values()] for _ in range(steps)]


def walked(optimizer, given, dtype="float32", shapes=SHAPES):
    step = CompiledStep(optimizer, variables(dtype, shapes))
    for of_step in given:
        step(of_step)
    return step.weights()


def assert_close(found, expected, tolerance=2e-6):
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


# -- adaptive clipping and centralization ---------------------------------------------------------

MATRIX = Axes((0,), (1,))


def test_a_gradient_is_clipped_by_each_output():
    kernel, gradient = np.array([[3, 0], [4, 0]], "float32"), np.array([[0.3, 0.3], [0.4, 0.4]], "float32")
    found = adaptively_clipped(ops.convert_to_tensor(gradient), ops.convert_to_tensor(kernel), MATRIX, 0.01)
    np.testing.assert_allclose(ops.convert_to_numpy(found), [[0.03, 6e-6], [0.04, 8e-6]], rtol=1e-6)


@pytest.mark.parametrize("size", [1e-30, 1e-3, 1.0, 1e20, 1e37])
def test_adaptive_clipping_follows_its_twin_at_any_size(size):
    rng = np.random.default_rng(0)
    for axes, shape in (
        (MATRIX, (5, 3)),
        (Axes((0, 1, 2), (3,)), (3, 3, 2, 4)),
        (Axes((0, 1), (), (2, 3), "filters"), (3, 3, 2, 2)),
        (Axes((), (0,), kind="vector"), (5,)),
        (Axes((0,), (1, 2)), (4, 2, 3)),
    ):
        gradient = (rng.normal(size=shape) * size).astype("float32")
        weights = rng.normal(size=shape).astype("float32")
        found = adaptively_clipped(ops.convert_to_tensor(gradient), ops.convert_to_tensor(weights), axes, 0.1)
        units = None if axes.kind == "vector" else axes.inputs
        expected = reference.adaptively_clipped(gradient, weights, units, 0.1)
        np.testing.assert_allclose(ops.convert_to_numpy(found), expected, rtol=2e-6, atol=1e-38)


def test_a_small_gradient_of_weights_that_are_zero_is_clipped_to_what_is_allowed():
    gradient = np.array([[3e-5, 3e-6], [4e-5, 4e-6]], "float32")  # as long as 5e-5 and 5e-6; 1e-5 is allowed
    found = adaptively_clipped(ops.convert_to_tensor(gradient), ops.zeros((2, 2)), MATRIX, 0.01)
    np.testing.assert_allclose(ops.convert_to_numpy(found), [[6e-6, 3e-6], [8e-6, 4e-6]], rtol=1e-6)


def test_an_empty_gradient_stays_one():
    empty = ops.zeros((0, 3))
    assert tuple(adaptively_clipped(empty, empty, MATRIX, 0.1).shape) == (0, 3)


def test_centralization_leaves_no_mean_of_an_output():
    gradient = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    found = ops.convert_to_numpy(centralized(ops.convert_to_tensor(gradient), MATRIX))
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-7)
    np.testing.assert_allclose(found, gradient - gradient.mean(axis=0), atol=1e-7)
    assert np.abs(found.mean(axis=1)).max() > 0.1  # torch's axes would have it the other way round


@pytest.mark.parametrize(("shape", "concerned"), [((1, 3), False), ((2, 3), True)])
def test_centralization_leaves_a_layer_with_one_input_alone(shape, concerned):
    """Its gradient is its own mean, and would be zero."""
    assert is_centralized(MATRIX, shape) == concerned


UNITS = [(0,), None, (0, 1, 2), (0,), None]


def with_transformed_gradients(given, weights_at, agc=None, centralize=False):
    """Gradients as the options leave them; `weights_at(step)` are the weights before it."""
    for step, of_step in enumerate(given):
        now = []
        for path, gradient, units, weights in zip(SHAPES, of_step, UNITS, weights_at(step), strict=True):
            if agc is not None:
                gradient = reference.adaptively_clipped(gradient, weights, units, agc)
            if centralize and units is not None and "embeddings" not in path:
                gradient = reference.centralized(gradient, units)
            now.append(gradient)
        yield now


@pytest.mark.parametrize(
    "make",
    [functools.partial(Momentum, 0.05), functools.partial(Adam, 0.01), functools.partial(RMSprop, 0.01)],
    ids=["momentum", "adam", "rmsprop"],
)
@pytest.mark.parametrize(
    "options", [{"agc": 0.1}, {"gradient_centralization": True}, {"agc": 0.1, "gradient_centralization": True}]
)
def test_the_formula_sees_the_gradient_as_the_options_leave_it(make, options):
    given = gradients()
    step = CompiledStep(make(), variables())
    changed = with_transformed_gradients(
        given, lambda _: step.weights(), options.get("agc"), options.get("gradient_centralization", False)
    )
    for of_step in changed:
        step([np.asarray(g, "float32") for g in of_step])
    assert_close(walked(make(**options), given), step.weights(), 1e-5)
    assert np.abs(walked(make(), given)[0] - step.weights()[0]).max() > 1e-3


def test_agc_is_live_and_set_by_rule():
    rules = [Rule("head/", agc=None), Rule("conv/", agc=0.5)]
    optimizer = GradientDescent(1.0, agc=0.01, rules=rules)
    step = CompiledStep(optimizer, variables())
    given = [np.full(shape, 100.0, "float32") for shape in SHAPES.values()]
    before = step.weights()
    step(given)
    np.testing.assert_allclose(step.weights()[0], before[0] - 100, rtol=1e-6)
    norms = np.sqrt(np.sum(np.square(before[2]), axis=(0, 1, 2)))
    moved = np.sqrt(np.sum(np.square(step.weights()[2] - before[2]), axis=(0, 1, 2)))
    np.testing.assert_allclose(moved, 0.5 * norms, rtol=1e-5)
    optimizer.rules[1].agc = 0.25
    before = step.weights()
    step(given)
    norms = np.sqrt(np.sum(np.square(before[2]), axis=(0, 1, 2)))
    np.testing.assert_allclose(np.sqrt(np.sum(np.square(step.weights()[2] - before[2]), axis=(0, 1, 2))), 0.25 * norms, rtol=1e-5)
    assert step.traces <= 1 or BACKEND == "torch"


def test_centralization_is_set_by_rule():
    optimizer = GradientDescent(1.0, gradient_centralization=True, rules=[Rule("head/", gradient_centralization=False)])
    given = gradients(1)
    found, start = walked(optimizer, given), [as_numpy(v) for v in variables()]
    np.testing.assert_allclose(found[0], start[0] - given[0][0], rtol=1e-5, atol=1e-6)
    expected = start[2] - (given[0][2] - given[0][2].mean(axis=(0, 1, 2)))
    np.testing.assert_allclose(found[2], expected, rtol=1e-5, atol=1e-6)


# -- cautious updates -----------------------------------------------------------------------------


def cautious_adam(given, start, rate, decay=0.0, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    """In float64, for each variable by itself."""
    results = []
    for weights, *its in zip(start, *given, strict=True):
        theta, m, v = np.float64(weights), 0.0, 0.0
        for t, g in enumerate(np.float64(its), 1):
            theta = theta * (1 - rate * decay)
            m, v = beta_1 * m + (1 - beta_1) * g, beta_2 * v + (1 - beta_2) * g * g
            step = m / (1 - beta_1**t) / (np.sqrt(v / (1 - beta_2**t)) + epsilon / np.sqrt(1 - beta_2**t))
            theta = theta - rate * reference.cautious(step, g)
        results.append(theta)
    return results


@pytest.mark.parametrize("decay", [None, 0.3])
def test_cautious_adam_follows_its_twin(decay):
    start, given = [as_numpy(v) for v in variables()], gradients(40)
    found = walked(Adam(0.01, cautious=True, weight_decay=decay), given)
    assert_close(found, cautious_adam(given, start, 0.01, decay or 0.0), 2e-5)
    assert np.abs(walked(Adam(0.01, weight_decay=decay), given)[0] - found[0]).max() > 1e-3


def test_the_share_of_an_update_that_is_left_has_a_floor():
    update, gradient = -np.ones(4000), np.ones(4000)
    update[0] = 1.0
    assert reference.cautious(update, gradient)[0] == 1000
    optimizer = Momentum(1.0, momentum=0.5, cautious=True)
    variable = keras.Variable(np.zeros(4000, "float32"), name="theta")
    step = CompiledStep(optimizer, [variable])
    first = -np.ones(4000, "float32") * 4
    second = np.ones(4000, "float32")
    first[0] = 0
    step([first])
    np.testing.assert_allclose(step.weights()[0][1:], 4 / np.mean(first != 0), rtol=1e-6)
    before = step.weights()[0]
    step([second])  # but for the first, the velocity still goes the other way
    assert step.weights()[0][0] - before[0] == pytest.approx(-1000, rel=1e-5)
    np.testing.assert_array_equal(step.weights()[0][1:], before[1:])


def test_gradient_descent_always_agrees_with_its_gradient():
    given = gradients()
    assert_close(walked(GradientDescent(0.1, cautious=True), given), walked(GradientDescent(0.1), given))


def test_a_cautious_optimizer_looks_at_variables_as_a_whole():
    shapes = {f"v{i}": (4,) for i in range(12)}
    optimizer = Adam(0.01, cautious=True)
    given = gradients(6, shapes)
    together = walked(optimizer, given, shapes=shapes)
    assert not optimizer.elementwise
    assert optimizer.fused_kernel is None
    assert Adam.elementwise
    assert {line.path for line in optimizer.explain()} <= {"formula", "compiled", "stacked"}
    for i in range(12):
        step = CompiledStep(Adam(0.01, cautious=True), [variables(shapes=shapes)[i]])
        for of_step in given:
            step([of_step[i]])
        np.testing.assert_allclose(step.weights()[0], together[i], rtol=2e-6, atol=2e-6)


def test_cautious_is_set_by_rule_and_concerns_those_variables_only():
    given = gradients()
    found = walked(Adam(0.01, rules=[Rule("conv/", cautious=True)]), given)
    plain, cautious = walked(Adam(0.01), given), walked(Adam(0.01, cautious=True), given)
    for i, ours in enumerate(found):
        np.testing.assert_allclose(ours, (cautious if i == 2 else plain)[i], rtol=2e-6, atol=2e-6)
    assert np.abs(plain[2] - cautious[2]).max() > 1e-3


def test_a_formula_by_rule_may_be_cautious():
    given = gradients()
    optimizer = GradientDescent(0.1, rules=[Rule("conv/", formula=Adam(0.01, cautious=True))])
    found, expected = walked(optimizer, given), walked(Adam(0.01, cautious=True), given)
    np.testing.assert_allclose(found[2], expected[2], rtol=2e-6, atol=2e-6)
    assert optimizer.elementwise


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_the_mask_of_half_precision_is_that_of_float32_arithmetic(dtype):
    shapes, given = {"v": (50,)}, gradients(1, {"v": (50,)})
    start = as_numpy(variables(dtype, shapes)[0])
    optimizer = Momentum(0.5, cautious=True, compensated_summation=True)
    found = walked(optimizer, given, dtype, shapes)[0]
    np.testing.assert_allclose(found, start - 0.5 * given[0][0], rtol=2e-2, atol=1e-2)


def test_an_update_far_below_the_weights_is_masked_without_their_rounding():
    start, given = np.full(64, 1000.0, "float32"), gradients(2, {"v": (64,)})
    variable = keras.Variable(start, name="theta")
    step = CompiledStep(Momentum(1e-3, momentum=0.9, cautious=True), [variable])
    for of_step in given:
        step(of_step)
    first, second = (np.float64(g[0]) * 1e-3 for g in given)
    expected = -first + reference.cautious(-(0.9 * first + second), -second)
    np.testing.assert_allclose(step.weights()[0] - 1000.0, expected, atol=1.3e-4)


def test_an_update_in_a_branch_is_masked_too():
    class Now(GradientDescent):
        def update_step(self, gradient, variable, learning_rate):
            self.every(2, lambda: self.assign_sub(variable, -learning_rate * ops.abs(gradient)))

    given = gradients(2)
    found, start = walked(Now(0.1, cautious=True), given), [as_numpy(v) for v in variables()]
    for ours, before, gradient in zip(found, start, given[1], strict=True):
        step = reference.cautious(-0.1 * np.abs(np.float64(gradient)), gradient)
        np.testing.assert_allclose(ours, before - step, rtol=1e-5, atol=1e-5)


class DecaysItself(GradientDescent):
    decay = "own"
    elementwise = True

    def update_step(self, gradient, variable, learning_rate):
        decay = self.decay_of(variable)
        gradient = gradient if decay is None else gradient + decay * variable
        self.assign_sub(variable, learning_rate * gradient)


class EvaluatesOthers(GradientDescent):
    def evaluation_weights(self, variable):
        return ops.cast(variable, "float32") * 1.0


def test_what_cannot_be_cautious_says_so():
    with pytest.raises(ValueError, match="DecaysItself has its decay inside of the update"):
        walked(DecaysItself(0.1, cautious=True, weight_decay=0.1), gradients(1))
    walked(DecaysItself(0.1, cautious=True), gradients(1))
    walked(DecaysItself(0.1, weight_decay=0.1, cautious=True, rules=[Rule(".", cautious=False)]), gradients(1))
    with pytest.raises(ValueError, match="cannot be combined with EvaluatesOthers"):
        walked(EvaluatesOthers(0.1, cautious=True), gradients(1))


def test_the_effective_rate_of_a_cautious_update_is_not_told():
    optimizer = Adam(0.01, cautious=True)
    step = CompiledStep(optimizer, variables())
    step(gradients(1)[0])
    assert optimizer.effective_learning_rate(step.variables[0]) is None


# -- as arguments ---------------------------------------------------------------------------------

OPTIONS = {
    "agc": 0.02,
    "gradient_centralization": True,
    "cautious": True,
    "axes": {"head/kernel": Axes((1,), (0,))},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_is_in_the_config_and_survives_a_saved_model(name, tmp_path):
    def made():
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8), keras.layers.Dense(4, name="head")])
        model.compile(AdamW(0.01, **{name: OPTIONS[name]}), loss="mse")
        return model

    x = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")
    uninterrupted, model = made(), made()
    for one, epochs in ((uninterrupted, 2), (model, 1)):
        one.fit(x, x, batch_size=8, shuffle=False, epochs=epochs, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    now = getattr(loaded.optimizer, name)
    assert (float(now) if name == "agc" else now) == (pytest.approx(0.02) if name == "agc" else OPTIONS[name])
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    loaded.fit(x, x, batch_size=8, shuffle=False, verbose=0)
    for ours, theirs in zip(loaded.get_weights(), uninterrupted.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_rules_with_switches_are_in_the_config():
    rules = [Rule("a", cautious=True), Rule("b", gradient_centralization=True, agc=0.1)]
    optimizer = Adam(rules=rules)
    again = Adam.from_config(optimizer.get_config())
    assert again.get_config() == optimizer.get_config()
    assert again.rules[0].cautious is True
    assert again.rules[1].gradient_centralization is True
    assert optimizer.rules[0].rule.settings == {"cautious": True}


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: Adam(agc=0), r"agc \(c\) must be None, a number in \(0, ∞\)"),
        (lambda: Adam(cautious=1), "cautious must be True or False; received 1"),
        (lambda: Adam(gradient_centralization="yes"), "gradient_centralization must be True or False; received 'yes'"),
        (lambda: Adam(axes=[1]), r"axes must be None or a dict from regular expressions to keras_optims.Axes; received \[1\]"),
        (lambda: Adam(axes={"(": MATRIX}), r"axes must have regular expressions; received '\('"),
        (lambda: Adam(rules=[Rule(".", cautious="yes")]), "cautious must be True or False; received 'yes'"),
        (lambda: Adam(rules=[Rule(".", axes={})]), "cannot set 'axes'"),
        (lambda: Momentum(rules=[Rule(formula=Adam(axes={"a": MATRIX}))]), "axes concerns the step as a whole"),
        (lambda: Axes((0,), (0,)), "Each axis must be named once in Axes"),
        (lambda: Axes((0.5,)), r"inputs of Axes must be whole numbers, such as \(0, 1\); received \(0.5,\)"),
        (lambda: Axes((0,), (1,), kind="matrix"), "kind of Axes must be one of 'kernel', 'filters'"),
        (lambda: Adam(axes={"nowhere": MATRIX}).build(variables()), "axes has 'nowhere', which is found in the path of none"),
        (lambda: Adam(axes={"conv/": MATRIX}).build(variables()), "The axes of conv/kernel must be all 4 axes of its shape"),
        (lambda: Adam.from_config({**Adam().get_config(), "axes": {"a": {"input": [0]}}}), "must hold what Axes.get_config"),
    ],
)
def test_a_wrong_option_is_an_error(make, error):
    with pytest.raises(ValueError, match=error):
        make()


def test_options_cannot_change_once_built():
    optimizer = Adam(0.01)
    optimizer.build(variables())
    for name in ("cautious", "gradient_centralization"):
        with pytest.raises(ValueError, match=f"{name} cannot change once Adam is built"):
            setattr(optimizer, name, True)
    with pytest.raises(ValueError, match="axes cannot change once Adam is built"):
        optimizer.axes = {"a": MATRIX}
    with pytest.raises(ValueError, match="agc was None when this Adam was built"):
        optimizer.agc = 0.1


@pytest.mark.backend("tensorflow")
@pytest.mark.parametrize("options", [{"agc": 0.05}, {"gradient_centralization": True}, {"cautious": True}])
def test_the_gradient_of_an_embedding_is_treated_as_the_dense_one(options):
    import tensorflow as tf

    def one(sparse, cls=Momentum):
        shapes = {"table/embeddings": (6, 3), "head/kernel": (3, 2)}
        optimizer, made = cls(0.1, **options), variables(shapes=shapes)
        optimizer.build(made)
        for seed in range(3):
            rng = np.random.default_rng(seed)
            values = tf.constant(rng.normal(size=(4, 3)), "float32")
            slices = tf.IndexedSlices(values, tf.constant([1, 4, 1, 2]), tf.constant([6, 3]))
            gradient = slices if sparse else tf.convert_to_tensor(slices)
            optimizer.apply([gradient, tf.ones((3, 2))], made)
        return [as_numpy(v) for v in made], optimizer

    (found, optimizer), (expected, _) = one(True, GradientDescent), one(False, GradientDescent)
    assert_close(found, expected)
    assert optimizer.was_sparse(optimizer.variables_of_the_model()[0]) is ("cautious" not in options)
    if "cautious" in options:
        assert_close(one(True)[0], one(False)[0])


def test_nothing_is_saved_for_the_options():
    optimizer = Adam(0.01, cautious=True, gradient_centralization=True)
    optimizer.build(variables())
    plain = Adam(0.01)
    plain.build(variables())
    assert set(state_of(optimizer)) == set(state_of(plain))
