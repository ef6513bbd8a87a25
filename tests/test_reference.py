"""Each algorithm follows its float64 twin, and the comparison is sharp enough to notice what could be wrong."""

import functools

import keras
import numpy as np
import pytest
from keras import ops

import keras_optims
from keras_optims.testing.compiled_step import CompiledStep
from tests.variants import BY_NAME, SHAPES, distance, random_gradients, run
from tests.variants import VARIANTS as KNOWN

VARIANTS = [v for v in KNOWN if v.make is not keras_optims.SOAP]  # which takes these for matrices: tests/test_reference_matrix.py
OF_THESE_SHAPES = SHAPES if keras.backend.backend() == "tensorflow" else {"odd": SHAPES["odd"], "large": SHAPES["large"]}
STEPS = 120
SCALES = (1e-8, 1e-6, 1e-4, 1.0)  # ε shows where gradients are about as small
TOLERANCE = 1e-4  # of the way gone; float32 pow(β₂, t) near 1 alone costs Adam 3e-5


def departure(variant, optimizer, shape=(7, 3, 5), scales=SCALES, start=0.0, **arguments):
    """The distance between the optimizer and the variant's twin, over gradients of several scales."""
    gradients = random_gradients(shape, STEPS, scales=scales)
    start = np.full((len(scales), *shape), start, "float32")
    twin = variant.twin(gradients, start, **{**variant.arguments, **arguments})
    return distance(run(optimizer, gradients, start), twin, start)


@pytest.mark.parametrize("variant", [v for v in VARIANTS if not v.of_the_model], ids=str)
def test_an_optimizer_follows_its_float64_twin(variant):
    gradients = {name: random_gradients(shape, STEPS, scales=SCALES) for name, shape in OF_THESE_SHAPES.items()}
    variables = [keras.Variable(np.zeros_like(of_shape[0]), name=name) for name, of_shape in gradients.items()]
    step, paths = CompiledStep(variant.optimizer(), variables), []
    for together in zip(*gradients.values(), strict=True):
        step(list(together))
        paths.append(step.weights())
    for name, path in zip(gradients, zip(*paths, strict=True), strict=True):
        twin = variant.twin(gradients[name], np.zeros_like(gradients[name][0]), **variant.arguments)
        assert distance(path, twin) < TOLERANCE, name


@pytest.mark.parametrize("shape", OF_THESE_SHAPES.values(), ids=OF_THESE_SHAPES)
@pytest.mark.parametrize("variant", [v for v in VARIANTS if v.of_the_model], ids=str)
def test_an_optimizer_of_the_whole_model_follows_its_float64_twin(variant, shape):
    assert departure(variant, variant.optimizer(), shape) < TOLERANCE


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_a_scalar_variable_follows_the_twin(variant):
    gradients = [gradient.reshape(()) for gradient in random_gradients((), STEPS)]
    twin = variant.twin(gradients, 0.0, **variant.arguments)
    assert distance(run(variant.optimizer(), gradients, np.float32(0)), twin) < TOLERANCE


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_weight_decay_follows_the_twin(variant):
    assert departure(variant, variant.optimizer(weight_decay=0.5), scales=(1.0,), start=1.0, weight_decay=0.5) < TOLERANCE


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_scheduled_hyperparameters_follow_the_twin(variant):
    def falling(value):
        return lambda step: value * (1 - 0.004 * ops.cast(step, "float32"))

    scheduled = {
        name: falling(value)
        for name, value in variant.arguments.items()
        if name in variant.make.hyperparameters() and value != 0 and name != "weight_decay"
    }
    assert departure(variant, variant.optimizer(**scheduled), scales=(1.0,), **scheduled) < 3 * TOLERANCE


def mutations():
    """Every constant of every variant, 1 % off: (variant, name, wrong value)."""
    for variant in VARIANTS:
        for name, value in variant.arguments.items():
            if isinstance(value, (bool, str)) or value == 0 or name == "min_size_to_factor":
                continue
            wrong = [value * 1.01]
            if isinstance(value, int) and name in variant.make.options():
                wrong = [value + 1, *([value - 1] if value > 1 else [])]
            if variant.make.hyperparameters().get(name) is not None and variant.make.hyperparameters()[name].domain.high == 1:
                wrong = [value * 0.99, 1 - (1 - value) * 1.01]
            for number in wrong:
                yield pytest.param(variant, name, number, id=f"{variant}-{name}-{number:.6g}")


