"""Averaged weights: kept beside those that are trained, put in their place to evaluate and save, never at their cost."""

import contextlib

import keras
import numpy as np
import pytest

import keras_optims
from keras_optims.testing.compiled_step import CompiledStep, as_numpy
from tests.models import compiled, data, dense_model, fit, weights
from tests.stepping import state_of

AVERAGING = {"use_ema": True, "ema_momentum": 0.8}


def averaging():
    return compiled(keras_optims.Adam(0.05, **AVERAGING))


def averages(optimizer):
    return [as_numpy(average) for average in optimizer._untracked.average.variables]


def trainable(model):
    return [as_numpy(variable) for variable in model.trainable_variables]


def assert_same(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)


def assert_different(ours, theirs):
    assert max(np.abs(one - other).max() for one, other in zip(ours, theirs, strict=True)) > 1e-3


@pytest.mark.parametrize("with_callback", [False, True])
def test_training_twice_is_training_for_twice_as_long(with_callback):
    once, twice = averaging(), averaging()
    for model, parts in ((once, [2]), (twice, [1, 1])):
        for epochs in parts:
            callbacks = [keras_optims.AveragedWeights(at_epoch_end=True)] if with_callback else []
            fit(model, epochs, callbacks=callbacks, validation_data=data() if with_callback else None)
    assert_same(weights(once), weights(twice))
    assert_same(state_of(once.optimizer).values(), state_of(twice.optimizer).values())
    assert_different(trainable(once), averages(once.optimizer))
    without = compiled(keras_optims.Adam(0.05))
    fit(without, 2)
    assert_same(weights(once), weights(without))  # keeping averages and looking at them changes no training


class Seen(keras.callbacks.Callback):
    """The trainable weights that a callback finds."""

    def __init__(self):
        super().__init__()
        self.at = {}

    def on_test_begin(self, logs=None):
        self.at["test"] = trainable(self.model)

    def on_epoch_end(self, epoch, logs=None):
        self.at["epoch end"] = trainable(self.model)

    def on_train_end(self, logs=None):
        self.at["train end"] = trainable(self.model)


@pytest.mark.parametrize("at_epoch_end", [False, True])
def test_the_callback_validates_the_averages_and_gives_the_weights_back(at_epoch_end):
    model, seen = averaging(), Seen()
    callbacks = [keras_optims.AveragedWeights(at_epoch_end=at_epoch_end), seen]
    history = fit(model, 2, validation_data=data(), callbacks=callbacks).history
    assert_same(seen.at["test"], averages(model.optimizer))
    assert_same(seen.at["epoch end"], averages(model.optimizer) if at_epoch_end else trainable(model))
    assert_same(seen.at["train end"], trainable(model))
    assert_different(trainable(model), averages(model.optimizer))
    of_weights = model.evaluate(*data(), batch_size=16, verbose=0)
    with model.optimizer.averaged_weights():
        of_averages = model.evaluate(*data(), batch_size=16, verbose=0)
    assert history["val_loss"][-1] == pytest.approx(of_averages, rel=1e-5)
    assert abs(of_weights - of_averages) > 1e-4
    assert model.evaluate(*data(), batch_size=16, verbose=0) == of_weights


@pytest.mark.parametrize("weights_only", [False, True])
def test_a_model_saved_with_its_averages_trains_on_bit_for_bit(weights_only, tmp_path):
    uninterrupted, model = averaging(), averaging()
    fit(uninterrupted, 2)
    file = tmp_path / ("model.weights.h5" if weights_only else "model.keras")
    saving = keras.callbacks.ModelCheckpoint(file, save_weights_only=weights_only)
    fit(model, 1, callbacks=[keras_optims.AveragedWeights(at_epoch_end=True), saving])
    if weights_only:
        loaded = averaging()
        loaded.load_weights(file)
    else:
        loaded = keras.models.load_model(file)
    assert_same(trainable(loaded), averages(model.optimizer))
    fit(loaded, 1, callbacks=[keras_optims.AveragedWeights()])
    assert_same(trainable(loaded), trainable(uninterrupted))
    assert_same(averages(loaded.optimizer), averages(uninterrupted.optimizer))


def walking(start, dtype="float32", **arguments):
    variable = keras.Variable(np.full(3, start, "float32"), dtype=dtype, name="theta")
    optimizer = keras_optims.GradientDescent(0.1, use_ema=True, ema_momentum=0.5, **arguments)
    return variable, optimizer, CompiledStep(optimizer, [variable])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_context_gives_back_what_was_there_even_after_an_error(dtype):
    variable, optimizer, step = walking(1.0, dtype)
    for _ in range(3):
        step([np.full(3, 0.3, "float32")])
    before = [as_numpy(variable), *averages(optimizer)]
    with contextlib.suppress(KeyError), optimizer.averaged_weights():
        np.testing.assert_allclose(as_numpy(variable), before[1], rtol=1e-7 if dtype == "float32" else 1e-2)
        with optimizer.averaged_weights():  # it is so already
            assert optimizer.weights_are_averaged
        assert optimizer.weights_are_averaged
        raise KeyError
    assert not optimizer.weights_are_averaged
    assert_same([as_numpy(variable), *averages(optimizer)], before)


def test_before_the_first_update_the_average_is_the_weight_itself():
    variable, optimizer, step = walking(1.0, gradient_accumulation_steps=2)
    step([np.ones(3, "float32")])  # half of an update
    with optimizer.averaged_weights():
        np.testing.assert_array_equal(as_numpy(variable), 1)
    np.testing.assert_array_equal(as_numpy(variable), 1)
    step([np.ones(3, "float32")])
    np.testing.assert_allclose(averages(optimizer)[0], 0.9, rtol=1e-6)


