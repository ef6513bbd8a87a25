"""The adaptive methods after Adam: what could be wrong in their formulas is noticed, and what is special about each of them."""

import fractions

import keras
import numpy as np
import pytest
from keras import ops

import keras_optims
from keras_optims.callbacks.step_recorder import StepRecorder
from keras_optims.corrections import correction, half_life, known_gradients, rectification, rest_of
from keras_optims.testing import reference
from keras_optims.testing.compiled_step import CompiledStep, EagerStep, as_numpy
from tests.stepping import state_of
from tests.test_reference import TOLERANCE, departure
from tests.variants import ALL, BY_NAME, distance, random_gradients, run

RATED = ["radam", "adabelief", "adabelief as it is", "yogi", "ademamix of one average", "adan", "novograd"]


# -- the corrections ------------------------------------------------------------------------------

BETAS = [0.0, 0.5, 0.7, 0.85, 0.9, 0.95, 0.98, 0.99, 0.999, 0.9999, 0.99999]
NUMBERS = [1, 2, 3, 4, 5, 6, 7, 10, 30, 100, 1000, 10**4, 10**5, 10**6]


def in_float32(function, t, rest):
    numbers = (ops.convert_to_tensor(np.float32(number)) for number in (t, rest))
    return float(ops.convert_to_numpy(function(*numbers)))


@pytest.mark.parametrize("beta", BETAS)
def test_corrections_are_exact_in_float32(beta):
    """Against the formulas as the papers write them, in the widest floats of NumPy, for the β that 1−β is of."""
    rest = np.float32(1 - beta)
    exact = np.longdouble(1) - np.longdouble(rest)
    for t in NUMBERS:
        share = exact ** np.longdouble(t)
        limit = 2 / (1 - exact) - 1
        rho = limit - 2 * t * share / (1 - share)
        assert in_float32(correction, t, rest) == pytest.approx(float(1 - share), rel=5e-7)
        assert in_float32(known_gradients, t, rest) == pytest.approx(float(rho), rel=2e-6)
        r = np.sqrt((rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho)) if rho > 5 else 0.0
        assert in_float32(rectification, t, rest) == pytest.approx(float(r), rel=2e-6)


@pytest.mark.parametrize("beta", ["0.7", "0.9", "0.99", "0.999", "0.9999"])
def test_the_first_rectified_step_is_that_of_exact_arithmetic(beta):
    exact = fractions.Fraction(beta)

    def rho(t):
        return 2 / (1 - exact) - 1 - 2 * t * exact**t / (1 - exact**t)

    is_known = [in_float32(rectification, t, 1 - float(beta)) > 0 for t in range(1, 20)]
    assert is_known == [rho(t) > 5 for t in range(1, 20)]


def test_no_step_is_rectified_where_the_limit_is_no_more_than_five():
    assert [in_float32(rectification, t, 1 - 0.66) for t in NUMBERS] == [0.0] * len(NUMBERS)


@pytest.mark.parametrize("beta", [0.5, 0.9, 0.999, 0.9999])
def test_half_lives_are_those_of_the_average(beta):
    steps = float(ops.convert_to_numpy(half_life(ops.convert_to_tensor(np.float32(1 - beta)))))
    assert beta**steps == pytest.approx(0.5, rel=1e-5)
    assert float(ops.convert_to_numpy(rest_of(ops.convert_to_tensor(np.float32(steps))))) == pytest.approx(1 - beta, rel=1e-5)


# -- wrong formulas -------------------------------------------------------------------------------


def with_scalars(cls, change):
    """A class whose scalars are changed: `change` is a function of (optimizer, scalars, learning rate) that returns others."""

    class Changed(cls):
        def step_scalars(self, learning_rate):
            scalars = super().step_scalars(learning_rate)
            return {**scalars, **change(self, scalars, learning_rate)}

    return Changed


def at_the_next_step(cls):
    class Late(cls):
        @property
        def step_number(self):
            return super().step_number + 1

    return Late


def not_rectified(self, scalars, learning_rate):
    t = self.step_number
    rate = learning_rate * ops.sqrt(correction(t, self.one_minus("beta_2"))) / correction(t, self.one_minus("beta_1"))
    return {"rate": ops.where(scalars["is_known"], rate, scalars["rate"])}


def root_is_corrected(self, scalars, learning_rate):
    return {"epsilon": self.epsilon * ops.sqrt(correction(self.step_number, self.one_minus("beta_2")))}


