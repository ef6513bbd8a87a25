"""Live hyperparameters: validated, settable without a retrace, schedulable, exact in the config."""

import fractions
import functools
import math

import keras
import numpy as np
import pytest
from keras import ops

import keras_optims
from keras_optims import Adam, AdamW, GradientDescent, Momentum, Optimizer, RMSprop
from keras_optims.testing.compiled_step import CompiledStep
from tests.models import compiled, fit, weights
from tests.variants import CLASSES, OF_EACH_SCOPE


def step_on(optimizer, shape=(3,)):
    return CompiledStep(optimizer, [keras.Variable(np.zeros(shape, "float32"), name="theta")])


# -- settable -------------------------------------------------------------------------------------


SCOPES = [variant.make for variant in OF_EACH_SCOPE]
OF_THE_BASE = ("agc", "clipnorm", "clipvalue", "global_clipnorm", "lookahead_alpha", "loss_scale_factor", "weight_decay")
BASE = [
    (Adam, {"weight_decay": 0.1, "agc": 0.5}),
    (Adam, {"clipnorm": 1.0}),
    (Adam, {"clipvalue": 1.0}),
    (Adam, {"global_clipnorm": 1.0}),
    (GradientDescent, {"loss_scale_factor": 4.0}),
]


def declared_by(cls):
    """Those of the formula, each with a value that has an effect."""
    of_formula = {name: declared for name, declared in cls.hyperparameters().items() if name not in OF_THE_BASE}
    return {name: declared.default or (0.5 if 0.5 in declared.domain else 2.0) for name, declared in of_formula.items()}


def settable():
    """All those of each class on TensorFlow, elsewhere of one of each scope; and those of the base class."""
    yield from ((cls, declared_by(cls)) for cls in (CLASSES if keras.backend.backend() == "tensorflow" else SCOPES))
    yield from BASE