@functools.cache
def of_three_axes(name, start):
    """The gradients, the start and the path of a variant's optimizer."""
    gradients = random_gradients((7, 3, 5), STEPS, scales=SCALES)
    begin = np.full((len(SCALES), 7, 3, 5), start, "float32")
    return gradients, begin, run(BY_NAME[name].optimizer(), gradients, begin)


@pytest.mark.backend("tensorflow")
@pytest.mark.parametrize(("variant", "name", "wrong"), list(mutations()))
def test_the_comparison_notices_a_constant_that_is_one_percent_off(variant, name, wrong):
    gradients, start, path = of_three_axes(variant.name, float(name == "weight_decay"))
    assert distance(path, variant.twin(gradients, start, **{**variant.arguments, name: wrong}), start) > 2 * TOLERANCE


class NoFirstCorrection(keras_optims.Adam):
    def step_scalars(self, learning_rate):
        scalars = super().step_scalars(learning_rate)
        return {**scalars, "alpha": learning_rate * ops.sqrt(1 - self.beta_2**self.step_number)}


class NoSecondCorrection(keras_optims.Adam):
    def step_scalars(self, learning_rate):
        scalars = super().step_scalars(learning_rate)
        return {**scalars, "alpha": learning_rate / (1 - self.beta_1**self.step_number)}


class CorrectionOfTheNextStep(keras_optims.Adam):
    def step_scalars(self, learning_rate):
        t = self.step_number + 1
        scalars = super().step_scalars(learning_rate)
        return {**scalars, "alpha": learning_rate * ops.sqrt(1 - self.beta_2**t) / (1 - self.beta_1**t)}


class EpsilonInsideAdamsRoot(keras_optims.Adam):
    def update_step(self, gradient, variable, learning_rate):
        s = self.scalars(variable, learning_rate)
        m, v = self.first_moment[variable], self.second_moment[variable]
        self.assign_add(m, (gradient - m) * s.one_minus_beta_1)
        self.assign_add(v, (ops.square(gradient) - v) * s.one_minus_beta_2)
        self.assign_sub(variable, m * s.alpha / ops.sqrt(v + s.epsilon))


class EpsilonOutsideRMSpropsRoot(keras_optims.RMSprop):
    def update_step(self, gradient, variable, learning_rate):
        s = self.scalars(variable, learning_rate)
        v = self.mean_square[variable]
        self.assign(v, s.rho * v + s.one_minus_rho * ops.square(gradient))
        self.assign_sub(variable, s.learning_rate * gradient / (ops.sqrt(v) + s.epsilon))


class EpsilonOutsideAdagradsRoot(keras_optims.Adagrad):
    epsilon_is_in_the_accumulator = False

    def update_step(self, gradient, variable, learning_rate):
        s = self.scalars(variable, learning_rate)
        accumulator = self.accumulator[variable]
        self.assign_add(accumulator, ops.square(gradient))
        self.assign_sub(variable, s.learning_rate * gradient / (ops.sqrt(accumulator) + s.epsilon))


class EpsilonNotInAdagradsAccumulator(keras_optims.Adagrad):
    def build(self, variables):
        super().build(variables)
        for accumulator in self.accumulator.variables:
            accumulator.assign(accumulator - self.epsilon)


class NesterovWithoutLookingAhead(keras_optims.Momentum):
    def update_step(self, gradient, variable, learning_rate):
        s = self.scalars(variable, learning_rate)
        velocity = self.velocity[variable]
        self.assign(velocity, velocity * s.momentum - gradient * s.learning_rate)
        self.assign_add(variable, velocity)


@pytest.mark.backend("tensorflow")
@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("adam", NoFirstCorrection),
        ("adam", NoSecondCorrection),
        ("adam", CorrectionOfTheNextStep),
        ("adam", EpsilonInsideAdamsRoot),
        ("amsgrad", lambda amsgrad, **arguments: keras_optims.Adam(**arguments)),
        ("adam", lambda **arguments: keras_optims.Adam(**arguments, amsgrad=True)),
        ("rmsprop", EpsilonOutsideRMSpropsRoot),
        ("centered rmsprop", lambda centered, **arguments: keras_optims.RMSprop(**arguments)),
        ("adagrad from 0", EpsilonOutsideAdagradsRoot),
        ("adagrad from 0", EpsilonNotInAdagradsAccumulator),
        ("nesterov", NesterovWithoutLookingAhead),
        ("adamw", lambda weight_decay, **arguments: keras_optims.Adam(**arguments)),
    ],
)
def test_the_comparison_notices_a_wrong_formula(name, wrong):
    variant = BY_NAME[name]
    assert departure(variant, wrong(**variant.arguments), start=float(name == "adamw")) > 2 * TOLERANCE
