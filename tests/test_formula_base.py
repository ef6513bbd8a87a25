"""What any formula may rely on, its author's as ours: stand-ins, slots of any kind, the moments of a step, formulas by rule."""

import copy
import warnings

import keras
import numpy as np
import pytest
from keras import ops

import keras_optims
from keras_optims import Adam, AdamW, GradientDescent, Momentum, Optimizer, Rule
from keras_optims.hyperparameter import NON_NEGATIVE, Hyperparameter
from keras_optims.testing.compiled_step import CompiledStep, EagerStep, as_numpy
from tests.stepping import state_of
from tests.variants import OF_EACH_SCOPE

BACKEND = keras.backend.backend()
STEPS = [EagerStep, CompiledStep]


def variables(shapes=((3, 2), (4,), ()), dtype="float32"):
    rng = np.random.default_rng(0)
    return [keras.Variable(rng.normal(size=shape).astype("float32"), dtype=dtype, name=f"v{i}") for i, shape in enumerate(shapes)]


def gradients(shapes=((3, 2), (4,), ()), steps=4, seed=1):
    rng = np.random.default_rng(seed)
    return [[rng.normal(size=shape).astype("float32") for shape in shapes] for _ in range(steps)]


def walked(optimizer, updated, given, step=CompiledStep):
    run = step(optimizer, updated)
    for gradient in given:
        run(gradient)
    return run.weights()


class UsesTheWeight(Optimizer):
    """θ ← θ − η·(g·θ + θ² + |−θ|), with the weight in every kind of operation."""

    elementwise = True

    def update_step(self, gradient, variable, learning_rate):
        total = gradient * variable + ops.square(variable) + ops.abs(-variable) + variable**2 - ops.square(variable)
        self.assign_sub(variable, learning_rate * total)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_formula_may_use_the_weight_as_an_operand(dtype, step):
    updated = variables(dtype=dtype)
    expected = [as_numpy(v).astype("float64") for v in updated]
    for gradient in gradients():
        expected = [w - 0.01 * (g * w + w**2 + np.abs(w)) for w, g in zip(expected, gradient, strict=True)]
    found = walked(UsesTheWeight(learning_rate=0.01), updated, gradients(), step)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol={"float32": 1e-5, "float16": 5e-3, "bfloat16": 4e-2}[dtype], atol=1e-2)


def test_what_a_formula_sees_is_a_keras_variable():
    seen = []

    class Looks(GradientDescent):
        def update_step(self, gradient, variable, learning_rate):
            seen.append(
                (isinstance(variable, keras.Variable), variable.dtype, tuple(variable.shape), variable.path, variable.ndim)
            )
            super().update_step(gradient, variable, learning_rate)

    walked(Looks(), variables([(3, 2)], "bfloat16"), gradients([(3, 2)], 1), EagerStep)
    assert seen == [(True, "float32", (3, 2), "v0", 2)]


def test_an_assignment_of_another_shape_is_an_error():
    class Wrong(GradientDescent):
        def update_step(self, gradient, variable, learning_rate):
            self.assign(variable, ops.zeros((2,)))

    with pytest.raises(ValueError, match=r"v0 has shape \(3,\); received a value of shape \(2,\)"):
        walked(Wrong(), variables([(3,)]), gradients([(3,)], 1), EagerStep)


class Exchanges(Optimizer):
    """Weights and slot change places at each step: each reads what the other was."""

    elementwise = True

    def build(self, variables):
        super().build(variables)
        self.other = self.add_slot(variables, "other", "variable")

    def update_step(self, gradient, variable, learning_rate):
        before = variable.value  # a tensor, which no assignment changes
        self.assign(variable, self.other[variable] + gradient)
        self.assign(self.other[variable], before)


@pytest.mark.parametrize("step", STEPS)
def test_weights_and_slot_may_change_places(step):
    updated, optimizer = variables([(3,)]), Exchanges()
    start, (first, second) = as_numpy(updated[0]), [g[0] for g in gradients([(3,)], 2)]
    weights = walked(optimizer, updated, [[first], [second]], step)[0]
    np.testing.assert_allclose(weights, start + second, rtol=1e-6)
    np.testing.assert_allclose(as_numpy(optimizer.other.variables[0]), start + first, rtol=1e-6)


# -- slots ----------------------------------------------------------------------------------------


