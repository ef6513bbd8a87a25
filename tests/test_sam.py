"""Sharpness-aware minimization against a float64 twin, and in all the ways in which Keras trains a model."""

import functools

import keras
import numpy as np
import pytest
from keras import ops

import keras_optims
from keras_optims import sam
from tests.models import data, dense_model

BACKEND = keras.backend.backend()
CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
BATCH = 16


# -- the twin --------------------------------------------------------------------------------------


def loss_and_gradients(theta, x, y, sample_weight=None, l2=0.0):
    """Mean cross entropy of a linear softmax model, and the l2 loss of its kernel, in float64."""
    kernel, bias = theta
    logits = x.astype("float64") @ kernel + bias
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    weight = np.ones(len(x)) if sample_weight is None else sample_weight.astype("float64")
    loss = -np.mean(weight * np.log(shares[np.arange(len(x)), y])) + l2 * np.sum(kernel**2)
    shares[np.arange(len(x)), y] -= 1
    of_logits = shares * weight[:, None] / len(x)
    return loss, [x.T.astype("float64") @ of_logits + 2 * l2 * kernel, of_logits.sum(axis=0)]


def ascent(theta, gradients, rho, adaptive):
    """Foret et al. 2021, eq. 2; Kwon et al. 2021, eq. 4, with T = |θ|."""
    scales = [np.abs(weight) if adaptive else np.ones_like(weight) for weight in theta]
    norm = np.sqrt(sum(np.sum((scale * gradient) ** 2) for scale, gradient in zip(scales, gradients, strict=True)))
    return [rho * scale**2 * gradient / norm for scale, gradient in zip(scales, gradients, strict=True)]


def twin(theta, batches, rho, adaptive, *, rate=0.5, momentum=0.9, accumulated=1, **of_loss):
    """The weights after SAM with SGD and momentum, and the loss before each step; `rho` and `adaptive` may be lists, by batch."""
    theta = [weight.astype("float64") for weight in theta]
    velocities, sums, losses = [np.zeros_like(weight) for weight in theta], [np.zeros_like(weight) for weight in theta], []
    for step, (x, y, *weight) in enumerate(batches):
        of_step = {**of_loss, "sample_weight": weight[0] if weight else None}
        loss, gradients = loss_and_gradients(theta, x, y, **of_step)
        losses.append(loss)
        e = ascent(theta, gradients, *(each[step] if isinstance(each, list) else each for each in (rho, adaptive)))
        _, gradients = loss_and_gradients([a + b for a, b in zip(theta, e, strict=True)], x, y, **of_step)
        sums = [a + b for a, b in zip(sums, gradients, strict=True)]
        if (step + 1) % accumulated == 0:
            velocities = [momentum * v - rate * s / accumulated for v, s in zip(velocities, sums, strict=True)]
            theta = [a + b for a, b in zip(theta, velocities, strict=True)]
            sums = [np.zeros_like(s) for s in sums]
    return theta, losses


def sgd(**arguments):
    return keras.optimizers.SGD(0.5, momentum=0.9, **arguments)


def momentum(**arguments):
    return keras_optims.Momentum(0.5, **arguments)


def linear(regularizer=None, policy="float32"):
    keras.utils.set_random_seed(0)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, kernel_regularizer=regularizer)])
    finally:
        keras.config.set_dtype_policy(before)
    model.layers[0].bias.assign([0.3, -0.2, 0.1, 0.4])
    return model


def compiled(model, optimizer=None, **arguments):
    model.compile(momentum() if optimizer is None else optimizer, **{"loss": CROSS_ENTROPY, **arguments})
    return model


def batches(epochs=2, *arrays):
    arrays = arrays or data()
    return [tuple(array[i : i + BATCH] for array in arrays) for i in range(0, len(arrays[0]), BATCH)] * epochs


def fit(model, epochs=2, **arguments):
    x, y = data()
    return model.fit(**{"x": x, "y": y, **arguments}, batch_size=BATCH, epochs=epochs, shuffle=False, verbose=0)


