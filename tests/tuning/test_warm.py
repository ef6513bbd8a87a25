"""A trial that gets a model compiled for another one computes what it computes alone."""

import dataclasses
import itertools

import keras
import keras_tuner
import numpy as np
import pytest

import keras_optims
from tuning import SearchError
from tuning.training import epochs
from tuning.training.assignment import Assignment
from tuning.training.events import EpochEnded, ExecutionEnded, Left
from tuning.training.problem_model import _TestData as EvaluationOfTestData
from tuning.training.trainer import Trainer
from tuning.training.warm import COMPILED_BYTES, WarmModels, adopt, structure

LAYERS = keras.layers


def data():
    x = np.random.default_rng(0).normal(size=(72, 6)).astype("float32")
    return x, (x[:, 0] * x[:, 1] > 0).astype("float32")


def stochastic(hp):
    """Dropout, batch normalization and noise: state of every kind."""
    return keras.Sequential(
        [
            keras.Input((6,)),
            LAYERS.Dense(16, kernel_initializer="he_normal"),
            LAYERS.BatchNormalization(momentum=0.8),
            LAYERS.ReLU(),
            LAYERS.Dropout(0.3),
            LAYERS.GaussianNoise(0.1),
            LAYERS.Dense(1),
        ]
    )


def without_input(hp):
    """A model that learns the shape of its input from the data."""
    return keras.Sequential([LAYERS.Dense(8, activation="relu"), LAYERS.Dropout(0.2), LAYERS.Dense(1)])


class Subclass(keras.Model):
    """A model of one's own, whose configuration is what its constructor was given."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.hidden, self.drop, self.out = LAYERS.Dense(units, activation="tanh"), LAYERS.Dropout(0.2), LAYERS.Dense(1)

    def call(self, x, training=False):
        return self.out(self.drop(self.hidden(x), training=training))

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def compiled(model, optimizer):
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=[keras.metrics.BinaryAccuracy(threshold=0.0, name="accuracy")])
    return model


def rate(hp):
    return hp.Float("learning_rate", 1e-3, 1e-1, sampling="log")


def searched(hp, name, low, high):
    return hp.Float(name, low, high)


CASES = {
    "adam": lambda hp: compiled(stochastic(hp), keras_optims.Adam(rate(hp), beta_1=searched(hp, "beta_1", 0.5, 0.99))),
    "adam on a schedule": lambda hp: compiled(
        stochastic(hp),
        keras_optims.Adam(keras.optimizers.schedules.ExponentialDecay(0.05, 3, 0.9), beta_1=searched(hp, "b", 0.1, 0.9)),
    ),
    "adam on a live schedule": lambda hp: compiled(
        stochastic(hp),
        keras_optims.Adam(keras_optims.schedules.Cosine(rate(hp), steps=6, warmup=searched(hp, "warmup", 0.0, 0.9))),
    ),
    "adam averaged and accumulated": lambda hp: compiled(
        stochastic(hp), keras_optims.Adam(rate(hp), use_ema=True, ema_momentum=0.5, gradient_accumulation_steps=2, clipnorm=1.0)
    ),
    "momentum": lambda hp: compiled(
        stochastic(hp), keras_optims.Momentum(rate(hp), momentum=searched(hp, "momentum", 0.1, 0.9), weight_decay=rate(hp))
    ),
    "adagrad": lambda hp: compiled(stochastic(hp), keras_optims.Adagrad(rate(hp), epsilon=searched(hp, "epsilon", 1e-7, 1e-1))),
    "rmsprop": lambda hp: compiled(stochastic(hp), keras_optims.RMSprop(rate(hp), rho=searched(hp, "rho", 0.5, 0.99))),
    "adam with rules": lambda hp: compiled(
        stochastic(hp), keras_optims.Adam(rate(hp), rules=[keras_optims.LayerwiseDecay(searched(hp, "layerwise", 0.5, 0.9))])
    ),
    "a formula by rule": lambda hp: compiled(
        stochastic(hp),
        keras_optims.Momentum(
            rate(hp),
            rules=[keras_optims.Rule(ndim=1, formula=keras_optims.AdamW(0.01, beta_1=searched(hp, "rule_0_beta_1", 0.5, 0.99)))],
        ),
    ),
    "keras's own adam": lambda hp: compiled(stochastic(hp), keras.optimizers.Adam(rate(hp))),
    "loss scaling": lambda hp: compiled(
        stochastic(hp),
        keras.optimizers.LossScaleOptimizer(keras_optims.Adam(rate(hp)), initial_scale=8.0, dynamic_growth_steps=3),
    ),
    "no input": lambda hp: compiled(without_input(hp), keras_optims.Adam(rate(hp))),
    "a subclass": lambda hp: compiled(Subclass(5), keras_optims.Adam(rate(hp))),
}


class FitByKeras(keras_tuner.HyperModel):
    """With a `fit` of its own, which calls `model.fit`, as KerasTuner's guides show it."""

    def __init__(self, build):
        super().__init__()
        self._build = build

    def build(self, hp):
        return self._build(hp)

    def fit(self, hp, model, *args, **kwargs):
        return model.fit(*args, **kwargs)