class HasSlots(Optimizer):
    """With slots of each kind, in none of which the weights are."""

    def build(self, variables):
        super().build(variables)
        self.start = self.add_slot(variables, "start", "variable")
        self.same = self.add_slot(variables, "same", lambda shape, dtype: variables[0].value, shape=variables[0].shape)
        self.square = self.add_slot([v for v in variables if len(v.shape) == 2], "square", shape=lambda v: (v.shape[0],) * 2)
        self.bytes = self.add_slot(variables, "bytes", "ones", dtype="int8")
        self.half = self.add_slot(variables, "half", dtype="bfloat16")
        self.total = self.add_shared("total", 2.0)
        self.table = self.add_shared("table", "ones", shape=(2, 2))

    def update_step(self, gradient, variable, learning_rate):
        if variable in self.square:
            square = self.square[variable]
            self.assign(square, square + ops.matmul(gradient, ops.transpose(gradient)))
        self.assign_add(self.half[variable], gradient)
        self.assign_sub(self.bytes[variable], ops.ones_like(gradient))
        self.assign_sub(variable, learning_rate * gradient)

    def end_step(self, variables):
        self.assign_add(self.total, 1.0)


@pytest.mark.parametrize("step", STEPS)
def test_slots_of_any_kind_are_saved_by_name_and_loaded(step, tmp_path):
    optimizer, updated = HasSlots(0.1), variables()
    walked(optimizer, updated, gradients(steps=3), step)
    assert [v in optimizer.square for v in updated] == [True, False, False]
    with pytest.raises(KeyError, match="'v1' has no slot 'square'"):
        optimizer.square[updated[1]]
    np.testing.assert_array_equal(as_numpy(optimizer.start[updated[1]]), as_numpy(variables()[1]))  # as it was, and not as it is
    state = state_of(optimizer)
    assert state["square|v0"].shape == (3, 3)
    assert state["bytes|v1"].dtype == np.int8
    assert state["bytes|v1"][0] == -2
    assert float(state["total"]) == 5
    assert keras.backend.standardize_dtype(optimizer.half[updated[0]].dtype) == "bfloat16"
    resumed = HasSlots(0.1)
    resumed.load_own_variables(state)
    again = step(resumed, [keras.Variable(as_numpy(v), name=v.name) for v in updated])
    assert all(np.array_equal(state[name], value) for name, value in state_of(resumed).items())
    more, on = gradients(steps=2, seed=5), step(optimizer, updated)
    for gradient in more:
        again(gradient)
        on(gradient)
    for ours, theirs in zip(again.weights(), on.weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_slots_that_begin_with_the_weights_do_not_share_their_memory():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
    optimizer = HasSlots(0.1)
    model.compile(optimizer, loss="mse")
    optimizer.build(model.trainable_variables)
    before = [np.array(w) for w in model.get_weights()]
    x = np.ones((4, 3), "float32")
    model.fit(x, x, epochs=2, verbose=0)  # JAX gives the arrays of variables away: none twice
    np.testing.assert_array_equal(as_numpy(optimizer.start[model.trainable_variables[0]]), before[0])
    np.testing.assert_array_equal(as_numpy(optimizer.same[model.trainable_variables[1]]), before[0])
    assert not np.array_equal(model.get_weights()[0], before[0])


def test_a_slot_that_is_not_to_be_saved_is_no_part_of_the_state():
    class Scratches(Momentum):
        def build(self, variables):
            super().build(variables)
            self.scratch = self.add_slot(variables, "scratch", saved=False)

        def update_step(self, gradient, variable, learning_rate):
            self.assign(self.scratch[variable], gradient)
            super().update_step(gradient, variable, learning_rate)

    optimizer, updated = Scratches(0.1), variables()
    walked(optimizer, updated, gradients())
    np.testing.assert_array_equal(as_numpy(optimizer.scratch[updated[1]]), gradients()[-1][1])
    assert not [name for name in state_of(optimizer) if "scratch" in name]
    assert "velocity|v1" in state_of(optimizer)
    resumed = Momentum(0.1)
    resumed.build(variables())
    assert resumed.load_state(optimizer).left_out == []


def test_explain_shows_slots_and_shared_state():
    optimizer = HasSlots()
    optimizer.build(variables())
    lines = optimizer.explain()
    assert lines[0].slots["square"] == ((3, 3), "float32")
    assert "square" not in lines[1].slots
    assert lines.shared["total"] == 2.0
    assert "bytes int8" in str(lines)
    assert "shared by all: total = 2" in str(lines)


def test_state_of_the_whole_model_is_loaded_from_a_model_saved_before_its_first_step(tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
    model.compile(HasSlots(0.1), loss="mse")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", custom_objects={"HasSlots": HasSlots})
    x = np.ones((4, 3), "float32")
    loaded.fit(x, x, verbose=0)
    assert float(ops.convert_to_numpy(loaded.optimizer.total)) == 3


@pytest.mark.parametrize(
    ("build", "error"),
    [
        (lambda o, v: [o.add_slot(v, "a"), o.add_slot(v[:1], "a")], "has a slot 'a' of the variable 'v0' already"),
        (lambda o, v: [o.add_shared("a"), o.add_shared("a")], "has shared state of the name 'a' already"),
        (lambda o, v: o.add_slot(v, "a", ["zeros"]), "one for each of the 3 variables; received a list of 1"),
        (lambda o, v: o.add_slot(v, 3), "name must be a text; received 3"),
        (lambda o, v: o.add_slot(v, "a", shape=(1, 2)), "is declared elementwise, so its slots have the shapes"),
    ],
)
def test_a_slot_that_cannot_be_is_an_error(build, error):
    class Builds(UsesTheWeight):
        def build(self, variables):
            super().build(variables)
            build(self, variables)

    with pytest.raises(ValueError, match=error):
        Builds().build(variables())


# -- the moments of a step ------------------------------------------------------------------------


class Counts(Optimizer):
    """θ ← θ − η·g·c, where c is the number of the update, counted by its own moments."""

    calls_of: list = []  # noqa: RUF012 (of the class, so that copies share it)

    def build(self, variables):
        super().build(variables)
        self.count = self.add_shared("count")

    def begin_step(self, gradients, variables):
        self.calls_of.append(("begin", len(gradients), len(variables)))
        self.assign_add(self.count, 1.0)
        return {"c": ops.convert_to_tensor(self.count), "norm": sum(ops.sum(ops.square(g)) for g in gradients)}

    def step_scalars(self, learning_rate):
        return {"rate": learning_rate * self.of_step.c}

    def update_step(self, gradient, variable, learning_rate):
        s = self.scalars(variable, learning_rate)
        self.assign_sub(variable, gradient * s.rate + 0 * s.norm)

    def end_step(self, variables):
        self.calls_of.append(("end", len(variables)))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("step", STEPS)
def test_begin_and_end_are_called_once_in_a_step_whatever_the_rules(step, dtype):
    Counts.calls_of.clear()
    rules = [Rule(ndim=1, learning_rate_multiplier=0.5), Rule(ndim=0, learning_rate=0.2)]
    updated = variables(dtype=dtype)
    start, given = [as_numpy(v) for v in updated], gradients(steps=2)
    found = walked(Counts(0.1, rules=rules), updated, given, step)
    assert len(Counts.calls_of) == (2 if step is CompiledStep and BACKEND != "torch" else 4)
    assert set(Counts.calls_of) == {("begin", 3, 3), ("end", 3)}
    for i, rate in enumerate((0.1, 0.05, 0.2)):
        expected = start[i] - rate * given[0][i] - 2 * rate * given[1][i]
        np.testing.assert_allclose(found[i], expected, rtol=1e-5 if dtype == "float32" else 3e-2, atol=1e-6)


class AllAtOnce(Optimizer):
    """θ ← θ − η·g / (the number of variables of its shape), all of a shape together."""

    def update_steps(self, gradients, variables, learning_rates):
        by_shape = {}
        for each in zip(gradients, variables, learning_rates, strict=True):
            by_shape.setdefault(tuple(each[1].shape), []).append(each)
        for alike in by_shape.values():
            together = ops.stack([g * self.scalars(v, rate).learning_rate for g, v, rate in alike]) / len(alike)
            for number, (_, variable, _) in enumerate(alike):
                self.assign_sub(variable, together[number])


@pytest.mark.parametrize("step", STEPS)
def test_a_formula_may_update_a_list_at_once_with_the_settings_of_each(step):
    shapes = [(3,), (2, 2), (3,)]
    updated = variables(shapes)
    start, given = [as_numpy(v) for v in updated], gradients(shapes, 1)
    optimizer = AllAtOnce(0.1, weight_decay=0.5, rules=[Rule("v2", learning_rate_multiplier=0.5, weight_decay=None)])
    found = walked(optimizer, updated, given, step)
    for i, (rate, decay, alike) in enumerate(((0.1, 0.5, 2), (0.1, 0.5, 1), (0.05, 0, 2))):
        np.testing.assert_allclose(found[i], start[i] * (1 - rate * decay) - rate * given[0][i] / alike, rtol=1e-5)


class Sometimes(Optimizer):
    """Adds up gradients, and steps by their sum at every third update."""

    elementwise = True

    def build(self, variables):
        super().build(variables)
        self.total = self.add_slot(variables, "total")

    def update_step(self, gradient, variable, learning_rate):
        total = self.total[variable]
        self.assign_add(total, gradient)

        def go():
            self.assign_sub(variable, learning_rate * total)
            self.assign(total, 0 * total)

        self.every(3, go)


@pytest.mark.parametrize("step", STEPS)
def test_every_runs_an_action_at_each_kth_update(step):
    updated = variables()
    start, given = [as_numpy(v) for v in updated], gradients(steps=7)
    optimizer = Sometimes(0.1)
    found = walked(optimizer, updated, given, step)
    for i in range(3):
        expected = start[i] - 0.1 * sum(g[i] for g in given[:6])
        np.testing.assert_allclose(found[i], expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(as_numpy(optimizer.total[updated[i]]), given[6][i], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("k", [0, 1.5, True, "3"])
def test_every_needs_a_whole_number(k):
    with pytest.raises(ValueError, match="whole number of updates from 1 on; received"):
        Adam().every(k, lambda: None)


def test_frames_nest_and_leave_the_outer_settings_as_they_were():
    optimizer, updated = Adam(beta_1=0.5, rules=[Rule("v1", beta_1=0.9)]), variables()
    optimizer.build(updated)

    def beta_1():
        return float(ops.convert_to_numpy(optimizer.beta_1))

    with optimizer.using(optimizer.settings_of(updated[0])):
        assert beta_1() == 0.5
        optimizer.effective_learning_rate(updated[1])
        with optimizer.using(optimizer.settings_of(updated[1])):
            assert beta_1() == pytest.approx(0.9)
        assert beta_1() == 0.5


def test_the_settings_of_one_optimizer_are_not_those_of_another():
    one, other, updated = Adam(rules=[Rule("v1", beta_1=0.5)]), Adam(beta_1=0.75), variables()
    for optimizer in (one, other):
        optimizer.build(updated)
    with one.using(one.settings_of(updated[1])):
        assert float(ops.convert_to_numpy(one.beta_1)) == 0.5
        assert float(ops.convert_to_numpy(other.beta_1)) == 0.75
        with other.using(other.settings_of(updated[0])):
            assert float(ops.convert_to_numpy(one.beta_1)) == 0.5


@pytest.mark.parametrize("name", ["assign_sub", "one_minus", "scalars", "step_number"])
@pytest.mark.parametrize("step", STEPS)
def test_a_subclass_that_overrides_what_a_formula_calls_is_obeyed(name, step):
    """Adam's first step is about η times the sign of the gradient; each of these makes it another one."""

    def assign_sub(self, variable, value):
        Adam.assign_sub(self, variable, 2 * value)

    def one_minus(self, hyperparameter):
        return Adam.one_minus(self, hyperparameter) * (2 if hyperparameter == "beta_1" else 1)

    def scalars(self, variable, learning_rate):
        found = copy.copy(Adam.scalars(self, variable, learning_rate))
        found.alpha = 2 * found.alpha
        return found

    def step_number(self):
        return Adam.step_number.fget(self) + 1

    own = {"assign_sub": assign_sub, "one_minus": one_minus, "scalars": scalars, "step_number": property(step_number)}[name]
    changed = type("Changed", (Adam,), {name: own})
    assert changed.fused_kernel is None
    start = variables([(3,)])
    way = walked(changed(0.1), variables([(3,)]), [[np.ones(3, "float32")]], step)[0] - as_numpy(start[0])
    expected = -0.1 * np.sqrt(1 - 0.999**2) / (1 - 0.9**2) * 0.1 / np.sqrt(0.001) if name == "step_number" else -0.2
    np.testing.assert_allclose(way, expected, rtol=1e-4)


# -- weight decay by the formula ------------------------------------------------------------------


class L2(Optimizer):
    """θ ← θ − η·(g + λ·θ)."""

    elementwise = True
    decay = "own"

    def update_step(self, gradient, variable, learning_rate):
        decay = self.decay_of(variable)
        if decay is not None:
            gradient = gradient + decay * variable
        self.assign_sub(variable, learning_rate * gradient)


@pytest.mark.parametrize("step", STEPS)
def test_a_formula_may_decay_by_itself(step):
    updated = variables()
    optimizer = L2(0.1, weight_decay=0.5, rules=[Rule("v0", weight_decay=0.2)])
    optimizer.exclude_from_weight_decay(var_names=["v1"])
    start, given = [as_numpy(v) for v in updated], gradients(steps=1)
    found = walked(optimizer, updated, given, step)
    for i, decay in enumerate((0.2, 0.0, 0.5)):
        np.testing.assert_allclose(found[i], start[i] - 0.1 * (given[0][i] + decay * start[i]), rtol=1e-5)
    assert [line.weight_decay for line in optimizer.explain()] == [True, False, True]


def test_another_kind_of_decay_is_an_error():
    with pytest.raises(ValueError, match="decay of Odd must be 'decoupled' or 'own'; received 'coupled'"):
        type("Odd", (Optimizer,), {"decay": "coupled"})


# -- a formula by rule ----------------------------------------------------------------------------


def two_formulas(**arguments):
    rules = [Rule(ndim=(0, 1), formula=AdamW(0.01, weight_decay=0.3), learning_rate_multiplier=0.5)]
    return Momentum(0.1, rules=rules, **arguments)


@pytest.mark.parametrize("step", STEPS)
def test_a_rules_formula_updates_its_variables_and_the_optimizers_the_others(step):
    found = walked(two_formulas(), variables(), gradients(), step)
    expected = walked(Momentum(0.1), variables(), gradients(), step)[:1]
    expected += walked(AdamW(0.005, weight_decay=0.3), variables(), gradients(), step)[1:]
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-6, atol=1e-7)


def test_a_rules_formula_is_live_saved_explained_and_keeps_its_kernel():
    optimizer, updated = two_formulas(), variables()
    step = CompiledStep(optimizer, updated)
    step(gradients()[0])
    formula = optimizer.rules[0].formula
    assert type(formula) is AdamW
    assert formula.fused_kernel == "adam"
    assert {name for name in state_of(optimizer) if "|" in name} == {
        "velocity|v0",
        *(f"{slot}|{v}" for slot in ("first_moment", "second_moment") for v in ("v1", "v2")),
    }
    assert {"rule_0_beta_1", "rule_0_learning_rate", "learning_rate"} <= set(state_of(optimizer))
    assert [name for name in state_of(optimizer) if "iteration" in name] == ["iteration"]
    lines = optimizer.explain()
    assert [sorted(line.slots) for line in lines] == [["velocity"], *[["first_moment", "second_moment"]] * 2]
    assert [line.weight_decay for line in lines] == [False, True, True]
    assert lines[1].by_rules["formula"] == "AdamW"
    before = step.weights()
    formula.learning_rate = 0.0
    step(gradients()[1])
    assert step.traces == 1 or BACKEND == "torch"
    after = step.weights()
    assert not np.array_equal(after[0], before[0])
    np.testing.assert_array_equal(after[1], before[1])


def test_a_training_with_two_formulas_goes_on_from_a_saved_model_bit_for_bit(tmp_path):
    x = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")

    def compiled():
        keras.utils.set_random_seed(0)
        layers = [keras.layers.Dense(4, name=f"hidden_{i}") for i in range(9)]
        model = keras.Sequential([keras.Input((4,)), *layers], name="deep")
        model.compile(two_formulas(gradient_accumulation_steps=3, use_ema=True), loss="mse")
        return model

    def fit(model):
        model.fit(x, x, batch_size=8, shuffle=False, verbose=0)

    uninterrupted, model = compiled(), compiled()
    fit(uninterrupted)
    fit(uninterrupted)
    fit(model)
    model.optimizer.rules[0].formula.beta_2 = 0.999  # as it was
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    fit(loaded)
    for ours, theirs in zip(loaded.get_weights(), uninterrupted.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: Rule(formula="adam"), "formula of a Rule must be an optimizer of keras_optims; received 'adam'"),
        (lambda: Rule(formula=keras.optimizers.Adam()), "formula of a Rule must be an optimizer of keras_optims"),
        (
            lambda: Rule(formula=Adam(), beta_1=0.5),
            "sets no hyperparameters beside it; give them to the formula: received beta_1",
        ),
        (lambda: Momentum(rules=[Rule(formula=Adam(use_ema=True))]), "use_ema concerns the step as a whole: give it to Momentum"),
    ],
)
def test_a_formula_by_rule_that_cannot_be_is_an_error(make, error):
    with pytest.raises(ValueError, match=error):
        make()


def test_a_formula_by_rule_counts_updates_and_not_the_calls_that_are_accumulated():
    rules = [Rule(".", formula=Adam(0.01))]
    found = walked(GradientDescent(0.1, rules=rules, gradient_accumulation_steps=3), variables(), gradients(steps=9))
    expected = walked(Adam(0.01, gradient_accumulation_steps=3), variables(), gradients(steps=9))
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-7)