def weights(model):
    return [keras.ops.convert_to_numpy(ops.cast(variable.value, "float32")) for variable in model.trainable_variables]


def assert_same(found, expected, atol=1e-5):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=atol)


def assert_same_logs(one, other):
    assert {name: float(value) for name, value in one.items()} == pytest.approx(
        {name: float(value) for name, value in other.items()}, rel=1e-6
    )


# -- the formula -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("rho", "adaptive"), [(0.5, False), (2.0, True)])
@pytest.mark.parametrize("make", [momentum, sgd])
def test_it_goes_where_the_twin_goes(make, rho, adaptive):
    model = sam(compiled(linear(), make()), rho, adaptive)
    expected, losses = twin(model.get_weights(), batches(), rho, adaptive)
    plain, _ = twin(model.get_weights(), batches(), 1e-9, adaptive)
    found = fit(model).history["loss"]
    assert_same(weights(model), expected)
    assert np.max(np.abs(plain[0] - expected[0])) > 1e-2  # which the comparison would see
    np.testing.assert_allclose(found, np.reshape(losses, (2, -1)).mean(axis=1), rtol=1e-5)  # of the first pass


def test_the_step_is_that_of_an_example_by_hand():
    """Of ½(θ₁² + 3θ₂²) at (1, 2), where g = (1, 6)."""

    class Quadratic(keras.Model):
        def __init__(self, **arguments):
            super().__init__(**arguments)
            self.theta = self.add_weight(shape=(2,), initializer="ones", name="theta")

        def call(self, x):
            return ops.sum(self.theta * x)

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None):
            return (self.theta[0] ** 2 + 3 * self.theta[1] ** 2) / 2

    for adaptive, rho, expected in ((False, 0.05, [0.89917801, 1.38520409]), (True, 0.5, [0.89584773, 1.10103627])):
        model = sam(Quadratic(), rho, adaptive)
        model.compile(keras_optims.GradientDescent(0.1))
        model.build((1, 2))
        model.theta.assign([1.0, 2.0])
        model.train_on_batch(np.ones((1, 2), "float32"))
        np.testing.assert_allclose(model.get_weights()[0], expected, rtol=1e-6)


def test_weights_of_samples_and_classes_count_in_both_passes():
    x, y = data()
    weight = np.random.default_rng(3).uniform(0.0, 3.0, len(x)).astype("float32")
    model = sam(compiled(linear()), 0.5)
    expected, _ = twin(model.get_weights(), batches(2, x, y, weight), 0.5, False)
    fit(model, sample_weight=weight)
    assert_same(weights(model), expected)

    of_class = {0: 0.5, 1: 2.0, 2: 1.0, 3: 3.0}
    model = sam(compiled(linear()), 0.5)
    expected, _ = twin(model.get_weights(), batches(2, x, y, np.array([of_class[int(k)] for k in y])), 0.5, False)
    fit(model, class_weight=of_class)
    assert_same(weights(model), expected)


def test_losses_of_layers_count_in_both_passes():
    model = sam(compiled(linear(keras.regularizers.L2(0.1))), 0.5)
    expected, _ = twin(model.get_weights(), batches(), 0.5, False, l2=0.1)
    fit(model)
    assert_same(weights(model), expected)

    class Penalty(keras.layers.Layer):
        def call(self, x):
            self.add_loss(0.1 * ops.mean(x**2))
            return x

    def penalized(y, y_pred):
        return CROSS_ENTROPY(y, y_pred) + 0.1 * ops.mean(y_pred**2)

    start = linear()
    model = sam(compiled(keras.Sequential([keras.Input((8,)), start.layers[0], Penalty()])), 0.5)
    fit(model)
    other = sam(compiled(linear(), loss=penalized), 0.5)
    fit(other)
    assert_same(weights(model), weights(other))


@pytest.mark.parametrize("make", [momentum, sgd])
def test_each_batch_of_an_accumulation_goes_up_by_its_own_gradient(make):
    model = sam(compiled(linear(), make(gradient_accumulation_steps=3)), 0.5)
    expected, _ = twin(model.get_weights(), batches(), 0.5, False, accumulated=3)
    fit(model)
    assert_same(weights(model), expected)