@pytest.mark.parametrize(("cls", "given"), list(settable()))
def test_a_hyperparameter_set_after_the_first_step_is_what_the_next_step_uses(cls, given):
    optimizer, late = cls(**given), cls(**given)
    rng = np.random.default_rng(0)
    # The second is as small as an ε beside a norm; the third is a matrix.
    sizes = [np.array([0.5, -3.0, 1e-4, 1e-15]), np.array([1e-9]), np.array([[0.5, -3.0], [1e-4, 2.0]])]
    gradients = [[(size * rng.uniform(0.5, 1, size.shape)).astype("float32") for size in sizes] for _ in range(5)]
    step, step_late = (
        CompiledStep(each, [keras.Variable(np.zeros(size.shape, "float32"), name=f"theta_{i}") for i, size in enumerate(sizes)])
        for each in (optimizer, late)
    )
    for gradient in gradients:
        step(gradient)
        step_late(gradient)
    traces = step_late.traces
    for ours, theirs in zip(step.weights(), step_late.weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    held = [*step_late.variables, *late.variables]
    before = [np.array(ops.convert_to_numpy(variable)) for variable in held]
    for factor in (1, -0.2):  # turned and smaller: what remembers the old ones forgets them at another pace
        for gradient in gradients:
            step([factor * each for each in gradient])
    for name, value in given.items():
        for variable, its_value in zip(held, before, strict=True):
            variable.assign(its_value)
        setattr(late, name, value * 0.6)
        for factor in (1, -0.2):
            for gradient in gradients:
                step_late([factor * each for each in gradient])
        assert float(getattr(late, name)) == np.float32(value * 0.6)
        assert late.get_config()[name] == value * 0.6
        assert any((ours != theirs).any() for ours, theirs in zip(step.weights(), step_late.weights(), strict=True)), name
        setattr(late, name, value)
    if keras.backend.backend() != "torch":  # torch traces nothing
        assert step_late.traces == traces


def kinds():
    """Each name once, of a class of each scope that has it."""
    of_formulas = {name: (cls, value) for cls in SCOPES for name, value in declared_by(cls).items()}
    of_the_base = {name: (cls, value) for cls, given in BASE for name, value in given.items()}
    return [(cls, name, value) for name, (cls, value) in {**of_formulas, **of_the_base}.items()]


@pytest.mark.parametrize(("cls", "name", "value"), kinds())
def test_a_hyperparameter_set_before_the_optimizer_is_built_is_as_if_it_was_given(cls, name, value):
    late, from_the_start = cls(**{name: value}), cls(**{name: value * 0.5})
    setattr(late, name, value * 0.5)
    steps = step_on(late), step_on(from_the_start)
    for step in steps:
        for _ in range(3):
            step([np.array([0.5, -3.0, 1e-4], "float32")])
    np.testing.assert_array_equal(steps[0].weights(), steps[1].weights())
    assert late.get_config()[name] == from_the_start.get_config()[name] == value * 0.5


@pytest.mark.parametrize("cls", [Momentum, Adam, RMSprop])
def test_setting_a_hyperparameter_between_fits_gives_what_a_new_optimizer_with_it_gives(cls):
    name = {Momentum: "momentum", Adam: "beta_2", RMSprop: "rho"}[cls]
    changed, other = compiled(cls(**{name: 0.8})), compiled(cls(**{name: 0.5}))
    setattr(changed.optimizer, name, 0.5)
    for model in (changed, other):
        fit(model)
    for ours, theirs in zip(weights(changed), weights(other), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("jit", [False, True])
def test_fit_sees_a_hyperparameter_set_between_fits_without_a_retrace(jit):
    calls = []

    class Model(keras.Sequential):
        def call(self, *args, **kwargs):
            calls.append(1)
            return super().call(*args, **kwargs)

    keras.utils.set_random_seed(0)
    model = Model([keras.Input((8,)), keras.layers.Dense(4)])
    compiled(Momentum(0.1), model, jit_compile=jit and keras.backend.backend() != "torch")
    fit(model)
    traced, before = len(calls), weights(model)
    model.optimizer.learning_rate = 0.0
    model.optimizer.momentum = 0.0
    fit(model)
    for now, then in zip(weights(model), before, strict=True):
        np.testing.assert_array_equal(now, then)
    if keras.backend.backend() == "tensorflow" or (jit and keras.backend.backend() == "jax"):  # the others trace nothing
        assert len(calls) == traced


def test_keras_callbacks_move_the_learning_rate():
    model = compiled(Adam(1e-3))
    callback = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5)
    history = fit(model, epochs=3, callbacks=[callback])
    np.testing.assert_allclose(history.history["learning_rate"], [5e-4, 2.5e-4, 1.25e-4], rtol=1e-6)


def test_one_minus_beta_is_exact_although_beta_is_rounded():
    optimizer = Adam(beta_2=0.999)
    assert float(ops.convert_to_numpy(optimizer.one_minus("beta_2"))) == np.float32(0.001)
    optimizer.beta_2 = 0.9999
    assert float(ops.convert_to_numpy(optimizer.one_minus("beta_2"))) == np.float32(0.0001)


# -- schedules ------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", CLASSES)
def test_a_constant_schedule_is_the_constant(cls):
    names = [name for name in cls.hyperparameters() if cls.hyperparameters()[name].default]
    constant = cls()
    schedules = cls(
        **{name: keras.optimizers.schedules.PiecewiseConstantDecay([10**6], [getattr(cls, name).default] * 2) for name in names}
    )
    steps = step_on(constant), step_on(schedules)
    for gradient in np.random.default_rng(0).normal(size=(20, 3)).astype("float32"):
        for step in steps:
            step([gradient])
    np.testing.assert_allclose(steps[0].weights(), steps[1].weights(), rtol=3e-5)  # a schedule's 1−β₂ is a rounded one


def test_a_schedule_cannot_be_exchanged_once_built_but_set_again():
    schedule, other = (keras.optimizers.schedules.CosineDecay(0.5, steps) for steps in (10, 20))
    optimizer = Adam(schedule)
    step_on(optimizer)([np.ones(3, "float32")])
    with pytest.raises(ValueError, match=r"schedule of learning_rate cannot be exchanged once Adam is built"):
        optimizer.learning_rate = other
    optimizer.learning_rate = schedule
    assert optimizer._learning_rate is schedule


def test_a_builtin_that_tells_no_signature_is_given_the_step():
    optimizer = GradientDescent(functools.partial(math.hypot, 3.0))
    step_on(optimizer)
    optimizer.number_of_calls.assign(4)
    assert float(optimizer.learning_rate) == 5.0


def test_a_callable_sees_the_step_from_zero():
    optimizer = GradientDescent(lambda step: ops.cast(step, "float32"))
    step, path = step_on(optimizer, ()), []
    for _ in range(4):
        step([np.float32(1)])
        path.append(float(step.weights()[0]))
    assert path == [0, -1, -3, -6]


def test_the_property_of_a_schedule_is_its_value_now():
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5)
    optimizer = Momentum(schedule, momentum=lambda step: 1 - 0.5 ** (1 + ops.cast(step, "float32")))
    step = step_on(optimizer)
    assert float(optimizer.learning_rate) == pytest.approx(0.1)
    step([np.ones(3, "float32")])
    assert float(optimizer.learning_rate) == pytest.approx(0.05)
    assert float(optimizer.momentum) == pytest.approx(0.75)


