"""Schedules: each gives what its formula in float64 gives, for any hyperparameter, and its numbers are live state."""

import copy
import pickle
import re
from typing import ClassVar

import keras
import numpy as np
import pytest

import keras_optims
from keras_optims import schedules
from keras_optims.schedules import (
    Cosine,
    Linear,
    OneCycle,
    OneCycleMomentum,
    Piecewise,
    Schedule,
    Warmup,
    WarmupStableDecay,
    one_cycle,
)
from keras_optims.testing.compiled_step import CompiledStep
from tests.models import compiled, dense_model, fit, weights
from tests.stepping import state_of

STEPS = np.arange(27)


def ramp(t, until):
    return np.minimum(t / until, 1) if until else np.ones_like(t)


def half_cosine(first, last, way):
    return last + (first - last) * (1 + np.cos(np.pi * way)) / 2


def cosine_twin(t, peak, steps, warmup, final):
    begins = warmup * steps
    way = np.clip((t - begins) / (steps - begins), 0, 1)
    return peak * np.where(t < begins, ramp(t, begins), half_cosine(1, final, way))


def linear_twin(t, peak, steps, warmup, final):
    begins = warmup * steps
    way = np.clip((t - begins) / (steps - begins), 0, 1)
    return peak * np.where(t < begins, ramp(t, begins), 1 - (1 - final) * way)


def stable_twin(t, peak, steps, warmup, decay, final, shape):
    way = np.clip((t - (1 - decay) * steps) / (decay * steps), 0, 1) if decay else np.zeros_like(t)
    way = np.sqrt(way) if shape == "sqrt" else way
    return peak * ramp(t, warmup * steps) * (1 - (1 - final) * way)


def cycle_twin(t, peak, steps, warmup, start, final):
    turn = warmup * steps
    up = half_cosine(start, 1, ramp(t, turn))
    return peak * np.where(t < turn, up, half_cosine(1, final, np.clip((t - turn) / (steps - turn), 0, 1)))


def momentum_twin(t, high, steps, warmup, low):
    return cycle_twin(t, high * low, steps, warmup, 1 / low, 1 / low)


def piecewise_twin(t, steps, values, between):
    if between == "constant":
        return np.asarray(values)[np.maximum(np.searchsorted(steps, t, side="right") - 1, 0)]
    if between == "linear":
        return np.interp(t, steps, values)
    place = np.interp(t, steps, range(len(steps)))
    i = np.minimum(place.astype(int), len(steps) - 2)
    return half_cosine(np.take(values, i), np.take(values, i + 1), place - i)


def warmup_twin(t, then, steps, start):
    follows = then if callable(then) else lambda t: then * np.ones_like(t, dtype=float)
    share = start + (1 - start) * ramp(t, steps)
    return share * follows(np.maximum(t - steps, 0))


TWINS = {
    Cosine: (cosine_twin, [(0.1, 20, 0.0, 0.0), (0.3, 17, 0.25, 0.1), (2.0, 9, 0.9, 1.5)]),
    Linear: (linear_twin, [(0.1, 20, 0.0, 0.0), (0.3, 17, 0.25, 0.1)]),
    WarmupStableDecay: (
        stable_twin,
        [(0.1, 20, 0.0, 0.0, 0.5, "linear"), (0.3, 17, 0.2, 0.4, 0.1, "linear"), (0.3, 20, 0.5, 0.5, 0.0, "sqrt")],
    ),
    OneCycle: (cycle_twin, [(0.1, 20, 0.3, 0.04, 4e-6), (0.3, 17, 0.0, 0.5, 0.2)]),
    OneCycleMomentum: (momentum_twin, [(0.95, 20, 0.3, 0.9), (0.9, 17, 0.5, 0.5)]),
    Piecewise: (
        piecewise_twin,
        [([0, 5, 9], [1.0, 0.1, 0.5], "constant"), ([3, 9, 20], [1.0, 0.1, 0.5], "linear"), ([0, 9, 11], [1, 0, 2], "cosine")],
    ),
    Warmup: (warmup_twin, [(0.1, 6, 0.0), (0.3, 0, 0.5), (0.2, 7, 0.25)]),
}


@pytest.mark.parametrize(
    ("schedule", "arguments"), [pytest.param(each, of, id=f"{each.__name__}{of}") for each in TWINS for of in TWINS[each][1]]
)
def test_a_schedule_gives_what_its_formula_gives_in_float64(schedule, arguments):
    expected = TWINS[schedule][0](STEPS.astype("float64"), *arguments)
    np.testing.assert_allclose(schedule(*arguments).at(STEPS), expected, rtol=1e-6, atol=3e-7 * np.max(np.abs(expected)))