class OnlyBuild(keras_tuner.HyperModel):
    def __init__(self, build):
        super().__init__()
        self.build = build


def trainer(hypermodel, **kwargs):
    x, y = data()
    fit = {"validation_data": (x[:20], y[:20]), "batch_size": 16, "epochs": 2, **kwargs}
    objective = keras_tuner.Objective("val_loss", "min")
    return Trainer(hypermodel, objective=objective, search_seed=3, executions=1, fit_args=(x, y), fit_kwargs=fit)


def settings(build, number):
    """The hyperparameters of trial `number`, drawn from what `build` declares."""
    declared = keras_tuner.HyperParameters()
    build(declared)
    generator = np.random.default_rng(number)
    for axis in declared.space:
        declared.values[axis.name] = axis.prob_to_value(generator.uniform(0.01, 0.99))
    return declared


def curve(made, build, number):
    """The learning curve of a trial, and the weights after it."""
    points, models = [], []

    def report(event):
        if isinstance(event, EpochEnded):
            points.append(event.metrics)

    made.run(number, settings(build, number), report, epoch_ended=lambda model, epoch, logs: models.append(model))
    return points, [keras.ops.convert_to_numpy(variable) for variable in models[-1].variables], models[-1]


QUICK = ("adam", "adam on a schedule", "adam on a live schedule", "adam with rules", "a formula by rule", "no input")


FITTED_BY_KERAS = ("adam averaged and accumulated", "loss scaling", "a subclass")
COVERED = ("momentum", "rmsprop")  # by Adam and AdaGrad: of one way of running


def trials():
    for case in [case for case in CASES if case not in COVERED]:
        yield pytest.param(case, OnlyBuild, marks=[] if case in QUICK else pytest.mark.slow, id=case)
    for case in FITTED_BY_KERAS:
        yield pytest.param(case, FitByKeras, marks=pytest.mark.slow, id=f"{case}, fitted by Keras")


@pytest.mark.parametrize(("case", "hypermodel"), list(trials()))
def test_a_warm_trial_is_the_trial_alone_bit_for_bit(case, hypermodel):
    build = CASES[case]
    alone, weights, _ = curve(trainer(hypermodel(build)), build, 2)
    warm = trainer(hypermodel(build))
    first = curve(warm, build, 0)
    again, warm_weights, model = curve(warm, build, 2)
    assert warm.models.hits == 1
    assert model is first[2]
    assert first[0] != again
    assert again == alone
    for one, other in zip(weights, warm_weights, strict=True):
        np.testing.assert_array_equal(one, other)


@keras.saving.register_keras_serializable("test_warm")
class Jitter(LAYERS.Layer):
    """Noise without a generator of its own: it is of the global one."""

    def call(self, x, training=False):
        return x + keras.random.normal(keras.ops.shape(x), stddev=0.1) if training else x