# -- the config -----------------------------------------------------------------------------------

NUMBERS = [1, 0, 0.001, 1 / 3, np.float64(0.1), np.float32(0.3), np.int64(1), np.array(0.25)]


@pytest.mark.parametrize("number", NUMBERS, ids=repr)
def test_the_config_gives_back_the_number_as_it_was_given(number):
    value = Adam(number).get_config()["learning_rate"]
    assert type(value) in (int, float)
    assert value == number or np.float32(value) == number


@pytest.mark.parametrize(
    "make",
    [ops.convert_to_tensor, keras.Variable, fractions.Fraction],
    ids=["tensor", "variable", "fraction"],
)
def test_a_number_may_be_a_scalar_of_any_library(make):
    optimizer = Adam(make(0.25))
    assert optimizer.get_config()["learning_rate"] == 0.25
    assert type(optimizer.get_config()["learning_rate"]) is float
    optimizer.learning_rate = make(0.5)
    assert float(optimizer.learning_rate) == optimizer.get_config()["learning_rate"] == 0.5


def test_an_unchanged_config_has_python_numbers_and_survives_a_round_trip():
    given = {"learning_rate": 1, "beta_1": 0.85, "beta_2": 0.997, "epsilon": 1e-9, "weight_decay": 0.02, "name": "mine"}
    config = Adam(**given).get_config()
    assert {key: config[key] for key in given} == given
    assert Adam.from_config(config).get_config() == config


def test_the_config_follows_what_was_assigned():
    optimizer = Adam()
    optimizer.beta_1 = 0.75
    optimizer.learning_rate.assign(0.01)  # as Keras users do
    assert optimizer.get_config()["beta_1"] == 0.75
    assert optimizer.get_config()["learning_rate"] == 0.01


def test_schedules_survive_a_config_round_trip():
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 100)
    config = Adam(learning_rate=schedule, beta_1=schedule).get_config()
    again = Adam.from_config(config)
    assert isinstance(again._beta_1, keras.optimizers.schedules.CosineDecay)
    assert again.get_config() == config


# -- bad values -----------------------------------------------------------------------------------