def test_all_schedules_have_a_twin():
    named = {getattr(schedules, name) for name in schedules.__all__}
    assert {each for each in named if isinstance(each, type) and issubclass(each, Schedule)} - {Schedule} == set(TWINS)


def keras_at(schedule, steps=STEPS):
    return [float(keras.ops.convert_to_numpy(schedule(int(step)))) for step in steps]


def test_where_keras_has_the_same_formula_it_gives_the_same():
    of_keras = keras.optimizers.schedules
    cosine = of_keras.CosineDecay(0.0, 15, alpha=0.1, warmup_target=0.3, warmup_steps=5)
    np.testing.assert_allclose(Cosine(0.3, 20, 0.25, 0.1).at(STEPS), keras_at(cosine), rtol=2e-6, atol=1e-8)
    linear = of_keras.PolynomialDecay(0.3, 20, end_learning_rate=0.03, power=1.0)
    np.testing.assert_allclose(Linear(0.3, 20, final=0.1).at(STEPS), keras_at(linear), rtol=2e-6)
    pieces = of_keras.PiecewiseConstantDecay([4, 9], [1.0, 0.1, 0.01])  # each until and with its boundary
    np.testing.assert_allclose(Piecewise([0, 5, 10], [1.0, 0.1, 0.01]).at(STEPS), keras_at(pieces), rtol=1e-7)
    follows = Warmup(of_keras.ExponentialDecay(0.3, 4, 0.5), 6).at(STEPS)
    np.testing.assert_allclose(follows[6:], keras_at(of_keras.ExponentialDecay(0.3, 4, 0.5), STEPS[:-6]), rtol=2e-6)
    np.testing.assert_allclose(follows[:6], 0.3 * STEPS[:6] / 6, rtol=2e-6)


def test_a_warm_up_is_of_a_schedule_too():
    found = Warmup(Linear(0.4, 10), 5, start=0.5).at(STEPS)
    expected = warmup_twin(STEPS.astype("float64"), lambda t: linear_twin(t, 0.4, 10, 0.0, 0.0), 5, 0.5)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8)


def test_at_gives_numbers_for_a_step_and_arrays_for_several():
    schedule = Linear(1.0, 10)
    assert schedule.at(5) == 0.5
    assert type(schedule.at(np.int64(5))) is float
    assert schedule.at([[0, 5], [10, 20]]).tolist() == [[1.0, 0.5], [0.0, 0.0]]


# -- in a step -------------------------------------------------------------------------------------


def arrays():
    return [np.linspace(-1, 1, 12).reshape(4, 3).astype("float32"), np.linspace(0.5, 1, 3).astype("float32")]


def variables(dtype="float32"):
    return [keras.Variable(array, dtype=dtype, name=f"v{i}") for i, array in enumerate(arrays())]


def gradients(number):
    rng = np.random.default_rng(number)
    return [rng.normal(size=array.shape).astype("float32") for array in arrays()]


FOLLOWING = {
    "learning_rate": Cosine(0.1, 8, warmup=0.25, final=0.1),
    "weight_decay": Linear(0.1, 6),
    "beta_1": OneCycleMomentum(0.9, 7, low=0.5),
    "beta_2": Piecewise([0, 3], [0.9, 0.99], between="linear"),
    "epsilon": Warmup(1e-2, 3, start=0.1),
}


def test_every_hyperparameter_that_follows_a_schedule_has_its_value_in_every_step():
    scheduled = CompiledStep(keras_optims.Adam(**FOLLOWING), variables())
    by_hand = keras_optims.Adam(**{name: schedule.at(0) for name, schedule in FOLLOWING.items()})
    set_each = CompiledStep(by_hand, variables())
    for number in range(8):
        for name, schedule in FOLLOWING.items():
            setattr(by_hand, name, schedule.at(number))
        scheduled(gradients(number))
        set_each(gradients(number))
        for one, other in zip(scheduled.weights(), set_each.weights(), strict=True):
            np.testing.assert_allclose(one, other, rtol=3e-6, atol=1e-6)