ALSO_CONTINUED = (  # with state of other kinds
    "adam on a live schedule",
    "adam averaged and accumulated",
    "adagrad",
    "a formula by rule",
    "keras's own adam",
    "loss scaling",
    "a subclass",
)
CONTINUED = {
    **{case: CASES[case] for case in ALSO_CONTINUED},
    "noise of the global generator": lambda hp: compiled(
        keras.Sequential([keras.Input((6,)), Jitter(), LAYERS.Dense(1)]), keras_optims.Adam(rate(hp))
    ),
}
CONTINUED_QUICKLY = ("adam averaged and accumulated", "a formula by rule", "noise of the global generator")


def continued():
    for case in CONTINUED:
        if case.startswith("noise") and keras.backend.backend() == "jax":
            continue  # whose compiled functions cannot change it
        yield pytest.param(case, marks=[] if case in CONTINUED_QUICKLY else pytest.mark.slow, id=case)


def reported(made, epochs, asked, number=7, setting=None):
    """All that a trial of so many epochs reports; `setting`: what else its hyperparameters are."""
    hp, events = settings(made.hypermodel.build, 2), []
    hp.values.update({"tuner/epochs": epochs, **(setting or {})})
    results = made.run(number, hp, events.append, asked)
    return {
        "curve": {event.epoch: event.metrics for event in events if isinstance(event, EpochEnded)},
        "ended": [dataclasses.replace(event, begun=0, seconds=0) for event in events if isinstance(event, ExecutionEnded)],
        "left": [event for event in events if isinstance(event, Left)],
        "results": results,
    }


@pytest.mark.parametrize("case", list(continued()))
def test_a_training_that_continues_is_its_root_s_training_further_on_bit_for_bit(case):
    """In two steps, with the models of two processes, as it were."""
    here, there = (trainer(OnlyBuild(CONTINUED[case])) for _ in range(2))
    whole = reported(here, 4, Assignment(7, leaves=True))
    (root,) = reported(there, 1, Assignment(7, leaves=True))["left"]
    np.random.seed(5)  # wherever generators stand
    middle = reported(here, 2, Assignment(7, begin=(root.content,), leaves=True), number=9)
    assert list(middle["curve"]) == [1]
    end = reported(there, 4, Assignment(7, begin=(middle["left"][0].content,), leaves=True), number=9)
    assert end["curve"] == {epoch: whole["curve"][epoch] for epoch in (2, 3)}
    assert end["results"] == whole["results"]
    assert end["ended"] == [dataclasses.replace(event, trial=9) for event in whole["ended"]]
    assert end["left"][0].content == whole["left"][0].content  # weights, slots, generators, the best epoch and the curve


CHANGING = ("adam averaged and accumulated", "a formula by rule", "keras's own adam", "loss scaling")


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=[] if case in CONTINUED_QUICKLY else pytest.mark.slow) for case in CHANGING]
)
def test_a_training_whose_numbers_change_is_the_same_from_whichever_snapshot_it_goes_on(case):
    """As in a population: from its own parent's, from an older one's, and from none."""
    here, there = (trainer(OnlyBuild(CASES[case])) for _ in range(2))
    usual = settings(here.hypermodel.build, 2).values
    changed = [{name: value * share if name != "rho" else value for name, value in usual.items()} for share in (1, 0.9, 0.8)]
    changed[2].update({name: usual[name] * 0.95 for name in usual if name.startswith(("beta", "rule", "mom"))})
    having = tuple(zip((0, 1, 3), changed, strict=True))
    whole = reported(here, 5, Assignment(7, settings=having, leaves=True), setting=changed[2])
    root = reported(there, 1, Assignment(7, settings=having[:1], leaves=True), setting=changed[0])["left"][0].content
    np.random.seed(5)  # wherever generators stand
    middle = reported(there, 3, Assignment(7, begin=(root,), settings=having[:2], leaves=True), setting=changed[1])["left"][0]
    for begin in (root, middle.content):
        end = reported(there, 5, Assignment(7, begin=(begin,), settings=having, leaves=True), setting=changed[2])
        assert end["curve"] == {epoch: whole["curve"][epoch] for epoch in end["curve"]}
        assert end["results"] == whole["results"]
        assert end["left"][0].content == whole["left"][0].content
    constant = reported(there, 5, Assignment(7), setting=changed[0])
    assert constant["curve"][0] == whole["curve"][0]
    assert constant["curve"][1] != whole["curve"][1]


