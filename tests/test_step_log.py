"""The step log: its numbers against float64 twins and against the weights themselves, and that nothing else changes by it."""

import csv
import dataclasses
import inspect
import sys

import keras
import numpy as np
import pytest

import keras_optims
from keras_optims.callbacks.step_log_files import COLUMNS, QUANTITIES, CSVFile, TensorBoardFile
from keras_optims.callbacks.step_recorder import RecordedVariable, StepRecorder
from keras_optims.testing.compiled_step import CompiledStep, as_numpy
from tests.models import compiled, data, dense_model, fit, weights
from tests.stepping import state_of
from tests.variants import OF_EACH_SCOPE, ONE_EACH

BACKEND = keras.backend.backend()
RECORD = [RecordedVariable("dense/kernel", 1.5, 0.25, 2.0, 0.001, 0.002, 0.003), RecordedVariable("b", 0, 0, 0, *[np.nan] * 3)]


def rows_of(file) -> list[dict]:
    with open(file, newline="") as opened:
        lines = list(csv.DictReader(opened))
    text = {"variable": str, "step": int, "epoch": int}
    return [{name: text.get(name, float)(value) for name, value in line.items()} for line in lines]


def recorded_after(optimizer, variables, steps, every):
    """What is recorded of compiled steps with these gradients."""
    step = CompiledStep(optimizer, variables)
    recorder = optimizer._untracked.recorder = StepRecorder(optimizer, every)
    taken = []
    for gradients in steps:
        step(gradients)
        taken.append(recorder.take())
    return taken


# -- the numbers ----------------------------------------------------------------------------------


def rates(variant, gradients):
    """The effective learning rates of the last step, from the sums over all gradients that the papers define, in float64."""
    a, name, t = variant.arguments, variant.make.__name__, len(gradients)
    if variant.rates is not None:
        return variant.rates(gradients, **a) * np.ones(gradients[0].shape)
    if not variant.make.overrides("step_rate") or variant.make.overrides("begin_step"):  # it does not say them
        return np.full(gradients[0].shape, np.nan)
    rate, squares = a["learning_rate"], np.square(np.asarray(gradients, np.float64))

    def average(values, decay, until=t):
        return sum((1 - decay) * decay ** (until - 1 - i) * values[i] for i in range(until))

    if name in ("GradientDescent", "Momentum", "SGD"):
        return np.full(gradients[0].shape, rate)
    if name == "Adagrad":
        return rate / np.sqrt(a["initial_accumulator_value"] + squares.sum(0) + a["epsilon"])
    if name == "RMSprop":
        mean = average(np.asarray(gradients, np.float64), a["rho"]) if a.get("centered") else 0
        return rate / np.sqrt(average(squares, a["rho"]) - mean**2 + a["epsilon"])
    if name == "Adamax":
        norms = [a["beta_2"] ** (t - 1 - i) * np.abs(np.asarray(gradients[i], np.float64)) for i in range(t)]
        return rate / (1 - a["beta_1"] ** t) / (np.max(norms, axis=0) + a["epsilon"])
    if name == "Adadelta":  # with the d that the last step has left, of which each step changes all later ones
        d, v = 0.0, 0.0
        for i in range(t):
            v = average(squares, a["rho"], i + 1)
            d = a["rho"] * d + (1 - a["rho"]) * (d + a["epsilon"]) / (v + a["epsilon"]) * squares[i]
        return rate * np.sqrt(d + a["epsilon"]) / np.sqrt(v + a["epsilon"])
    if name == "Ftrl":
        root = (a["initial_accumulator_value"] + squares.sum(0)) ** -a["learning_rate_power"]
        return 1 / ((a["beta"] + root) / rate + 2 * a["l2_regularization_strength"])
    second = [average(squares, a["beta_2"], until) for until in range(1, t + 1)]
    v = np.max(second, axis=0) if a.get("amsgrad") else second[-1]
    if name in ("Nadam", "NAdamW"):
        return rate / (np.sqrt(v / (1 - a["beta_2"] ** t)) + a["epsilon"]) / (1 if name == "Nadam" else 1 - a["beta_1"] ** t)
    return rate * np.sqrt(1 - a["beta_2"] ** t) / (1 - a["beta_1"] ** t) / (np.sqrt(v) + a["epsilon"])


