"""Rules by variable: each variable follows the twin of its own hyperparameters, on the path it would take without rules."""

import json
import re

import keras
import numpy as np
import pytest
from keras import ops

import keras_optims
from keras_optims import LayerwiseDecay, Rule
from keras_optims.testing.compiled_step import CompiledStep, as_numpy
from tests.models import compiled, fit, weights
from tests.stepping import state_of
from tests.variants import BY_NAME, OF_EACH_SCOPE, VARIANTS, distance, random_gradients

STEPS = 30
NAMES = [f"kernel_{i}" for i in range(9)] + [f"bias_{i}" for i in range(9)]
SCHEDULE = keras.optimizers.schedules.ExponentialDecay(0.5, 10, 0.8)


def variables(names=NAMES, dtype="float32"):
    """Matrices and vectors; enough of each for a group."""
    return [keras.Variable(np.ones((3, 2) if "kernel" in name else (4,)), dtype=dtype, name=name) for name in names]


def trained(optimizer, updated=None, steps=STEPS):
    """The gradients, and the weights after each step."""
    updated = variables() if updated is None else updated
    step = CompiledStep(optimizer, updated)
    gradients = [random_gradients(tuple(v.shape), steps, seed=i) for i, v in enumerate(updated)]
    gradients = [[g.reshape(v.shape) for g in of] for v, of in zip(updated, gradients, strict=True)]
    path = []
    for number in range(steps):
        step([of[number] for of in gradients])
        path.append(step.weights())
    return gradients, [list(of) for of in zip(*path, strict=True)]


def departures(variant, optimizer, arguments_of):
    """How far each variable lies from its twin with the hyperparameters `arguments_of(name)`."""
    gradients, paths = trained(optimizer)
    twins = [
        variant.twin(of, np.ones_like(of[0]), **{**variant.arguments, **arguments_of(name)})
        for name, of in zip(NAMES, gradients, strict=True)
    ]
    return [distance(path, twin, start=1.0) for path, twin in zip(paths, twins, strict=True)]


OTHERS = {"learning_rate": 0.007, "beta_1": 0.7, "beta_2": 0.95, "rho": 0.6, "beta": 0.7, "momentum": 0.5, "epsilon": 1e-3}


def decay_of(variant, name, value):
    """How the twin is told of a rule's weight decay; that of what goes by Adam beside Muon is times its own rate."""
    if variant.make is not keras_optims.Muon or "kernel" in name:
        return {"weight_decay": value}
    return {"adam_weight_decay": None if value is None else value * variant.arguments["adam_lr_ratio"]}


# By how a step is told of them: each scope, a decay or scalars of its own, a slot that holds a hyperparameter.
BY_SETTINGS = [v for v in OF_EACH_SCOPE if not v.of_the_model]
BY_SETTINGS += [BY_NAME[name] for name in ("adagrad", "rmsprop", "ftrl", "adan", "schedule_free_sgd")]


@pytest.mark.parametrize("variant", BY_SETTINGS, ids=str)
def test_each_variable_follows_the_twin_of_its_own_hyperparameters(variant):
    ours = {name: OTHERS[name] for name in variant.arguments if name in OTHERS}
    rules = [Rule("bias", **ours, weight_decay=0.3), Rule("_[0-4]$", learning_rate_multiplier=0.25)]

    def arguments_of(name):
        arguments = {**variant.arguments, **({**ours, **decay_of(variant, name, 0.3)} if "bias" in name else {})}
        return {**arguments, "learning_rate": arguments["learning_rate"] * (0.25 if int(name[-1]) < 5 else 1)}

    assert max(departures(variant, variant.optimizer(rules=rules), arguments_of)) < 3e-4  # Adan's differences of gradients


# While the rate warms up, the mean of a Schedule-Free optimizer counts the weights by the model's own rate.
@pytest.mark.parametrize("variant", [v for v in OF_EACH_SCOPE if not v.of_the_model], ids=str)
def test_a_rule_may_take_the_weight_decay_away_or_schedule_the_rate(variant):
    rules = [Rule(ndim=1, weight_decay=None), Rule("kernel_0", learning_rate_multiplier=SCHEDULE)]

    def arguments_of(name):
        arguments = decay_of(variant, name, None if "bias" in name else 0.4)
        if name == "kernel_0":
            arguments["learning_rate"] = lambda step: variant.arguments["learning_rate"] * 0.5 * 0.8 ** (step / 10)
        return arguments

    assert max(departures(variant, variant.optimizer(rules=rules, weight_decay=0.4), arguments_of)) < 1e-4