def test_a_change_of_a_number_compiles_nothing_and_holds_from_the_next_step_on():
    optimizer = keras_optims.GradientDescent(Cosine(0.1, 8), rules=[keras_optims.Rule(ndim=1, learning_rate=Linear(0.2, 10))])
    step = CompiledStep(optimizer, variables())
    step(gradients(0))
    traces = step.traces
    before = step.weights()
    optimizer.schedules["learning_rate"].change(steps=4, warmup=0.5, final=0.25)
    optimizer.schedules["learning_rate"].peak = 0.3
    optimizer.rules[0].schedules["learning_rate"].peak = 0.5
    step(gradients(1))
    assert step.traces == traces or keras.backend.backend() == "torch"
    rates = Cosine(0.3, 4, 0.5, 0.25).at(1), Linear(0.5, 10).at(1)
    for found, start, gradient, rate in zip(step.weights(), before, gradients(1), rates, strict=True):
        np.testing.assert_allclose(found, start - rate * gradient, rtol=2e-6, atol=1e-7)
    assert float(keras.ops.convert_to_numpy(optimizer.learning_rate)) == pytest.approx(Cosine(0.3, 4, 0.5, 0.25).at(2), rel=1e-6)


def test_another_schedule_of_the_same_structure_changes_the_numbers():
    optimizer = keras_optims.Momentum(Warmup(Linear(0.1, 10), 2))
    step = CompiledStep(optimizer, variables())
    step(gradients(0))
    traces, live = step.traces, optimizer.schedules["learning_rate"]
    optimizer.learning_rate = Warmup(Linear(0.3, 20), 5)
    step(gradients(1))
    assert step.traces == traces or keras.backend.backend() == "torch"
    assert optimizer.schedules["learning_rate"] is live
    assert repr(live) == repr(Warmup(Linear(0.3, 20), 5))
    assert live.at(7) == pytest.approx(0.27)


@pytest.mark.parametrize("name", keras_optims.OPTIMIZERS)
def test_every_optimizer_takes_schedules_and_tells_them_back(name):
    cls = keras_optims.OPTIMIZERS[name]
    optimizer = cls(learning_rate=Cosine(0.01, 20, final=0.1), weight_decay=Linear(0.1, 20, final=0.5))
    optimizer.build([keras.Variable(np.ones((3, 2)), name="kernel"), keras.Variable(np.ones(2), name="bias")])
    optimizer.schedules["weight_decay"].final = 0.25
    again = cls.from_config(optimizer.get_config())
    assert again.get_config() == optimizer.get_config()
    assert again.schedules["weight_decay"].get_config() == {"peak": 0.1, "steps": 20, "warmup": 0.0, "final": 0.25}


def test_under_mixed_precision_the_schedule_is_in_float32_and_live():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = compiled(keras_optims.Adam(Cosine(0.1, 40, 0.1)))
        fit(model)
        model.optimizer.schedules["learning_rate"].change(warmup=0.0, final=0.5)
        fit(model)
    finally:
        keras.config.set_dtype_policy("float32")
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    rate = model.optimizer.learning_rate
    assert keras.backend.standardize_dtype(rate.dtype) == "float32"
    made = int(keras.ops.convert_to_numpy(model.optimizer.inner_optimizer.iterations))
    assert float(keras.ops.convert_to_numpy(rate)) == pytest.approx(Cosine(0.1, 40, final=0.5).at(made), rel=1e-6)
    assert all(np.all(np.isfinite(weight)) for weight in weights(model))


# -- state -----------------------------------------------------------------------------------------


def model_with(optimizer):
    model = dense_model()
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def scheduled():
    rule = keras_optims.Rule("bias", learning_rate_multiplier=Warmup(keras.optimizers.schedules.ExponentialDecay(1.0, 9, 0.9), 3))
    return keras_optims.AdamW(Warmup(Cosine(0.01, 30), 4), beta_1=Piecewise([0, 9], [0.5, 0.9]), rules=[rule])


def changed(optimizer):
    optimizer.schedules["learning_rate"].change(steps=6)
    optimizer.schedules["learning_rate"].then.change(peak=0.02, final=0.125)
    optimizer.schedules["beta_1"].values = [0.6, 0.8]
    optimizer.rules[0].schedules["learning_rate_multiplier"].start = 0.5


def assert_goes_on_alike(model, other):
    fit(model)
    fit(other)
    for one, two in zip(weights(model), weights(other), strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_saved_model_goes_on_bit_for_bit_with_the_numbers_of_now(tmp_path):
    model = model_with(scheduled())
    fit(model)
    changed(model.optimizer)
    fit(model)
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert repr(loaded.optimizer) == repr(model.optimizer)
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    other = model_with(scheduled())  # with the old numbers, until it has loaded the state
    other.load_weights(tmp_path / "model.weights.h5")
    other.optimizer.build(other.trainable_variables)
    assert repr(other.optimizer.schedules) == repr(model.optimizer.schedules)
    assert_goes_on_alike(model, loaded)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda optimizer: pickle.loads(pickle.dumps(optimizer))])
