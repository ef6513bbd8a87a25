"""Bad input is refused by a ValueError of one sentence and changes nothing; what is valid works. Thousands of cases.

Optimizers are made of junk, configs are damaged, gradients and variables have wrong shapes and dtypes, saved files are broken.
"""

import decimal
import fractions
import math
import numbers
import pickle
import random
import sys
import warnings
import zipfile
import zlib

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops

import keras_optims
from keras_optims.algorithms.schedule_free import LEAST_BETA, ScheduleFree
from keras_optims.hyperparameter import Hyperparameter, Interval
from tests.drawing import examples
from tests.models import compiled, fit
from tests.stepping import state_of
from tests.variants import CLASSES, OF_EACH_SCOPE

pytestmark = pytest.mark.backend("tensorflow")

# Of each class (KERAS_OPTIMS_EXAMPLES multiplies them), but for the gradients.
CASES = {"constructors": 40, "configs": 20, "assignments": 100, "damaged configs": 40, "gradients": 200}
FILES = 60  # damaged ones of each kind


EXTREMES = [0.0, -0.0, 1.0, -1.0, 5e-324, 1e-45, 1e-38, 3.5e38, 1e300, 0.99999999, math.inf, -math.inf, math.nan]
BIG = [10**30, -(10**30), 10**400, -(10**400), fractions.Fraction(10**400), 2**63]
numbers_ = st.one_of(
    st.floats(), st.sampled_from(EXTREMES), st.integers(-3, 3), st.sampled_from(BIG), st.fractions(),
    st.floats(0, 1), st.floats(0, 1, width=32).map(np.float32), st.integers(-5, 5).map(np.int64), st.floats(0, 1).map(np.array),
)  # fmt: skip
objects = ["x" * 10_000, "a\nb", "", (), {}, object(), float, keras.optimizers.SGD]
arrays = [np.zeros((60, 60)), np.array([0.1]), np.bool_(True), np.str_("0.1"), np.datetime64("2024"), np.complex64(1)]
junk = st.one_of(
    st.none(), st.booleans(), st.text(max_size=5), st.binary(max_size=5), st.complex_numbers(), st.decimals(),
    st.lists(st.floats(0, 1), max_size=2), st.sampled_from(objects), st.sampled_from(arrays),
)  # fmt: skip
values = st.one_of(numbers_, junk)


def is_allowed(declared, value) -> bool:
    """Whether the docstrings allow a value; written down here once more, without the code of the validation."""
    if value is None:
        return declared.off is None if isinstance(declared, Hyperparameter) else declared.optional
    if isinstance(value, np.ndarray) and value.shape == ():
        value = value[()]
    if not isinstance(declared, Hyperparameter) and declared.choices:
        return isinstance(value, str) and value in declared.choices
    if not isinstance(declared, Hyperparameter) and declared.domain is None:
        return isinstance(value, (bool, np.bool_))
    if isinstance(value, (bool, np.bool_, decimal.Decimal, complex, np.complexfloating)) or not isinstance(value, numbers.Real):
        return False
    if getattr(declared, "integer", False) and not isinstance(value, (int, np.integer)):
        return False
    try:
        number = float(value)
    except OverflowError:
        return False
    domain = declared.domain
    with np.errstate(over="ignore"):
        rounded = as_held(number) if isinstance(declared, Hyperparameter) else number
    return all(_is_between(x, domain) for x in (number, rounded)) and math.isfinite(number)


def as_held(value) -> float:
    """float32, in which TensorFlow makes zeros of subnormal numbers."""
    with np.errstate(over="ignore"):
        rounded = np.float32(value)
    return float(rounded) if abs(rounded) >= np.finfo(np.float32).tiny else 0.0


def _is_between(number, domain: Interval) -> bool:
    low = domain.low < number or (number == domain.low and not domain.low_open)
    return low and (number < domain.high or (number == domain.high and not domain.high_open))


def assert_clear(error, *named):
    message = str(error.value)
    assert "\n" not in message
    assert len(message) < 700
    assert all(name in message for name in named), message


def outcome(call, *args):
    """(result, None), or (None, what the ValueError says); any other error is a failure of the test."""
    try:
        return call(*args), None
    except ValueError as error:
        return None, str(error)


def state(optimizer, variables=()):
    """All that a failed call must leave as it was."""
    return [np.array(ops.convert_to_numpy(v)) for v in [*variables, *optimizer.variables]], optimizer.get_config()