BAD = [
    (Adam, {"learning_rate": 10**400}, "learning_rate"),  # beyond the largest float
    (Adam, {"beta_1": ops.ones(2)}, "beta_1"),
    (Adam, {"learning_rate": ops.convert_to_tensor(True)}, "learning_rate"),
    (Adam, {"learning_rate": -0.1}, "learning_rate"),
    (Adam, {"learning_rate": float("nan")}, "learning_rate"),
    (Adam, {"learning_rate": float("inf")}, "learning_rate"),
    (Adam, {"learning_rate": 1e300}, "learning_rate"),
    (Adam, {"learning_rate": "0.1"}, "learning_rate"),
    (Adam, {"learning_rate": None}, "learning_rate"),
    (Adam, {"learning_rate": True}, "learning_rate"),
    (Adam, {"learning_rate": [0.1]}, "learning_rate"),
    (Adam, {"learning_rate": np.array([0.1])}, "learning_rate"),
    (Adam, {"learning_rate": 1j}, "learning_rate"),
    (Momentum, {"momentum": 1.5}, "momentum"),
    (Momentum, {"momentum": -0.1}, "momentum"),
    (Momentum, {"nesterov": 1}, "nesterov"),
    (Adam, {"beta_1": 1}, "beta_1"),
    (Adam, {"beta_2": 1.0}, "beta_2"),
    (Adam, {"beta_2": 0.99999999}, "beta_2"),  # 1 in float32
    (Adam, {"beta_1": "0.9"}, "beta_1"),
    (Adam, {"beta_1": float("nan")}, "beta_1"),
    (Adam, {"epsilon": -1e-8}, "epsilon"),
    (Adam, {"amsgrad": "yes"}, "amsgrad"),
    (RMSprop, {"rho": 1.0}, "rho"),
    (RMSprop, {"momentum": None}, "momentum"),
    (keras_optims.Adagrad, {"initial_accumulator_value": -1}, "initial_accumulator_value"),
    (AdamW, {"weight_decay": -1}, "weight_decay"),
    (Adam, {"clipnorm": 0}, "clipnorm"),
    (Adam, {"clipnorm": 1.0, "clipvalue": 1.0}, "clipnorm"),
    (Adam, {"gradient_accumulation_steps": 1}, "gradient_accumulation_steps"),
    (Adam, {"gradient_accumulation_steps": 2.5}, "gradient_accumulation_steps"),
    (Adam, {"ema_momentum": 1.1}, "ema_momentum"),
    (Adam, {"ema_overwrite_frequency": 0}, "ema_overwrite_frequency"),
    (Adam, {"beta1": 0.9}, "beta_1"),  # the hint
    (Adam, {"wieght_decay": 0.9}, "weight_decay"),
]


@pytest.mark.parametrize(("cls", "arguments", "named"), BAD, ids=str)
def test_a_bad_argument_is_named_with_what_is_allowed_and_what_came(cls, arguments, named):
    with pytest.raises(ValueError, match=named) as error:
        cls(**arguments)
    message = str(error.value)
    assert "\n" not in message
    assert any(str(key) in message or repr(value) in message for key, value in arguments.items())


def test_too_many_positional_arguments_are_a_clear_error():
    with pytest.raises(ValueError, match="too many positional arguments"):
        GradientDescent(0.1, 0.9)


@pytest.mark.parametrize("value", [-1, "0.5", float("nan"), None, 1.0])
def test_a_bad_assignment_is_refused_and_changes_nothing(value):
    optimizer = Adam(beta_1=0.8)
    step_on(optimizer)([np.ones(3, "float32")])
    with pytest.raises(ValueError, match="beta_1"):
        optimizer.beta_1 = value
    assert optimizer.get_config()["beta_1"] == 0.8
    assert float(optimizer.beta_1) == np.float32(0.8)


# -- what is fixed once built ---------------------------------------------------------------------

FIXED = [
    (Adam, {}, "amsgrad", True),
    (Momentum, {}, "nesterov", True),
    (RMSprop, {}, "centered", True),
    (RMSprop, {}, "momentum", 0.9),
    (Adam, {}, "weight_decay", 0.1),
    (Adam, {"weight_decay": 0.1}, "weight_decay", None),
    (Adam, {}, "use_ema", True),
    (Adam, {}, "gradient_accumulation_steps", 2),
    (Adam, {}, "beta_1", keras.optimizers.schedules.CosineDecay(0.9, 10)),
    (Adam, {"weight_decay": keras.optimizers.schedules.CosineDecay(0.9, 10)}, "weight_decay", None),
]


@pytest.mark.parametrize(("cls", "arguments", "name", "value"), FIXED)
def test_what_a_compiled_step_would_not_see_is_refused_once_built_and_allowed_before(cls, arguments, name, value):
    optimizer = cls(**arguments)
    step_on(optimizer)([np.ones(3, "float32")])
    with pytest.raises(ValueError, match=name):
        setattr(optimizer, name, value)
    early, from_the_start = cls(**arguments), cls(**{**arguments, name: value})
    setattr(early, name, value)
    assert early.get_config()[name] == from_the_start.get_config()[name]
    results = []
    for each in (early, from_the_start):
        step = step_on(each)
        for gradient in np.random.default_rng(0).normal(size=(5, 3)).astype("float32"):
            step([gradient])
        results.append(step.weights())
    np.testing.assert_array_equal(*results)


