"""Sparse gradients of an embedding on TensorFlow: lazily, by rows, and exactly as dense ones where that is asked for."""

import functools
import inspect
import itertools

import keras
import numpy as np
import pytest

import keras_optims
from keras_optims.testing.compiled_step import CompiledStep, as_numpy
from tests.stepping import state_of
from tests.variants import BY_NAME, BY_ROWS, OF_EACH_SCOPE, VARIANTS

pytestmark = pytest.mark.backend("tensorflow")

XLA = pytest.param("xla", marks=pytest.mark.slow)  # it takes seconds to compile
ROWS, WIDTH = 9, 4
# Which rows each batch uses, some of them several times; row 8 never.
BATCHES = [[1, 4, 1, 0], [2, 2, 2], [0, 5, 7, 5, 5, 1], [3], [1, 0, 6, 6]]


def table(dtype="float32", rows=ROWS):
    values = np.random.default_rng(0).normal(size=(rows, WIDTH)).astype("float32")
    return keras.Variable(values, dtype=dtype, name="embeddings")


def batches(seed=1):
    rng = np.random.default_rng(seed)
    return [(rows, rng.normal(size=(len(rows), WIDTH)).astype("float32")) for rows in BATCHES]


def dense(rows, values):
    gradient = np.zeros((ROWS, WIDTH), "float32")
    np.add.at(gradient, rows, values)
    return gradient


def _apply(optimizer, variable, values, rows):
    import tensorflow as tf

    optimizer.apply([tf.IndexedSlices(values, rows, tf.constant([ROWS, WIDTH]))], [variable])


def trained(optimizer, variable=None, wrap="graph", index_dtype="int64", times=1):
    """The table after all batches."""
    import tensorflow as tf

    variable = table() if variable is None else variable
    optimizer.build([variable])
    step = functools.partial(_apply, optimizer, variable)
    if wrap != "eager":
        step = tf.function(step, jit_compile=wrap == "xla", reduce_retracing=wrap != "xla")
    for _ in range(times):
        for rows, values in batches():
            step(tf.constant(values), tf.constant(rows, index_dtype))
    return as_numpy(variable)


def lazy_twin(variant, start, **arguments):
    """The float64 twin, run on each row alone over the steps that touch it, each with that step's own number."""
    arguments = {**variant.arguments, **arguments}
    path = start.astype(np.float64).copy()
    for row in range(ROWS):
        touching = [step for step, rows in enumerate(BATCHES) if row in rows]
        gradients = [dense(*batches()[step])[row] for step in touching]
        if gradients:
            path[row] = variant_twin(variant, gradients, start[row], touching, arguments)
    return path


def variant_twin(variant, gradients, start, steps, arguments):
    """The twin's end; a correction of the start counts all steps, not only those of the row."""
    counts = "numbers" in inspect.signature(variant.twin).parameters
    numbers = {"numbers": [step + 1 for step in steps]} if counts else {}
    return variant.twin(gradients, start, **arguments, **numbers)[-1]


@pytest.mark.parametrize(
    ("variant", "wrap"),
    [
        *((v, "graph") for v in VARIANTS if v.takes_rows),
        *itertools.product([v for v in OF_EACH_SCOPE if v.takes_rows], ["eager", XLA]),
    ],
    ids=str,
)
def test_touched_rows_follow_the_twin_over_the_steps_that_touch_them(variant, wrap):
    start = as_numpy(table())
    result = trained(variant.optimizer(), wrap=wrap)
    expected = lazy_twin(variant, start)
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5 * np.abs(expected - start).max())


@pytest.mark.parametrize(
    ("cls", "arguments"),
    [
        *((cls, {}) for cls in BY_ROWS),
        *itertools.product([v.make for v in OF_EACH_SCOPE if v.takes_rows], [{"weight_decay": 0.3}, {"use_ema": True}]),
    ],
    ids=str,
)
def test_rows_that_no_batch_uses_stay_as_they_are(cls, arguments):
    start, variable = as_numpy(table()), table()
    optimizer = cls(0.1, **arguments)
    optimizer.build([variable])
    before = state_of(optimizer)
    result = trained(optimizer, variable, times=3)  # of steps of one length an odd number, which do not lead back
    np.testing.assert_array_equal(result[8], start[8])
    assert (result[:8] != start[:8]).all()
    for name, value in state_of(optimizer).items():
        if name.endswith("|embeddings") and not name.startswith("average"):
            np.testing.assert_array_equal(value[8], before[name][8], err_msg=name)