def assert_unchanged(before, after):
    for one, other in zip(before[0], after[0], strict=True):
        np.testing.assert_array_equal(one, other)
    assert before[1] == after[1]


def arguments_of(cls):
    """Without the two that are given together or not at all: tests/test_lookahead.py."""
    return st.sampled_from(sorted({**cls.hyperparameters(), **cls.options()}.keys() - {"lookahead", "lookahead_alpha"}))


def declaration(cls, name):
    return {**cls.hyperparameters(), **cls.options()}[name]


def test_there_are_at_least_five_thousand_cases():
    of_each_class = sum(number for kind, number in CASES.items() if kind != "gradients")
    assert len(CLASSES) * of_each_class + CASES["gradients"] + 2 * FILES >= 5_000


@pytest.mark.parametrize("cls", CLASSES)
@examples(CASES["constructors"])
@given(drawn=st.data(), value=values)
def test_a_constructor_takes_what_is_allowed_and_refuses_the_rest(cls, drawn, value):
    name = drawn.draw(arguments_of(cls))
    if is_allowed(declaration(cls, name), value):
        config = cls(**{name: value}).get_config()
        assert config[name] is None if value is None else as_held(config[name]) == as_held(value)
    elif callable(value) and not isinstance(value, type):
        cls(**{name: value})
    else:
        with pytest.raises(ValueError, match=name) as error:
            cls(**{name: value})
        assert_clear(error, "must be", "received")


@pytest.mark.parametrize("cls", CLASSES)
@examples(CASES["configs"])
@given(drawn=st.data(), value=values)
def test_a_config_is_taken_or_refused_as_the_constructor_does(cls, drawn, value):
    name = drawn.draw(arguments_of(cls))
    config = {**cls().get_config(), name: value}
    if is_allowed(declaration(cls, name), value):
        again = cls.from_config(config).get_config()
        assert cls.from_config(again).get_config() == again
    else:
        with pytest.raises(ValueError, match=name) as error:
            cls.from_config(config)
        assert_clear(error, "must be", "received")


@examples(CASES["constructors"])
@given(value=values)
def test_rules_that_are_no_list_of_rules_are_refused(value):
    if isinstance(value, (list, tuple)) and len(value) == 0:
        assert keras_optims.Adam(rules=value).rules == ()
    else:
        with pytest.raises(ValueError, match=r"rules must be a list of keras_optims\.Rule") as error:
            keras_optims.Adam(rules=value)
        assert_clear(error, "received")


ARGUMENTS_OF_A_RULE = [
    "path",
    "ndim",
    "dtype",
    "learning_rate_multiplier",
    "beta_1",
    "weight_decay",
    "clipnorm",
    "amsgrad",
    "x y",
]


@examples(3 * CASES["constructors"])
@given(
    name=st.sampled_from(ARGUMENTS_OF_A_RULE), value=values | st.sampled_from(["(", "float32", "bfloat16", [1, 2], ["a", "b"]])
)
def test_a_rule_is_taken_or_refused_with_a_clear_error(name, value):
    def make():
        return keras_optims.Adam(rules=[keras_optims.Rule(**{"epsilon": 1e-3, name: value})])

    optimizer, message = outcome(make)
    if optimizer is None:
        assert name in message
        assert "\n" not in message
        assert len(message) < 900
    else:
        assert name in ("path", "ndim", "dtype") or value is None or callable(value) or math.isfinite(float(value))
        config = optimizer.get_config()
        if not callable(value):
            assert keras_optims.Adam.from_config(config).get_config() == config


def loses_the_mean(cls, name, value):
    """Whether the weights that a Schedule-Free optimizer evaluates at could no longer be found of those that it trains."""
    return issubclass(cls, ScheduleFree) and name == cls.interpolation and as_held(value) < LEAST_BETA


@pytest.mark.parametrize("cls", CLASSES)
def test_an_assignment_is_taken_or_refused_and_then_changes_nothing(cls):
    variables = [keras.Variable(np.ones(3, "float32"), name="theta")]
    optimizer = cls()
    optimizer.build(variables)

    @examples(CASES["assignments"])
    @given(name=arguments_of(cls), value=values)
    def check(name, value):
        before = state(optimizer, variables)
        now = before[1][name]
        declared = declaration(cls, name)
        turns_on_or_off = value is None or now is None or now == getattr(declared, "off", None) or name in cls.options()
        if is_allowed(declared, value) and not turns_on_or_off and not loses_the_mean(cls, name, value):
            setattr(optimizer, name, value)
            assert as_held(optimizer.get_config()[name]) == as_held(value)
            setattr(optimizer, name, now)
            for variable, value_before in zip([*variables, *optimizer.variables], before[0], strict=True):
                variable.assign(value_before)  # AdaGrad's accumulator holds ε: a huge one and back has rounded it
        else:
            _, message = outcome(setattr, optimizer, name, value)
            assert message is not None or is_allowed(declared, value)
            assert message is None or (name in message and "\n" not in message)
        assert_unchanged(before, state(optimizer, variables))

    check()


