"""What holds of the algorithms whatever the hyperparameters and the gradients: exactly, or up to the rounding that is named.

A step is compiled once for many examples: hyperparameters are state, so another example sets them and starts over.
"""

import functools

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops

from keras_optims.testing.compiled_step import CompiledStep, as_numpy
from tests.drawing import examples, gradients, hyperparameters
from tests.variants import BY_NAME, OF_EACH_SCOPE, ONE_EACH, VARIANTS, distance

STEPS, SIZE = 8, 24
ROUNDING = float(np.finfo(np.float32).eps)  # 1.2e-7, the distance from 1 to the next float32

# Those whose step is linear in the gradient.
BY_SCALE = [v for v in VARIANTS if v.overflow == "moves" and v.elementwise and "epsilon" not in v.arguments]
ADAPTIVE = [v for v in VARIANTS if v.epsilon_power]  # the gradients' scale is that of ε; all slots start at zero
DECAYING = {"weight_decay": 0.1}


class Rerun:
    """An optimizer on variables of these shapes, whose compiled step starts over as often as one likes."""

    def __init__(self, optimizer, shapes):
        self.optimizer = optimizer
        self.variables = [keras.Variable(np.zeros(shape, "float32"), name=f"v{i}") for i, shape in enumerate(shapes)]
        self._step = CompiledStep(optimizer, self.variables)
        self._fresh = [(variable, as_numpy(variable)) for variable in optimizer.variables]

    def path(self, values, start, gradients, each_step=lambda step, optimizer: None):
        """The weights after each step, end to end: float32, shape `(steps, size)`.

        Args:
            values: hyperparameters by name.
            start: the weights to begin with, end to end.
            gradients: shape `(steps, size)`.
            each_step: called before each step with its number, 1 at the first, and the optimizer.
        """
        for variable, value in self._fresh:
            variable.assign(value)
        for name, value in values.items():
            setattr(self.optimizer, name, value)
        for variable, value in zip(self.variables, self._split(start), strict=True):
            variable.assign(value)
        path = []
        for step, gradient in enumerate(gradients, 1):
            each_step(step, self.optimizer)
            self._step(self._split(gradient))
            path.append(np.concatenate([np.ravel(w) for w in self._step.weights()]))
        return np.array(path)

    def slot(self, name):
        """A slot of the first variable, as it is now."""
        return as_numpy(getattr(self.optimizer, name)[self.variables[0]])

    def _split(self, flat):
        ends = np.cumsum([np.prod(variable.shape, dtype=int) for variable in self.variables])
        pieces = np.split(flat, ends[:-1])
        return [piece.reshape(variable.shape) for piece, variable in zip(pieces, self.variables, strict=True)]


@functools.cache
def rerun(name, shapes=((SIZE,),), **others):
    """The `Rerun` of a variant. ε starts at 0, from where setting it moves AdaGrad's accumulator exactly."""
    variant = BY_NAME[name]
    zero = {"epsilon": 0.0} if "epsilon" in variant.arguments else {}
    return Rerun(variant.optimizer(**{**zero, **DECAYING, **others}), shapes)


def assert_same_but_for_rounding(path, expected, start=0.0, units=4, relative=0.0):
    """Both paths, up to so many units of rounding of the way gone and of the weights, for each step.

    The loops are over the elements, but not all alike: a vector's tail, and a kernel that multiplies and adds in one instruction,
    round otherwise.
    """
    np.testing.assert_array_equal(np.isfinite(path), np.isfinite(expected))
    finite = np.all(np.isfinite(expected), axis=0)
    path, expected = (each[:, finite].astype(float) for each in (path, expected))
    start = np.broadcast_to(start, finite.shape)[finite]
    length = np.abs(np.diff(expected, axis=0, prepend=start[None])).sum(axis=0)
    weight = np.maximum(np.abs(expected).max(axis=0), np.abs(start))
    apart = np.abs(path - expected).max(axis=0)
    excess = apart - (units * ROUNDING + relative) * length - len(path) * ROUNDING * weight
    assert np.all(excess <= 0), f"{apart[excess > 0]} apart after a way of {length[excess > 0]} to {weight[excess > 0]}"


starts = st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed).normal(size=SIZE).astype("float32"))
powers_of_two = st.integers(-10, 10).map(lambda power: 2.0**power)


# -- the scale of the gradients -------------------------------------------------------------------