def test_of_several_rules_the_multipliers_are_multiplied_and_of_the_rest_the_last_holds():
    rules = [Rule("bias", learning_rate_multiplier=0.5, beta_1=0.1), Rule("_0", learning_rate_multiplier=0.5, beta_1=0.2)]
    optimizer = keras_optims.Adam(rules=rules)
    optimizer.build(variables())
    by_rules = {line.variable: line.by_rules for line in optimizer.explain()}
    assert by_rules["bias_0"] == {"learning_rate_multiplier": 0.25, "beta_1": 0.2}
    assert by_rules["bias_1"] == {"learning_rate_multiplier": 0.5, "beta_1": 0.1}
    assert by_rules["kernel_0"] == {"learning_rate_multiplier": 0.5, "beta_1": 0.2}
    assert by_rules["kernel_1"] == {}


@pytest.mark.parametrize(
    ("rule", "chosen"),
    [
        (Rule("s_0$", beta_1=0), ["bias_0"]),
        (Rule(["s_0$", "kernel_1"], beta_1=0), ["kernel_1", "bias_0"]),
        (Rule(ndim=1, beta_1=0), ["bias_0", "half"]),
        (Rule(ndim=(1, 2), beta_1=0), ["kernel_0", "kernel_1", "bias_0", "half"]),
        (Rule(dtype="bfloat16", beta_1=0), ["half"]),
        (Rule("_", ndim=2, dtype=["float32", "bfloat16"], beta_1=0), ["kernel_0", "kernel_1"]),
        (Rule(beta_1=0), ["kernel_0", "kernel_1", "bias_0", "half"]),
    ],
    ids=repr,
)
def test_a_rule_chooses_by_path_dimensions_and_dtype(rule, chosen):
    optimizer = keras_optims.Adam(rules=[rule])
    optimizer.build([*variables(["kernel_0", "kernel_1", "bias_0"]), *variables(["half"], "bfloat16")])
    assert [line.variable for line in optimizer.explain() if line.by_rules] == chosen


def test_layerwise_decay_shrinks_the_rate_from_the_top_down():
    model = keras.Sequential([keras.Input((8,)), *(keras.layers.Dense(4, name=name) for name in ("low", "middle", "top"))])
    optimizer = keras_optims.GradientDescent(0.1, rules=[LayerwiseDecay(0.5)])
    optimizer.build(model.trainable_variables)
    assert [line.by_rules.get("learning_rate_multiplier", 1) for line in optimizer.explain()] == [0.25, 0.25, 0.5, 0.5, 1, 1]
    before = [as_numpy(v) for v in model.trainable_variables]
    optimizer.apply([np.ones(v.shape, "float32") for v in model.trainable_variables])
    steps = [was - as_numpy(v) for was, v in zip(before, model.trainable_variables, strict=True)]
    for step, rate in zip(steps, [0.025, 0.025, 0.05, 0.05, 0.1, 0.1], strict=True):
        np.testing.assert_allclose(step, rate, rtol=1e-5)


def test_layerwise_decay_takes_what_counts_as_a_layer():
    optimizer = keras_optims.Adam(rules=[LayerwiseDecay(0.5, layers=["kernel_0", "kernel_[12]", "bias"])])
    optimizer.build(variables(["bias_0", "kernel_2", "kernel_1", "kernel_0", "kernel_3"]))
    multipliers = {line.variable: line.by_rules.get("learning_rate_multiplier", 1) for line in optimizer.explain()}
    assert multipliers == {"kernel_0": 0.125, "kernel_1": 0.25, "kernel_2": 0.25, "bias_0": 0.5, "kernel_3": 1}