class EpsilonBesideTheDeviation(keras_optims.AdaBelief):
    """ε is added when s is used, and not kept."""

    def update_step(self, gradient, variable, learning_rate):
        s = self.scalars(variable, learning_rate)
        m, deviation = self.first_moment[variable], self.squared_deviation[variable]
        self.assign_add(m, (gradient - m) * s.rest_1)
        self.assign_add(deviation, (ops.square(gradient - m) - deviation) * s.rest_2)
        root = ops.sqrt(deviation + s.epsilon) + s.epsilon_beside
        self.assign_sub(variable, m * s.rate / ops.where(s.is_known > 0, root, 1.0))


class DeviationFromTheOldMean(keras_optims.AdaBelief):
    def update_step(self, gradient, variable, learning_rate):
        s = self.scalars(variable, learning_rate)
        m, deviation = self.first_moment[variable], self.squared_deviation[variable]
        error = gradient - m
        self.assign_add(m, error * s.rest_1)
        self.assign_add(deviation, (ops.square(error) - deviation) * s.rest_2 + s.epsilon)
        root = ops.sqrt(deviation) + s.epsilon_beside
        self.assign_sub(variable, m * s.rate / ops.where(s.is_known > 0, root, 1.0))


class SignTurned(keras_optims.Yogi):
    def update_step(self, gradient, variable, learning_rate):
        s = self.scalars(variable, learning_rate)
        m, v = self.first_moment[variable], self.second_moment[variable]
        square = ops.square(gradient)
        self.assign_add(m, (gradient - m) * s.rest_1)
        self.assign_add(v, ops.abs(ops.sign(v - square)) * square * s.rest_2)
        self.assign_sub(variable, m * s.rate / (ops.sqrt(v) + s.epsilon))


class ByAnAverage(keras_optims.Yogi):
    def update_step(self, gradient, variable, learning_rate):
        s = self.scalars(variable, learning_rate)
        m, v = self.first_moment[variable], self.second_moment[variable]
        self.assign_add(m, (gradient - m) * s.rest_1)
        self.assign_add(v, (ops.square(gradient) - v) * s.rest_2)
        self.assign_sub(variable, m * s.rate / (ops.sqrt(v) + s.epsilon))


class SecondMomentFirst(keras_optims.ADOPT):
    def update_step(self, gradient, variable, learning_rate):
        v, s = self.second_moment[variable], self.scalars(variable, learning_rate)
        self.assign_add(v, (ops.square(gradient) - v) * s.rest_2)
        after = v.value
        super().update_step(gradient, variable, learning_rate)
        self.assign(v, after)


class SlowMomentIsCorrected(keras_optims.AdEMAMix):
    def step_scalars(self, learning_rate):
        scalars = super().step_scalars(learning_rate)
        return {**scalars, "alpha": scalars["alpha"] / correction(self.step_number, self.one_minus("beta_3"))}


def beta_grows_linearly(self, scalars, learning_rate):
    share = ops.minimum(self.step_number / self.beta_3_warmup, 1.0)
    return {"rest_3": (1 - share) * self.one_minus("beta_1") + share * self.one_minus("beta_3")}


class DifferenceTurned(keras_optims.Adan):
    def step_scalars(self, learning_rate):
        scalars = super().step_scalars(learning_rate)
        return {**scalars, "beta_2": -scalars["beta_2"]}


class KeepsTheFirstGradient(keras_optims.Adan):
    def update_step(self, gradient, variable, learning_rate):
        previous = self.previous_gradient[variable]
        before = previous.value
        super().update_step(gradient, variable, learning_rate)
        self.assign(previous, ops.where(self.scalars(variable, learning_rate).has_previous > 0, before, gradient))


class ByElement(keras_optims.NovoGrad):
    def build(self, variables):
        super().build(variables)
        self.by_element = self.add_slot(variables, "by_element")

    def update_step(self, gradient, variable, learning_rate):
        s = self.scalars(variable, learning_rate)
        m, v = self.first_moment[variable], self.by_element[variable]
        self.assign_add(v, (ops.square(gradient) - v) * ops.where(self.step_number < 2, 1.0, s.rest_2))
        self.assign(m, m * s.beta_1 + gradient / (ops.sqrt(v) + s.epsilon) * s.weight)
        self.assign_sub(variable, m * s.learning_rate)