# Beside Muon vectors go by Adam, whose rates are recorded; to one eigenvalue SOAP has the eigenvectors that the library finds.
NOT_OF_ONE_TWIN = (keras_optims.Muon, keras_optims.SOAP)
# How numbers are read out of a step depends on the formula's scope, and on the backend; what a rate is on each formula.
_LOGGED = ONE_EACH if keras.backend.backend() == "tensorflow" else OF_EACH_SCOPE
LOGGED = [v for v in _LOGGED if not v.of_the_model and v.make not in NOT_OF_ONE_TWIN]


@pytest.mark.parametrize("variant", LOGGED, ids=str)
def test_norms_and_rates_are_those_of_the_float64_twin(variant):
    """Of one variable, and in each scope of small ones, which TensorFlow groups, and of a large one."""
    rng = np.random.default_rng(0)
    others = [(5,), (), (4,), (2, 2), (7,), (1, 3), (6,), (200, 100)]
    shapes = [(3, 2), *(others if variant.make in [of.make for of in OF_EACH_SCOPE] else ())]
    start = [rng.normal(size=shape).astype("float32") for shape in shapes]
    last = 0.01 if variant.arguments.get("amsgrad") else 1.0  # so that v falls below its largest value
    steps = [[(scale * rng.normal(size=shape)).astype("float32") for shape in shapes] for scale in (1.0, 1.0, last)]
    variables = [keras.Variable(values, name=f"v{i}") for i, values in enumerate(start)]
    optimizer = variant.optimizer()
    first, second, (number, recorded) = recorded_after(optimizer, variables, steps, every=3)
    assert (first, second, number) == (None, None, 3)
    assert len(recorded) == len(shapes)
    for i, row in enumerate(recorded):
        gradients = [step[i] for step in steps]
        _, before, after = variant.twin(gradients, start[i], **variant.arguments)
        rate = rates(variant, gradients) if variant.make.overrides("step_rate") else np.array(np.nan)
        expected = [np.linalg.norm(x.ravel()) for x in (gradients[2].astype("float64"), after - before, before)]
        expected += [expected[1] / expected[2], rate.min(), rate.mean(), rate.max()]
        assert row.variable == f"v{i}"
        np.testing.assert_allclose([getattr(row, name) for name in QUANTITIES], expected, rtol=1e-4, err_msg=row.variable)
    optimizer.learning_rate = 2 * variant.arguments["learning_rate"]
    rate = optimizer.effective_learning_rate(variables[0])
    corrects = "numbers" in inspect.signature(variant.twin).parameters  # which is of the next step by now
    if rate is None:
        assert np.isnan(rates(variant, gradients)).all()
    elif variant.make is keras_optims.Ftrl:  # whose rate is not in proportion to η, with an L2 penalty
        arguments = {**variant.arguments, "learning_rate": 2 * variant.arguments["learning_rate"]}
        expected = rates(dataclasses.replace(variant, arguments=arguments), [s[0] for s in steps])
        np.testing.assert_allclose(as_numpy(rate), expected, rtol=1e-4)
    elif variant.rates is None and not corrects:
        np.testing.assert_allclose(as_numpy(rate) * np.ones((3, 2)), 2 * rates(variant, [s[0] for s in steps]), rtol=1e-4)


def test_rates_are_those_that_rules_have_set():
    rules = [keras_optims.Rule("[01]", learning_rate_multiplier=0.5), keras_optims.Rule("[12]", learning_rate=0.04)]
    variables = [keras.Variable(np.ones(2, "float32"), name=f"v{i}") for i in range(4)]
    optimizer = keras_optims.GradientDescent(0.01, rules=rules)
    ((_, recorded),) = recorded_after(optimizer, variables, [[np.ones(2, "float32")] * 4], every=1)
    np.testing.assert_allclose([row.rate_mean for row in recorded], [0.005, 0.02, 0.04, 0.01], rtol=1e-6)
    np.testing.assert_allclose([row.update_norm / row.gradient_norm for row in recorded], [0.005, 0.02, 0.04, 0.01], rtol=1e-5)


@pytest.mark.parametrize(
    ("gradient", "norm"),
    [([3e30, 4e30], 5e30), ([3e-30, 4e-30], 5e-30), ([0, 0], 0), ([np.inf, 1], np.inf), ([np.nan, 1], np.nan)],
)
def test_norms_neither_overflow_nor_vanish(gradient, norm):
    variable = keras.Variable(np.zeros(2, "float32"), name="v")
    ((_, (row,)),) = recorded_after(keras_optims.GradientDescent(0.0), [variable], [[np.array(gradient, "float32")]], every=1)
    np.testing.assert_allclose(row.gradient_norm, norm, rtol=1e-6)
    assert row.weight_norm == 0