def test_the_numbers_of_a_rule_are_live():
    optimizer = keras_optims.GradientDescent(0.1, rules=[Rule("bias", learning_rate_multiplier=0.5, weight_decay=0.0)])
    updated = variables(["kernel_0", "bias_0"])
    step = CompiledStep(optimizer, updated)
    step([np.ones((3, 2), "float32"), np.ones(4, "float32")])
    optimizer.rules[0].learning_rate_multiplier = 0.25
    optimizer.rules[0].weight_decay = 1.0
    optimizer.learning_rate = 0.2
    step([np.ones((3, 2), "float32"), np.ones(4, "float32")])
    np.testing.assert_allclose(step.weights()[0], 0.7, rtol=1e-6)
    np.testing.assert_allclose(step.weights()[1], 0.95 - 0.05 * 0.95 - 0.05, rtol=1e-6)
    assert float(ops.convert_to_numpy(optimizer.rules[0].weight_decay)) == 1
    if keras.backend.backend() != "torch":
        assert step.traces == 1


def test_a_rate_of_its_own_does_not_follow_the_optimizers():
    optimizer = keras_optims.GradientDescent(0.1, rules=[Rule("bias", learning_rate=0.01)])
    step = CompiledStep(optimizer, variables(["kernel_0", "bias_0"]))
    optimizer.learning_rate = 0.2
    step([np.ones((3, 2), "float32"), np.ones(4, "float32")])
    np.testing.assert_allclose(step.weights()[0], 0.8, rtol=1e-6)
    np.testing.assert_allclose(step.weights()[1], 0.99, rtol=1e-6)


@keras.saving.register_keras_serializable(package="tests")
class LargeOnes(Rule):
    """A rule of a user's own."""

    def chooses(self, path, ndim, dtype):
        return ndim >= 2


def test_rules_are_saved_in_the_config_with_the_numbers_of_now():
    rules = [
        Rule(["bias$", "x"], ndim=range(2), dtype="float32", weight_decay=None, learning_rate=SCHEDULE),
        LayerwiseDecay(0.8, layers=["a", "b"]),
        LargeOnes(learning_rate_multiplier=0.1),
    ]
    optimizer = keras_optims.Adam(rules=rules)
    optimizer.rules[1].learning_rate_multiplier = 0.7
    again = keras_optims.Adam.from_config(json.loads(json.dumps(optimizer.get_config())))
    assert again.get_config() == optimizer.get_config()
    assert [type(rule.rule) for rule in again.rules] == [Rule, LayerwiseDecay, LargeOnes]
    assert repr(again.rules[1]) == "LayerwiseDecay(learning_rate_multiplier=0.7, layers=['a', 'b'])"
    again.build(variables(["kernel_0", "bias"]))
    optimizer.build(variables(["kernel_0", "bias"]))
    assert [line.by_rules.keys() for line in again.explain()] == [line.by_rules.keys() for line in optimizer.explain()]


def test_a_saved_model_has_each_of_many_rules(tmp_path):
    rules = [Rule("bias", beta_1=i / 10) if i % 2 else LayerwiseDecay(i / 10) for i in range(10)]
    model = compiled(keras_optims.Adam(rules=rules))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras").optimizer
    assert list(map(repr, loaded.rules)) == list(map(repr, rules))


def test_a_rule_given_to_two_optimizers_is_live_in_each_alone():
    rule = Rule("bias", beta_1=0.5)
    one, other = keras_optims.Adam(rules=[rule]), keras_optims.Adam(rules=[rule])
    one.rules[0].beta_1 = 0.7
    assert repr(other.rules[0]) == "Rule(path=['bias'], beta_1=0.5)"
    assert repr(one.rules[0]) == "Rule(path=['bias'], beta_1=0.7)"
    assert repr(rule) == "Rule(path=['bias'], beta_1=0.5)"


