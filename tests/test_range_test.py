"""The range test: what it finds of known losses, that it leaves no trace, and what it refuses."""

import keras
import numpy as np
import pytest

import keras_optims
from keras_optims.callbacks.sweep import Sweep
from tests.models import compiled, data, dense_model, fit

BACKEND = keras.backend.backend()
RULES = [keras_optims.Rule("bias", learning_rate=0.01)]


def everything(model):
    """All state of a model and its optimizer, and what the optimizer says of itself."""
    variables = [*model.variables, *model.optimizer.variables]
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables], model.optimizer.get_config()


def assert_same(before, after):
    for one, other in zip(before[0], after[0], strict=True):
        np.testing.assert_array_equal(one, other)
    assert before[1] == after[1]


def run(test, model, **arguments):
    x, y = data()
    return test.run(model, x, y, batch_size=16, shuffle=False, **arguments)


def swept(losses, values=None, **changes):
    values = np.geomspace(1e-4, 1, len(losses)) if values is None else values
    arguments = {"hyperparameter": "learning_rate", "symbol": "η", "scale": "log", "diverged": False, "smoothing": 0.04}
    return Sweep(**{**arguments, "values": tuple(values), "losses": tuple(losses), "planned": len(losses), **changes})


# -- what follows from the losses -----------------------------------------------------------------


@pytest.mark.backend("tensorflow")
def test_the_steepest_descent_and_the_minimum_of_a_known_curve_are_found():
    place = np.linspace(-4, 0, 100)  # log10 of the rate: falls around -2, rises behind -1
    losses = 2 - 1.5 / (1 + np.exp(-6 * (place + 2))) + 3 / (1 + np.exp(-8 * (place + 0.5)))
    noisy = losses + np.random.default_rng(0).normal(scale=0.05, size=100)
    sweep = swept(noisy)
    assert 0.005 < sweep.value < 0.02
    assert 0.02 < sweep.minimum < 0.12
    low, high = sweep.range
    assert low < sweep.value < high
    assert 0.001 < low < 0.006
    assert sweep.search == f"learning_rate={low:g}:{high:g}:log"
    flat = slice(10, 30)  # where smoothing bends nothing
    assert np.std((np.array(sweep.smoothed) - losses)[flat]) < 0.5 * np.std((noisy - losses)[flat])
    assert swept(noisy - 5).minimum == sweep.minimum  # losses may be negative


@pytest.mark.backend("tensorflow")
@pytest.mark.parametrize("losses", [[1.0] * 50, np.random.default_rng(1).normal(size=50) + 5, np.linspace(1, 2, 50), [3.0, 2.0]])
def test_nothing_is_suggested_where_the_loss_does_not_clearly_fall(losses):
    sweep = swept(losses)
    assert sweep.value is sweep.minimum is sweep.range is sweep.search is None
    assert "nothing is suggested" in str(sweep)


@pytest.mark.backend("tensorflow")
def test_values_are_rounded_on_their_scale_and_a_divergence_at_once_is_said():
    values = 1 - np.geomspace(1, 1e-4, 60)
    sweep = swept(np.linspace(2, 1, 60), values, scale="log1m", hyperparameter="momentum")
    assert sweep.search.endswith(":log1m")
    assert 1 - sweep.range[1] == pytest.approx(float(f"{1 - sweep.range[1]:.2g}"), rel=1e-9)
    assert "the last value" in str(sweep)
    at_once = swept([np.nan], [1.0], diverged=True, planned=20)
    assert at_once.smoothed == []
    assert at_once.diverged_at == 1.0
    assert at_once.to_json()["losses"] == [None]


@pytest.mark.backend("tensorflow")
def test_markup_in_a_name_is_text_in_a_notebook():
    sweep = swept(np.linspace(2, 1, 40), hyperparameter="<script>x</script>")
    assert "<script>" not in sweep._repr_html_()
    assert "<svg" in sweep._repr_html_() or BACKEND != "tensorflow"


# -- the test itself ------------------------------------------------------------------------------


def optimizers():
    yield keras_optims.Adam(0.001), {}
    yield keras_optims.SGD(0.05, momentum=0.9), {"hyperparameter": "momentum"}
    yield keras_optims.Adam(rules=RULES), {"rule": 0}
    yield keras_optims.Adam(weight_decay=0.01, gradient_accumulation_steps=2), {"hyperparameter": "weight_decay"}
    yield keras.optimizers.Adam(0.001), {}