@pytest.mark.parametrize(
    "arguments",
    [{}, {"clipnorm": 0.1}, {"clipvalue": 0.1}, {"global_clipnorm": 0.1}, {"loss_scale_factor": 4.0}],
    ids=str,
)
@pytest.mark.parametrize("cls", [keras_optims.GradientDescent, keras_optims.Adagrad])
def test_where_lazy_and_dense_are_the_same_both_are_what_keras_does(cls, arguments):
    namesake = keras.optimizers.Adagrad if cls is keras_optims.Adagrad else keras.optimizers.SGD
    lazy = trained(cls(0.1, **arguments))
    variable = table()
    step = CompiledStep(namesake(0.1, **arguments), [variable])
    for rows, values in batches():
        step([dense(rows, values)])
    np.testing.assert_allclose(lazy, as_numpy(variable), rtol=1e-5, atol=1e-6)


DENSE = [variant.make for variant in OF_EACH_SCOPE]  # the base class makes gradients dense before a formula sees them


@pytest.mark.parametrize(
    ("cls", "arguments", "wrap"),
    [
        *((cls, {}, "graph") for cls in DENSE),
        *itertools.product(
            [keras_optims.Adam, keras_optims.Muon],
            [{"clipnorm": 0.1}, {"weight_decay": 0.1}, {"loss_scale_factor": 4.0}],
            ["graph"],
        ),
        *(pytest.param(cls, {"weight_decay": 0.1}, "xla", marks=pytest.mark.slow) for cls in DENSE[:3]),
        pytest.param(keras_optims.Adam, {"gradient_accumulation_steps": 2}, "xla", marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_lazy_false_gives_the_result_of_dense_gradients(cls, arguments, wrap):
    sparse = trained(cls(0.1, lazy=False, **arguments), wrap=wrap)
    variable = table()
    step = CompiledStep(cls(0.1, **arguments), [variable])
    for rows, values in batches():
        step([dense(rows, values)])
    np.testing.assert_allclose(sparse, as_numpy(variable), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cls", [variant.make for variant in OF_EACH_SCOPE])
def test_accumulated_gradients_are_dense(cls):
    lazy, exact = (trained(cls(0.1, gradient_accumulation_steps=2, lazy=lazy)) for lazy in (True, False))
    np.testing.assert_array_equal(lazy, exact)


def test_a_formula_that_may_need_the_whole_gradient_gets_it():
    class ByNorm(keras_optims.Adam):
        def update_step(self, gradient, variable, learning_rate):
            assert tuple(gradient.shape) == (ROWS, WIDTH)
            self.assign_sub(variable, gradient / keras.ops.norm(gradient))

    optimizer = ByNorm()
    trained(optimizer)
    assert "formula of its own" in optimizer.explain()[0].why


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_formula_gets_the_sum_of_a_rows_gradients(dtype):
    # The square of a sum is not the sum of the squares.
    class Own(keras_optims.Adam):
        def update_step(self, gradient, variable, learning_rate):
            super().update_step(gradient, variable, learning_rate)

    optimizers = Own(0.1), keras_optims.Adam(0.1, lazy=False)
    for optimizer in optimizers:
        variable = table(dtype)
        trained(optimizer, variable)
        twin = Own(0.1)
        step = CompiledStep(twin, [step_variable := table(dtype)])
        for rows, values in batches():
            step([dense(rows, values)])
        ours, dense_one = (each.second_moment[of] for each, of in ((optimizer, variable), (twin, step_variable)))
        np.testing.assert_allclose(as_numpy(ours), as_numpy(dense_one), rtol=2e-2 if dtype == "bfloat16" else 2e-5)


@pytest.mark.parametrize("index_dtype", ["int32", "int64"])
def test_half_precision_tables_are_updated_in_float32_arithmetic(index_dtype):
    optimizer = keras_optims.Adam(0.1)
    result = trained(optimizer, table("bfloat16"), index_dtype=index_dtype)
    exact = trained(keras_optims.Adam(0.1), index_dtype=index_dtype)
    np.testing.assert_allclose(result, exact, rtol=0.05, atol=0.02)
    assert all(v.dtype == "float32" for v in optimizer.first_moment.variables)


def _apply_with_others(optimizer, embeddings, others, values, rows):
    import tensorflow as tf

    slices = tf.IndexedSlices(values, rows, tf.constant([ROWS, WIDTH]))
    optimizer.apply([slices, *[tf.ones(3)] * len(others)], [embeddings, *others])


IN_XLA = ("centered rmsprop with momentum", "amsgrad")  # one with a kernel in XLA, one whose formula runs there


@pytest.mark.parametrize(
    ("variant", "wrap"),
    [
        *((variant, "graph") for variant in OF_EACH_SCOPE),
        *((BY_NAME[name], "graph") for name in IN_XLA),
        *(pytest.param(BY_NAME[name], "xla", marks=pytest.mark.slow) for name in IN_XLA),
    ],
    ids=str,
)
def test_a_small_table_in_a_group_is_updated_as_a_large_one(variant, wrap):
    import tensorflow as tf

    results = []
    for group_below in (0, 1000):
        optimizer = variant.optimizer(weight_decay=0.1)
        optimizer.group_below = group_below
        embeddings = table()
        others = [keras.Variable(np.ones(3, "float32"), name=f"v{i}") for i in range(9)]
        optimizer.build([embeddings, *others])

        compiled = tf.function(functools.partial(_apply_with_others, optimizer, embeddings, others), jit_compile=wrap == "xla")
        for rows, values in batches():
            compiled(tf.constant(values), tf.constant(rows))
        results.append([as_numpy(v) for v in (embeddings, *others)])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("cls", BY_ROWS)
def test_no_tensor_of_the_tables_size_is_made(cls):
    import tensorflow as tf

    rows = 3000
    variable, optimizer = table(rows=rows), cls(weight_decay=0.01, global_clipnorm=1.0)
    optimizer.build([variable])

    def step(values, indices):
        optimizer.apply([tf.IndexedSlices(values, indices, tf.constant([rows, WIDTH]))], [variable])

    traced = tf.function(tf.autograph.experimental.do_not_convert(step))
    graph = traced.get_concrete_function(tf.TensorSpec((5, WIDTH)), tf.TensorSpec((5,), tf.int32)).graph
    of_its_size = [t.name for op in graph.get_operations() for t in op.outputs if t.shape.rank == 2 and t.shape[0] == rows]
    assert not of_its_size


@pytest.mark.parametrize(
    ("cls", "jit_compile"),
    list(itertools.product([v.make for v in OF_EACH_SCOPE if v.takes_rows], [False, True])),
)
def test_a_model_with_an_embedding_trains_by_rows(cls, jit_compile):
    keras.utils.set_random_seed(0)
    embedding = keras.layers.Embedding(50, 8)
    model = keras.Sequential([keras.Input((5,), dtype="int32"), embedding, keras.layers.Flatten(), keras.layers.Dense(2)])
    model.compile(cls(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=jit_compile)
    before = np.array(embedding.embeddings)
    x = np.random.default_rng(0).integers(0, 20, size=(128, 5))
    history = model.fit(x, (x[:, 0] > 9).astype(int), epochs=4, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0]
    np.testing.assert_array_equal(np.array(embedding.embeddings)[20:], before[20:])


def test_explain_tells_of_a_sparse_gradient_once_there_was_one():
    optimizer = keras_optims.Adam(0.1)
    optimizer.build([table()])
    assert optimizer.explain()[0].path == "fused"
    optimizer = keras_optims.Adam(0.1)
    variable = table()
    trained(optimizer, variable)
    assert optimizer.explain()[0].path == "rows"
    assert "sparse" in optimizer.explain()[0].why
    optimizer.apply([keras.ops.ones((ROWS, WIDTH))], [variable])
    assert optimizer.explain()[0].path == "fused"
    exact = keras_optims.Adam(0.1, lazy=False)
    trained(exact)
    assert exact.explain()[0].path == "fused"


def test_lazy_is_kept_in_the_config():
    assert keras_optims.Adam.from_config(keras_optims.Adam(lazy=False).get_config()).lazy is False
    with pytest.raises(ValueError, match="lazy must be True or False; received 'yes'"):
        keras_optims.Adam(lazy="yes")