def test_a_copy_has_the_numbers_of_now_and_its_own(copied):
    optimizer = scheduled()
    changed(optimizer)
    other = copied(optimizer)
    assert repr(other) == repr(optimizer)
    other.schedules["learning_rate"].then.peak = 0.5
    assert optimizer.schedules["learning_rate"].then.get_config()["peak"] == 0.02


def test_one_schedule_for_two_optimizers_is_two():
    given = Cosine(0.1, 10)
    one, other = keras_optims.Adam(given), keras_optims.Adam(given, beta_1=Linear(0.9, 10))
    one.schedules["learning_rate"].peak = 0.5
    assert (given.peak, other.schedules["learning_rate"].at(0)) == (0.1, pytest.approx(0.1))


def test_a_schedule_that_is_exchanged_before_the_build_leaves_no_variables():
    optimizer = keras_optims.Adam(Warmup(Cosine(0.1, 10), 4))
    optimizer.learning_rate = Linear(0.1, 10)
    assert sorted(key for key in state_of(optimizer) if "schedule" in key) == [
        *(f"learning_rate_schedule_{name}" for name in ("final", "peak", "steps", "warmup")),
    ]
    with pytest.raises(TypeError, match=r"or set the schedule's own, such as schedules\['learning_rate'\].peak"):
        optimizer.learning_rate = 0.1


def test_state_that_a_schedule_cannot_have_is_refused():
    optimizer = keras_optims.Adam(Cosine(0.1, 10))
    state = {**state_of(optimizer), "learning_rate_schedule_warmup": np.float32(1.5)}
    with pytest.raises(ValueError, match=r"learning_rate_schedule_warmup must be in \[0, 1\)"):
        optimizer.load_own_variables(state)
    state |= {"learning_rate_schedule_warmup": np.float32(0.5), "learning_rate_schedule_peak": np.float32(-1)}
    with pytest.raises(ValueError, match="learning_rate_schedule_peak must be in "):
        optimizer.load_own_variables(state)


def test_keras_takes_over_the_schedule_as_it_is_now():
    ours = keras_optims.Adam(Cosine(0.1, 10))
    ours.build(variables())
    ours.schedules["learning_rate"].peak = 0.5
    theirs = keras_optims.to_keras(ours)
    ours.schedules["learning_rate"].peak = 0.7
    assert float(keras.ops.convert_to_numpy(theirs.learning_rate)) == 0.5
    assert repr(keras_optims.from_keras(theirs).schedules["learning_rate"]) == repr(Cosine(0.5, 10))


@keras.saving.register_keras_serializable(package="tests")
class Staircase(Schedule):
    """A schedule of one's own."""

    arguments: ClassVar = {
        "peak": schedules.Number(keras_optims.Interval(0, 9), is_a_value=True),
        "every": schedules.Number(keras_optims.Interval(1, 99)),
    }

    def __init__(self, peak, every=2):
        super().__init__(peak=peak, every=every)

    def formula(self, step, of):
        return of.peak * 0.5 ** keras.ops.floor(step / of.every)


def test_a_schedule_of_ones_own_is_live_too():
    optimizer = keras_optims.GradientDescent(Staircase(0.8))
    step = CompiledStep(optimizer, variables())
    step(gradients(0))
    optimizer.schedules["learning_rate"].every = 1
    before = step.weights()
    step(gradients(1))
    for found, start, gradient in zip(step.weights(), before, gradients(1), strict=True):
        np.testing.assert_allclose(found, start - 0.4 * gradient, rtol=2e-6, atol=1e-7)
    assert step.traces == 1 or keras.backend.backend() == "torch"
    assert keras_optims.GradientDescent.from_config(optimizer.get_config()).schedules["learning_rate"].every == 1


def test_one_cycle_gives_rate_and_momentum_together():
    optimizer = keras_optims.Adam(**one_cycle(0.1, 20, warmup=0.5, low=0.5, beta_1=0.9))
    rate, momentum = optimizer.schedules["learning_rate"], optimizer.schedules["beta_1"]
    assert (rate.at(0), rate.at(10), momentum.at(0), momentum.at(10)) == pytest.approx((0.004, 0.1, 0.9, 0.45))


