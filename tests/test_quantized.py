"""Slots in bfloat16 and in 8 bits: half and a quarter of the memory, the same training."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_optims
from keras_optims import Adam, AdamW, Ftrl, GradientDescent, Lion, Momentum, Muon, RMSprop, Rule, ScheduleFreeAdamW, quantized
from keras_optims.quantized import BLOCK, NON_NEGATIVE, SIGNED
from keras_optims.testing.compiled_step import CompiledStep, EagerStep, as_numpy
from tests.models import weights
from tests.stepping import assert_eager_graph_and_xla_agree, state_of

BACKEND = keras.backend.backend()
DTYPES = ("bfloat16", "int8")
SHAPES = {"wide": (70, 90), "bias": (90,), "exact": (16, 256)}


def variables(dtype="float32"):
    rng = np.random.default_rng(0)
    return [keras.Variable(rng.normal(size=shape).astype("float32"), dtype=dtype, name=n) for n, shape in SHAPES.items()]


def gradients(steps=12, seed=1):
    rng = np.random.default_rng(seed)
    sizes = [10.0 ** rng.uniform(-2, 1, size=shape) for shape in SHAPES.values()]
    return [[(rng.normal(0.2, 1, size=size.shape) * size).astype("float32") for size in sizes] for _ in range(steps)]


def walked(optimizer, given, dtype="float32", step=CompiledStep):
    walk = step(optimizer, variables(dtype))
    for of_step in given:
        walk(of_step)
    return walk


# -- the map and the rounding, from their definitions ---------------------------------------------


def dynamic_map(signed) -> np.ndarray:
    """The 256 values of the dynamic map (Dettmers et al. 2022, Section 2), sorted, in float64."""
    values = [0.0, 1.0]
    for decade in range(7):
        edges = np.linspace(0.1, 1, 2 ** (decade if signed else decade + 1) + 1)
        of_decade = (edges[1:] + edges[:-1]) / 2 * 10.0 ** (decade - 6)
        values += [*of_decade, *(-of_decade if signed else [])]
    return np.sort(values)


def test_the_maps_have_the_values_that_are_published():
    signed, non_negative = dynamic_map(True), dynamic_map(False)
    assert len(set(signed)) == len(set(non_negative)) == 256
    np.testing.assert_allclose(signed[[0, 127, 128, 192, 254, 255]], [-0.99296875, 0, 5.5e-7, 0.12109375, 0.99296875, 1])
    np.testing.assert_allclose(
        non_negative[[0, 1, 2, 3, 64, 254, 255]], [0, 3.25e-7, 7.75e-7, 2.125e-6, 0.012109375, 0.996484375, 1]
    )
    np.testing.assert_allclose(quantized._MAPS[SIGNED].shares, signed[signed >= 0], rtol=1e-12)
    np.testing.assert_allclose(quantized._MAPS[NON_NEGATIVE].shares, non_negative, rtol=1e-12)


@pytest.mark.parametrize("numbers", [SIGNED, NON_NEGATIVE])
def test_each_code_is_that_of_its_share_and_between_two_it_is_the_nearer(numbers):
    of = quantized._MAPS[numbers]
    codes = np.arange(len(of.shares), dtype="float32")
    np.testing.assert_allclose(ops.convert_to_numpy(of.of_codes(ops.convert_to_tensor(codes))), of.shares, rtol=3e-6)
    shares = of.shares.astype("float32")
    np.testing.assert_array_equal(ops.convert_to_numpy(of.codes(ops.convert_to_tensor(shares))), codes)
    gaps = np.diff(of.shares)
    for part, expected in ((0.499, codes[:-1]), (0.501, codes[1:])):
        between = (of.shares[:-1] + part * gaps).astype("float32")
        np.testing.assert_array_equal(ops.convert_to_numpy(of.codes(ops.convert_to_tensor(between))), expected)


def quantized_twin(value, signed):
    """Block-wise quantisation and back, in float64: shares of the block's largest number, which keeps its sign."""
    codebook, flat = dynamic_map(signed), np.asarray(value, np.float64).reshape(-1)
    found = np.empty_like(flat)
    for start in range(0, len(flat), 256):
        block = flat[start : start + 256]
        largest = block[np.argmax(np.abs(block))]
        shares = block / largest if largest else block
        nearest = codebook[np.abs(shares[:, None] - codebook[None, :]).argmin(axis=1)]
        if not signed:
            nearest = np.where((shares > 0) & (nearest == 0), codebook[1], nearest)
        found[start : start + 256] = nearest * largest
    return found.reshape(np.shape(value))


def slot_of(optimizer, name, variable):
    return as_numpy(getattr(optimizer, name)[variable])