@pytest.mark.parametrize("begins", [True, False])
def test_nothing_but_numbers_of_the_optimizer_may_change_on_the_way(begins):
    def build(hp):
        layers = [keras.Input((6,)), LAYERS.Dense(4), LAYERS.Dropout(searched(hp, "dropout", 0.1, 0.6)), LAYERS.Dense(1)]
        return compiled(keras.Sequential(layers), keras_optims.Adam(0.01))

    made = trainer(OnlyBuild(build))
    asked = Assignment(7, settings=((0, {"dropout": 0.2}),), leaves=True)
    left = reported(made, 1, asked, setting={"dropout": 0.2})["left"][0].content
    having = ((0, {"dropout": 0.2}), (1, {"dropout": 0.3}))
    with pytest.raises(SearchError, match="here more of the model does: name those alone in live"):
        reported(made, 2, Assignment(7, begin=(left,) * begins, settings=having), setting={"dropout": 0.3})


def test_a_snapshot_that_is_damaged_or_of_another_training_is_as_none():
    made = trainer(OnlyBuild(CASES["no input"]))
    (left,) = reported(made, 1, Assignment(7, leaves=True))["left"]
    whole = reported(made, 2, Assignment(7))
    (other,) = reported(trainer(OnlyBuild(CASES["a subclass"])), 1, Assignment(7, leaves=True))["left"]
    for content in (left.content[:-40], b"", left.content.replace(b"curve", b"curse"), other.content):
        assert reported(made, 2, Assignment(7, begin=(content,))) == whole


@pytest.mark.parametrize("hypermodel", [OnlyBuild, pytest.param(FitByKeras, marks=pytest.mark.slow)])
def test_a_trial_that_averages_its_weights_is_validated_and_tested_with_the_averages(hypermodel):
    build, (x, y) = CASES["adam averaged and accumulated"], data()
    points, _, model = curve(trainer(hypermodel(build)), build, 0)
    of_weights = epochs.evaluate(model, x[:20], y[:20], batch_size=16)
    with model.optimizer.averaged_weights():
        of_averages = epochs.evaluate(model, x[:20], y[:20], batch_size=16)
    assert abs(of_weights["loss"] - of_averages["loss"]) > 1e-4
    assert points[-1]["val_loss"] == pytest.approx(of_averages["loss"], rel=1e-5)
    test, logs = EvaluationOfTestData((x[:20], y[:20]), 16), {}
    test.set_model(model)
    test.on_epoch_end(0, logs)
    assert logs["test_loss"] == pytest.approx(of_averages["loss"], rel=1e-5)


def test_the_hyperparameters_of_a_warm_model_are_those_of_its_trial_exactly():
    build = CASES["momentum"]
    warm = trainer(OnlyBuild(build))
    curve(warm, build, 0)
    _, _, model = curve(warm, build, 1)
    config, values = model.optimizer.get_config(), settings(build, 1).values
    assert {name: config[name] for name in ("learning_rate", "momentum", "weight_decay")} == {
        "learning_rate": values["learning_rate"],
        "momentum": values["momentum"],
        "weight_decay": values["learning_rate"],
    }


def test_the_numbers_of_rules_of_a_warm_model_are_those_of_its_trial_exactly():
    build = CASES["adam with rules"]
    warm = trainer(OnlyBuild(build))
    curve(warm, build, 0)
    _, _, model = curve(warm, build, 1)
    config = model.optimizer.get_config()["rules"][0]["config"]
    assert config["learning_rate_multiplier"] == settings(build, 1).values["layerwise"]