def test_training_on_averages_begins_a_new_average_there():
    variable, optimizer, step = walking(1.0)
    for _ in range(3):  # 0.9, 0.8, 0.7; averages 0.9, 0.85, 0.775
        step([np.ones(3, "float32")])
    optimizer.swap_averaged_weights()
    np.testing.assert_allclose(as_numpy(variable), 0.775, rtol=1e-6)
    step([np.ones(3, "float32")])
    assert not optimizer.weights_are_averaged
    np.testing.assert_allclose([as_numpy(variable)[0], averages(optimizer)[0][0]], 0.675, rtol=1e-6)
    step([np.ones(3, "float32")])
    np.testing.assert_allclose(averages(optimizer)[0], 0.625, rtol=1e-6)


def test_training_inside_of_the_context_ends_it():
    variable, optimizer, step = walking(1.0)
    for _ in range(3):
        step([np.ones(3, "float32")])
    with optimizer.averaged_weights():
        step([np.ones(3, "float32")])  # from the averages, 0.775
    assert not optimizer.weights_are_averaged
    np.testing.assert_allclose(as_numpy(variable), 0.675, rtol=1e-6)


def test_every_so_many_updates_the_weights_become_their_average():
    variable, optimizer, step = walking(1.0, ema_overwrite_frequency=3)
    path = []
    for _ in range(6):
        step([np.ones(3, "float32")])
        path.append((as_numpy(variable)[0], averages(optimizer)[0][0]))
    expected = [(0.9, 0.9), (0.8, 0.85), (0.775, 0.775), (0.675, 0.725), (0.575, 0.65), (0.5625, 0.5625)]
    np.testing.assert_allclose(path, expected, rtol=1e-6)


def test_while_averages_are_in_place_their_slot_holds_the_weights_that_are_trained():
    variable, optimizer, step = walking(1.0)
    for _ in range(3):
        step([np.ones(3, "float32")])
    trained, names = as_numpy(variable), set(state_of(optimizer))
    with optimizer.averaged_weights():
        assert set(state_of(optimizer)) == names  # nothing is kept twice
        assert_same(averages(optimizer), [trained])


def test_what_its_gradient_overwrites_has_no_average():
    scale, theta = (keras.Variable(np.ones(3, "float32"), name=name) for name in ("scale", "theta"))
    scale.overwrite_with_gradient = True
    optimizer = keras_optims.GradientDescent(0.1, use_ema=True, ema_momentum=0.5)
    step = CompiledStep(optimizer, [scale, theta])
    for size in (None, 1.0, 2.0):  # before the first step, too
        if size is not None:
            step([np.full(3, size, "float32"), np.ones(3, "float32")])
        before = [as_numpy(scale), as_numpy(theta)]
        with optimizer.averaged_weights():
            assert_same([as_numpy(scale)], before[:1])
        assert_same([as_numpy(scale), as_numpy(theta)], before)
    assert [name for name in state_of(optimizer) if "|" in name] == ["average|theta"]


def test_the_callback_goes_on_after_a_training_that_was_broken_off():
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise KeyboardInterrupt

    model, twin = averaging(), averaging()
    with pytest.raises(KeyboardInterrupt):
        fit(model, callbacks=[keras_optims.AveragedWeights(at_epoch_end=True), Stop()])
    assert model.optimizer.weights_are_averaged
    fit(model, callbacks=[keras_optims.AveragedWeights()])
    fit(twin, 2)
    assert_same(trainable(model), trainable(twin))


def test_under_loss_scaling_the_callback_finds_the_averages():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model, seen = compiled(keras_optims.Adam(0.05, **AVERAGING), dense_model()), Seen()
        fit(model, callbacks=[keras_optims.AveragedWeights(), seen], validation_data=data())
    finally:
        keras.config.set_dtype_policy("float32")
    assert_same(seen.at["test"], averages(model.optimizer.inner_optimizer))
    assert_same(seen.at["train end"], trainable(model))


@pytest.mark.backend("tensorflow")
@pytest.mark.parametrize("optimizer", [keras_optims.Adam(), keras.optimizers.Adam(use_ema=True)])
def test_without_averages_of_ours_the_callback_is_an_error(optimizer):
    with pytest.raises(ValueError, match=r"AveragedWeights needs .* use_ema=True; received Adam"):
        fit(compiled(optimizer), callbacks=[keras_optims.AveragedWeights()])


@pytest.mark.backend("tensorflow")
@pytest.mark.parametrize(
    ("optimizer", "why"), [(keras_optims.Adam(), "has not use_ema"), (keras_optims.Adam(use_ema=True), "is not built")]
)
def test_averages_that_do_not_exist_are_an_error(optimizer, why):
    with pytest.raises(ValueError, match=f"no averaged weights.*{why}"):
        optimizer.swap_averaged_weights()


@pytest.mark.backend("tensorflow")
def test_averaged_weights_do_not_move_to_keras():
    _, optimizer, step = walking(1.0)
    step([np.ones(3, "float32")])
    with optimizer.averaged_weights(), pytest.raises(ValueError, match="swap_averaged_weights"):
        keras_optims.to_keras(optimizer)
    assert isinstance(keras_optims.to_keras(optimizer), keras.optimizers.SGD)