FOLLOWED = {"a schedule": keras.optimizers.schedules.CosineDecay(0.5, 10), "a callable": lambda: 0.5}


@pytest.mark.parametrize("build_first", [False, True])
@pytest.mark.parametrize("kind", FOLLOWED)
def test_a_number_in_place_of_a_schedule_or_callable_is_a_type_error_as_in_keras(kind, build_first):
    optimizer = Adam(FOLLOWED[kind], beta_1=FOLLOWED[kind], rules=[keras_optims.Rule("theta", epsilon=FOLLOWED[kind])])
    if build_first:
        step_on(optimizer)([np.ones(3, "float32")])
    with pytest.raises(TypeError, match=f"learning_rate of this Adam follows {kind}.*Received 0.1"):
        optimizer.learning_rate = 0.1
    with pytest.raises(TypeError, match=f"beta_1 of this Adam follows {kind}"):
        optimizer.beta_1 = np.float32(0.1)
    with pytest.raises(TypeError, match=f"epsilon of this Adam follows {kind}"):
        optimizer.rules[0].epsilon = 1
    assert optimizer._learning_rate is optimizer._beta_1 is FOLLOWED[kind]


@pytest.mark.parametrize(
    "callback",
    [
        keras.callbacks.LearningRateScheduler(lambda epoch: 0.1),
        keras.callbacks.ReduceLROnPlateau(monitor="loss", patience=1, min_delta=1e9),
    ],
    ids=lambda callback: type(callback).__name__,
)
def test_callbacks_do_not_replace_a_schedule_in_silence(callback):
    with pytest.raises(TypeError, match="follows a schedule"):
        fit(compiled(Adam(FOLLOWED["a schedule"])), epochs=3, callbacks=[callback])


def test_rmsprop_built_with_momentum_can_change_it_down_to_zero():
    optimizer, plain = RMSprop(momentum=0.5), RMSprop()
    step, step_plain = step_on(optimizer), step_on(plain)
    optimizer.momentum = 0.0
    for each in (step, step_plain):
        each([np.ones(3, "float32")])
    np.testing.assert_allclose(step.weights(), step_plain.weights(), rtol=1e-6)


# -- declarations ---------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", CLASSES)
def test_every_hyperparameter_is_declared_in_full(cls):
    for name, declared in cls.hyperparameters().items():
        assert declared.name == name
        assert declared.symbol
        assert declared.meaning
        assert declared.validate(declared.default) == declared.default
        if declared.search is not None:
            assert declared.search.low in declared.domain
            assert declared.search.high in declared.domain
            decays = declared.domain.high == 1
            assert declared.search.scale == ("log1m" if decays else "log")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.1, 1, "logarithmic"), "scale of a search range is one of linear, log, log1m; received 'logarithmic'"),
        ((1, 1), "finite LOW < HIGH; received 1:1"),
        ((2, 1), "finite LOW < HIGH; received 2:1"),
        ((0, math.inf), "finite LOW < HIGH; received 0:inf"),
        ((-math.inf, 0), "finite LOW < HIGH; received -inf:0"),
        ((math.nan, 1), "finite LOW < HIGH; received nan:1"),
        ((0, 1, "log"), "log search range needs LOW > 0; received 0:1"),
        ((-1, 1, "log"), "log search range needs LOW > 0; received -1:1"),
        ((0.5, 1, "log1m"), "log1m search range .* needs HIGH < 1; received 0.5:1"),
        ((0.5, 2, "log1m"), "log1m search range .* needs HIGH < 1; received 0.5:2"),
    ],
)
def test_a_search_range_that_cannot_be_is_an_error(arguments, message):
    with pytest.raises(ValueError, match=message):
        keras_optims.SearchRange(*arguments)