def shifted_loss(y, y_pred):
    """Linear in a linear model's weights, so that the gradient at θ + e is that at θ, if all else is the same."""
    return ops.mean(y_pred * ops.cast(ops.reshape(y, (-1, 1)) + 1, y_pred.dtype))


def trained_with_and_without(make, atol=1e-5, x=None, **arguments):
    """Trains two models of a linear loss, one with SAM, and sees that they end alike; returns that with SAM."""
    plain, ours = (compiled(model, keras_optims.Momentum(0.01), loss=shifted_loss, **arguments) for model in (make(), make()))
    sam(ours, 1.0)
    x = data()[0] if x is None else x
    keras.utils.set_random_seed(1)
    first = fit(plain, x=x).history
    keras.utils.set_random_seed(1)
    second = fit(ours, x=x).history
    for one, other in zip(ours.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=atol)
    assert first.keys() == second.keys()
    for name, values in first.items():
        np.testing.assert_allclose(second[name], values, rtol=1e-4, atol=1e-6)
    assert_same(
        [ops.convert_to_numpy(v) for v in ours.non_trainable_variables],
        [ops.convert_to_numpy(v) for v in plain.non_trainable_variables],
    )
    return ours


# -- both passes are of the same function ----------------------------------------------------------


def test_both_passes_have_the_same_dropout_masks():
    def make():
        keras.utils.set_random_seed(0)
        return keras.Sequential([keras.Input((8,)), keras.layers.Dropout(0.5), keras.layers.Dense(4)])

    trained_with_and_without(make)