@pytest.mark.parametrize("case", range(5))
def test_everything_is_as_before(case):
    """Weights, statistics, seed generators, slots, counts and the exact number; and training goes on as without the test."""
    optimizer, arguments = list(optimizers())[case]
    model = compiled(optimizer, dense_model(dropout=0.3))
    fit(model)
    before = everything(model)
    test = keras_optims.RangeTest(steps=12, **arguments)
    sweep = run(test, model)
    assert_same(before, everything(model))
    assert sweep is test.sweep
    assert len(sweep.losses) <= 12
    assert list(sweep.values) == sorted(sweep.values)
    assert np.isfinite(sweep.losses[0])
    if case == 0:
        assert (sweep.values[0], sweep.scale) == (1e-5, "log")
        fit(model)
        trained = everything(model)
        model = compiled(keras_optims.Adam(0.001), dense_model(dropout=0.3))
        fit(model, epochs=2)
        for one, other in zip(trained[0], everything(model)[0], strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_the_loss_of_a_value_is_that_after_its_update():
    """Against plain steps by hand."""
    model = compiled(keras_optims.GradientDescent(0.1), dense_model())
    sweep = run(keras_optims.RangeTest(low=0.01, high=0.1, steps=10), model)
    x, y = data()
    losses = []
    for place in range(11):
        if place < 10:
            model.optimizer.learning_rate = sweep.values[place]
        batch = slice(16 * (place % 4), 16 * (place % 4) + 16)
        losses.append(float(np.ravel(model.train_on_batch(x[batch], y[batch], return_dict=False))[0]))
        model.reset_metrics()
    np.testing.assert_allclose(sweep.losses, losses[1:], rtol=1e-4)


def test_a_divergence_ends_the_training_and_leaves_nothing():
    model = compiled(keras_optims.SGD(0.1), dense_model())
    before = everything(model)
    test = keras_optims.RangeTest(low=1.0, high=1e12, steps=40)
    x, y = data()
    model.optimizer.build(model.trainable_variables)
    before = everything(model)
    history = model.fit(x, y, batch_size=16, epochs=50, verbose=0, callbacks=[test])
    assert len(history.history["loss"]) < 50
    assert test.sweep.diverged
    assert test.sweep.diverged_at < 1e12
    assert_same(before, everything(model))


class Raises(keras.callbacks.Callback):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def on_train_batch_end(self, batch, logs=None):
        if batch == 2:
            raise self.error


@pytest.mark.parametrize("in_the_step", [True, False])
def test_an_interrupted_test_leaves_nothing(in_the_step):
    model = compiled(keras_optims.Adam(0.001), dense_model(dropout=0.3))
    fit(model)
    before, test = everything(model), keras_optims.RangeTest(steps=20)
    if in_the_step:  # of plain `fit`, without run()
        plain, calls = model.train_function, []

        def interrupted(*arguments):
            calls.append(1)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return plain(*arguments)

        model.train_function = interrupted
        with pytest.raises(KeyboardInterrupt):
            fit(model, epochs=9, callbacks=[test])
        assert model.train_function is interrupted
    else:
        with pytest.raises(KeyboardInterrupt):
            run(test, model, callbacks=[Raises(KeyboardInterrupt())])
    assert test.sweep is None
    assert_same(before, everything(model))


def test_half_precision_with_a_loss_scale(request):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    request.addfinalizer(lambda: keras.config.set_dtype_policy(policy))
    model = compiled(keras_optims.SGD(0.1, momentum=0.9), dense_model())
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    fit(model)
    before = everything(model)
    assert len(run(keras_optims.RangeTest("momentum", steps=10), model).losses) == 10
    assert_same(before, everything(model))


# -- what is refused ------------------------------------------------------------------------------


@pytest.mark.backend("tensorflow")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hyperparameter": 3}, "must be a name"),
        ({"scale": "cubic"}, "scale must be one of"),
        ({"steps": 3}, "steps must be None or an int of at least 10"),
        ({"rule": -1}, "rule must be"),
        ({"low": float("nan")}, "low must be None or a finite number"),
        ({"divergence": 0}, "divergence must be a number in"),
        ({"smoothing": 2.0}, "smoothing must be a number in"),
    ],
)
def test_wrong_arguments_are_one_sentence(arguments, message):
    with pytest.raises(ValueError, match=message):
        keras_optims.RangeTest(**arguments)


@pytest.mark.backend("tensorflow")
@pytest.mark.parametrize(
    ("optimizer", "arguments", "message"),
    [
        (lambda: keras_optims.Adam(), {"hyperparameter": "beta1"}, r"has no hyperparameter 'beta1'\. Did you mean beta_1\?"),
        (lambda: keras_optims.Adam(), {"hyperparameter": "weight_decay"}, "is off"),
        (lambda: keras_optims.Adam(keras_optims.schedules.Cosine(0.1, 100)), {}, "follows Cosine"),
        (lambda: keras.optimizers.Adam(), {"hyperparameter": "beta_1"}, "only learning_rate can be swept"),
        (lambda: keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.1, 9)), {}, "follows .*CosineDecay"),
        (lambda: keras_optims.Adam(), {"rule": 0}, "rule must be less than 0"),
        (lambda: keras_optims.Adam(), {"low": 1.0, "high": 0.1}, "finite LOW < HIGH"),
        (
            lambda: keras_optims.Adam(),
            {"hyperparameter": "beta_1", "low": 0.5, "high": 1.5, "scale": "linear"},
            "must be .*number in",
        ),
        (lambda: keras_optims.Adam(), {"steps": 50}, "needs 51 batches, and this training has 36"),
    ],
)
def test_what_cannot_be_swept_is_one_sentence(optimizer, arguments, message):
    model = compiled(optimizer(), dense_model())
    with pytest.raises(ValueError, match=message):
        fit(model, epochs=9, callbacks=[keras_optims.RangeTest(**arguments)])


@pytest.mark.backend("tensorflow")
def test_a_training_that_ends_early_is_said():
    model = compiled(keras_optims.Adam(), dense_model())
    stops = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: setattr(model, "stop_training", True))
    with pytest.warns(UserWarning, match="ended after 3 of 15 values"):
        fit(model, epochs=4, callbacks=[stops, keras_optims.RangeTest()])
    with pytest.raises(ValueError, match="as many epochs as the sweep needs"):
        keras_optims.RangeTest().run(model, *data(), epochs=3)