@pytest.mark.parametrize("arguments", [(-1, 2), (0, 1), (1e-9, 1, "log"), (2, 3, "log"), (-1, 0.99, "log1m"), (0, 0.5, "log1m")])
def test_a_search_range_may_end_where_its_scale_allows(arguments):
    found = keras_optims.SearchRange(*arguments)
    assert (found.low, found.high, found.scale) == (*arguments, "linear")[:3]


@pytest.mark.parametrize("cls", CLASSES)
def test_the_learning_rate_comes_first_and_is_searched_by_default(cls):
    assert next(iter(cls.hyperparameters())) == "learning_rate"
    searched = [name for name, declared in cls.hyperparameters().items() if declared.search and declared.search.by_default]
    assert searched[0] == "learning_rate" or cls is keras_optims.Prodigy  # which finds it itself


@pytest.mark.parametrize("cls", CLASSES)
def test_docstrings_name_every_argument_of_the_algorithm(cls):
    own = (
        set(cls._declarations) - set(Optimizer._declarations) | {"learning_rate"} | ({"weight_decay"} if cls is AdamW else set())
    )
    for name in own:
        assert f"{name}:" in cls.__doc__
    assert "Reference" in cls.__doc__


def test_a_new_optimizer_has_its_arguments_state_and_search_from_its_declarations():
    @keras.saving.register_keras_serializable(package="tests")
    class SignDescent(Optimizer):
        learning_rate = keras_optims.Hyperparameter(0.1, symbol="η", domain=keras_optims.Interval(0, 1))
        power = keras_optims.Hyperparameter(
            0.5, symbol="p", domain=keras_optims.Interval(0, 1), search=keras_optims.SearchRange(0.1, 0.9)
        )

        def update_step(self, gradient, variable, learning_rate):
            self.assign_sub(variable, learning_rate * ops.sign(gradient) * ops.abs(gradient) ** self.power)

    optimizer = SignDescent(0.5, power=1)
    step = step_on(optimizer)
    step([np.array([1, -2, 0], "float32")])
    np.testing.assert_allclose(step.weights()[0], [-0.5, 1, 0])
    assert SignDescent.from_config(optimizer.get_config()).get_config() == optimizer.get_config()
    assert SignDescent.hyperparameters()["power"].search.high == 0.9
    assert "power" in [v.name for v in optimizer.variables]


def test_a_subclass_in_the_style_of_keras_works():
    class HalfStep(Adam):
        def __init__(self, learning_rate=0.1, **kwargs):
            super().__init__(learning_rate=learning_rate, **kwargs)

        def build(self, variables):
            super().build(variables)
            self.counts = self.add_optimizer_variables(variables, "count")

        def update_step(self, gradient, variable, learning_rate):
            count = self.counts[self._get_variable_index(variable)]
            self.assign_add(count, ops.ones_like(gradient))
            super().update_step(gradient, variable, learning_rate * 0.5)

    half, full = HalfStep(), Adam(0.05)
    steps = step_on(half), step_on(full)
    for step in steps:
        step([np.ones(3, "float32")])
    np.testing.assert_allclose(steps[0].weights(), steps[1].weights(), rtol=1e-6)
    assert float(ops.convert_to_numpy(half.counts[0])[0]) == 1


def test_slots_in_the_style_of_keras_are_those_of_their_variables():
    class Sums(keras_optims.Optimizer):
        def build(self, variables):
            super().build(variables)
            self.sums = [self.add_variable_from_reference(variable, "sum") for variable in variables]

        def update_step(self, gradient, variable, learning_rate):
            total = self.sums[self._get_variable_index(variable)]
            self.assign_add(total, gradient)
            self.assign_sub(variable, learning_rate * total)

    optimizer = Sums(learning_rate=0.5)
    variables = [keras.Variable(np.zeros(3, dtype), dtype=dtype) for dtype in ("float32", "float32", "float16")]
    step = CompiledStep(optimizer, variables)
    for _ in range(2):
        step([np.full(3, i + 1, "float32") for i in range(3)])
    for i, (found, total) in enumerate(zip(step.weights(), optimizer.sums, strict=True)):
        np.testing.assert_array_equal(found, np.full(3, -1.5 * (i + 1)))
        np.testing.assert_array_equal(ops.convert_to_numpy(total), np.full(3, 2.0 * (i + 1)))