def holding(slot_dtype, shape=(70, 90), name="second_moment"):
    optimizer = Adam(slot_dtype=slot_dtype)
    variable = keras.Variable(np.zeros(shape, "float32"), name="theta")
    optimizer.build([variable])
    return getattr(optimizer, name)[variable]


@pytest.mark.parametrize("size", [1e-25, 1e-8, 1.0, 1e30])
@pytest.mark.parametrize("name", ["first_moment", "second_moment"])
def test_in_8_bits_a_slot_is_what_its_twin_is(name, size):
    rng = np.random.default_rng(0)
    value = (rng.normal(size=(70, 90)) * 10.0 ** rng.uniform(-7, 0, size=(70, 90)) * size).astype("float32")
    value[3], value[7, :50] = 0, -value[7, :50]
    value[60:] = 0  # a block of nothing
    signed = name == "first_moment"
    value = value if signed else np.abs(value)
    slot = holding("int8", name=name)
    slot.assign(value)
    np.testing.assert_allclose(as_numpy(slot), quantized_twin(value, signed), rtol=2e-5, atol=1e-45)
    assert slot.parts[0].dtype == "int8"
    assert not np.any((as_numpy(slot) == 0) & (value != 0)) or signed


def test_a_number_that_is_not_one_is_lost_to_nobody():
    slot, value = holding("int8", name="first_moment"), np.ones((70, 90), "float32")
    value[0, 0] = np.nan
    slot.assign(value)
    assert np.isnan(as_numpy(slot).reshape(-1)[:BLOCK]).any()
    np.testing.assert_array_equal(as_numpy(slot).reshape(-1)[BLOCK:], 1)


def test_in_bfloat16_an_average_reaches_what_it_averages():
    """v ← v + 0.01·(1 − v): rounded to the nearest it stands still on the way."""
    theta = keras.Variable(np.zeros((16, 256), "float32"), name="theta")
    optimizer = Adam(0.0, beta_1=0.0, beta_2=0.99, slot_dtype="bfloat16")
    step, steps = CompiledStep(optimizer, [theta]), 300
    for _ in range(steps):
        step([np.ones((16, 256), "float32")])
    v, exact = slot_of(optimizer, "second_moment", theta), 1 - 0.99**steps
    assert abs(v.mean() - exact) < 0.002
    assert np.abs(v - exact).max() < 0.06
    nearest = np.float32(0)
    for _ in range(steps):
        nearest = as_numpy(ops.cast(nearest + np.float32(0.01) * (1 - nearest), "bfloat16"))
    assert abs(nearest - exact) > 0.1


def test_rounding_to_bfloat16_is_right_on_average_and_never_farther_than_a_neighbor():
    rng = np.random.default_rng(0)
    value = (rng.normal(size=4096) * 10.0 ** rng.uniform(-30, 30, size=4096)).astype("float32")
    bits = value.view(np.int32)
    low, high = (bits & ~0xFFFF).view(np.float32), ((bits & ~0xFFFF) + 0x10000).view(np.float32)
    mean = np.zeros(4096)
    for step in range(64):
        found = ops.convert_to_numpy(quantized._rounded(ops.convert_to_tensor(value), quantized._offset(step), 17))
        assert np.all((found == low) | (found == high))
        mean += found.astype(np.float64) / 64
    assert np.abs((mean - value) / (high.astype(np.float64) - low)).max() < 0.1
    long_nan = np.array([0x7FFFFFFF], "uint32").view("float32")[0]  # of which one more would be -0
    special = np.array([0, -0.0, np.inf, -np.inf, np.nan, long_nan, 1, -2], "float32")
    found = ops.convert_to_numpy(quantized._rounded(ops.convert_to_tensor(special), quantized._offset(123), 17))
    np.testing.assert_array_equal(found, special)


def test_rounding_is_even_within_a_step_too_and_another_one_for_each_slot():
    value = ops.convert_to_tensor(np.full(4096, 1 + 2.0**-9, "float32"))  # a quarter of the way to the neighbor
    up = {}
    for name in ("first_moment", "second_moment"):
        slot = holding("bfloat16", (64, 64), name)
        up[name] = ops.convert_to_numpy(ops.cast(slot.encoded(value, quantized._offset(3))[0], "float32")) > 1
        assert all(0.15 < part.mean() < 0.35 for part in np.split(up[name], 64))
    assert np.mean(up["first_moment"] & up["second_moment"]) < 0.2  # a quarter, if they were the same


# -- memory ---------------------------------------------------------------------------------------


def bytes_of_slots(optimizer):
    sizes = {"bfloat16": 2, "int8": 1, "float32": 4}
    moments = [v for v in optimizer.variables if v.path.rpartition("/")[2].rpartition("_")[0] and "moment" in v.path]
    return sum(sizes[keras.backend.standardize_dtype(v.dtype)] * int(np.prod(v.shape)) for v in moments)


