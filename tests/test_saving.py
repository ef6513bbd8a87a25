"""Saving and loading: by name, exact, and training goes on bit for bit."""

import pathlib

import keras
import numpy as np
import pytest

import keras_optims
from tests.models import compiled, data, dense_model, fit, weights
from tests.variants import BY_NAME, OF_EACH_SCOPE

MORE = {
    "ema": {"use_ema": True, "ema_overwrite_frequency": 3},
    "accumulation": {"gradient_accumulation_steps": 3},
    "decay and clipping": {"weight_decay": 0.01, "global_clipnorm": 1.0},
    "schedule": {"learning_rate": keras.optimizers.schedules.ExponentialDecay(0.01, 2, 0.9)},
}


def steps(model, number, start=0):
    """Single steps, so that accumulation can stop in its middle."""
    x, y = data(256)
    for i in range(start, start + number):
        model.train_on_batch(x[16 * (i % 16) : 16 * (i % 16) + 16], y[16 * (i % 16) : 16 * (i % 16) + 16])


def assert_equal(model, other):
    for ours, theirs in zip(weights(model), weights(other), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for ours, theirs in zip(model.optimizer.variables, other.optimizer.variables, strict=True):
        np.testing.assert_array_equal(np.array(ours), np.array(theirs))


def optimizers():
    """Those with the fewest and the most slots; on TensorFlow also one of each scope, and those with state of other kinds."""
    extremes = [BY_NAME[name] for name in ("gradient_descent", "adagrad", "centered rmsprop with momentum", "amsgrad")]
    others = [BY_NAME[name] for name in ("nadam", "adafactor", "soap", "schedule_free_adamw")]
    for variant in {variant.name: variant for variant in [*extremes, *OF_EACH_SCOPE, *others]}.values():
        marks = () if variant in extremes else pytest.mark.backend("tensorflow")
        yield pytest.param(variant.optimizer, id=str(variant), marks=marks)
    for name, arguments in MORE.items():
        yield pytest.param(lambda arguments=arguments: keras_optims.Adam(**arguments), id=name)


@pytest.mark.parametrize("make", list(optimizers()))
def test_training_goes_on_bit_for_bit_from_a_saved_model(make, tmp_path):
    model = compiled(make())
    steps(model, 5)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.optimizer) is type(model.optimizer)
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    for each in (model, loaded):
        steps(each, 7, start=5)
    assert_equal(loaded, model)


def test_saving_changes_nothing(tmp_path):
    uninterrupted, model = (compiled(keras_optims.Adam(**MORE["ema"])) for _ in range(2))
    steps(uninterrupted, 12)
    steps(model, 5)
    model.save(tmp_path / "model.keras")
    steps(model, 7, start=5)
    assert_equal(model, uninterrupted)


def test_saving_computes_nothing(tmp_path, monkeypatch):
    """Keras reads every attribute of the optimizer, and on JAX the first read of this one took a tenth of a second."""
    read = []
    monkeypatch.setattr(keras_optims.Optimizer, "step_number", property(read.append))
    model = compiled(keras_optims.SGD())
    model.save(tmp_path / "model.keras")
    assert not read
    assert model.optimizer.step_number is None
    assert read


@pytest.mark.parametrize("make", [of for of in optimizers() if of.id in ("adam", "adagrad", *MORE)])
def test_training_begins_bit_for_bit_from_a_model_saved_before_its_first_step(make, tmp_path):
    uninterrupted, model = compiled(make()), compiled(make())
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    steps(loaded, 5)
    steps(uninterrupted, 5)
    assert_equal(loaded, uninterrupted)


def test_the_state_of_the_beginning_is_no_state_of_an_optimizer_that_has_trained():
    begun, trained = keras_optims.Adam(beta_1=0.5), compiled(keras_optims.Adam())
    fit(trained)
    with pytest.raises(ValueError, match="missing from it: first_moment/"):
        trained.optimizer.load_state(begun)
    fresh = keras_optims.Adam()
    fresh.build(trained.trainable_variables)
    assert "first_moment/" not in "".join(fresh.load_state(begun).taken)
    assert float(fresh.beta_1) == 0.5


@pytest.mark.parametrize("build_first", [True, False])
def test_training_goes_on_bit_for_bit_from_a_weights_file(build_first, tmp_path):
    uninterrupted, model = compiled(keras_optims.Adam()), compiled(keras_optims.Adam())
    steps(uninterrupted, 12)
    steps(model, 5)
    model.save_weights(tmp_path / "model.weights.h5")
    loaded = compiled(keras_optims.Adam(), dense_model(seed=7))  # its layers have other made-up names
    if build_first:
        loaded.optimizer.build(loaded.trainable_variables)
    loaded.load_weights(tmp_path / "model.weights.h5")
    steps(loaded, 7, start=5)
    assert_equal(loaded, uninterrupted)


def test_a_changed_hyperparameter_is_saved(tmp_path):
    model = compiled(keras_optims.Adam(beta_1=0.9))
    fit(model)
    model.optimizer.beta_1 = 0.7
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.get_config()["beta_1"] == 0.7
    assert float(loaded.optimizer.beta_1) == np.float32(0.7)