# -- evaluation weights ---------------------------------------------------------------------------


class HalfWay(GradientDescent):
    """Is evaluated half way between the weights and where they began."""

    def build(self, variables):
        super().build(variables)
        self.start = self.add_slot(variables, "start", "variable")

    def evaluation_weights(self, variable):
        return (ops.cast(variable, "float32") + self.start[variable]) / 2


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_weights_to_evaluate_at_may_be_a_function_of_the_state(dtype):
    optimizer, updated = HalfWay(0.1), variables(dtype=dtype)
    start = [as_numpy(v) for v in updated]
    trained = walked(optimizer, updated, gradients())
    with optimizer.averaged_weights():
        assert optimizer.weights_are_averaged
        for variable, before, after in zip(updated, start, trained, strict=True):
            np.testing.assert_allclose(as_numpy(variable), (before + after) / 2, rtol=1e-6 if dtype == "float32" else 1e-2)
        state = state_of(optimizer)
    for variable, after in zip(updated, trained, strict=True):
        np.testing.assert_array_equal(as_numpy(variable), after)  # exactly
    assert not [name for name in state_of(optimizer) if "trained" in name]
    resumed, again = HalfWay(0.1), variables(dtype=dtype)
    resumed.build(again)
    resumed.load_own_variables(state)  # as it was saved while the weights were averaged
    assert resumed.weights_are_averaged
    resumed.swap_averaged_weights()
    for variable, after in zip(again, trained, strict=True):
        np.testing.assert_array_equal(as_numpy(variable), after)