@pytest.mark.parametrize(("slot_dtype", "per_number"), [(None, 4), ("bfloat16", 2), ("int8", 1 + 4 / 256)])
def test_memory_of_adams_slots(slot_dtype, per_number):
    optimizer, theta = Adam(slot_dtype=slot_dtype), keras.Variable(np.zeros((64, 256), "float32"), name="theta")
    optimizer.build([theta])
    assert bytes_of_slots(optimizer) == 2 * per_number * 64 * 256


@pytest.mark.parametrize("slot_dtype", DTYPES)
def test_slots_of_fewer_than_4096_elements_are_in_float32(slot_dtype):
    optimizer = Adam(slot_dtype=slot_dtype)
    optimizer.build([keras.Variable(np.zeros(size, "float32"), name=f"of_{size}") for size in (4095, 4096)])
    assert [{dtype for _, dtype in line.slots.values()} for line in optimizer.explain()] == [{"float32"}, {slot_dtype}]


# -- the step -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda **o: Adam(0.01, weight_decay=0.1, **o),
        lambda **o: Adam(0.01, amsgrad=True, clipnorm=1.0, **o),
        lambda **o: Momentum(0.001, **o),
        lambda **o: Lion(0.001, **o),
        lambda **o: keras_optims.Adagrad(0.01, **o),
        pytest.param(lambda **o: keras_optims.Lamb(0.01, **o), marks=pytest.mark.slow),
        pytest.param(lambda **o: ScheduleFreeAdamW(0.01, **o), marks=pytest.mark.slow),
        pytest.param(lambda **o: keras_optims.SOAP(0.01, **o), marks=pytest.mark.slow),
        pytest.param(lambda **o: Muon(0.01, **o), marks=pytest.mark.slow),
        pytest.param(lambda **o: keras_optims.Prodigy(**o), marks=pytest.mark.slow),
        lambda **o: Momentum(0.001, gradient_accumulation_steps=2, use_ema=True, **o),
        lambda **o: keras_optims.Lookahead(Adam(0.01, **o), 3),
        lambda **o: Momentum(0.001, rules=[Rule("exact", formula=Adam(0.01, **o)), Rule("bias", momentum=0.5)], **o),
    ],
)
@pytest.mark.parametrize("slot_dtype", DTYPES)
def test_a_step_goes_nearly_as_with_float32(make, slot_dtype):
    given = gradients(6)
    exact, found = walked(make(), given).weights(), walked(make(slot_dtype=slot_dtype), given).weights()
    for start, one, other in zip(variables(), exact, found, strict=True):
        way = np.abs(one - as_numpy(start)).mean()
        assert np.abs(one - other).mean() < (0.02 if slot_dtype == "bfloat16" else 0.2) * way
    np.testing.assert_allclose(found[1], exact[1], rtol=1e-4, atol=1e-4)  # small variables have float32 slots


@pytest.mark.parametrize("slot_dtype", DTYPES)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_compiled_step_is_one_that_is_not(slot_dtype, dtype):
    given = gradients(4)
    steps = [walked(Adam(0.01, slot_dtype=slot_dtype), given, dtype, step) for step in (CompiledStep, EagerStep)]
    for one, other in zip(*(step.weights() for step in steps), strict=True):
        different = np.abs(one - other) > 1e-5 + 1e-2 * (dtype == "bfloat16")
        assert different.mean() < 1e-3  # where rounding lets a number fall on the other side of the middle


@pytest.mark.backend("tensorflow")
@pytest.mark.parametrize("slot_dtype", DTYPES)
def test_tensorflow_runs_it_in_each_way(slot_dtype):
    assert_eager_graph_and_xla_agree(
        lambda: Momentum(0.001, slot_dtype=slot_dtype), variables, [[np.ones(s, "float32") for s in SHAPES.values()]] * 3
    )


@pytest.mark.parametrize("slot_dtype", DTYPES)
def test_explain_says_in_what_slots_are_kept(slot_dtype):
    optimizer = walked(Adam(slot_dtype=slot_dtype), gradients(1)).optimizer
    lines = {line.variable: line for line in optimizer.explain()}
    kept = {name: {dtype for _, dtype in line.slots.values()} for name, line in lines.items()}
    assert kept == {"wide": {slot_dtype}, "bias": {"float32"}, "exact": {slot_dtype}}
    assert lines["wide"].why.endswith(f"slots in {slot_dtype}")
    assert lines["wide"].path != "fused"
    assert "slots in" not in lines["bias"].why