@pytest.mark.parametrize("variant", ADAPTIVE, ids=str)
@examples(5)
@given(drawn=st.data(), factor=powers_of_two, start=starts)
def test_gradients_and_epsilon_scaled_together_change_nothing(variant, drawn, factor, start):
    """So the scale of the gradients is that of ε, and with ε → 0 it does not count. A power of two is exact in every product."""
    values, its_gradients = drawn.draw(hyperparameters(variant)), drawn.draw(gradients(STEPS, SIZE))
    scaled = {**values, "epsilon": float(np.float32(values["epsilon"])) * factor**variant.epsilon_power}
    runs = rerun(variant.name)
    expected = runs.path({**values, "epsilon": float(np.float32(values["epsilon"]))}, start, its_gradients)
    np.testing.assert_array_equal(runs.path(scaled, start, its_gradients * np.float32(factor)), expected)


@pytest.mark.parametrize("name", ["adagrad from 0", "rmsprop", "adam", "amsgrad"])
@examples(5)
@given(drawn=st.data(), factor=st.floats(1e-3, 1e3))
def test_with_epsilon_zero_the_scale_of_the_gradients_does_not_count(name, drawn, factor):
    """A factor that is no power of two rounds each gradient: some units of rounding of each of the steps gone."""
    values = drawn.draw(hyperparameters(BY_NAME[name], epsilon=0.0, weight_decay=0.0))
    its_gradients = drawn.draw(gradients(STEPS, SIZE, zeros=False))
    runs, start = rerun(name), np.zeros(SIZE, "float32")
    expected = runs.path(values, start, its_gradients)
    scaled = runs.path(values, start, its_gradients * np.float32(factor))
    assert_same_but_for_rounding(scaled, expected, units=10)


@pytest.mark.backend("tensorflow")
@examples(5)
@given(drawn=st.data(), factor=powers_of_two, start=starts)
def test_the_scale_of_the_gradients_is_nothing_to_a_sign(drawn, factor, start):
    values, its_gradients = drawn.draw(hyperparameters(BY_NAME["lion"])), drawn.draw(gradients(STEPS, SIZE))
    expected = rerun("lion").path(values, start, its_gradients)
    np.testing.assert_array_equal(rerun("lion").path(values, start, its_gradients * np.float32(factor)), expected)


@pytest.mark.parametrize("variant", BY_SCALE, ids=str)
@examples(5)
@given(drawn=st.data(), factor=powers_of_two)
def test_without_division_the_way_scales_with_the_gradients(variant, drawn, factor):
    values, its_gradients = drawn.draw(hyperparameters(variant)), drawn.draw(gradients(STEPS, SIZE))
    runs, start = rerun(variant.name), np.zeros(SIZE, "float32")
    expected = runs.path(values, start, its_gradients) * np.float32(factor)
    np.testing.assert_array_equal(runs.path(values, start, its_gradients * np.float32(factor)), expected)


# -- elements are independent ---------------------------------------------------------------------

LAYOUTS = {
    "reshaped": ((2, 3, 4),),
    "split in two": ((5,), (19,)),
    "split, with an empty one and a scalar": ((0, 3), (), (4, 1, 2), (15,)),
    "split into a group": ((1,), (2,), (3,), (4,), (2, 2), (), (4, 1), (2,), (3,)),  # eight small ones are updated as one
}


# A formula does not see where a split is made: one that is declared elementwise is tried on one, those of each scope on all.
BY_ELEMENT = [v for v in ONE_EACH if v.elementwise]
LAID_OUT = [(v, name) for v in BY_ELEMENT for name in (LAYOUTS if v.name in ("momentum", "adam", "radam") else ["split in two"])]


@pytest.mark.parametrize(("variant", "layout"), LAID_OUT, ids=str)
@examples(2)
@given(drawn=st.data(), start=starts, order=st.permutations(range(SIZE)))
def test_reshaping_permuting_and_splitting_a_variable_reshapes_permutes_and_splits_its_way(variant, layout, drawn, start, order):
    values, its_gradients = drawn.draw(hyperparameters(variant)), drawn.draw(gradients(STEPS, SIZE))
    expected = rerun(variant.name).path(values, start, its_gradients)
    path = rerun(variant.name, LAYOUTS[layout]).path(values, start[order], its_gradients[:, order])
    assert_same_but_for_rounding(path, expected[:, order], start[order])


# -- one algorithm is another's special case ------------------------------------------------------


@pytest.mark.parametrize("nesterov", [False, True])
@examples(10)
@given(drawn=st.data(), start=starts)
def test_momentum_with_gamma_zero_is_gradient_descent(nesterov, drawn, start):
    values, its_gradients = drawn.draw(hyperparameters(BY_NAME["gradient_descent"])), drawn.draw(gradients(STEPS, SIZE))
    expected = rerun("gradient_descent").path(values, start, its_gradients)
    path = rerun("nesterov" if nesterov else "momentum").path({**values, "momentum": 0.0}, start, its_gradients)
    assert_same_but_for_rounding(path, expected, start)