@pytest.mark.backend("tensorflow", "torch")  # JAX refuses such layers
def test_random_numbers_without_a_seed_are_the_same_in_both_passes():
    class Noise(keras.layers.Layer):
        def call(self, x):
            return x * keras.random.normal(ops.shape(x))

    class Masks(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.last = self.add_weight(shape=(BATCH, 8), trainable=False, initializer="zeros")
            self.different = self.add_weight(shape=(), trainable=False, initializer="zeros")

        def call(self, x, training=False):
            if training:
                self.different.assign_add(ops.cast(ops.any(self.last != x), "float32"))
                self.last.assign(x)
            return x

    def make():
        keras.utils.set_random_seed(0)
        return keras.Sequential([keras.Input((8,)), Noise(), Masks(), keras.layers.Dense(4)])

    model = trained_with_and_without(make)
    assert float(model.layers[1].different) == 8  # in each step other ones


@pytest.mark.backend("torch")
def test_buffers_and_random_numbers_of_torch_modules_are_those_of_the_first_pass():
    import torch

    def make():
        keras.utils.set_random_seed(0)
        module = torch.nn.Sequential(torch.nn.BatchNorm1d(8, affine=False), torch.nn.Dropout(0.5), torch.nn.Linear(8, 4))
        return keras.Sequential([keras.Input((8,)), keras.layers.TorchModuleWrapper(module)])

    model = trained_with_and_without(make)
    plain = compiled(make(), keras_optims.Momentum(0.01), loss=shifted_loss)
    fit(plain)
    buffers, expected = (list(of.layers[0].module.buffers()) for of in (model, plain))
    assert len(buffers) == 3
    for one, other in zip(buffers, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_what_is_reported_and_kept_is_of_the_first_pass():
    """Of a model with batch normalization and dropout, after one step: later the weights differ."""
    plain, ours = (
        compiled(dense_model(dropout=0.3), metrics=["accuracy"], weighted_metrics=["accuracy"], optimizer=keras_optims.Adam(0.01))
        for _ in range(2)
    )
    sam(ours, 2.0)
    x, y = data()
    first, second = (model.train_on_batch(x, y, sample_weight=np.ones(len(x)), return_dict=True) for model in (plain, ours))
    assert_same_logs(first, second)
    assert np.any(ours.layers[-1].get_weights()[0] != plain.layers[-1].get_weights()[0])
    for one, other in zip(ours.non_trainable_variables, plain.non_trainable_variables, strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(one), ops.convert_to_numpy(other), rtol=1e-6)


def test_metrics_of_layers_and_losses_of_outputs_count_once():
    class Counting(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.mean = keras.metrics.Mean(name="mean_input")

        def call(self, x):
            self.mean.update_state(x)
            return x

    def make():
        keras.utils.set_random_seed(0)
        inputs = keras.Input((8,))
        return keras.Model(inputs, [keras.layers.Dense(4, name="a")(Counting()(inputs)), keras.layers.Dense(4, name="b")(inputs)])

    x, y = data()
    logs = []
    for model in (make(), sam(make(), 1.0)):
        model.compile(keras_optims.Adam(), loss=[CROSS_ENTROPY, CROSS_ENTROPY], metrics=[["accuracy"], ["accuracy"]])
        logs.append(model.train_on_batch(x, [y, y], return_dict=True))
        counters = [float(ops.convert_to_numpy(v)) for v in model.layers[1].mean.variables]
        if BACKEND != "jax":  # Keras does not keep them there
            assert counters[1] == len(x)
    assert_same_logs(*logs)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_weights_are_restored_exactly(dtype):
    model = sam(compiled(linear(policy=dtype), keras_optims.GradientDescent(0.0)), 3.0)
    before = [ops.convert_to_numpy(variable.value) for variable in model.variables]
    fit(model)
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(variable.value), value)


@pytest.mark.backend("torch")
def test_weights_are_restored_when_the_second_pass_fails():
    calls = []

    class Fails(keras.layers.Layer):
        def call(self, x, training=False):
            calls.append(training)
            if training and sum(calls) == 2:
                raise RuntimeError("out of memory")
            return x

    model = sam(compiled(keras.Sequential([keras.Input((8,)), linear().layers[0], Fails()]), run_eagerly=True))
    before, _ = model.get_weights(), calls.clear()
    with pytest.raises(RuntimeError, match="out of memory"):
        model.train_on_batch(*data())
    assert_same(model.get_weights(), before, atol=0)


def test_frozen_weights_neither_move_nor_count():
    def make(frozen):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(8), linear().layers[0]])
        model.layers[0].set_weights([np.eye(8), np.zeros(8)])
        model.layers[0].trainable = not frozen
        return model

    frozen = sam(compiled(make(True)), 0.5)
    expected, _ = twin(frozen.layers[1].get_weights(), batches(), 0.5, False)
    fit(frozen)
    assert_same(frozen.layers[1].get_weights(), expected)
    np.testing.assert_array_equal(frozen.layers[0].get_weights()[0], np.eye(8))


# -- precision -------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_goes_about_where_the_twin_goes(policy):
    """Half precision in both passes, and the loss scale in no more than the gradients."""
    model = sam(compiled(linear(policy=policy)), 0.5)
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer) == (policy == "mixed_float16")
    expected, _ = twin(model.get_weights(), batches(), 0.5, False)
    fit(model)
    assert_same(weights(model), expected, atol=0.05 if policy == "mixed_bfloat16" else 0.005)


@pytest.mark.parametrize("adaptive", [False, True])
def test_the_distance_does_not_depend_on_the_loss_scale(adaptive):
    scaled = keras.optimizers.LossScaleOptimizer(momentum(), initial_scale=2.0**20, dynamic_growth_steps=3)
    model = sam(compiled(linear(), scaled), 0.5, adaptive)
    expected, _ = twin(model.get_weights(), batches(), 0.5, adaptive)
    fit(model)
    assert_same(weights(model), expected)


def test_a_step_whose_first_gradients_overflow_is_skipped():
    scaled = keras.optimizers.LossScaleOptimizer(momentum(), initial_scale=2.0**40)
    model = sam(compiled(linear(policy="mixed_float16"), scaled, jit_compile=False), 0.5)
    before = model.get_weights()
    model.train_on_batch(*data())
    assert_same(model.get_weights(), before, atol=0)
    assert float(ops.convert_to_numpy(model.optimizer.dynamic_scale)) == 2.0**39
    for _ in range(30):
        model.train_on_batch(*data())
    assert np.any(model.get_weights()[0] != before[0])
    assert np.all(np.isfinite(model.get_weights()[0]))