class FromZero(keras_optims.NovoGrad):
    def update_step(self, gradient, variable, learning_rate):
        s = self.scalars(variable, learning_rate)
        m, v = self.first_moment[variable], self.second_moment[variable]
        self.assign_add(v, (ops.sum(ops.square(gradient)) - v) * s.rest_2)
        self.assign(m, m * s.beta_1 + gradient / (ops.sqrt(v) + s.epsilon) * s.weight)
        self.assign_sub(variable, m * s.learning_rate)


class DecaysBeside(keras_optims.NovoGrad):
    decay = "decoupled"

    def decay_of(self, variable):
        return None


WRONG = {
    "radam": {
        "not rectified": with_scalars(keras_optims.RAdam, not_rectified),
        "ε beside the corrected root": with_scalars(keras_optims.RAdam, root_is_corrected),
        "the corrections of the next step": at_the_next_step(keras_optims.RAdam),
        "early steps without correction": with_scalars(
            keras_optims.RAdam, lambda self, s, eta: {"rate": ops.where(s["is_known"], s["rate"], eta)}
        ),
        "no early steps": lambda **arguments: keras_optims.RAdam(**arguments, early="skip"),
        "Adam": keras_optims.Adam,
    },
    "radam that skips": {
        "early steps": lambda early, **arguments: keras_optims.RAdam(**arguments),
        "not rectified": with_scalars(keras_optims.RAdam, not_rectified),
    },
    "adabelief": {
        "not rectified": lambda **arguments: keras_optims.AdaBelief(**arguments, rectify=False),
        "ε is not kept": EpsilonBesideTheDeviation,
        "the old mean": DeviationFromTheOldMean,
        "the corrections of the next step": at_the_next_step(keras_optims.AdaBelief),
        "RAdam": keras_optims.RAdam,
    },
    "adabelief as it is": {
        "rectified": lambda rectify, **arguments: keras_optims.AdaBelief(**arguments),
        "ε is not kept": EpsilonBesideTheDeviation,
        "the old mean": DeviationFromTheOldMean,
        "the corrections of the next step": at_the_next_step(keras_optims.AdaBelief),
    },
    "yogi": {
        "v never falls": SignTurned,
        "an average": ByAnAverage,
        "the corrections of the next step": at_the_next_step(keras_optims.Yogi),
        "ε beside the corrected root": with_scalars(keras_optims.Yogi, root_is_corrected),
        "v from 0": lambda initial_accumulator_value, **arguments: keras_optims.Yogi(**arguments, initial_accumulator_value=0.0),
    },
    "adopt": {
        "not clipped": lambda **arguments: keras_optims.ADOPT(**arguments, clip=False),
        "v first": SecondMomentFirst,
        "the clipping of the next step": with_scalars(keras_optims.ADOPT, lambda self, s, eta: {"bound": self.step_number**0.25}),
        "a first step": with_scalars(keras_optims.ADOPT, lambda self, s, eta: {"rate": eta, "rest_1": 0.1, "bound": 1.0}),
        "m is corrected": with_scalars(
            keras_optims.ADOPT,
            lambda self, s, eta: {"rate": s["rate"] / correction(self.step_number, self.one_minus("beta_1"))},
        ),
        "v from 0": with_scalars(keras_optims.ADOPT, lambda self, s, eta: {"rest_2": self.one_minus("beta_2")}),
    },
    "adopt without clipping": {"clipped": lambda clip, **arguments: keras_optims.ADOPT(**arguments)},
    "ademamix": {
        "m₂ is corrected": SlowMomentIsCorrected,
        "the corrections of the next step": at_the_next_step(keras_optims.AdEMAMix),
        "ε beside the uncorrected root": with_scalars(keras_optims.AdEMAMix, lambda self, s, eta: {"epsilon": self.epsilon}),
        "warm": lambda **arguments: keras_optims.AdEMAMix(**arguments, alpha_warmup=80),
    },
    "ademamix with warm-up": {
        "no warm-up of α": lambda alpha_warmup, **arguments: keras_optims.AdEMAMix(**arguments),
        "no warm-up of β₃": lambda beta_3_warmup, **arguments: keras_optims.AdEMAMix(**arguments),
        "β₃ grows linearly": with_scalars(keras_optims.AdEMAMix, beta_grows_linearly),
    },
    "adan": {
        "a first difference": with_scalars(keras_optims.Adan, lambda self, s, eta: {"has_previous": 1.0}),
        "the difference by 1−β₂": with_scalars(
            keras_optims.Adan,
            lambda self, s, eta: {
                "beta_2": self.one_minus("beta_2"),
                "difference_rate": s["difference_rate"] * self.one_minus("beta_2") / self.beta_2,
            },
        ),
        "the difference turned": DifferenceTurned,
        "the difference from the first gradient": KeepsTheFirstGradient,
        "the corrections of the next step": at_the_next_step(keras_optims.Adan),
        "ε beside the uncorrected root": with_scalars(keras_optims.Adan, lambda self, s, eta: {"epsilon": self.epsilon}),
        "not decayed": lambda weight_decay, **arguments: keras_optims.Adan(**arguments, weight_decay=None),
    },
    "novograd": {
        "by element": ByElement,
        "v from 0": FromZero,
        "averaged": lambda **arguments: keras_optims.NovoGrad(**arguments, grad_averaging=True),
    },
    "averaging novograd": {"summed": lambda grad_averaging, **arguments: keras_optims.NovoGrad(**arguments)},
}