def test_a_variable_without_weights_to_evaluate_at_is_evaluated_as_it_is():
    class OnlyVectors(HalfWay):
        def evaluation_weights(self, variable):
            return HalfWay.evaluation_weights(self, variable) if len(variable.shape) == 1 else None

    optimizer, updated = OnlyVectors(0.1), variables([(2, 2), (4,), ()])
    start, trained = [as_numpy(v) for v in updated], walked(optimizer, updated, gradients([(2, 2), (4,), ()]))
    with optimizer.averaged_weights():
        np.testing.assert_array_equal(as_numpy(updated[0]), trained[0])
        np.testing.assert_allclose(as_numpy(updated[1]), (start[1] + trained[1]) / 2, rtol=1e-6)
        np.testing.assert_array_equal(as_numpy(updated[2]), trained[2])
    for variable, after in zip(updated, trained, strict=True):
        np.testing.assert_array_equal(as_numpy(variable), after)


def test_the_callback_validates_at_the_evaluation_weights_of_any_optimizer():
    x = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
    model.compile(HalfWay(0.1), loss="mse")
    history = model.fit(x, x, validation_data=(x, x), callbacks=[keras_optims.AveragedWeights()], verbose=0).history
    trained = model.evaluate(x, x, verbose=0)
    with model.optimizer.averaged_weights():
        averaged = model.evaluate(x, x, verbose=0)
    assert history["val_loss"][-1] == pytest.approx(averaged, rel=1e-5)
    assert abs(trained - averaged) > 1e-3


