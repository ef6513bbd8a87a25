"""JAX's data and model parallel on four virtual CPUs."""

import re

import jax
import keras
import numpy as np
import pytest

import keras_optims
from keras_optims import Adam, AdamW, Momentum
from tests.distribution import problem
from tests.distribution.problem import ALL_TOGETHER, FORMULAS, LABELS, SETTINGS, TOKENS, assert_same_training
from tests.pages import lines_beginning
from tests.stepping import state_of
from tests.variants import EVERYWHERE

DEVICES = jax.devices()
assert len(DEVICES) == 4, "XLA_FLAGS must say --xla_force_host_platform_device_count=4"


def data_parallel():
    return keras.distribution.DataParallel(devices=DEVICES)


def model_parallel():
    """Two devices share each batch, and two each variable."""
    mesh = keras.distribution.DeviceMesh((2, 2), ("batch", "model"), DEVICES)
    layout = keras.distribution.LayoutMap(mesh)
    layout[".*embeddings"] = (None, "model")
    layout[".*hidden/kernel"] = (None, "model")
    layout[".*hidden/bias"] = ("model",)
    layout[".*output/kernel"] = ("model", None)
    return keras.distribution.ModelParallel(layout_map=layout, batch_dim_name="batch")


LAYOUTS = {"data": data_parallel, "model": model_parallel, "single": lambda: None}


@pytest.fixture(autouse=True)
def _no_distribution_is_left():
    yield
    keras.distribution.set_distribution(None)


def compiled(layout, make):
    keras.distribution.set_distribution(LAYOUTS[layout]())
    return problem.compiled(make())


def fit(layout, model, *args, **kwargs):
    keras.distribution.set_distribution(LAYOUTS[layout]())
    return problem.fit(model, *args, **kwargs)


def places(array):
    return array.sharding.devices_indices_map(array.shape)


def assert_slots_lie_as_their_variables(model, number_of_slots):
    """On each device lies the same part of a slot as of its variable."""
    found = 0
    for variable in model.trainable_variables:
        for slot in model.optimizer.variables:
            if slot.path.rpartition("/")[2].startswith(variable.path.replace("/", "_")) and slot.shape == variable.shape:
                assert places(slot.value) == places(variable.value)
                found += 1
    assert found == round(number_of_slots * len(model.trainable_variables))