@pytest.mark.backend("tensorflow")
@pytest.mark.parametrize(("name", "what"), [(name, what) for name, wrong in WRONG.items() for what in wrong])
def test_the_comparison_notices_a_wrong_formula(name, what):
    variant = BY_NAME[name]
    start = float("weight_decay" in variant.arguments)
    assert departure(variant, WRONG[name][what](**variant.arguments), start=start) > 2 * TOLERANCE


@pytest.mark.backend("tensorflow")
@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("adan", lambda **arguments: keras_optims.Adan(**arguments, proximal=False)),
        ("adan, decay first", lambda proximal, **arguments: keras_optims.Adan(**arguments)),
        ("novograd", DecaysBeside),
        ("adopt", with_scalars(keras_optims.ADOPT, lambda self, s, eta: {"rate": eta})),  # which decays in the first step
    ],
)
def test_the_comparison_notices_a_decay_of_another_form(name, wrong):
    variant = BY_NAME[name]
    arguments = {**variant.arguments, "weight_decay": 2.0}
    assert departure(variant, wrong(**arguments), scales=(1.0,), start=1.0, weight_decay=2.0) > 2 * TOLERANCE


# -- what is special ------------------------------------------------------------------------------

CLASSES = [
    keras_optims.RAdam,
    keras_optims.AdaBelief,
    keras_optims.Yogi,
    keras_optims.ADOPT,
    keras_optims.AdEMAMix,
    keras_optims.Adan,
    keras_optims.NovoGrad,
]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("cls", CLASSES)
def test_zero_gradients_move_nothing_in_any_precision(cls, dtype):
    """Elsewhere ε is 0 in float16, and 0/0 is NaN."""
    variable = keras.Variable(np.ones((3, 2), "float32"), dtype=dtype, name="theta")
    step = CompiledStep(cls(0.1, weight_decay=None), [variable])
    for _ in range(9):
        step([np.zeros((3, 2), "float32")])
    np.testing.assert_array_equal(step.weights()[0], 1)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("cls", CLASSES)
def test_gradients_that_become_and_stop_being_zero_disturb_nothing(cls, dtype):
    variable = keras.Variable(np.ones(4, "float32"), dtype=dtype, name="theta")
    step = CompiledStep(cls(0.01), [variable])
    for i in range(12):
        step([np.array([0, i % 3 == 0, i >= 5, i < 5], "float32") * 0.1])
    weights = step.weights()[0]
    assert np.all(np.isfinite(weights))
    assert np.all(np.abs(weights - 1) < 1)
    assert np.all(weights[1:] != 1)


def test_adabelief_without_momentum_is_finite():
    """g − m is 0 then, and ε is all that is left in s."""
    gradients = random_gradients((5,), 20)
    path = run(keras_optims.AdaBelief(1e-8, beta_1=0.0), gradients, np.zeros((1, 5), "float32"))
    twin = reference.adabelief(gradients, np.zeros((1, 5)), 1e-8, 0.0, 0.999, 1e-16)
    assert np.all(np.isfinite(path))
    assert distance(path, twin) < TOLERANCE