@pytest.mark.backend("tensorflow")
@pytest.mark.parametrize(("slot_dtype", "path"), [("bfloat16", "compiled"), ("int8", "rows")])
def test_rows_of_an_embedding(slot_dtype, path):
    """In 8 bits its slots stay as they are, and lazy; in bfloat16 the gradient is a dense one."""
    import tensorflow as tf

    def trained(slot_dtype, lazy):
        with keras.name_scope("embedding"):
            table = keras.Variable(np.ones((64, 128), "float32"), name="embeddings")
        optimizer = Adam(0.1, slot_dtype=slot_dtype, lazy=lazy)
        for row in (1, 2, 1):
            optimizer.apply([tf.IndexedSlices(tf.ones((1, 128)), tf.constant([row]), tf.constant([64, 128]))], [table])
        return as_numpy(table), optimizer.explain()[0].path

    found, its_path = trained(slot_dtype, True)
    assert its_path == path
    np.testing.assert_allclose(found, trained(None, path == "rows")[0], rtol=1e-2)


# -- state ----------------------------------------------------------------------------------------


def digits():
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return (x / 16).astype("float32"), y


def model(optimizer, seed=0):
    keras.utils.set_random_seed(seed)
    made = keras.Sequential([keras.Input((64,)), keras.layers.Dense(64, "relu"), keras.layers.Dense(10)])
    made.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    return made


def fit(made, epochs, part=slice(0, 256)):
    x, y = digits()
    return made.fit(x[part], y[part], batch_size=64, epochs=epochs, shuffle=False, verbose=0)


@pytest.mark.parametrize("slot_dtype", DTYPES)
def test_a_training_goes_on_bit_for_bit(slot_dtype, tmp_path):
    uninterrupted, made = (model(AdamW(0.01, slot_dtype=slot_dtype)) for _ in range(2))
    fit(uninterrupted, 3)
    fit(made, 2)
    made.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.slot_dtype == slot_dtype
    again = model(AdamW(0.01, slot_dtype=slot_dtype), seed=1)
    again.set_weights(made.get_weights())
    again.optimizer.load_state(tmp_path / "model.keras")
    for one in (loaded, again):
        fit(one, 1)
        for ours, theirs in zip(weights(one), weights(uninterrupted), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    states = [state_of(one.optimizer) for one in (loaded, uninterrupted)]
    assert [value.dtype for value in states[0].values()] == [value.dtype for value in states[1].values()]
    for ours, theirs in zip(states[0].values(), states[1].values(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_state_in_8_bits_has_its_own_names():
    optimizer = walked(Adam(slot_dtype="int8"), gradients(1)).optimizer
    state = state_of(optimizer)
    assert state["first_moment_code|wide"].dtype == np.int8
    assert state["first_moment_largest|wide"].shape == (-(-70 * 90 // BLOCK),)
    assert {"first_moment|bias", "second_moment|bias"} <= set(state)
    with pytest.raises(ValueError, match=r"does not fit the optimizer.*missing from it: first_moment/exact, first_moment/wide"):
        walked(Adam(), gradients(1)).optimizer.load_state(state)


# -- what cannot be -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Adam(slot_dtype="float16"), "slot_dtype must be None or 'bfloat16' or 'int8'; received 'float16'"),
        (lambda: GradientDescent(slot_dtype="int8").build(variables()), "GradientDescent with these arguments has none"),
        (lambda: RMSprop(centered=True, slot_dtype="int8").build(variables()), "RMSprop with these arguments has none"),
        (lambda: keras_optims.to_keras(Adam(slot_dtype="int8")), "to_keras cannot take over slot_dtype"),
        (
            lambda: Momentum().add_slot([], "s", numbers="positive"),
            "numbers of a slot must be 'signed', 'non_negative' or 'exact'",
        ),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_slots_that_decide_about_weights_stay_exact():
    for optimizer, name in ((Ftrl(slot_dtype="int8"), "linear"), (ScheduleFreeAdamW(slot_dtype="bfloat16"), "base_weights")):
        built = variables()
        optimizer.build(built)
        assert keras.backend.standardize_dtype(getattr(optimizer, name)[built[0]].dtype) == "float32"
        assert not isinstance(getattr(optimizer, name)[built[0]], quantized.StoredSmaller)


# -- trainings ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_digits_are_learned_as_well_as_with_float32():
    x, y = digits()
    results = {}
    for slot_dtype in (None, *DTYPES):
        results[slot_dtype] = []
        for seed in range(3):
            made = model(Adam(0.003, slot_dtype=slot_dtype), seed)
            made.fit(x[:1400], y[:1400], batch_size=64, epochs=5, verbose=0)
            results[slot_dtype].append(made.evaluate(x[1400:], y[1400:], verbose=0)[0])
    spread = max(results[None]) - min(results[None])
    for slot_dtype in DTYPES:
        assert abs(np.mean(results[slot_dtype]) - np.mean(results[None])) < max(spread, 0.03), results