def assert_is_sharded(model):
    kernel = model.get_layer("hidden").kernel
    assert {shard.data.shape for shard in kernel.value.addressable_shards} == {(kernel.shape[0], kernel.shape[1] // 2)}


@pytest.mark.parametrize(
    ("layout", "make", "slots"),
    [
        ("data", lambda: Momentum(0.05, **ALL_TOGETHER), 3),
        ("model", lambda: Momentum(0.05, **ALL_TOGETHER), 3),
        ("model", lambda: AdamW(0.01, weight_decay=0.3, amsgrad=True), 3),
    ],
    ids=["all together on data", "all together on model", "adamw on model"],
)
def test_fit_trains_as_on_one_device(layout, make, slots):
    single = compiled("single", make)
    fit("single", single)
    model = compiled(layout, make)
    fit(layout, model)
    assert_same_training(model, single)
    assert_slots_lie_as_their_variables(model, slots)
    if layout == "model":
        assert_is_sharded(model)


@pytest.mark.parametrize(("slot_dtype", "most"), [("bfloat16", 0.05), ("int8", 0.3)])
def test_slots_in_fewer_bits_lie_as_their_variables(slot_dtype, most):
    # A sum over the devices rounds otherwise, and its last bit may decide which way a slot is rounded.
    weights, state = [], []
    for layout in ("single", "model"):
        keras.distribution.set_distribution(LAYOUTS[layout]())
        start = np.random.default_rng(0).normal(size=(32, 512)).astype("float32")
        layer = keras.layers.Dense(512, name="hidden")
        model = keras.Sequential([keras.Input((32,)), layer])
        layer.set_weights([start, np.zeros(512, "float32")])
        model.compile(Adam(0.01, slot_dtype=slot_dtype), "mse")
        x = np.random.default_rng(1).normal(size=(32, 32)).astype("float32")
        model.fit(x, np.zeros((32, 512), "float32"), batch_size=8, shuffle=False, verbose=0)
        weights.append(np.asarray(layer.kernel) - start)
        state.append(sum(variable.shape == layer.kernel.shape for variable in model.optimizer.variables))
    assert_is_sharded(model)
    assert_slots_lie_as_their_variables(model, 2)
    assert state == [2, 2]
    assert np.abs(weights[1] - weights[0]).max() < most * np.abs(weights[0]).max()


@pytest.mark.parametrize("layout", ["data", "model"])
def test_sharpness_aware_minimization_is_that_on_one_device(layout):
    single, model = (compiled(each, lambda: Momentum(0.05)) for each in ("single", layout))
    for each, of in (("single", single), (layout, model)):
        keras_optims.sam(of, 0.5, adaptive=True)
        fit(each, of)
    assert_same_training(model, single)
    if layout == "model":
        assert_is_sharded(model)


NOT_BY_ELEMENT = {variant.name for variant in EVERYWHERE if not variant.elementwise}
SUMMING_OVER_THE_DEVICES = {"clipnorm", "global_clipnorm", "all together", "rules", *FORMULAS, *NOT_BY_ELEMENT}
SUMMING_ROWS = {"adafactor", "muon"}  # whose slots are rows and columns, or whose formula multiplies matrices


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_step_moves_no_slot_between_devices(setting):
    model = compiled("model", SETTINGS[setting])
    optimizer, variables = model.optimizer, model.trainable_variables
    optimizer.build(variables)
    slots = [v for v in optimizer.variables if v.shape]  # but for numbers, which lie on every device
    if setting not in SUMMING_ROWS:
        assert_slots_lie_as_their_variables(model, len(slots) / len(variables))
    state = [[v.value for v in of] for of in (optimizer.variables, variables, variables)]
    step = jax.jit(optimizer.stateless_apply).lower(*state).compile()
    moved = re.findall(r"= (\S.*?) (?:all-gather|all-reduce|all-to-all|collective-permute)(?:-start)?\(", step.as_text())
    # A norm is a sum over all devices: numbers cross, arrays do not.
    assert setting in SUMMING_ROWS or all(set(re.findall(r"\[(.*?)\]", shapes)) == {""} for shapes in moved), moved
    assert bool(moved) == (setting in SUMMING_OVER_THE_DEVICES)
    new_variables, new_state = step(*state)
    for new, old in zip([*new_state, *new_variables], [*optimizer.variables, *variables], strict=True):
        is_as_before = new.sharding.is_equivalent_to(old.value.sharding, new.ndim)
        assert is_as_before or setting in SUMMING_ROWS, old.path  # of those, `fit` puts each back where it was


@pytest.mark.parametrize(("saved_on", "loaded_on"), [("model", "single"), ("data", "model")])
def test_a_training_goes_on_elsewhere(saved_on, loaded_on, tmp_path):
    model = compiled(saved_on, problem.resumable)
    fit(saved_on, model, problem.FIRST)
    model.save(tmp_path / "model.keras")
    fit(saved_on, model, problem.SECOND)
    keras.distribution.set_distribution(LAYOUTS[loaded_on]())
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert_slots_lie_as_their_variables(loaded, 5)
    fit(loaded_on, loaded, problem.SECOND)
    assert_slots_lie_as_their_variables(loaded, 5)
    if loaded_on == "model":
        assert_is_sharded(loaded)
    assert_same_training(loaded, model)


def test_averages_hyperparameters_and_validation_are_those_of_one_device():
    models, losses = [], []
    for layout in ("model", "single"):
        model = compiled(layout, lambda: Adam(0.01, use_ema=True, ema_momentum=0.8))
        validation, callbacks = (TOKENS.reshape(-1, 4), LABELS.reshape(-1)), [keras_optims.AveragedWeights()]
        fit(layout, model)
        model.optimizer.learning_rate, model.optimizer.beta_1 = 0.02, 0.5
        losses.append(fit(layout, model, validation_data=validation, callbacks=callbacks).history["val_loss"])
        model.optimizer.swap_averaged_weights()
        models.append(model)
    assert_same_training(*models)
    assert_slots_lie_as_their_variables(models[0], 3)
    assert_is_sharded(models[0])
    np.testing.assert_allclose(*losses, rtol=1e-6)


def test_what_half_precision_rounds_off_lies_as_its_variable():
    keras.distribution.set_distribution(model_parallel())
    keras.config.set_dtype_policy("bfloat16")
    try:
        model = problem.compiled(Adam(0.01, compensated_summation=True, use_ema=True))
    finally:
        keras.config.set_dtype_policy("float32")
    apply_ones(model)
    assert model.optimizer.rounding_error[model.trainable_variables[0]].dtype == "bfloat16"
    assert_slots_lie_as_their_variables(model, 4)
    assert_is_sharded(model)


def test_state_of_another_layout_is_loaded_into_an_optimizer_that_is_built():
    trained = compiled("single", problem.resumable)
    apply_ones(trained)
    model = compiled("model", problem.resumable)
    model.optimizer.build(model.trainable_variables)
    assert not model.optimizer.load_state(trained.optimizer).fresh
    assert_slots_lie_as_their_variables(model, 5)
    for name, value in state_of(trained.optimizer).items():
        np.testing.assert_array_equal(state_of(model.optimizer)[name], value)


def test_the_lines_of_the_documentation_shard_a_model():
    program = {"jax": jax, "keras": keras, "compiled": lambda: problem.compiled(Adam(0.01))}
    exec(lines_beginning("docs/distribution.md", "devices ="), program)
    problem.fit(program["model"])
    assert_slots_lie_as_their_variables(program["model"], 2)
    assert_is_sharded(program["model"])


def apply_ones(model):
    """A step that is not compiled."""
    model.optimizer.apply([np.ones(v.shape, "float32") for v in model.trainable_variables], model.trainable_variables)
