"""LAMB, LARS and Adafactor: wrong formulas are noticed, what Keras does otherwise, and what it means that a variable is one."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_optims
from keras_optims.algorithms.trust_ratio import norm
from keras_optims.testing import reference
from keras_optims.testing.compiled_step import CompiledStep, as_numpy
from tests.test_reference import TOLERANCE, departure
from tests.variants import BY_NAME, distance, random_gradients, run

# -- wrong formulas -------------------------------------------------------------------------------


class LambWithoutCorrections(keras_optims.Lamb):
    def step_scalars(self, learning_rate):
        return {**super().step_scalars(learning_rate), "correction": 1.0, "epsilon": self.epsilon}


class LambWithEpsilonHat(keras_optims.Lamb):
    def step_scalars(self, learning_rate):
        return {**super().step_scalars(learning_rate), "epsilon": self.epsilon}


class LambWithDecayOutside(keras_optims.Lamb):
    decay = "decoupled"

    def decay_of(self, variable):
        return None


class LambUpsideDown(keras_optims.Lamb):
    def _trust_ratio(self, variable, u):
        return 1 / super()._trust_ratio(variable, u)


class LambOfTheGradient(keras_optims.Lamb):
    def update_step(self, gradient, variable, learning_rate):
        self._gradient = gradient
        super().update_step(gradient, variable, learning_rate)

    def _trust_ratio(self, variable, u):
        return super()._trust_ratio(variable, self._gradient)


class LarsWithTheNormOfTheSum(keras_optims.LARS):
    def _trust_ratio(self, gradient, variable, decay, trust_coefficient):
        decay = 0.0 if decay is None else decay
        return super()._trust_ratio(gradient + decay * variable, variable, None, trust_coefficient)


class LarsWithoutDecayInTheRatio(keras_optims.LARS):
    def _trust_ratio(self, gradient, variable, decay, trust_coefficient):
        return super()._trust_ratio(gradient, variable, None, trust_coefficient)


class AdafactorWithTheNextDecay(keras_optims.Adafactor):
    def step_scalars(self, learning_rate):
        return {**super().step_scalars(learning_rate), "one_minus_beta_2": (self.step_number + 1) ** self.beta_2_decay}


class AdafactorWithEpsilonBesideTheRoot(keras_optims.Adafactor):
    def _inverse_root(self, gradient, variable, s):
        s.epsilon_1, epsilon = 0.0, s.epsilon_1
        root = 1 / (1 / super()._inverse_root(gradient, variable, s) + epsilon)
        s.epsilon_1 = epsilon
        return root


class AdafactorOfTheFirstTwoAxes(keras_optims.Adafactor):
    def factored_axes(self, variable):
        return ((0,), (1,)) if len(variable.shape) > 1 else None


@pytest.mark.parametrize(
    ("name", "wrong", "start"),
    [
        ("lamb", LambWithoutCorrections, 0.0),
        ("lamb", LambWithEpsilonHat, 0.0),
        ("lamb with decay", LambWithDecayOutside, 1.0),
        ("lamb", LambUpsideDown, 1.0),
        ("lamb", LambOfTheGradient, 1.0),
        ("lamb", lambda **arguments: keras_optims.Lamb(**arguments, always_adapt=False), 1.0),
        ("lamb with a bounded ratio", lambda trust_clip, **arguments: keras_optims.Lamb(**arguments), 9.0),
        ("lars with decay", LarsWithTheNormOfTheSum, 1.0),
        ("lars with decay", LarsWithoutDecayInTheRatio, 1.0),
        ("nesterov lars", lambda nesterov, **arguments: keras_optims.LARS(**arguments), 1.0),
        ("lars with the rate outside", lambda trust_clip, **arguments: keras_optims.LARS(**arguments), 1e4),
        ("adafactor", AdafactorWithTheNextDecay, 0.0),
        ("adafactor", AdafactorWithEpsilonBesideTheRoot, 0.0),
        ("adafactor", AdafactorOfTheFirstTwoAxes, 0.0),
        ("adafactor", lambda **arguments: keras_optims.Adafactor(**arguments, scale_parameter=False), 0.0),
        ("adafactor without relative step", lambda relative_step, **arguments: keras_optims.Adafactor(**arguments), 0.0),
        ("adafactor", lambda clip_threshold, **arguments: keras_optims.Adafactor(**arguments, clip_threshold=1e6), 0.0),
    ],
)
@pytest.mark.backend("tensorflow")
def test_the_comparison_notices_a_wrong_formula(name, wrong, start):
    variant = BY_NAME[name]
    assert departure(variant, variant.optimizer(), start=start) < TOLERANCE
    assert departure(variant, wrong(**variant.arguments), start=start) > 2 * TOLERANCE


@pytest.mark.backend("tensorflow")
def test_the_rate_stands_where_it_is_asked_to_stand():
    """With a rate that falls; with one that does not, it is no matter."""
    variant = BY_NAME["lars with the rate outside"]
    falling = {"learning_rate": lambda step: 0.5 * (1 - 0.004 * ops.cast(step, "float32"))}
    assert departure(variant, variant.optimizer(**falling), scales=(1.0,), **falling) < TOLERANCE
    inside = variant.optimizer(**falling, rate_outside=False)
    assert departure(variant, inside, scales=(1.0,), **falling) > 2 * TOLERANCE


@pytest.mark.parametrize(
    ("make", "twin", "arguments"),
    [
        (keras_optims.LARS, reference.lars, {"learning_rate": 0.02, "momentum": 0.9, "trust_coefficient": 0.02}),
        (keras_optims.Lamb, reference.lamb, {"learning_rate": 0.02, "beta_1": 0.9, "beta_2": 0.99, "epsilon": 1e-7}),
    ],
)
@pytest.mark.parametrize("decay", [None, 0.1])
def test_what_does_not_decay_may_be_left_out_of_the_ratio(make, twin, arguments, decay):
    """And is what decays not, the ratio is in."""
    gradients, start = [g[0] for g in random_gradients((4, 3), 20)], np.ones((4, 3), "float32")
    found = run(make(**arguments, always_adapt=False, weight_decay=decay), gradients, start)
    expected = twin(gradients, start, **arguments, always_adapt=False, weight_decay=decay)
    others = twin(gradients, start, **arguments, always_adapt=True, weight_decay=decay)
    assert distance(found, expected, start) < TOLERANCE
    assert (distance(found, others, start) < TOLERANCE) == (decay is not None)


# -- a variable as a whole ------------------------------------------------------------------------


@pytest.mark.parametrize("make", [keras_optims.Lamb, keras_optims.LARS, keras_optims.Adafactor])
def test_a_variable_that_is_split_goes_another_way(make):
    assert make.elementwise is False
    rng = np.random.default_rng(0)
    start = rng.normal(size=(6, 4)).astype("float32")
    whole, parts = (
        [keras.Variable(start, name="whole")],
        [keras.Variable(s, name=f"part_{i}") for i, s in enumerate((start[:2], start[2:]))],
    )
    steps = CompiledStep(make(0.1), whole), CompiledStep(make(0.1), parts)
    for gradient in random_gradients((6, 4), 5):
        steps[0]([gradient[0]])
        steps[1]([gradient[0][:2], gradient[0][2:]])
    apart = np.abs(np.concatenate(steps[1].weights()) - steps[0].weights()[0]).max()
    assert apart > 0.01 * np.abs(steps[0].weights()[0] - start).max()


@pytest.mark.parametrize("shape", [(), (5,), (4, 6), (2, 3, 4, 6)])
def test_a_step_of_lamb_is_a_share_of_the_length_of_the_weights(shape):
    start = np.random.default_rng(0).normal(size=shape).astype("float32")
    step = CompiledStep(keras_optims.Lamb(0.05), [keras.Variable(start, name="theta")])
    step([np.random.default_rng(1).normal(size=shape).astype("float32")])
    np.testing.assert_allclose(np.linalg.norm(step.weights()[0] - start), 0.05 * np.linalg.norm(start), rtol=1e-5)


@pytest.mark.parametrize("make", [keras_optims.Lamb, keras_optims.LARS, keras_optims.Adafactor])
def test_weights_of_zero_begin_to_move(make):
    step = CompiledStep(make(0.1), [keras.Variable(np.zeros((2, 3), "float32"), name="theta")])
    step([np.ones((2, 3), "float32")])
    assert (step.weights()[0] < 0).all()


# -- Adafactor's slots ----------------------------------------------------------------------------


def numbers(optimizer, shape):
    variable = keras.Variable(np.ones(shape, "float32"), name="theta")
    before = sum(int(np.prod(v.shape)) for v in optimizer.variables)
    optimizer.build([variable])
    return sum(int(np.prod(v.shape)) for v in optimizer.variables) - before


def test_adafactor_keeps_a_plus_b_numbers_of_a_matrix():
    # Keras: 60,500, as V is a slot of its own
    assert numbers(keras_optims.Adafactor(), (300, 200)) == 500
    assert numbers(keras.optimizers.Adafactor(), (300, 200)) >= 60_500
    assert numbers(keras_optims.Adafactor(), (3, 3, 30, 20)) == 9 * 50
    assert numbers(keras_optims.Adafactor(), (200,)) == 200
    assert numbers(keras_optims.Adafactor(beta_1=0.9), (300, 200)) == 60_500
    assert numbers(keras_optims.Adafactor(min_size_to_factor=201), (300, 200)) == 60_000


class ByOutputs(keras_optims.Adafactor):
    """All axes but the last are rows: of a convolution kernel, its inputs and its outputs."""

    def factored_axes(self, variable):
        rank = len(variable.shape)
        return (tuple(range(rank - 1)), (rank - 1,)) if rank > 1 else None


def flattened(rate, axes=None):
    return keras_optims.Adafactor(rate, flatten=True, axes={"theta": axes or keras_optims.Axes((0, 1, 2), (3,))})


@pytest.mark.parametrize(
    ("make", "shape", "as_matrix"),
    [
        (ByOutputs, (3, 2, 4, 5), (24, 5)),
        (flattened, (3, 2, 4, 5), (24, 5)),
        (lambda rate: flattened(rate, keras_optims.Axes((0,), (1, 2, 3))), (6, 5, 2, 2), (6, 20)),
    ],
)
def test_the_axes_of_rows_and_columns_may_be_others(make, shape, as_matrix):
    """A kernel is factored as the matrix that it is when it is reshaped."""
    gradients, start = random_gradients(shape, 20), np.random.default_rng(0).normal(size=shape).astype("float32")
    paths = [
        run(optimizer, [g[0].reshape(its_shape) for g in gradients], start.reshape(its_shape))
        for optimizer, its_shape in ((make(0.05), shape), (keras_optims.Adafactor(0.05), as_matrix))
    ]
    np.testing.assert_allclose(np.reshape(paths[0], (20, *as_matrix)), paths[1], rtol=1e-5, atol=1e-6)


def test_adafactor_flattens_what_a_layer_has_as_one_matrix():
    """By the table that Muon and gradient centralization go by; what is no matrix there is not factored."""
    inputs = keras.Input((8, 8, 6))
    x = keras.layers.DepthwiseConv2D(3, name="filters")(keras.layers.Conv2D(6, 3, name="conv")(inputs))
    x = keras.layers.Reshape((16, 6))(x)
    x = keras.layers.MultiHeadAttention(3, 4, name="attention")(x, x)
    model = keras.Model(inputs, keras.layers.GRU(5, name="gru")(x))
    numbers_of = {}
    for flatten in (False, True):
        optimizer = keras_optims.Adafactor(flatten=flatten, axes=keras_optims.axes_of(model))
        optimizer.build(model.trainable_variables)
        for line in optimizer.explain():
            sizes = [int(np.prod(shape)) for shape, _ in line.slots.values()]
            numbers_of.setdefault(line.variable, []).append(sum(sizes))
    found = {path: both for path, both in numbers_of.items() if both[0] != both[1]}
    assert found == {
        "conv/kernel": [9 * (6 + 6), 9 * 6 + 6],
        "filters/kernel": [9 * (6 + 1), 9 * 6],
        "attention/query/kernel": [6 * (3 + 4), 6 + 12],
        "attention/key/kernel": [6 * (3 + 4), 6 + 12],
        "attention/value/kernel": [6 * (3 + 4), 6 + 12],
        "attention/query/bias": [3 + 4, 12],
        "attention/key/bias": [3 + 4, 12],
        "attention/value/bias": [3 + 4, 12],
        "attention/attention_output/kernel": [3 * (4 + 6), 12 + 6],
        "gru/gru_cell/bias": [2 + 15, 2 * 15],
    }
    two_axes = keras.Variable(np.zeros((4, 5), "float32"), name="of_a_layer_of_ones_own")
    assert numbers(keras_optims.Adafactor(flatten=True), (4, 5)) == numbers(keras_optims.Adafactor(), (4, 5)) == 9
    only_outputs = keras_optims.Adafactor(flatten=True, axes={"own": keras_optims.Axes(outputs=(0, 1))})
    only_outputs.build([two_axes])
    assert two_axes in only_outputs.mean_square
    assert numbers(keras_optims.Adafactor(flatten=True, min_size_to_factor=9), (2, 4, 8)) == 64


# -- Keras's defects ------------------------------------------------------------------------------


def after(optimizer, steps=5):
    rng = np.random.default_rng(0)
    step = CompiledStep(optimizer, [keras.Variable(rng.normal(size=(5, 4)).astype("float32"), name="theta")])
    for _ in range(steps):
        step([rng.normal(size=(5, 4)).astype("float32")])
    return step.weights()[0]


def test_the_relative_step_of_adafactor_can_be_left_out():
    # Keras: the rate is at most 1/√t either way
    on, off = (after(keras_optims.Adafactor(0.9, relative_step=relative)) for relative in (True, False))
    theirs, theirs_off = (after(keras.optimizers.Adafactor(0.9, relative_step=relative)) for relative in (True, False))
    np.testing.assert_allclose(on, theirs, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(theirs, theirs_off)
    assert np.abs(on - off).max() > 0.1


def test_the_decay_of_lamb_is_in_the_trust_ratio():
    # Keras: it is subtracted first, and the ratio knows nothing of it
    rng = np.random.default_rng(0)
    gradients, start = [rng.normal(size=(5, 4)).astype("float32") for _ in range(10)], rng.normal(size=(5, 4)).astype("float32")
    arguments = {"learning_rate": 0.1, "beta_1": 0.9, "beta_2": 0.99, "epsilon": 1e-7, "weight_decay": 0.3}
    expected = reference.lamb(gradients, start, **arguments)
    assert distance(run(keras_optims.Lamb(**arguments), gradients, start), expected, start) < 1e-5
    assert distance(run(keras.optimizers.Lamb(**arguments), gradients, start), expected, start) > 1e-2
    arguments["weight_decay"] = None
    np.testing.assert_allclose(
        run(keras_optims.Lamb(**arguments), gradients, start),
        run(keras.optimizers.Lamb(**arguments), gradients, start),
        rtol=1e-5,
        atol=1e-6,
    )


def test_norms_are_of_the_whole_and_zero_of_nothing():
    assert float(as_numpy(norm(ops.ones((3, 3))))) == 3
    assert float(as_numpy(norm(ops.ones((0, 3))))) == 0