@pytest.mark.parametrize("cls", CLASSES)
def test_building_twice_changes_nothing(cls):
    optimizer, variables = cls(use_ema=True), [keras.Variable(np.zeros(3, "float32"))]
    optimizer.build(variables)
    number = len(optimizer.variables)
    optimizer.build(variables)
    assert len(optimizer.variables) == number


def test_the_constructor_does_not_depend_on_when_keras_makes_its_variables(monkeypatch):
    of_keras = keras.optimizers.Optimizer.__init__

    def with_an_early_variable(self, *args, **kwargs):
        vars(self)["_iterations"] = None
        of_keras(self, *args, **kwargs)

    monkeypatch.setattr(keras.optimizers.Optimizer, "__init__", with_an_early_variable)
    optimizer = Adam(0.5, weight_decay=0.1, clipnorm=2.0)
    assert float(optimizer.learning_rate) == 0.5
    assert optimizer.get_config()["weight_decay"] == 0.1


# -- bounds, to the last number -------------------------------------------------------------------

TINY = float(np.finfo(np.float32).tiny)  # the smallest normal number
LARGEST = float(np.finfo(np.float32).max)
BOUNDS = [
    # class, name, in its domain, beside it
    (Adam, "learning_rate", [0.0, TINY, LARGEST], [-TINY, -1e-50, -1, 2 * LARGEST]),
    (Adam, "beta_2", [0.0, TINY, 1 - 2.0**-24], [-TINY, 1.0, 1 - 2.0**-26]),
    (Momentum, "momentum", [0.0, 1.0, 1 - 2.0**-26], [-TINY, 1 + 2.0**-40, 1 + 2.0**-20]),
    (Adam, "clipnorm", [TINY, LARGEST], [0.0, -1.0, TINY / 2]),
    (Adam, "epsilon", [0.0, LARGEST], [-TINY, 1e39]),
]


@pytest.mark.parametrize(("cls", "name", "inside", "outside"), BOUNDS)
def test_a_domain_ends_where_it_says(cls, name, inside, outside):
    for value in inside:
        optimizer = cls(**{name: value})
        assert float(ops.convert_to_numpy(getattr(optimizer, name))) == np.float32(value)
    for value in outside:
        with pytest.raises(ValueError, match=name):
            cls(**{name: value})


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "[0, 0.5]"),
        ({"low_open": True}, "(0, 0.5]"),
        ({"high_open": True}, "[0, 0.5)"),
        ({"low_open": True, "high_open": True}, "(0, 0.5)"),
        ({"high": math.inf, "high_open": True}, "[0, ∞)"),
    ],
)
def test_an_interval_is_written_as_in_mathematics(arguments, text):
    interval = keras_optims.Interval(**{"low": 0, "high": 0.5, **arguments})
    assert str(interval) == text
    assert (0 in interval, 0.5 in interval, -0.1 in interval) == (text[0] == "[", text[-1] == "]" or "∞" in text, False)


@pytest.mark.parametrize("denormal", [TINY / 2, 1e-40, 1.4e-45, np.float32(1e-39)])
def test_a_number_too_small_to_be_normal_is_zero_on_every_backend(denormal):
    optimizer = Adam(denormal, epsilon=denormal)
    assert float(ops.convert_to_numpy(optimizer.learning_rate)) == 0
    optimizer.epsilon = 1.0
    optimizer.epsilon = denormal
    assert float(ops.convert_to_numpy(optimizer.epsilon)) == 0
    assert optimizer.get_config()["learning_rate"] == float(str(denormal))  # as it was given
    kept = Adam(TINY)
    assert float(ops.convert_to_numpy(kept.learning_rate)) == TINY


def test_what_rounding_took_is_kept_and_no_more_than_that():
    for value in (0.9, 0.999, 0.1, 1 - 2.0**-24, TINY):
        residual = float(ops.convert_to_numpy(Adam(beta_2=value).residual("beta_2")))
        assert residual == pytest.approx(value - float(np.float32(value)), rel=1e-6, abs=TINY)