@examples(10)
@given(drawn=st.data(), start=starts)
def test_rmsprop_with_momentum_zero_is_rmsprop_without(drawn, start):
    values, its_gradients = drawn.draw(hyperparameters(BY_NAME["rmsprop"])), drawn.draw(gradients(STEPS, SIZE))
    expected = rerun("rmsprop").path(values, start, its_gradients)
    path = rerun("rmsprop with momentum").path({**values, "momentum": 0.0}, start, its_gradients)
    assert_same_but_for_rounding(path, expected, start)


@examples(10)
@given(drawn=st.data())
def test_adam_without_momentum_is_rmsprop_with_the_bias_correction(drawn):
    """With β₁ = 0, m is g, and with ε = 0 Adam's step is η·√(1−β₂ᵗ)·g/√v: RMSProp's at the rate η·√(1−β₂ᵗ)."""
    values = drawn.draw(hyperparameters(BY_NAME["adam"], beta_1=0.0, epsilon=0.0, weight_decay=0.0))
    its_gradients = drawn.draw(gradients(STEPS, SIZE, zeros=False))
    rate, beta = values["learning_rate"], values["beta_2"]

    def correct(step, optimizer):
        optimizer.learning_rate = rate * np.sqrt(1 - beta**step)

    start = np.zeros(SIZE, "float32")
    expected = rerun("adam").path(values, start, its_gradients)
    own = {"learning_rate": rate, "rho": beta, "epsilon": 0.0, "weight_decay": 0.0}
    path = rerun("rmsprop").path(own, start, its_gradients, correct)
    # Adam's 1 − β₂ᵗ is computed in float32, where βᵗ lies up to half a unit beside itself; m + (g − m) is g up to m's rounding.
    assert_same_but_for_rounding(path, expected, units=30, relative=ROUNDING / (1 - beta))
    uncorrected = rerun("rmsprop").path(own, start, its_gradients)
    assert rate == 0 or distance(uncorrected, expected) > 0.1  # so the correction is what makes them one


# -- rates ----------------------------------------------------------------------------------------


FALLING = [("adagrad", "accumulator"), ("adagrad from 0", "accumulator"), ("amsgrad", "largest_second_moment")]


@pytest.mark.parametrize(("name", "slot"), FALLING)
@examples(10)
@given(drawn=st.data())
def test_an_effective_rate_that_may_only_fall_never_grows(name, slot, drawn):
    values = drawn.draw(hyperparameters(BY_NAME[name], weight_decay=0.0))
    its_gradients = drawn.draw(gradients(STEPS, SIZE, zeros=False))
    runs, slots = rerun(name), []
    path = runs.path(values, np.zeros(SIZE, "float32"), its_gradients, lambda step, _: slots.append(runs.slot(slot)))
    assert np.all(np.diff([*slots, runs.slot(slot)], axis=0) >= 0)
    if name != "amsgrad":  # whose step is m's, not the gradient's
        steps = -np.diff(path.astype(float), axis=0, prepend=0)
        known_to = ROUNDING * np.maximum(np.abs(path), np.abs(steps))
        rates = steps / its_gradients
        uncertain = 4 * ROUNDING * np.abs(rates) + known_to / np.abs(its_gradients)
        assert np.all(rates - uncertain <= np.minimum.accumulate(rates + uncertain))


def constant(value, kind):
    """A schedule or a callable that gives `value` at every step."""
    if kind == "schedule":
        return keras.optimizers.schedules.PiecewiseConstantDecay([10**6], [value, value])
    return (lambda: value) if kind == "callable" else (lambda step: value + 0.0 * ops.cast(step, "float32"))


@pytest.mark.parametrize("variant", OF_EACH_SCOPE, ids=str)  # a number for all: tests/test_hyperparameters.py
@examples(6)
@given(drawn=st.data(), start=starts, kind=st.sampled_from(["schedule", "callable", "callable of the step"]))
def test_a_scheduled_constant_is_the_constant(variant, drawn, start, kind):
    values = drawn.draw(hyperparameters(variant))
    its_gradients = drawn.draw(gradients(3, SIZE, zeros=False))
    paths = []
    for given_as in (values, {name: constant(value, kind) for name, value in values.items()}):
        optimizer, variable = variant.optimizer(**given_as), keras.Variable(start, name="theta")
        optimizer.build([variable])
        path = []
        for gradient in its_gradients:  # not compiled: each constant would be a trace of its own
            optimizer.apply([ops.convert_to_tensor(gradient)], [variable])
            path.append(as_numpy(variable))
        paths.append(np.array(path))
    # A schedule's 1 − β is that of the rounded β.
    nearest_to_one = max([0.0, *(values[name] for name in ("rho", "beta_1", "beta_2") if name in values)])
    assert_same_but_for_rounding(paths[1], paths[0], start, units=10, relative=ROUNDING / (1 - nearest_to_one))
