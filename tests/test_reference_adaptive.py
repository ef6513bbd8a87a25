"""What the twins of Nadam, NAdamW, Adamax, Adadelta, FTRL and Lion notice, and what these algorithms do that others do not."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_optims
from keras_optims.testing.compiled_step import CompiledStep, as_numpy
from tests.test_reference import TOLERANCE, departure
from tests.variants import BY_NAME, random_gradients, run


class NoProductOfTheSchedule(keras_optims.Nadam):
    def end_step(self, variables):
        pass


class NotLookingAhead(keras_optims.Nadam):
    def step_scalars(self, learning_rate):
        t, scalars = self.step_number, super().step_scalars(learning_rate)
        now = self.beta_1 * self._factor(t)
        product = self.beta_1**t * self.schedule_product * self._factor(t)
        return {**scalars, "of_moment": scalars["rate"] * now / (1 - product)}


class NoSecondCorrection(keras_optims.Nadam):
    def step_scalars(self, learning_rate):
        scalars, correction = super().step_scalars(learning_rate), ops.sqrt(1 - self.beta_2**self.step_number)
        return {**scalars, **{name: scalars[name] / correction for name in ("of_moment", "of_gradient", "epsilon")}}


class ScheduleOneStepLate(keras_optims.Nadam):
    def _factor(self, t):
        return super()._factor(t - 1)


class EpsilonBesideTheUncorrectedRoot(keras_optims.NAdamW):
    def step_scalars(self, learning_rate):
        return {**super().step_scalars(learning_rate), "epsilon": self.epsilon}


class OptaxsCorrections(keras_optims.NAdamW):
    def update_step(self, gradient, variable, learning_rate):
        t, s = self.step_number, self.scalars(variable, learning_rate)
        m, v = self.first_moment[variable], self.second_moment[variable]
        self.assign_add(m, (gradient - m) * s.one_minus_beta_1)
        self.assign_add(v, (ops.square(gradient) - v) * s.one_minus_beta_2)
        late = (1 - self.beta_1**t) / (1 - self.beta_1 ** (t + 1))
        ahead = s.beta_1 * m * ops.cast(late, variable.dtype) + s.one_minus_beta_1 * gradient
        self.assign_sub(variable, ahead * s.alpha / (ops.sqrt(v) + s.epsilon))


class NoCorrection(keras_optims.Adamax):
    def step_scalars(self, learning_rate):
        return {**super().step_scalars(learning_rate), "alpha": learning_rate}


class NormThatDoesNotDecay(keras_optims.Adamax):
    def step_scalars(self, learning_rate):
        return {**super().step_scalars(learning_rate), "beta_2": 1.0}


class EpsilonInsideTheMaximum(keras_optims.Adamax):
    def update_step(self, gradient, variable, learning_rate):
        s = self.scalars(variable, learning_rate)
        m, u = self.first_moment[variable], self.infinity_norm[variable]
        self.assign_add(m, (gradient - m) * s.one_minus_beta_1)
        self.assign(u, ops.maximum(s.beta_2 * u, ops.abs(gradient) + s.epsilon))
        self.assign_sub(variable, m * s.alpha / u)


class EpsilonOutsideTheRoots(keras_optims.Adadelta):
    def update_step(self, gradient, variable, learning_rate):
        s = self.scalars(variable, learning_rate)
        v, d = self.mean_square[variable], self.mean_squared_step[variable]
        self.assign(v, s.rho * v + s.one_minus_rho * ops.square(gradient))
        delta = (ops.sqrt(d) + ops.sqrt(s.epsilon)) / (ops.sqrt(v) + ops.sqrt(s.epsilon)) * gradient
        self.assign(d, s.rho * d + s.one_minus_rho * ops.square(delta))
        self.assign_sub(variable, s.learning_rate * delta)


class StepsCountedWithTheRate(keras_optims.Adadelta):
    def update_step(self, gradient, variable, learning_rate):
        s = self.scalars(variable, learning_rate)
        v, d = self.mean_square[variable], self.mean_squared_step[variable]
        self.assign(v, s.rho * v + s.one_minus_rho * ops.square(gradient))
        delta = s.learning_rate * ops.sqrt(d + s.epsilon) / ops.sqrt(v + s.epsilon) * gradient
        self.assign(d, s.rho * d + s.one_minus_rho * ops.square(delta))
        self.assign_sub(variable, delta)


class PapersL2(keras_optims.Ftrl):
    def step_scalars(self, learning_rate):
        scalars = super().step_scalars(learning_rate)
        return {**scalars, "quadratic": scalars["quadratic"] - self.l2_regularization_strength}


class NoBeta(keras_optims.Ftrl):
    def step_scalars(self, learning_rate):
        return {**super().step_scalars(learning_rate), "quadratic": 2 * self.l2_regularization_strength}


class HalfTheShrinkage(keras_optims.Ftrl):
    def step_scalars(self, learning_rate):
        return {**super().step_scalars(learning_rate), "shrinkage": self.l2_shrinkage_regularization_strength}


class VoteOfTheNewAverage(keras_optims.Lion):
    def update_step(self, gradient, variable, learning_rate):
        s, m = self.scalars(variable, learning_rate), self.first_moment[variable]
        self.assign_add(m, s.one_minus_beta_2 * (gradient - m))
        self.assign_sub(variable, s.learning_rate * ops.sign(m + s.one_minus_beta_1 * (gradient - m)))


def without(cls, *names):
    """The class, called without these arguments."""
    return lambda **arguments: cls(**{name: value for name, value in arguments.items() if name not in names})


WRONG = [
    ("nadam", NoProductOfTheSchedule),
    ("nadam", NotLookingAhead),
    ("nadam", NoSecondCorrection),
    ("nadam", ScheduleOneStepLate),
    ("nadam", lambda **arguments: keras_optims.Nadam(**arguments, momentum_decay=0.004)),
    ("nadamw", EpsilonBesideTheUncorrectedRoot),
    ("nadamw", OptaxsCorrections),
    ("nadamw", keras_optims.AdamW),
    ("adamax", NoCorrection),
    ("adamax", NormThatDoesNotDecay),
    ("adamax", EpsilonInsideTheMaximum),
    ("adamax", keras_optims.Adam),
    ("adadelta", EpsilonOutsideTheRoots),
    ("adadelta", StepsCountedWithTheRate),
    ("ftrl with penalties", PapersL2),
    ("ftrl with penalties", NoBeta),
    ("ftrl with penalties", HalfTheShrinkage),
    *(
        ("ftrl with penalties", without(keras_optims.Ftrl, f"{name}_regularization_strength"))
        for name in ("l1", "l2", "l2_shrinkage")
    ),
    ("ftrl with another power", without(keras_optims.Ftrl, "learning_rate_power")),
    ("lion", VoteOfTheNewAverage),
    ("lion", lambda beta_2, **arguments: keras_optims.Lion(beta_2=arguments["beta_1"], **arguments)),
    ("sgd with nesterov", without(keras_optims.SGD, "nesterov")),
]


@pytest.mark.backend("tensorflow")
@pytest.mark.parametrize(("name", "wrong"), WRONG)
def test_the_comparison_notices_a_wrong_formula(name, wrong):
    variant = BY_NAME[name]
    assert departure(variant, wrong(**variant.arguments)) > 2 * TOLERANCE


# -- Nadam ----------------------------------------------------------------------------------------


def test_a_rule_that_sets_beta_1_has_the_correction_of_its_own_beta_1():
    gradients = random_gradients((4,), 20)
    by_rule = keras_optims.Nadam(0.01, rules=[keras_optims.Rule("a", beta_1=0.5)])
    variables = [keras.Variable(np.zeros((1, 4), "float32"), name=name) for name in "ab"]
    step = CompiledStep(by_rule, variables)
    for gradient in gradients:
        step([gradient, gradient])
    for beta_1, weights in zip((0.5, 0.9), step.weights(), strict=True):
        np.testing.assert_allclose(weights, run(keras_optims.Nadam(0.01, beta_1), gradients, np.zeros((1, 4)))[-1], rtol=1e-6)


# -- FTRL -----------------------------------------------------------------------------------------


def after(optimizer, gradients, start):
    return np.array(run(optimizer, gradients, np.asarray(start, "float32")))


def test_an_l1_penalty_makes_exact_zeros_of_the_weights_whose_gradients_do_not_add_up():
    rng = np.random.default_rng(0)
    drift = np.where(np.arange(200) < 20, 1.0, 0.0)  # twenty features that matter
    gradients = [(rng.normal(size=200) - drift).astype("float32") for _ in range(200)]
    free, sparse = (
        after(keras_optims.Ftrl(0.1, l1_regularization_strength=l1), gradients, np.zeros(200))[-1] for l1 in (0.0, 60.0)
    )
    assert np.all(free != 0)
    assert np.all(sparse[:20] > 0)
    assert np.all(sparse[20:] == 0)


def test_weights_without_a_gradient_become_zero_as_in_keras():
    for make in (keras_optims.Ftrl, keras.optimizers.Ftrl):
        assert after(make(0.1), [np.zeros(3, "float32")], np.ones(3))[-1].tolist() == [0, 0, 0]


def test_an_accumulator_from_zero_is_no_division_by_zero():
    """Keras: NaN."""
    gradients = [np.array([0, 1], "float32")] * 2
    assert np.isfinite(after(keras_optims.Ftrl(0.1, initial_accumulator_value=0.0), gradients, np.ones(2))).all()
    assert np.isnan(after(keras.optimizers.Ftrl(0.1, initial_accumulator_value=0.0), gradients, np.ones(2))).any()


def test_another_learning_rate_scales_all_weights_at_once():
    gradients = [np.linspace(-1, 1, 6).astype("float32")] * 30
    optimizer, variable = keras_optims.Ftrl(0.1), keras.Variable(np.zeros(6, "float32"), name="theta")
    step = CompiledStep(optimizer, [variable])
    for gradient in gradients:
        step([gradient])
    before = step.weights()[0]
    optimizer.learning_rate = 1.0
    step([np.zeros(6, "float32")])
    np.testing.assert_allclose(step.weights()[0], 10 * before, rtol=1e-5)


def test_weight_decay_shrinks_the_weights_at_the_rate_it_says_and_keras_forgets_it():
    gradients = [*random_gradients((8,), 20), *[np.zeros((1, 8), "float32")] * 10]
    ours = after(keras_optims.Ftrl(0.1, weight_decay=0.5), gradients, np.zeros((1, 8)))
    theirs = after(keras.optimizers.Ftrl(0.1, weight_decay=0.5), gradients, np.zeros((1, 8)))
    np.testing.assert_allclose(ours[-1], ours[19] * 0.95**10, rtol=1e-5)
    np.testing.assert_allclose(theirs[-1], theirs[19], rtol=1e-5)


# -- Lion -----------------------------------------------------------------------------------------


def test_each_step_of_lion_is_as_long_as_the_rate_and_none_without_any_gradient():
    gradients = random_gradients((50,), 10, scales=(1e-6, 1.0, 1e6))
    path = after(keras_optims.Lion(0.25), gradients, np.zeros((3, 50)))
    np.testing.assert_array_equal(np.abs(np.diff(path, axis=0, prepend=0)), 0.25)
    still = after(keras_optims.Lion(0.25), [np.zeros(3, "float32")] * 2, np.ones(3))
    np.testing.assert_array_equal(still, 1)


# -- SGD ------------------------------------------------------------------------------------------


def test_momentum_can_be_turned_on_at_any_time():
    variables = [keras.Variable(np.zeros(3, "float32"), name="theta")]
    optimizer = keras_optims.SGD(0.5)
    step = CompiledStep(optimizer, variables)
    step([np.ones(3, "float32")])
    optimizer.momentum = 0.5
    step([np.zeros(3, "float32")])
    np.testing.assert_allclose(step.weights()[0], -0.75)
    np.testing.assert_allclose(as_numpy(optimizer.velocity[variables[0]]), -0.25)