def test_averages_in_half_precision_are_saved_exactly_while_they_are_in_place():
    optimizer, updated = GradientDescent(0.1, use_ema=True, ema_momentum=0.9), variables(dtype="bfloat16")
    walked(optimizer, updated, gradients())
    exact = [as_numpy(v) for v in optimizer._untracked.average.variables]
    with optimizer.averaged_weights():
        state = state_of(optimizer)
    resumed, again = GradientDescent(0.1, use_ema=True, ema_momentum=0.9), variables(dtype="bfloat16")
    resumed.build(again)
    resumed.load_own_variables(state)
    resumed.swap_averaged_weights()
    for ours, theirs in zip(resumed._untracked.average.variables, exact, strict=True):
        np.testing.assert_array_equal(as_numpy(ours), theirs)


@pytest.mark.parametrize("loaded_before_the_build", [True, False])
def test_averages_that_a_partial_state_lacks_begin_with_the_weights(loaded_before_the_build):
    source, updated = Adam(0.1), variables()
    walked(source, updated, gradients())
    optimizer, again = Adam(0.1, use_ema=True), variables()
    for variable in again:
        variable.assign(variable + 1.0)
    state = state_of(source)
    if loaded_before_the_build:
        optimizer.load_state(state, partial=True)
        optimizer.build(again)
    else:
        optimizer.build(again)
        for variable in again:
            variable.assign(variable + 1.0)  # as weights that are loaded after the build
        optimizer.load_state(state, partial=True)
    now = [as_numpy(v) for v in again]
    with optimizer.averaged_weights():
        for variable, weights in zip(again, now, strict=True):
            np.testing.assert_array_equal(as_numpy(variable), weights)