def test_the_update_of_a_half_precision_variable_is_what_rounding_leaves_of_it():
    variable = keras.Variable(np.ones(4, "float32"), dtype="bfloat16", name="v")
    steps = [[np.full(4, size, "float32")] for size in (1.0, 1e-3)]  # the second is lost in 8 bits
    lives, lost = recorded_after(keras_optims.Adagrad(0.5), [variable], steps, every=1)
    assert lives[1][0].update_norm > 0.1
    assert lost[1][0].update_norm == 0
    np.testing.assert_allclose(lost[1][0].rate_mean, 0.5 / np.sqrt(1.1), rtol=1e-4)  # not rounded to the variable's 8 bits


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_variables_without_gradient_or_without_elements_have_no_row():
    variables = [keras.Variable(np.ones(shape, "float32"), name=name) for name, shape in (("a", 2), ("b", 2), ("c", 0))]
    gradients = [np.ones(2, "float32"), None, np.ones(0, "float32")]
    ((_, rows),) = recorded_after(keras_optims.Adam(), variables, [gradients], every=1)
    assert [row.variable for row in rows] == ["a"]


@pytest.mark.backend("tensorflow")
def test_a_sparse_gradient_has_the_norm_of_the_whole_one():
    import tensorflow as tf

    table = keras.Variable(np.ones((5, 2), "float32"), name="table")
    optimizer = keras_optims.Adagrad(0.1)
    optimizer.build([table])
    recorder = optimizer._untracked.recorder = StepRecorder(optimizer, 1)
    gradient = tf.IndexedSlices(tf.constant([[3.0, 0], [1, 0], [0, 3]]), tf.constant([1, 1, 4]), tf.constant([5, 2]))
    tf.function(lambda: optimizer.apply([gradient], [table]))()
    _, (row,) = recorder.take()
    np.testing.assert_allclose([row.gradient_norm, row.weight_norm], [5, np.sqrt(10)], rtol=1e-6)
    np.testing.assert_allclose(row.update_norm, 0.1 * np.hypot(4 / np.sqrt(16.1), 3 / np.sqrt(9.1)), rtol=1e-5)
    np.testing.assert_allclose([row.rate_min, row.rate_max], [0.1 / np.sqrt(16.1), 0.1 / np.sqrt(0.1)], rtol=1e-5)


# -- a training -----------------------------------------------------------------------------------


class Watched(keras.callbacks.Callback):
    """The weights before and after each batch, and whether a batch runs another train function than the first one did."""

    def __init__(self):
        super().__init__()
        self.before, self.after, self.logged, self.plain = [], [], [], None

    def on_train_batch_begin(self, batch, logs=None):
        self.plain = self.plain or self.model.train_function
        self.logged.append(self.model.train_function is not self.plain)
        self.before.append(weights_by_path(self.model))

    def on_train_batch_end(self, batch, logs=None):
        self.after.append(weights_by_path(self.model))


def weights_by_path(model):
    return {variable.path: as_numpy(variable) for variable in model.trainable_variables}


def constrained_model():
    keras.utils.set_random_seed(0)
    constraint = keras.constraints.MaxNorm(0.5)
    return keras.Sequential(
        [keras.Input((8,)), keras.layers.Dense(16, "relu", kernel_constraint=constraint), keras.layers.Dense(4)]
    )