@pytest.mark.parametrize("name", ["adabelief", "adabelief as it is"])
def test_adabeliefs_epsilon_is_added_to_s_and_beside_its_root(name):
    """With one that is large enough for both to show."""
    optimizer = BY_NAME[name].optimizer(epsilon=0.1)
    assert departure(BY_NAME[name], optimizer, scales=(1.0,), epsilon=0.1) < TOLERANCE


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_yogis_second_moment_never_becomes_negative(scale):
    variable = keras.Variable(np.zeros(50, "float32"), name="theta")
    optimizer = keras_optims.Yogi(0.01, beta_2=0.5)
    step = CompiledStep(optimizer, [variable])
    lowest = []
    for gradient in random_gradients((50,), 200, scales=(scale,)):
        step([gradient[0] * (gradient[0] > 0)])
        lowest.append(as_numpy(optimizer.second_moment[variable]).min())
    assert min(lowest) >= 0


def test_yogis_second_moment_rises_as_adams_and_falls_slower():
    variable = keras.Variable(np.zeros(1, "float32"), name="theta")
    optimizer = keras_optims.Yogi(0.01, beta_2=0.9, initial_accumulator_value=0.0)
    step = CompiledStep(optimizer, [variable])
    step([np.ones(1, "float32")])
    assert as_numpy(optimizer.second_moment[variable])[0] == pytest.approx(0.1, rel=1e-6)
    step([np.full(1, 0.1, "float32")])
    assert as_numpy(optimizer.second_moment[variable])[0] == pytest.approx(0.1 - 0.1 * 0.01, rel=1e-6)  # Adam's: 0.091


@pytest.mark.parametrize("step_class", [EagerStep, CompiledStep])
def test_adopts_first_step_sets_its_second_moment_alone(step_class):
    variable = keras.Variable(np.ones(3, "float32"), name="theta")
    optimizer = keras_optims.ADOPT(0.1, weight_decay=0.5)
    step = step_class(optimizer, [variable])
    gradient = np.array([-2.0, 0.0, 3.0], "float32")
    step([gradient])
    np.testing.assert_array_equal(step.weights()[0], 1)
    state = state_of(optimizer)
    np.testing.assert_array_equal(state["second_moment|theta"], gradient**2)
    np.testing.assert_array_equal(state["first_moment|theta"], 0)
    step([gradient])
    np.testing.assert_allclose(step.weights()[0], 0.95 - 0.1 * 0.1 * np.sign(gradient), rtol=1e-6)


def test_a_weight_whose_first_gradient_is_zero_moves_by_no_more_than_the_clipping_lets_it():
    """v is 0 then, and the first gradient is divided by ε."""
    ways = []
    for clip in (True, False):
        variable = keras.Variable(np.zeros(1, "float32"), name="theta")
        step = CompiledStep(keras_optims.ADOPT(0.1, clip=clip), [variable])
        for gradient in (0.0, 0.0, 1.0):
            step([np.full(1, gradient, "float32")])
        ways.append(abs(step.weights()[0][0]))
    assert ways[0] == pytest.approx(0.1 * 0.1 * 2**0.25, rel=1e-5)
    assert ways[1] > 1e3


@pytest.mark.parametrize("step_class", [EagerStep, CompiledStep])
def test_adans_first_difference_is_zero_and_the_second_is_not(step_class):
    variable = keras.Variable(np.zeros(2, "float32"), name="theta")
    optimizer = keras_optims.Adan(0.1, weight_decay=None)
    step = step_class(optimizer, [variable])
    step([np.array([2.0, -1.0], "float32")])
    np.testing.assert_allclose(step.weights()[0], [-0.1, 0.1], rtol=1e-5)
    np.testing.assert_array_equal(state_of(optimizer)["difference_moment|theta"], 0)
    step([np.array([3.0, -1.0], "float32")])
    np.testing.assert_allclose(state_of(optimizer)["difference_moment|theta"], [0.08, 0], atol=1e-7)


@pytest.mark.parametrize("cls", CLASSES)
def test_a_training_that_is_saved_before_or_after_its_first_step_goes_on_as_it_was(cls):
    gradients = [gradient[0] for gradient in random_gradients((4,), 8)]
    for saved_after in (0, 1, 2, 6):
        variable = keras.Variable(np.ones(4, "float32"), name="theta")
        optimizer = cls(0.01)
        step = CompiledStep(optimizer, [variable])
        for gradient in gradients[:saved_after]:
            step([gradient])
        again = keras.Variable(as_numpy(variable), name="theta")
        resumed = cls(0.01)
        resumed.load_state(optimizer)
        step_again = CompiledStep(resumed, [again])
        for gradient in gradients[saved_after:]:
            step([gradient])
            step_again([gradient])
        np.testing.assert_array_equal(step_again.weights()[0], step.weights()[0])