# -- dtypes and bookkeeping -----------------------------------------------------------------------


@pytest.mark.backend("tensorflow", "torch")  # JAX has float64 switched off
@pytest.mark.parametrize("cls", [variant.make for variant in OF_EACH_SCOPE])
def test_float32_variables_are_updated_under_floatx_float64(cls):
    expected = walked(cls(0.01, weight_decay=0.1), variables(), gradients())
    keras.config.set_floatx("float64")
    try:
        found = walked(cls(0.01, weight_decay=0.1), variables(), gradients())
    finally:
        keras.config.set_floatx("float32")
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_a_variable_that_is_dropped_leaves_no_name_behind():
    optimizer = Adam(0.1)
    before = set(optimizer._untracked.state_keys)
    optimizer.learning_rate = keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5)
    assert set(optimizer._untracked.state_keys) < before
    assert "learning_rate" not in state_of(optimizer)


def test_what_keras_does_for_its_own_decay_is_never_called():
    class Watches(Adam):
        def _apply_weight_decay(self, variables):
            raise AssertionError("called")

    walked(Watches(weight_decay=0.1), variables(), gradients(steps=1))


class Named(Optimizer):
    """With a hyperparameter of its own name."""

    weight = Hyperparameter(1.0, symbol="w", domain=NON_NEGATIVE)
    elementwise = True

    def step_scalars(self, learning_rate):
        return {"rate": learning_rate * self.weight}

    def update_step(self, gradient, variable, learning_rate):
        self.assign_sub(variable, gradient * self.scalars(variable, learning_rate).rate)