def test_a_diverged_trial_leaves_nothing_behind():
    build = CASES["rmsprop"]
    alone = curve(trainer(OnlyBuild(build)), build, 1)
    warm = trainer(OnlyBuild(build))
    _, _, model = curve(warm, build, 0)
    for variable in [*model.variables, *model.optimizer.variables[1:]]:
        variable.assign(keras.ops.full(variable.shape, 7 if "int" in str(variable.dtype) else float("nan"), variable.dtype))
    assert curve(warm, build, 1)[0] == alone[0]
    assert warm.models.hits == 1


def settings_of(**values):
    hp = keras_tuner.HyperParameters()
    hp.values = values
    return hp


def units(hp):
    return compiled(
        keras.Sequential([keras.Input((6,)), LAYERS.Dense(hp.Choice("units", [4, 5, 6]), activation="relu"), LAYERS.Dense(1)]),
        keras_optims.GradientDescent(0.1),
    )


def unknown(hp):
    """A model that does not say of what it is made."""

    class Own(keras.Model):
        def get_config(self):
            raise NotImplementedError

    return compiled(Own(), keras_optims.GradientDescent(0.1))


@pytest.mark.backend("tensorflow")
def test_another_structure_is_built_anew_and_the_cache_has_a_bound():
    warm = trainer(OnlyBuild(units))
    warm.models = WarmModels(bound=2)

    def run(number):
        hp = keras_tuner.HyperParameters()
        hp.Choice("units", [4, 5, 6])
        hp.values["units"] = number
        warm.run(0, hp, lambda event: None)

    for number, hits in ((4, 0), (5, 0), (4, 1), (6, 1), (4, 2), (5, 2)):  # 6 takes the place of 5
        run(number)
        assert warm.models.hits == hits


@pytest.mark.backend("tensorflow")
@pytest.mark.parametrize(("free", "kept"), [(None, 4), (0, 4), (3 * 7 * COMPILED_BYTES + 2**20, 7), (2**50, 12)])
def test_as_many_structures_stay_compiled_as_memory_allows(free, kept, monkeypatch):
    monkeypatch.setattr("tuning.training.warm.free_memory", lambda: free)
    monkeypatch.setattr("tuning.training.warm.MOST_KEPT", 12)
    models = WarmModels()
    built = [units(settings_of(units=count)) for count in range(1, 15)]
    for model in built:
        assert models.take(model) is model
    assert list(models._kept.values()) == built[-kept:]


@pytest.mark.parametrize("kind", [units, unknown], ids=["known", "unknown"])
@pytest.mark.backend("tensorflow")
def test_tensorflow_lets_go_what_it_keeps_of_models_that_are_gone(kind, monkeypatch):
    forgotten = []
    monkeypatch.setattr("tuning.training.tensorflow_seam.forget_kernels", lambda: forgotten.append(count))
    models = WarmModels(bound=2)
    for count in range(1, 40):
        models.take(kind(settings_of(units=count)))
    assert [second - first for first, second in itertools.pairwise(forgotten)] == [16]


@pytest.mark.backend("tensorflow")
def test_a_large_model_leaves_room_for_fewer(monkeypatch):
    monkeypatch.setattr("tuning.training.warm.free_memory", lambda: 30 * COMPILED_BYTES)
    models = WarmModels()
    for count in range(8):
        models.take(units(settings_of(units=2**20 + count)))  # 8 x 2**20 weights: 32 MiB, and twice as much for the optimizer
    assert len(models._kept) == 4