def test_a_fresh_process_loads_a_model_after_importing_the_package(tmp_path, forks):
    model = compiled(keras_optims.AdamW())
    fit(model)
    model.save(tmp_path / "model.keras")
    (tmp_path / "load.py").write_text(
        "import keras\nimport keras_optims\nprint(type(keras.models.load_model('model.keras').optimizer))"
    )
    _, output = forks.run(tmp_path, "load.py")
    assert output.splitlines()[-1] == "<class 'keras_optims.algorithms.adamw.AdamW'>"


def test_serialize_and_deserialize_make_ours():
    optimizer = keras_optims.Adam(0.5)
    config = keras.saving.serialize_keras_object(optimizer)
    assert type(keras.saving.deserialize_keras_object(config)) is keras_optims.Adam


class Store(dict):
    """What Keras hands to `save_own_variables`, in memory."""


def saved(optimizer, names):
    variables = [keras.Variable(np.full((i + 2,), i, "float32"), name=name) for i, name in enumerate(names)]
    optimizer.build(variables)
    for i, variable in enumerate(optimizer.velocity.variables):
        variable.assign(np.full(variable.shape, 10 + i, "float32"))
    store = Store()
    optimizer.save_own_variables(store)
    return store


def restored(optimizer, store, names, lengths):
    optimizer.build([keras.Variable(np.zeros(n, "float32"), name=name) for name, n in zip(names, lengths, strict=True)])
    optimizer.load_own_variables(store)
    return [float(np.array(v)[0]) for v in optimizer.velocity.variables]


def test_state_finds_its_variable_whatever_the_order():
    store = saved(keras_optims.Momentum(), ["a", "b", "c"])
    assert restored(keras_optims.Momentum(), store, ["c", "a", "b"], [4, 2, 3]) == [12, 10, 11]


def test_state_finds_its_variable_where_made_up_names_differ():
    store = saved(keras_optims.Momentum(), ["dense_9", "dense_10"])
    assert restored(keras_optims.Momentum(), store, ["dense", "dense_1"], [2, 3]) == [10, 11]


@pytest.mark.parametrize(
    ("names", "lengths", "message"),
    [
        (["a", "b", "head"], [2, 3, 4], r"missing from it: velocity/head; without a place in the optimizer: velocity/c"),
        (["a", "b"], [2, 3], r"missing from it: nothing; without a place in the optimizer: velocity/c"),
        (["a", "b", "c"], [2, 3, 5], r"velocity/c has shape \(5,\), but shape \(4,\) was saved"),
    ],
)
def test_state_that_does_not_fit_is_an_error_that_names_the_difference(names, lengths, message):
    store = saved(keras_optims.Momentum(), ["a", "b", "c"])
    optimizer = keras_optims.Momentum()
    with pytest.raises(ValueError, match=message):
        restored(optimizer, store, names, lengths)
    assert all(float(np.array(v).sum()) == 0 for v in optimizer.velocity.variables)


def test_state_of_another_algorithm_is_an_error():
    store = saved(keras_optims.Momentum(), ["a"])
    optimizer = keras_optims.Adam()
    optimizer.build([keras.Variable(np.zeros(2, "float32"), name="a")])
    with pytest.raises(ValueError, match="first_moment/a"):
        optimizer.load_own_variables(store)


def test_loading_weights_of_a_model_with_another_optimizer_says_what_does_not_fit(tmp_path):
    model = compiled(keras_optims.Momentum())
    fit(model)
    model.save_weights(tmp_path / "model.weights.h5")
    other = compiled(keras_optims.Adam())
    other.optimizer.build(other.trainable_variables)
    with pytest.raises(ValueError, match="first_moment"):
        other.load_weights(tmp_path / "model.weights.h5")


def test_scalars_come_after_iteration_and_before_the_slots():
    optimizer = keras_optims.Adam(weight_decay=0.1)
    optimizer.build([keras.Variable(np.zeros(2, "float32"), name="theta")])
    names = [v.name for v in optimizer.variables]
    assert names[:2] == ["iteration", "learning_rate"]
    assert names[-2:] == ["theta_first_moment", "theta_second_moment"]
    assert {"beta_1", "beta_2", "epsilon", "weight_decay"} <= set(names[2:-2])
    scalars = [v for v in optimizer.variables if v.name in ("learning_rate", "beta_1", "beta_2", "epsilon", "weight_decay")]
    assert all(v.shape == () and v.dtype == "float32" for v in scalars)


SAVED = pathlib.Path(__file__).parent / "saved_models"


@pytest.mark.skipif(keras.__version__ < "3.15", reason="they were saved with Keras 3.15, whose layers no older Keras knows")
@pytest.mark.parametrize("name", ["gradient_descent", "momentum", "adagrad", "rmsprop", "adam", "adamw"])
def test_a_model_saved_by_an_earlier_version_goes_on_training(name):
    """Saved on TensorFlow after an epoch, when each algorithm was a module of its own in `keras_optims`."""
    model = keras.models.load_model(SAVED / f"{name}.keras")
    assert type(model.optimizer) is keras_optims.OPTIMIZERS[name]
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 3)).astype("float32"), rng.normal(size=(20, 1)).astype("float32")
    model.fit(x, y, batch_size=4, epochs=1, shuffle=False, verbose=0)
    after = np.load(SAVED / "after_another_epoch.npz")
    for variable in model.weights:
        np.testing.assert_allclose(np.array(variable), after[f"{name}|saved/{variable.path}"], rtol=1e-5, atol=1e-6)