@pytest.mark.parametrize("step", STEPS)
def test_an_elementwise_formula_gives_the_same_on_large_small_and_many_variables(step):
    shapes = [(300, 1000), *[(5,)] * 12, (2, 3), (), (0, 2)]
    given = gradients(shapes, 3)
    optimizer, plain = (
        cls(0.1, weight_decay=0.1, use_ema=True) for cls in (Named, type("Plain", (Named,), {"elementwise": False}))
    )
    for ours, theirs in zip(*(walked(o, variables(shapes), given, step) for o in (optimizer, plain)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-6, atol=1e-6)
    one, other = state_of(optimizer), state_of(plain)
    assert list(one) == list(other)
    for name in one:
        np.testing.assert_allclose(one[name], other[name], rtol=2e-6, atol=1e-6)
    optimizer.weight = 0.0
    before = walked(optimizer, optimizer.variables_of_the_model(), [])
    after = walked(optimizer, optimizer.variables_of_the_model(), given[:1], step)
    np.testing.assert_allclose(after[0], before[0] * 0.99, rtol=1e-5)


@pytest.mark.backend("tensorflow", "jax")
def test_torchs_compiler_is_refused_where_it_would_do_nothing():
    optimizer = keras_optims.Adam()
    optimizer.torch_compile = True
    with pytest.raises(
        ValueError, match=r"torch_compile is for the torch backend; received True on the (tensorflow|jax) backend"
    ):
        optimizer.build(variables())