@pytest.mark.parametrize("cls", CLASSES)
def test_accumulated_gradients_are_one_step(cls):
    """Whose number counts updates, not calls."""
    gradients = [gradient[0] for gradient in random_gradients((4,), 12)]
    paths = []
    for steps in (1, 2):
        variable = keras.Variable(np.ones(4, "float32"), name="theta")
        step = CompiledStep(cls(0.01, gradient_accumulation_steps=steps if steps > 1 else None), [variable])
        for first, second in zip(gradients[::2], gradients[1::2], strict=True):
            for gradient in (first, second) if steps == 2 else ((first + second) / 2,):
                step([gradient])
        paths.append(step.weights()[0])
    np.testing.assert_allclose(*paths, rtol=1e-6)


def test_novograds_second_moment_is_one_number_for_each_variable():
    variables = [keras.Variable(np.ones(shape, "float32"), name=f"v{i}") for i, shape in enumerate([(3, 2), (4,), (), (0, 2)])]
    optimizer = keras_optims.NovoGrad(0.1)
    step = CompiledStep(optimizer, variables)
    step([np.full(variable.shape, 2.0, "float32") for variable in variables])
    assert [as_numpy(optimizer.second_moment[v]).shape for v in variables] == [()] * 4
    np.testing.assert_allclose([as_numpy(optimizer.second_moment[v]) for v in variables], [24, 16, 4, 0])
    for before, after in zip([1.0] * 3, step.weights()[:3], strict=True):  # each step has the length η
        np.testing.assert_allclose(np.linalg.norm(np.ravel(after - before)), 0.1, rtol=1e-5)


def test_novograd_begins_anew_where_all_gradients_have_been_zero():
    """A variable that gets its first gradient late makes a step of length η, as in the first step."""
    variable = keras.Variable(np.zeros(4, "float32"), name="theta")
    step = CompiledStep(keras_optims.NovoGrad(0.1), [variable])
    for gradient in (0.0, 0.0, 3.0):
        step([np.full(4, gradient, "float32")])
    np.testing.assert_allclose(np.linalg.norm(step.weights()[0]), 0.1, rtol=1e-5)


def test_ademamix_without_a_fast_moment_has_no_slot_for_it():
    variable = keras.Variable(np.zeros(4, "float32"), name="theta")
    optimizers = [keras_optims.AdEMAMix(beta_1=beta) for beta in (0.9, 0.0)]
    for optimizer in optimizers:
        optimizer.build([variable])
    slots = [[name for name in state_of(optimizer) if name.endswith("|theta")] for optimizer in optimizers]
    assert len(slots[0]) == 3
    assert len(slots[1]) == 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: keras_optims.RAdam(early="sgd"), "early must be 'momentum' or 'skip'; received 'sgd'"),
        (lambda: keras_optims.RAdam(early=True), "early must be 'momentum' or 'skip'; received True"),
        (lambda: keras_optims.AdEMAMix(alpha_warmup=0), r"alpha_warmup must be None or an int in \[1, ∞\); received 0"),
        (lambda: keras_optims.AdEMAMix(beta_3_warmup=2.5), r"beta_3_warmup must be None or an int in \[1, ∞\); received 2.5"),
    ],
)
def test_a_wrong_option_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("name", RATED)
def test_the_rate_of_a_step_is_what_multiplies_the_average_of_the_gradients(name):
    """With a constant gradient all averages of it are the gradient, and Adan's difference is 0."""
    variant = next(each for each in ALL if each.name == name)
    others = {"beta_1": 0.0, "weight_decay": None} if name == "novograd" else {"weight_decay": None}
    beta_1 = others.get("beta_1", variant.arguments["beta_1"])
    others |= {"alpha": 0.0} if "alpha" in variant.arguments else {}
    optimizer = variant.optimizer(**others)
    variable = keras.Variable(np.zeros(1, "float32"), name="theta")
    step = CompiledStep(optimizer, [variable])
    recorder = optimizer._untracked.recorder = StepRecorder(optimizer, 1)
    before = 0.0
    for t in range(1, 13):
        step([np.full(1, 0.5, "float32")])
        (now,), (_, (row,)) = step.weights()[-1], recorder.take()
        average = 0.5 * (1 - beta_1**t)
        if t > 5:  # the steps before are in tests/test_step_log.py
            assert row.rate_mean * average == pytest.approx(before - now, rel=1e-4)
        before = float(now)