configs = st.one_of(
    st.dictionaries(st.text(max_size=8), values, max_size=3),
    st.fixed_dictionaries(
        {},
        optional={
            "module": st.sampled_from(["builtins", "os", "keras.optimizers.schedules", "keras_optims", None, 3, "subprocess"]),
            "class_name": st.sampled_from(
                ["CosineDecay", "function", "__lambda__", "system", "Adam", "Dense", None, 5, "__tensor__"]
            ),
            "config": st.one_of(st.sampled_from(["system", "eval", None, {}, {"initial_learning_rate": 0.1}, "relu"]), values),
            "registered_name": st.sampled_from(["CosineDecay", None, "x>y", 3]),
        },
    ),
)


@pytest.mark.parametrize("cls", [variant.make for variant in OF_EACH_SCOPE])
@examples(CASES["damaged configs"])
@given(damage=configs, key=st.one_of(st.sampled_from(["learning_rate", "nme", "name", ""]), st.text(max_size=5)))
def test_a_damaged_config_is_refused_and_runs_nothing(cls, damage, key):
    config = {**cls().get_config(), key: damage}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        optimizer, message = outcome(cls.from_config, config)
    if optimizer is None:
        assert "\n" not in message
        assert len(message) < 900
    else:
        assert key == "learning_rate"
        assert callable(optimizer._learning_rate)


@pytest.mark.parametrize(
    "config",
    [
        None,
        3,
        "adam",
        [],
        [("learning_rate", 0.1)],
        {3: 4},
    ],
)
def test_what_is_no_config_is_refused(config):
    with pytest.raises(ValueError, match="config of") as error:
        keras_optims.Adam.from_config(config)
    assert_clear(error)


# -- gradients and variables ----------------------------------------------------------------------

shapes = st.lists(st.integers(0, 4), max_size=3).map(tuple)
dtypes = st.sampled_from(["float32", "float64", "float16", "int32", "int64", "uint8", "bool", "complex64", "str"])