@pytest.mark.backend("tensorflow")
def test_what_cannot_be_compared_is_never_taken_for_the_same():
    def built(loss=None, activation=None, optimizer=None, rate=0.1, layer=LAYERS.Dense):
        keras.backend.clear_session()
        model = keras.Sequential([keras.Input((6,)), layer(4, activation=activation), LAYERS.Dropout(rate), LAYERS.Dense(1)])
        model.compile(optimizer or keras_optims.Adam(), loss or "mse")
        return structure(model)

    def scaled(factor):
        return lambda y_true, y_pred: factor * keras.ops.mean((y_true - y_pred) ** 2, axis=-1)

    def local_class():
        class Local(LAYERS.Dense):
            pass

        return Local

    assert built() is not None
    assert built() == built(optimizer=keras_optims.Adam(0.5, beta_1=0.1))
    one, other = scaled(1.0), scaled(2.0)
    assert built(loss=one) == built(loss=one) != built(loss=other)
    one, other = local_class(), local_class()
    assert built(layer=one) == built(layer=one) != built(layer=other)
    schedule = keras.optimizers.schedules.CosineDecay
    different = [
        built(),
        built(rate=0.2),
        built(loss="mae"),
        built(activation="relu"),
        built(activation=lambda x: x),
        built(optimizer=keras_optims.Adam(amsgrad=True)),
        built(optimizer=keras_optims.Adam(weight_decay=0.1)),
        built(optimizer=keras_optims.Adam(schedule(0.1, 5))),
        built(optimizer=keras_optims.Adam(schedule(0.1, 6))),
        built(optimizer=keras_optims.AdamW()),
        built(optimizer=keras.optimizers.Adam()),
        built(optimizer=keras.optimizers.Adam(beta_1=0.8)),
    ]
    assert len(set(different)) == len(different)


def test_what_cannot_be_compared_or_taken_over_is_built_anew():
    class Untold(keras.Model):
        def get_config(self):
            raise NotImplementedError

    def made(units, model=None):
        keras.backend.clear_session()  # names are counted from the start
        found = model or keras.Sequential([keras.Input((6,)), LAYERS.Dense(units)])
        found.compile(keras_optims.Adam(), "mse")
        return found

    assert structure(made(2, Untold())) is None
    kept = made(2)
    assert adopt(kept, made(2))
    assert not adopt(kept, made(3))
    models = WarmModels()
    first = models.take(made(2))
    second = made(2)
    assert models.take(second) is first
    models.drop(second)  # which is not kept
    assert models.take(made(2)) is first
    models.drop(first)
    assert models.take(second) is second
    assert models.hits == 2


def test_what_is_no_model_is_refused():
    with pytest.raises(SearchError, match=r"must return a keras\.Model; received int\."):
        trainer(OnlyBuild(lambda hp: 3)).model(keras_tuner.HyperParameters(), seed=1)