@pytest.mark.parametrize(
    ("arguments", "compiling", "steps"),
    [
        ({}, {}, [2, 4, 6, 8]),
        ({"gradient_accumulation_steps": 2}, {}, [2, 4]),
        ({"global_clipnorm": 0.1, "weight_decay": 0.1, "use_ema": True, "ema_overwrite_frequency": 2}, {}, [2, 4, 6, 8]),
        pytest.param({}, {"jit_compile": True}, [2, 4, 6, 8], marks=pytest.mark.backend("tensorflow")),
        pytest.param({}, {"run_eagerly": True}, [2, 4, 6, 8], marks=pytest.mark.backend("tensorflow")),
    ],
    ids=["plain", "accumulation", "clipping, decay, averages", "XLA", "eager"],
)
def test_the_log_of_a_training_tells_what_happened_and_changes_nothing(arguments, compiling, steps, tmp_path):
    if BACKEND == "torch" and compiling.get("jit_compile"):
        pytest.skip("torch.compile takes a minute")
    file, seen = tmp_path / "steps.csv", Watched()
    logger = keras_optims.StepLogger(file, every=2)
    model, twin = (compiled(keras_optims.Adam(0.05, **arguments), constrained_model(), **compiling) for _ in range(2))
    fit(model, 2, callbacks=[logger, seen])
    fit(twin, 2)
    for ours, theirs in zip(
        [*weights(model), *state_of(model.optimizer).values()], [*weights(twin), *state_of(twin.optimizer).values()], strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    rows, paths = rows_of(file), [variable.path for variable in model.trainable_variables]
    calls = arguments.get("gradient_accumulation_steps", 1)
    assert [(row["step"], row["variable"]) for row in rows] == [(step, path) for step in steps for path in paths]
    for row in rows:
        batch = row["step"] * calls - 1
        before, after = (at[batch][row["variable"]] for at in (seen.before, seen.after))
        assert row["epoch"] == batch // 4
        np.testing.assert_allclose(row["weight_norm"], np.linalg.norm(before), rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(row["update_norm"], np.linalg.norm(after - before), rtol=1e-4)
        if row["weight_norm"]:
            np.testing.assert_allclose(row["update_to_weight"], row["update_norm"] / row["weight_norm"], rtol=1e-5)
    if arguments.get("global_clipnorm"):
        assert max(row["gradient_norm"] for row in rows) > 0.2  # as it came
    # All other batches run what they would run without it.
    assert seen.logged == [(batch + 1) % (2 * calls) == 0 for batch in range(8)]
    assert model.train_function is seen.plain
    assert model.optimizer._untracked.recorder is None
    assert logger.last_step == steps[-1]
    assert [row.variable for row in logger.last] == paths


def test_an_accumulated_gradient_is_the_mean_of_its_calls():
    variable = keras.Variable(np.zeros(2, "float32"), name="v")
    optimizer = keras_optims.GradientDescent(0.1, gradient_accumulation_steps=2)
    steps = [[np.array(g, "float32")] for g in ([1, 1], [5, 7])]
    first, (number, (row,)) = recorded_after(optimizer, [variable], steps, every=1)
    assert (first, number) == (None, 1)
    np.testing.assert_allclose([row.gradient_norm, row.update_norm], [5, 0.5], rtol=1e-6)


@pytest.mark.backend("tensorflow", "jax")
def test_with_several_steps_per_execution_the_same_updates_are_logged(tmp_path):
    logs = []
    for steps_per_execution in (1, 3):
        file = tmp_path / f"{steps_per_execution}.csv"
        model = compiled(keras_optims.Adam(0.05), steps_per_execution=steps_per_execution)
        fit(model, 2, callbacks=[keras_optims.StepLogger(file, every=2)])
        logs.append(rows_of(file))
    assert [row["step"] for row in logs[1]] == [row["step"] for row in logs[0]]
    for one, three in zip(*logs, strict=True):
        np.testing.assert_allclose([one[name] for name in QUANTITIES], [three[name] for name in QUANTITIES], rtol=2e-3)


def test_under_loss_scaling_skipped_steps_do_not_count_and_gradients_are_not_scaled(tmp_path):
    logs = {}
    for policy in ("float32", "mixed_float16"):
        keras.config.set_dtype_policy(policy)
        try:
            optimizer = keras_optims.GradientDescent(1e-4)
            if policy == "mixed_float16":
                optimizer = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=2.0**19)
            model, logger = compiled(optimizer, dense_model()), keras_optims.StepLogger(tmp_path / policy, every=2)
            fit(model, 2, callbacks=[logger])
        finally:
            keras.config.set_dtype_policy("float32")
        logs[policy] = rows_of(tmp_path / policy)
        updates = int(getattr(optimizer, "inner_optimizer", optimizer).iterations)
        assert sorted({row["step"] for row in logs[policy]}) == list(range(2, updates + 1, 2))
    assert 2 <= updates < 8  # some were skipped
    norms = {policy: np.mean([row["gradient_norm"] for row in rows]) for policy, rows in logs.items()}
    np.testing.assert_allclose(norms["mixed_float16"], norms["float32"], rtol=0.3)


@pytest.mark.backend("tensorflow", "jax")
def test_the_step_is_traced_once_for_the_log_and_never_again_without_it(tmp_path, monkeypatch):
    traces = []
    update = keras_optims.Optimizer.make_update
    monkeypatch.setattr(keras_optims.Optimizer, "make_update", lambda *arguments: [traces.append(1), update(*arguments)][1])
    model, logger = compiled(keras_optims.Adam()), keras_optims.StepLogger(tmp_path / "steps.csv", every=3)

    def traced(**arguments):
        traces.clear()
        fit(model, **arguments)
        return len(traces)

    once = traced()
    assert traced() == 0
    assert traced(epochs=2, callbacks=[logger]) == 2 * once  # with the record, and without, in the branches of one step
    assert traced(epochs=2, callbacks=[logger]) == 0
    assert traced() == 0


@pytest.mark.backend("tensorflow", "jax")
def test_without_a_log_the_compiled_step_holds_nothing_of_it():
    def program(record_before):
        variables = [keras.Variable(np.ones(3, "float32"), name="v")]
        optimizer = keras_optims.Adam()
        optimizer.build(variables)
        if record_before:
            recorded_after(optimizer, variables, [[np.ones(3, "float32")]], every=1)
            optimizer._untracked.recorder = None
        if BACKEND == "tensorflow":
            import tensorflow as tf

            traced = tf.function(lambda: optimizer.apply([tf.ones(3)], variables)).get_concrete_function()
            return [operation.type for operation in traced.graph.get_operations()]
        import jax

        state = [variable.value for variable in optimizer.variables], [np.ones(3, "float32")], [v.value for v in variables]
        return str(jax.make_jaxpr(lambda *arguments: optimizer.stateless_apply(*arguments))(*state))

    assert program(record_before=True) == program(record_before=False)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the end of Keras 3.10's own list of callbacks
def test_a_training_that_breaks_off_leaves_the_model_as_it_was(tmp_path):
    class Stop(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 3:
                raise KeyboardInterrupt

    model, file = compiled(keras_optims.Adam()), tmp_path / "steps.csv"
    fit(model)
    plain = model.train_function
    with pytest.raises(KeyboardInterrupt):
        fit(model, callbacks=[keras_optims.StepLogger(file, every=2), Stop()])
    assert [row["step"] for row in rows_of(file)][::6] == [6]
    fit(model)
    assert model.train_function is plain


def test_a_model_saved_while_the_log_is_on_loads_without_it(tmp_path):
    model = compiled(keras_optims.Adam())
    saving = keras.callbacks.ModelCheckpoint(tmp_path / "model.keras", save_freq=2)
    fit(model, callbacks=[keras_optims.StepLogger(tmp_path / "steps.csv", every=1), saving])
    loaded = keras.models.load_model(tmp_path / "model.keras")
    without = compiled(keras_optims.Adam())
    fit(without)
    assert len(state_of(loaded.optimizer)) == len(state_of(without.optimizer))
    for ours, theirs in zip(weights(loaded), weights(without), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


# -- algorithms of one's own ----------------------------------------------------------------------


class Signs(keras_optims.Optimizer):
    def update_step(self, gradient, variable, learning_rate):
        self.assign_sub(variable, keras.ops.sign(gradient) * keras.ops.cast(learning_rate, variable.dtype))


class OtherAdam(keras_optims.Adam):
    def update_step(self, gradient, variable, learning_rate):
        super().update_step(2 * gradient, variable, learning_rate)


@pytest.mark.parametrize("optimizer", [Signs, OtherAdam])
def test_an_algorithm_that_does_not_say_its_rate_has_none(optimizer):
    variable = keras.Variable(np.ones(4, "float32"), name="v")
    ((_, (row,)),) = recorded_after(optimizer(0.1), [variable], [[np.ones(4, "float32")]], every=1)
    np.testing.assert_allclose(row.update_norm, 0.2, rtol=1e-5)
    assert np.isnan([row.rate_min, row.rate_mean, row.rate_max]).all()


@pytest.mark.backend("tensorflow")
def test_a_rate_before_there_are_slots_is_an_error():
    with pytest.raises(ValueError, match=r"effective_learning_rate\(\) needs an optimizer that is built"):
        keras_optims.Adam().effective_learning_rate(keras.Variable(np.ones(1), name="v"))


# -- the files ------------------------------------------------------------------------------------


@pytest.mark.backend("tensorflow")
def test_the_csv_file_is_complete_after_each_record(tmp_path):
    file = CSVFile(tmp_path / "new folder" / "steps.csv", append=False)
    file.open()
    assert file.path.read_text() == ",".join(COLUMNS) + "\n"
    file.write(100, 2, RECORD)
    assert file.path.read_text().splitlines()[1:] == [
        "100,2,dense/kernel,1.5,0.25,2.0,0.125,0.001,0.002,0.003",
        "100,2,b,0.0,0.0,0.0,nan,nan,nan,nan",
    ]


@pytest.mark.backend("tensorflow")
@pytest.mark.parametrize("cut", [0, 7, -1])
def test_appending_takes_out_a_line_that_was_cut_short(cut, tmp_path):
    whole = CSVFile(tmp_path / "steps.csv", append=False)
    whole.open()
    whole.write(1, 0, RECORD)
    text = whole.path.read_text()
    whole.path.write_text(text[: len(text) + cut] if cut < 0 else text + "2,0,dense/kernel,1.5"[:cut])
    resumed = CSVFile(whole.path, append=True)
    resumed.open()
    resumed.write(2, 0, RECORD)
    assert [row["step"] for row in rows_of(whole.path)] == ([1, 2, 2] if cut < 0 else [1, 1, 2, 2])


@pytest.mark.backend("tensorflow")
def test_a_new_callback_begins_a_new_file_and_its_next_training_goes_on(tmp_path):
    for _ in range(2):
        file = CSVFile(tmp_path / "steps.csv", append=False)
        for step in (1, 2):
            file.open()
            file.write(step, 0, RECORD)
    assert [row["step"] for row in rows_of(file.path)] == [1, 1, 2, 2]


@pytest.mark.backend("tensorflow")
def test_a_file_that_is_no_log_is_not_appended_to(tmp_path):
    (tmp_path / "notes.csv").write_text("mine,yours\n1,2\n")
    with pytest.raises(ValueError, match=r"notes.csv' is no step log to append to: it begins with 'mine,yours' and not with"):
        CSVFile(tmp_path / "notes.csv", append=True).open()
    assert (tmp_path / "notes.csv").read_text() == "mine,yours\n1,2\n"


def test_tensorboard_reads_a_chart_of_each_quantity_and_variable(tmp_path):
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    file = TensorBoardFile(tmp_path / "logs")
    for step in (100, 200):
        file.open()
        file.write(step, 0, RECORD)
    read = event_accumulator.EventAccumulator(str(tmp_path / "logs"))
    read.Reload()
    assert set(read.Tags()["scalars"]) == {f"{name}/{path}" for name in QUANTITIES for path in ("dense/kernel", "b")}
    assert [(event.step, event.value) for event in read.Scalars("update_to_weight/dense/kernel")] == [(100, 0.125), (200, 0.125)]
    assert len(list((tmp_path / "logs").iterdir())) == 1


@pytest.mark.backend("tensorflow")
def test_without_tensorboard_the_error_names_the_package(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorboard.summary.writer", None)
    with pytest.raises(ImportError, match="needs the package tensorboard: pip install tensorboard"):
        keras_optims.StepLogger(tensorboard=tmp_path)


# -- errors ---------------------------------------------------------------------------------------


@pytest.mark.backend("tensorflow")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "needs to know where to log: give csv"),
        ({"csv": 3}, "csv must be a path; received 3"),
        ({"csv": "steps.csv", "every": 0}, "every must be a whole number of updates, at least 1; received 0"),
        ({"csv": "steps.csv", "every": 2.5}, "received 2.5"),
        ({"csv": "steps.csv", "every": True}, "received True"),
    ],
)
def test_wrong_arguments_are_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        keras_optims.StepLogger(**arguments)


@pytest.mark.backend("tensorflow")
def test_the_optimizer_of_another_package_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"StepLogger needs .* an optimizer of keras_optims; received Adam\."):
        fit(compiled(keras.optimizers.Adam()), callbacks=[keras_optims.StepLogger(tmp_path / "steps.csv")])


@pytest.mark.backend("tensorflow")
def test_a_distribution_strategy_is_an_error(tmp_path):
    import tensorflow as tf

    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        model = compiled(keras_optims.Adam())
    x, y = data()
    with pytest.raises(ValueError, match=r"does not work under a tf\.distribute strategy"):
        model.fit(x, y, verbose=0, callbacks=[keras_optims.StepLogger(tmp_path / "steps.csv")])