@pytest.mark.parametrize("cls", [keras_optims.GradientDescent, keras_optims.Adam])
def test_a_gradient_of_another_shape_or_of_no_numbers_is_refused_before_anything_changes(cls):
    variables = [keras.Variable(np.ones(shape, "float32"), name=f"v{i}") for i, shape in enumerate([(3,), (2, 3)])]
    optimizer = cls()
    optimizer.build(variables)

    @examples(CASES["gradients"] // 2)
    @given(
        shape=shapes | st.just((2, 3)) | st.sampled_from([(3, 2), (1, 3), (6,), (2, 3, 1)]), dtype=dtypes, as_tensor=st.booleans()
    )
    def check(shape, dtype, as_tensor):
        gradient = np.full(shape, 1, dtype)
        gradient = ops.convert_to_tensor(gradient) if as_tensor and dtype != "str" else gradient
        before = state(optimizer, variables)
        _, message = outcome(optimizer.apply, [np.ones(3, "float32"), gradient], variables)
        if shape == (2, 3) and dtype not in ("bool", "complex64", "str"):
            assert message is None
            assert all(np.isfinite(array).all() for array in state(optimizer, variables)[0])
        else:
            assert "The gradient of 'v1' must" in message
            assert_unchanged(before, state(optimizer, variables))

    check()


@pytest.mark.parametrize(
    "wrong",
    [
        np.ones(3),
        None,
        "ab",
        3.0,
        keras.Variable([1, 2], dtype="int32", trainable=False),
        keras.Variable([True], dtype="bool", trainable=False),
    ],
)
def test_what_is_no_variable_of_floating_point_numbers_is_refused(wrong):
    optimizer = keras_optims.Adam()
    with pytest.raises(ValueError, match="variables") as error:
        optimizer.build([keras.Variable(np.ones(2, "float32")), wrong])
    assert_clear(error, "Adam")
    assert not optimizer.built


# -- files ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained():
    model = compiled(keras_optims.Adam(weight_decay=0.1))
    fit(model)
    return model


unpickled: list = []
watching: list = []
sys.addaudithook(lambda event, args: unpickled.append((event, args)) if watching and event == "pickle.find_class" else None)


@pytest.fixture
def nothing_is_unpickled():
    unpickled.clear()
    watching.append(True)
    yield
    watching.clear()
    assert unpickled == []


def test_the_watch_sees_a_pickle():
    watching.append(True)
    pickle.loads(pickle.dumps(np.float32))
    watching.clear()
    assert unpickled.pop()[0] == "pickle.find_class"


DAMAGE = {  # of one entry of the optimizer's state: what an error must name, and what stands in its place
    "missing": ("missing from it", None),
    "of another shape": ("shape", lambda value: np.zeros((*value.shape, 2), "float32")),
    "text": ("real numbers", lambda value: np.full(value.shape, b"x")),
    "complex": ("real numbers", lambda value: np.full(value.shape, 1j)),
    "bool": ("real numbers", lambda value: np.full(value.shape, True)),
}
IMPOSSIBLE = {
    "learning_rate": [np.nan, -1.0, np.inf],
    "beta_1": [1.0, np.nan, -0.5],
    "beta_2": [2.0],
    "epsilon": [-1.0],
    "iteration": [-1, 2.5, np.nan],
    "beta_2_residual": [0.5, np.nan],
}


def refused(optimizer, saved, *named):
    before = state(optimizer)
    with pytest.raises(ValueError, match="does not fit") as error:
        optimizer.load_own_variables(saved)
    assert_clear(error, *named)
    assert_unchanged(before, state(optimizer))


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_entry_of_the_state_is_named_and_nothing_is_loaded(trained, damage):
    named, made = DAMAGE[damage]
    for key, value in state_of(trained.optimizer).items():
        saved = {k: v + 1 if k.startswith("first_moment") else v for k, v in state_of(trained.optimizer).items()}
        saved.pop(key)
        refused(trained.optimizer, saved if made is None else {**saved, key: made(value)}, named, key.replace("|", "/"))


@pytest.mark.parametrize("key", IMPOSSIBLE)
def test_a_saved_number_that_its_hyperparameter_cannot_be_is_refused(trained, key):
    for number in IMPOSSIBLE[key]:
        refused(trained.optimizer, {**state_of(trained.optimizer), key: np.array(number)}, key)


def test_renamed_and_extra_entries_are_refused(trained):
    saved = state_of(trained.optimizer)
    refused(trained.optimizer, {**saved, "first_moment|elsewhere": np.zeros(3)}, "without a place", "elsewhere")
    refused(trained.optimizer, {("x" + k if k == "beta_1" else k): v for k, v in saved.items()}, "missing", "beta_1", "xbeta_1")


def damaged(content, rng):
    """The content of a file with some bytes changed, cut out or cut off."""
    content = bytearray(content)
    kind, place = rng.choice(["flip", "cut", "remove", "zeros"]), rng.randrange(len(content))
    if kind == "flip":
        for _ in range(rng.choice([1, 5, 50])):
            content[rng.randrange(len(content))] ^= rng.randrange(1, 256)
    elif kind == "cut":
        del content[place:]
    elif kind == "remove":
        del content[place : place + rng.randrange(1, 100)]
    else:
        content[place : place + 64] = bytes(64)
    return bytes(content)


# What zipfile, h5py and Keras raise of a broken file; that is theirs to say.
OF_THE_FILE = (ValueError, TypeError, OSError, KeyError, AttributeError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error)


@pytest.mark.usefixtures("nothing_is_unpickled")
@pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
def test_a_damaged_file_is_an_error_or_loads_and_is_never_executed(trained, suffix, tmp_path):
    path = tmp_path / f"whole{suffix}"
    trained.save_weights(path) if suffix != ".keras" else trained.save(path)
    content, rng, other = path.read_bytes(), random.Random(0), compiled(keras_optims.Adam(weight_decay=0.1))
    other.optimizer.build(other.trainable_variables)
    errors = 0
    for _ in range(FILES):
        broken = tmp_path / f"broken{suffix}"
        broken.write_bytes(damaged(content, rng))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                if suffix == ".keras":
                    keras.saving.load_model(broken, safe_mode=True)
                else:
                    other.load_weights(broken)
            except OF_THE_FILE:
                errors += 1
        for key, declared in other.optimizer.hyperparameters().items():
            value = getattr(other.optimizer, key)
            assert value is None or float(value) in declared.domain
    assert errors > FILES / 4