def test_a_training_resumes_with_its_rules_bit_for_bit(tmp_path):
    def optimizer():
        rules = [Rule("bias", learning_rate_multiplier=0.3, beta_2=0.95), LayerwiseDecay(0.9)]
        return keras_optims.AdamW(0.01, rules=rules, gradient_accumulation_steps=2)

    whole = compiled(optimizer())
    fit(whole, 3)
    model = compiled(optimizer())
    model.optimizer.rules[1].learning_rate_multiplier = 0.5
    model.optimizer.rules[1].learning_rate_multiplier = 0.9
    fit(model, 1)
    model.save(tmp_path / "model.keras")
    resumed = keras.models.load_model(tmp_path / "model.keras")
    fit(resumed, 2)
    for ours, theirs in zip(weights(resumed), weights(whole), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert {"rule_0_beta_2", "rule_0_learning_rate_multiplier", "rule_1_learning_rate_multiplier"} < set(
        state_of(resumed.optimizer)
    )


def test_a_state_without_the_rule_is_an_error_that_names_it():
    plain, ruled = keras_optims.Adam(), keras_optims.Adam(rules=[Rule("bias", beta_1=0.5)])
    for optimizer in (plain, ruled):
        optimizer.build(variables(["bias_0"]))
    with pytest.raises(ValueError, match="missing from it: rule_0_beta_1"):
        ruled.load_state(plain)
    assert "rule_0_beta_1" in ruled.load_state(plain, partial=True).fresh
    state = {**state_of(ruled), "rule_0_beta_1": np.float32(1.5)}
    with pytest.raises(ValueError, match=re.escape("rule_0_beta_1 must be in [0, 1)")):
        ruled.load_state(state)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_the_path_of_a_variable_is_the_same_as_without_rules(variant):
    plain, ruled = variant.optimizer(), variant.optimizer(rules=[Rule("bias", learning_rate_multiplier=0.5, weight_decay=0.1)])
    for optimizer in (plain, ruled):
        optimizer.build(variables())
    assert [line.path for line in ruled.explain()] == [line.path for line in plain.explain()]


@pytest.mark.backend("tensorflow")
def test_each_set_of_settings_is_a_group_with_one_kernel():
    import tensorflow as tf

    from keras_optims.metal.tracing import operations

    optimizer = keras_optims.Adam(rules=[Rule("bias", learning_rate_multiplier=0.5)])
    updated = variables()
    optimizer.build(updated)
    traced = operations(tf.function(lambda gradients: optimizer.apply(gradients)), [tf.ones(v.shape) for v in updated])
    assert [name for name, _ in traced].count("ResourceApplyAdam") == 2
    assert [v.shape for v in optimizer.variables if v.name == "grouped_first_moment"] == [(54,), (36,)]


@pytest.mark.backend("torch")
def test_each_set_of_settings_is_one_call_of_the_fused_kernel(monkeypatch):
    import torch

    calls = []
    kernel = torch._fused_adam_
    monkeypatch.setattr(
        torch, "_fused_adam_", lambda weights, *rest, **k: (calls.append(len(weights)), kernel(weights, *rest, **k))
    )
    optimizer = keras_optims.Adam(rules=[Rule("bias", learning_rate_multiplier=0.5)])
    trained(optimizer, steps=1)
    assert calls == [9, 9]


def test_adagrads_epsilon_by_a_rule_is_live_and_in_the_accumulators_of_its_variables():
    optimizer = keras_optims.Adagrad(0.1, initial_accumulator_value=0.0, epsilon=1e-4, rules=[Rule("bias", epsilon=1.0)])
    step = CompiledStep(optimizer, variables(["kernel_0", "bias_0"]))
    step([np.ones((3, 2), "float32"), np.ones(4, "float32")])
    np.testing.assert_allclose(step.weights()[0], 1 - 0.1 / np.sqrt(1 + 1e-4), rtol=1e-6)
    np.testing.assert_allclose(step.weights()[1], 1 - 0.1 / np.sqrt(2), rtol=1e-6)
    optimizer.rules[0].epsilon = 7.0
    optimizer.epsilon = 1e-2
    step([np.zeros((3, 2), "float32"), np.zeros(4, "float32")])
    step([np.ones((3, 2), "float32"), np.ones(4, "float32")])
    np.testing.assert_allclose(step.weights()[0], 1 - 0.1 / np.sqrt(1 + 1e-4) - 0.1 / np.sqrt(2.01), rtol=1e-6)
    np.testing.assert_allclose(step.weights()[1], 1 - 0.1 / np.sqrt(2) - 0.1 / 3, rtol=1e-6)


def test_a_rule_gives_rmsprop_a_momentum_that_the_others_have_not():
    ruled = keras_optims.RMSprop(0.01, rules=[Rule("bias", momentum=0.9)])
    _, path = trained(ruled, variables(["kernel_0", "bias_0"]))
    _, without = trained(keras_optims.RMSprop(0.01), variables(["kernel_0", "bias_0"]))
    _, with_momentum = trained(keras_optims.RMSprop(0.01, momentum=0.9), variables(["kernel_0", "bias_0"]))
    np.testing.assert_allclose(path[0], without[0], rtol=1e-6)
    np.testing.assert_allclose(path[1], with_momentum[1], rtol=1e-6)


def test_a_rule_clips_its_own_variables():
    optimizer = keras_optims.GradientDescent(1.0, clipnorm=10.0, rules=[Rule("bias", clipnorm=0.5)])
    updated = variables(["bias_0", "kernel_0", "bias_1"])
    step = CompiledStep(optimizer, updated)
    step([np.ones(4, "float32"), np.ones((3, 2), "float32"), np.zeros(4, "float32")])
    np.testing.assert_allclose(step.weights()[0], 0.75, rtol=1e-6)
    np.testing.assert_allclose(step.weights()[1], 0.0, atol=1e-6)
    np.testing.assert_allclose(step.weights()[2], 1.0)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", *(["float64"] if keras.backend.backend() != "jax" else [])])
def test_rules_hold_for_variables_of_other_dtypes(dtype):
    optimizer = keras_optims.Momentum(0.25, rules=[Rule(dtype=dtype, learning_rate_multiplier=0.5, momentum=0.0)])
    step = CompiledStep(optimizer, [*variables(["bias_0"]), *variables(["bias_1"], dtype)])
    for _ in range(2):
        step([np.ones(4, "float32"), np.ones(4, "float32")])
    np.testing.assert_allclose(step.weights()[0], 1 - 0.25 - 0.25 * 1.9, rtol=1e-6)
    np.testing.assert_allclose(step.weights()[1], 0.75, rtol=1e-6)


@pytest.mark.backend("tensorflow")
def test_rules_hold_for_the_rows_of_a_sparse_gradient():
    import tensorflow as tf

    optimizer = keras_optims.GradientDescent(0.5, rules=[Rule("bias", learning_rate_multiplier=0.5)])
    tables = [keras.Variable(np.ones((4, 2), "float32"), name=name) for name in ("kernel", "bias")]
    optimizer.build(tables)
    slices = tf.IndexedSlices(tf.ones((2, 2)), tf.constant([1, 1]), tf.constant([4, 2]))
    optimizer.apply([slices, slices], tables)
    np.testing.assert_allclose(as_numpy(tables[0])[1], 0.0)
    np.testing.assert_allclose(as_numpy(tables[1])[1], 0.5)


def test_an_accumulated_step_uses_the_rules():
    rules = [Rule("bias", learning_rate_multiplier=0.5)]
    optimizer = keras_optims.GradientDescent(1.0, gradient_accumulation_steps=2, rules=rules)
    step = CompiledStep(optimizer, variables(["kernel_0", "bias_0"]))
    for number in (1.0, 3.0):
        step([np.full((3, 2), number, "float32"), np.full(4, number, "float32")])
    np.testing.assert_allclose(step.weights()[0], -1.0)
    np.testing.assert_allclose(step.weights()[1], 0.0)


def test_a_frozen_variable_and_none_gradients_leave_the_settings_of_the_others():
    optimizer = keras_optims.GradientDescent(0.5, rules=[Rule("_0", learning_rate_multiplier=0.5)])
    updated = variables(["kernel_0", "bias_0", "bias_1"])
    optimizer.build(updated)
    optimizer.apply([np.ones(4, "float32"), np.ones(4, "float32")], updated[1:])
    assert [float(as_numpy(v).ravel()[0]) for v in updated] == [1.0, 0.75, 0.5]


def test_a_rule_that_chooses_nothing_warns():
    optimizer = keras_optims.Adam(rules=[Rule("biass", beta_1=0.5)])
    with pytest.warns(
        UserWarning, match=r"Rule\(path=\['biass'\], beta_1=0.5\) chooses none of the 1 variables, such as 'bias_0'"
    ):
        optimizer.build(variables(["bias_0"]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Rule("bias"), "A Rule must set something"),
        (lambda: Rule("(", beta_1=0), "path of a Rule must be a regular expression; received '('"),
        (lambda: Rule(3, beta_1=0), "path of a Rule must be a text or a list of them; received 3"),
        (lambda: Rule([], beta_1=0), "path of a Rule must be a text or a list of them; received []"),
        (lambda: Rule(ndim="1", beta_1=0), "ndim of a Rule must be an int or a list of them; received '1'"),
        (lambda: Rule(ndim=True, beta_1=0), "ndim of a Rule must be an int or a list of them; received True"),
        (
            lambda: Rule(dtype="float33", beta_1=0),
            "dtype of a Rule must be a dtype of Keras, such as 'float32'; received 'float33'",
        ),
        (lambda: Rule(learning_rate_multiplier=-1), "learning_rate_multiplier (μ) must be a number in [0, ∞)"),
        (lambda: LayerwiseDecay(-1), "learning_rate_multiplier (μ) must be a number in [0, ∞)"),
        (lambda: LayerwiseDecay(0.5, layers="("), "layers of a LayerwiseDecay must be a regular expression"),
        (lambda: keras_optims.Adam(rules=Rule(beta_1=0)), "rules must be a list of keras_optims.Rule; received Rule(beta_1=0)"),
        (lambda: keras_optims.Adam(rules=["bias"]), "rules must be a list of keras_optims.Rule; received ['bias']"),
        (lambda: keras_optims.Adam(rules=[Rule(beta1=0)]), "A rule of Adam cannot set 'beta1'. Did you mean beta_1? It can set"),
        (lambda: keras_optims.Adam(rules=[Rule(amsgrad=True)]), "A rule of Adam cannot set 'amsgrad'. It can set learning_rate"),
        (lambda: keras_optims.Adam(rules=[Rule(global_clipnorm=1)]), "A rule of Adam cannot set 'global_clipnorm'"),
        (lambda: keras_optims.Adam(rules=[Rule(beta_1=1)]), "beta_1 (β₁) must be a number in [0, 1)"),
    ],
)
def test_a_wrong_rule_is_an_error(make, message):
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        make()