# -- refusals --------------------------------------------------------------------------------------


def built():
    optimizer = keras_optims.Adam(Cosine(0.1, 10), beta_1=WarmupStableDecay(0.9, 10, 0.1, 0.8))
    optimizer.build(variables())
    return optimizer


REFUSED = {
    "steps must be a whole number in [1, ∞); received 0.": lambda: Cosine(0.1, 0),
    "steps must be a whole number in [1, ∞); received 2.5.": lambda: Linear(0.1, 2.5),
    "peak must be a number in (−∞, ∞); received nan.": lambda: Linear(float("nan"), 5),
    "peak must be a number in (−∞, ∞); received True.": lambda: Linear(True, 5),
    "warmup must be a number in [0, 1); received 1.": lambda: Cosine(0.1, 10, warmup=1),
    "warmup must be a number in [0, 1); received 0.99999999999.": lambda: Cosine(0.1, 10, warmup=0.99999999999),
    "final must be a number in [0, ∞); received -0.1.": lambda: Cosine(0.1, 10, final=-0.1),
    "low must be a number in [0, 1]; received 2.": lambda: OneCycleMomentum(0.9, 10, low=2),
    "then must be a number in (−∞, ∞), or a schedule; received 'cosine'.": lambda: Warmup("cosine", 10),
    "shape must be 'linear' or 'sqrt'; received 'cubic'.": lambda: WarmupStableDecay(0.1, 10, shape="cubic"),
    "warmup and decay must be no more than 1 together; received warmup=0.5 and decay=0.6.": lambda: WarmupStableDecay(
        0.1, 10, 0.5, 0.6
    ),
    "steps must be a list of numbers, at least one; received [].": lambda: Piecewise([], []),
    "steps[1] must be a whole number in [0, ∞); received 'b'.": lambda: Piecewise([0, "b"], [1, 2]),
    "The steps of Piecewise must ascend; received [0, 4, 4].": lambda: Piecewise([0, 4, 4], [1, 2, 3]),
    "Piecewise has one value for each step; received 2 steps and 1 values.": lambda: Piecewise([0, 4], [1]),
    "beta_1 (β₁) must stay in [0, 1)": lambda: keras_optims.Adam(beta_1=Linear(1.5, 10)),
    "which reaches 0.": lambda: keras_optims.Adam(clipnorm=Cosine(1.0, 10)),
    "learning_rate (η) must stay in [0, ∞)": lambda: keras_optims.Adam(rules=[keras_optims.Rule(learning_rate=Linear(-1, 10))]),
    "at() takes a step, a number of at least 0, or a list of them; received -1.": lambda: Cosine(0.1, 10).at(-1),
    "peak=-1.0": lambda: built().schedules["learning_rate"].change(peak=-1.0),
    "received warmup=0.4 and decay=0.8.": lambda: built().schedules["beta_1"].change(warmup=0.4),
    "Cosine has no 'fin'. Did you mean final? It has peak, steps, warmup, final.": lambda: (
        built().schedules["learning_rate"].change(fin=1)
    ),
    "beta_1 follows a schedule of which the numbers can change and nothing else": lambda: (
        built().schedules["beta_1"].change(shape="sqrt")
    ),
    "learning_rate follows a schedule of which the numbers can change and nothing else": lambda: setattr(
        built(), "learning_rate", Linear(0.1, 10)
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_be_is_refused_with_a_sentence(message):
    with pytest.raises(ValueError, match=re.escape(message)):
        REFUSED[message]()


@pytest.mark.parametrize(
    ("message", "set_it"),
    [
        ("The numbers of a schedule are set in the optimizer that follows it", lambda: setattr(Cosine(0.1, 9), "peak", 1)),
        (
            "Cosine has no 'finl', so setting it would change nothing. Did you mean final?",
            lambda: setattr(Cosine(1, 9), "finl", 1),
        ),
        ("Cosine has no 'finl'. Did you mean final?", lambda: Cosine(1, 9).finl),
    ],
)
def test_an_attribute_without_effect_is_refused(message, set_it):
    with pytest.raises(AttributeError, match=re.escape(message)):
        set_it()


def test_a_refused_change_changes_nothing():
    optimizer = built()
    before = repr(optimizer)
    with pytest.raises(ValueError, match="must be a whole number"):
        optimizer.schedules["learning_rate"].change(peak=0.5, steps=0)
    assert repr(optimizer) == before