def test_without_a_gradient_nothing_goes_up():
    model = sam(compiled(linear(), loss=lambda y, y_pred: 0.0 * ops.mean(y_pred)), 0.5)
    before = model.get_weights()
    fit(model)
    assert_same(model.get_weights(), before, atol=0)


def test_huge_gradients_have_a_norm():
    model = sam(
        compiled(linear(), keras_optims.GradientDescent(0.0), loss=lambda y, y_pred: 1e30 * CROSS_ENTROPY(y, y_pred)), 0.5
    )
    assert np.all(np.isfinite(fit(model).history["loss"]))
    assert np.all(np.isfinite(model.get_weights()[0]))


# -- all optimizers and models ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: keras.optimizers.Adam(0.01, use_ema=True, clipnorm=0.1),
        lambda: keras_optims.ScheduleFreeAdamW(0.01),
        lambda: keras_optims.Lion(0.01, cautious=True, rules=[keras_optims.Rule("bias", weight_decay=0.1)]),
    ],
)
def test_any_optimizer_takes_the_second_gradient(make):
    """By a linear loss, whose second gradient is the first one."""
    trained = []
    for rho in (None, 1.0):
        model = compiled(linear(), make(), loss=shifted_loss)
        if rho is not None:
            sam(model, rho)
        fit(model)
        trained.append(weights(model))
    assert_same(*trained)


def functional():
    inputs = keras.Input((8,))
    return keras.Model(inputs, linear().layers[0](inputs))


def subclassed():
    class Subclassed(keras.Model):
        def __init__(self, head):
            super().__init__()
            self.head = head

        def call(self, x):
            return self.head(x)

    return Subclassed(linear().layers[0])


def unbuilt():
    """Built by the first batch, by weights that the seed determines; they are those of `twin_of_unbuilt`."""
    return keras.Sequential([keras.layers.Dense(4, kernel_initializer="ones", bias_initializer="ones")])


@pytest.mark.parametrize("way", ["fit", "train_on_batch"])
@pytest.mark.parametrize("make", [functional, subclassed, unbuilt])
@pytest.mark.parametrize("is_compiled_before", [False, True])
def test_any_model_may_be_given_before_and_after_compile(make, way, is_compiled_before):
    start = [np.ones((8, 4)), np.ones(4)] if make is unbuilt else linear().get_weights()
    model = make()
    model = sam(compiled(model), 0.5) if is_compiled_before else compiled(sam(model, 0.5))
    expected, _ = twin(start, batches(), 0.5, False)
    if way == "fit":
        fit(model)
    else:
        for batch in batches():
            model.train_on_batch(*batch)
    assert_same(weights(model), expected)


WAYS = {
    "compiled": {"jit_compile": True},
    "not compiled": {"jit_compile": False},
    "eager": {"run_eagerly": True},
    "several steps": {"steps_per_execution": 3},
    "several steps, compiled": {"steps_per_execution": 4, "jit_compile": True},
}


@pytest.mark.parametrize("way", [way for way in WAYS if BACKEND != "torch" or way in ("not compiled", "eager")])
def test_any_way_of_execution_does_the_same(way):
    model = sam(compiled(linear(), **WAYS[way]), 0.5)
    expected, _ = twin(model.get_weights(), batches(), 0.5, False)
    fit(model)
    assert_same(weights(model), expected)


@pytest.mark.slow
@pytest.mark.backend("torch")
@pytest.mark.filterwarnings("ignore")  # torch's compiler warns of what it looks through
def test_what_torch_compiles_does_the_same(monkeypatch):
    """As it is traced; the code that is made of it is torch's matter."""
    import torch

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    model = sam(compiled(linear(), jit_compile=True), 0.1)
    expected, _ = twin(model.get_weights(), batches(), [0.1] * 3 + [2.0] * 5, False)
    fit(model, callbacks=[NewRho(3, 2.0)])
    assert_same(weights(model), expected)