@pytest.mark.parametrize(
    "damaged",
    [
        {"class_name": "Nope", "config": {}},
        {"module": "os", "class_name": "system", "config": {}, "registered_name": None},
        {**keras.saving.serialize_keras_object(Rule(beta_1=0)), "config": {"path": "("}},
        {**keras.saving.serialize_keras_object(Rule(beta_1=0)), "config": {"beta_1": {"class_name": "Nope", "config": {}}}},
    ],
)
def test_a_damaged_config_of_a_rule_is_a_clear_error(damaged):
    with pytest.raises(ValueError, match=r"^The config of rules must be .*received \{.*of which Keras says") as error:
        keras_optims.Adam.from_config({"rules": [damaged]})
    assert "\n" not in str(error.value)


def test_two_kinds_of_clipping_by_rules_are_an_error_that_leaves_the_optimizer_unbuilt():
    optimizer = keras_optims.Adam(clipvalue=1.0, rules=[Rule("bias", clipnorm=1.0)])
    with pytest.raises(ValueError, match=r"^Only one of clipnorm, .* can be set; received clipnorm=1\.0"):
        optimizer.build(variables())
    assert not optimizer.built


def test_what_a_rule_does_not_set_cannot_be_set_on_it():
    optimizer = keras_optims.Adam(rules=[Rule("bias", beta_1=0.5)])
    with pytest.raises(AttributeError, match=re.escape("The rule Rule(path=['bias'], beta_1=0.5) has no 'beta_2'.")):
        _ = optimizer.rules[0].beta_2
    with pytest.raises(AttributeError, match=re.escape("does not set beta_2, so there is nothing to change; it sets beta_1.")):
        optimizer.rules[0].beta_2 = 0.9
    with pytest.raises(ValueError, match=re.escape("beta_1 (β₁) must be a number in [0, 1)")):
        optimizer.rules[0].beta_1 = 2
    with pytest.raises(ValueError, match="given to its constructor and stay"):
        optimizer.rules = []


def test_to_keras_refuses_rules():
    with pytest.raises(ValueError, match="to_keras cannot take over rules"):
        keras_optims.to_keras(keras_optims.Adam(rules=[Rule("bias", beta_1=0.5)]))


def test_explain_prints_what_rules_have_set():
    optimizer = keras_optims.AdamW(rules=[Rule("bias", weight_decay=None, learning_rate_multiplier=0.1)])
    optimizer.build(variables(["kernel_0", "bias_0"]))
    header, kernel, bias = str(optimizer.explain()).split("\n")
    assert header.endswith("by rules")
    assert bias.endswith("weight_decay=None, learning_rate_multiplier=0.1")
    assert "learning_rate" not in kernel
    assert [line.weight_decay for line in optimizer.explain()] == [True, False]