@pytest.mark.backend("tensorflow")
def test_a_training_that_is_broken_off_leaves_no_model_behind():
    class Breaks(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise RuntimeError("broken off")

    build = CASES["adam"]
    warm = trainer(OnlyBuild(build), callbacks=[Breaks()])
    for _ in range(2):
        with pytest.raises(RuntimeError, match="broken off"):
            curve(warm, build, 0)
    assert warm.models.hits == 0


# -- compiled epochs ------------------------------------------------------------------------------


def trained(fit, way, count=72, shuffle=False, **kwargs):
    x, y = data()
    keras.utils.set_random_seed(5)
    model = compiled(
        keras.Sequential([keras.Input((6,)), LAYERS.Dense(16), LAYERS.BatchNormalization(), LAYERS.ReLU(), LAYERS.Dense(1)]),
        keras_optims.Momentum(0.05),
    )
    epochs.set_way(model, way)
    history = fit(
        model,
        x[:count],
        y[:count],
        validation_data=(x[:20], y[:20]),
        batch_size=16,
        epochs=3,
        shuffle=shuffle,
        verbose=0,
        **kwargs,
    )
    return history.history, model


@pytest.mark.parametrize(
    ("way", "count"), [*((epochs.ways()[0], count) for count in (72, 64, 9)), *((w, 72) for w in epochs.ways()[1:])]
)
def test_an_epoch_is_that_of_keras(way, count):
    """In the same order: losses, metrics, short last batches, validation, weights."""
    expected, by_keras = trained(keras.Model.fit, way, count)
    history, model = trained(epochs.fit, way, count)
    assert list(history) == list(expected)
    for name in expected:
        np.testing.assert_allclose(history[name], expected[name], rtol=2e-5, atol=1e-6)
    for one, other in zip(model.variables, by_keras.variables, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-5)
    x, y = data()
    for name, value in epochs.evaluate(model, x[:50], y[:50], batch_size=16).items():
        np.testing.assert_allclose(
            value, model.evaluate(x[:50], y[:50], batch_size=16, return_dict=True, verbose=0)[name], rtol=1e-5
        )


@pytest.mark.backend("tensorflow")
def test_tensorflow_does_not_warn_of_retracing_where_one_model_comes_after_the_other(caplog):
    for _ in range(5):
        trained(epochs.fit, "graph", 9)
    assert "retracing" not in caplog.text


@pytest.mark.parametrize("way", epochs.ways())
def test_every_epoch_has_every_sample_once_in_a_new_order(way):
    seen = []

    class Batches(LAYERS.Layer):
        def __init__(self):
            super().__init__()
            self.sums = self.add_weight(shape=(5,), initializer="zeros", trainable=False)
            self.scale = self.add_weight(shape=(), initializer="ones")

        def call(self, x, training=False):
            if training:  # the sum of each of the last five batches, the latest one first
                self.sums.assign(keras.ops.concatenate([keras.ops.reshape(keras.ops.sum(x), (1,)), self.sums[:-1]]))
            return x * self.scale

    class Record(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(keras.ops.convert_to_numpy(self.model.layers[-1].sums))

    model = keras.Sequential([keras.Input((1,)), Batches()])
    model.compile(keras_optims.GradientDescent(0.0), "mse")
    epochs.set_way(model, way)
    x = (2.0 ** np.arange(18)).astype("float32")[:, None]
    keras.utils.set_random_seed(1)
    epochs.fit(model, x, x, batch_size=4, epochs=2, callbacks=[Record()])
    samples = [[frozenset(np.flatnonzero(int(total) >> np.arange(18) & 1)) for total in sums] for sums in seen]
    for batches in samples:
        assert [len(batch) for batch in batches] == [2, 4, 4, 4, 4]
        assert frozenset().union(*batches) == frozenset(range(18))
    assert samples[0] != samples[1]


@pytest.mark.backend("tensorflow")
def test_a_new_search_sees_what_has_changed_in_its_arrays():
    x, y = data()
    histories = []
    for _ in range(2):
        made = trainer(OnlyBuild(CASES["adam"]))
        made.fit_args = (x, y)
        made.run(0, settings(CASES["adam"], 0), histories.append)
        x *= 2
    assert histories[0].metrics != histories[len(histories) // 2].metrics


def test_data_are_put_on_the_device_once(monkeypatch):
    calls = []
    convert = keras.ops.convert_to_tensor
    monkeypatch.setattr(
        keras.ops, "convert_to_tensor", lambda value, *a, **k: calls.append(np.shape(value)) or convert(value, *a, **k)
    )
    build = CASES["adam"]
    made = trainer(OnlyBuild(build))
    for number in range(3):
        curve(made, build, number)
    assert calls.count((72, 6)) == 1
    assert calls.count((20, 6)) == 1


@pytest.mark.backend("tensorflow")
def test_callbacks_of_epochs_are_called_as_by_keras_and_those_of_batches_too():
    calls = []

    class Hears(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            calls.append("train begin")

        def on_epoch_begin(self, epoch, logs=None):
            calls.append(f"begin {epoch}")

        def on_test_end(self, logs=None):
            calls.append(sorted(logs))

        def on_epoch_end(self, epoch, logs=None):
            calls.append((epoch, sorted(logs)))

        def on_train_end(self, logs=None):
            calls.append(sorted(logs))

    trained(keras.Model.fit, epochs.ways()[0], callbacks=[Hears()])
    expected = list(calls)
    calls.clear()
    trained(epochs.fit, epochs.ways()[0], callbacks=[Hears()])
    assert calls == expected
    batches = []
    counting = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: batches.append(batch))
    trained(epochs.fit, epochs.ways()[0], callbacks=[counting])
    assert batches == [0, 1, 2, 3, 4] * 3


@pytest.mark.backend("tensorflow")
def test_early_stopping_restores_the_best_weights():
    stop = keras.callbacks.EarlyStopping("val_loss", patience=0, restore_best_weights=True, min_delta=1e9)
    history, _ = trained(epochs.fit, epochs.ways()[0], callbacks=[stop])
    assert len(history["loss"]) == 2