def test_embeddings_go_up_as_dense_kernels_do():
    rng = np.random.default_rng(0)
    rows, y = rng.integers(0, 6, (64, 2)), rng.integers(0, 4, 64)
    table = rng.normal(size=(8, 8)).astype("float32")

    def model_of(layer, count):
        head = linear().layers[0]
        layer.build((2, *count))
        layer.set_weights([table])
        model = keras.Sequential([keras.Input((2, *count)), layer, keras.layers.GlobalAveragePooling1D(), head])
        return sam(compiled(model, keras_optims.GradientDescent(0.5)), 0.5)

    embedded = model_of(keras.layers.Embedding(8, 8), ())
    fit(embedded, x=rows, y=y)
    dense = model_of(keras.layers.Dense(8, use_bias=False), (8,))
    fit(dense, x=np.eye(8, dtype="float32")[rows], y=y)
    assert_same(weights(embedded), weights(dense))
    np.testing.assert_array_equal(weights(embedded)[0][6:], table[6:])


@pytest.mark.backend("tensorflow")
def test_an_optimizer_gets_sparse_gradients_of_embeddings():
    """Rows that a batch has not used stay, though they have a velocity."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Embedding(8, 8), keras.layers.Flatten(), keras.layers.Dense(4)])
    sam(compiled(model, momentum(global_clipnorm=1.0)), 0.5)
    y = np.arange(16) % 4
    model.train_on_batch(np.full((16, 2), 5), y)
    before = weights(model)[0]
    model.train_on_batch(np.full((16, 2), 3), y)
    assert np.any(weights(model)[0][3] != before[3])
    np.testing.assert_array_equal(weights(model)[0][5], before[5])


def test_a_recurrent_model_with_dropout_trains():
    keras.utils.set_random_seed(0)
    layers = [keras.layers.LSTM(6, dropout=0.2, recurrent_dropout=0.2, return_sequences=True), keras.layers.GRU(4, dropout=0.2)]
    model = sam(compiled(keras.Sequential([keras.Input((5, 3)), *layers]), keras_optims.Adam(0.05)), 0.05)
    x = np.random.default_rng(0).normal(size=(64, 5, 3)).astype("float32")
    losses = fit(model, x=x, epochs=6).history["loss"]
    assert losses[-1] < losses[0]


def test_a_model_without_trainable_weights_is_warned_of():
    model = sam(compiled(linear()), 0.5)
    model.trainable = False
    compiled(model)
    if BACKEND == "jax":  # as Keras, which takes no step there
        return
    with pytest.warns(UserWarning, match="does not have any trainable weights"):
        model.train_on_batch(*data())


# -- rho, again ------------------------------------------------------------------------------------


class NewRho(keras.callbacks.Callback):
    """Another ρ after some batches."""

    def __init__(self, at, rho, adaptive=False):
        super().__init__()
        self.at, self.rho, self.adaptive, self.functions = at, rho, adaptive, []

    def on_train_batch_end(self, batch, logs=None):
        self.functions.append(self.model.train_function)
        if len(self.functions) == self.at:
            sam(self.model, self.rho, self.adaptive)


def test_a_new_rho_is_used_from_the_next_step_on():
    model = sam(compiled(linear()), 0.1)
    expected, _ = twin(model.get_weights(), batches(), [0.1] * 3 + [2.0] * 5, False)
    callback = NewRho(3, 2.0)
    fit(model, callbacks=[callback])
    assert_same(weights(model), expected)
    assert len(set(map(id, callback.functions))) == 1


def test_adaptive_may_change_between_two_steps():
    model = sam(compiled(linear()), 2.0)
    expected, _ = twin(model.get_weights(), batches(), 2.0, [False] * 3 + [True] * 5)
    fit(model, callbacks=[NewRho(3, 2.0, adaptive=True)])
    assert_same(weights(model), expected)


def test_another_compile_is_used():
    model = sam(compiled(linear()), 0.5)
    start = model.get_weights()
    fit(model)
    model.set_weights(start)
    fit(compiled(model, keras_optims.Momentum(0.5), loss=shifted_loss))
    other = compiled(linear(), loss=shifted_loss)
    fit(other)
    assert_same(weights(model), weights(other))


# -- saving, and the rest of the library ------------------------------------------------------------


def test_a_loaded_model_trains_plainly_until_sam_is_called_again(tmp_path):
    model = sam(compiled(linear()), 0.5)
    fit(model)
    model.save(tmp_path / "model.keras")
    loaded, plain = (keras.models.load_model(tmp_path / "model.keras") for _ in range(2))
    assert len(loaded.variables) == len(model.variables) == 2
    sam(loaded, 0.5)
    for each in (model, loaded, plain):
        fit(each)
    assert_same(weights(loaded), weights(model), atol=1e-6)
    assert np.max(np.abs(weights(plain)[0] - weights(model)[0])) > 1e-3
    for other in (plain, keras.models.clone_model(model)):
        assert "train_step" not in vars(other)


def test_steps_are_logged(tmp_path):
    model, other = (sam(compiled(linear()), 0.5) for _ in range(2))
    fit(model, callbacks=[keras_optims.StepLogger(csv=tmp_path / "steps.csv", every=2)])
    fit(other)
    assert len((tmp_path / "steps.csv").read_text().splitlines()) == 1 + 2 * 4
    assert_same(weights(model), weights(other), atol=1e-6)


def test_compiled_epochs_of_a_search_leave_it_to_keras():
    from tuning.training import epochs

    x, y = data()
    model = compiled(linear())
    assert epochs.why_not(model, x, y, None, ()) is None
    sam(model, 0.5)
    assert epochs.why_not(model, x, y, None, ()) is not None
    expected, _ = twin(model.get_weights(), batches(), 0.5, False)
    epochs.fit(model, x, y, batch_size=BATCH, epochs=2, shuffle=False)
    assert_same(weights(model), expected)


# -- what is refused -------------------------------------------------------------------------------


class OwnStep(keras.Model):
    def train_step(self, *arguments):
        return super().train_step(*arguments)

    def call(self, x):
        return x


@pytest.mark.parametrize(
    ("error", "arguments", "sentence"),
    [
        (TypeError, lambda: (keras_optims.Adam(),), r"sam\(model\) takes a keras.Model; received"),
        (ValueError, lambda: (OwnStep(),), "OwnStep has one of its own, which would no longer run"),
        (ValueError, lambda: (linear(), 0.0), r"rho must be a positive finite number \(as float32\); received 0.0"),
        (ValueError, lambda: (linear(), -0.1), "received -0.1"),
        (ValueError, lambda: (linear(), float("nan")), "received nan"),
        (ValueError, lambda: (linear(), 1e-60), "received 1e-60"),
        (ValueError, lambda: (linear(), 10**400), "received 1"),
        (ValueError, lambda: (linear(), True), "received True"),
        (ValueError, lambda: (linear(), "0.05"), "received '0.05'"),
        (TypeError, lambda: (linear(), 0.1, 1), "adaptive must be True or False; received 1"),
    ],
)
def test_what_cannot_be_is_refused_by_a_sentence(error, arguments, sentence):
    arguments = arguments()
    with pytest.raises(error, match=sentence):
        sam(*arguments)
    assert "train_step" not in vars(arguments[0])


def test_a_refused_rho_leaves_the_one_before():
    model = sam(compiled(linear()), 0.5)
    with pytest.raises(ValueError, match="rho must be"):
        sam(model, -1.0)
    expected, _ = twin(model.get_weights(), batches(), 0.5, False)
    fit(model)
    assert_same(weights(model), expected)


@pytest.mark.backend("tensorflow")
def test_a_weight_that_is_read_past_keras_is_named():
    import tensorflow as tf

    class Past(keras.layers.Dense):
        def call(self, x):
            return tf.matmul(x, self.kernel._value)

    model = sam(compiled(keras.Sequential([keras.Input((8,)), Past(4)], name="m"), run_eagerly=True))
    with pytest.raises(ValueError, match=r"cannot train .*kernel.*past Keras"):
        model.train_on_batch(*data())
