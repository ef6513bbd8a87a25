"""The public contract: our optimizers keep it, each check finds what is broken, and the page says what Keras's own fail."""

import functools
import importlib.util
import json
import pathlib
import random

import keras
import numpy as np
import pytest
from keras import ops

import keras_optims
from keras_optims import Adam, Momentum
from keras_optims.testing import CHECKS, ContractError, NotApplicable, check_optimizer, parametrize_with_checks
from tests.broken_optimizers import ALSO_BROKEN, BROKEN, DecaysItself, MakesStateLate, RaisesWhereItIsNeeded
from tests.variants import CLASSES

# What a check finds on another backend it finds of one for each way of running: with and without a kernel, of the whole model, by
# rows and columns, by matrices, with weights to evaluate at.
OTHERS = (Adam, keras_optims.Adagrad, keras_optims.Nadam, keras_optims.Lamb, keras_optims.Adafactor, keras_optims.Muon)
OTHERS = (*OTHERS, keras_optims.ScheduleFreeAdamW, keras_optims.Prodigy)
OURS = [cls for cls in CLASSES if keras.backend.backend() == "tensorflow" or cls in OTHERS]
# What only the base class decides, of one for each scope. How a formula decays the weights that does so itself is its own matter.
OF_EACH_SCOPE = [cls for cls in OTHERS if cls not in (keras_optims.Adagrad, keras_optims.Adafactor)]
OF_THE_DECAY = ("weight_decay", "weight_decay_exclusions_once_built")
OF_THE_BASE = (
    *OF_THE_DECAY,
    "weight_decay_exclusions",
    "saved_model",
    "saved_before_the_first_step",
    "learning_rate_can_be_set",
    "hyperparameters_can_be_set",
    "schedules",
    "frozen_variable",
    "trains_in_fit",
    "two_optimizers",
    "loss_scale",
    "accumulation",
    "resume_within_an_accumulation",
    "clipnorm",
    "global_clipnorm",
    "clipvalue",
    "clipping_of_huge_gradients",
    "averaged_weights",
    "averaged_weights_under_accumulation",
    "resume_with_averaged_weights",
)
VARIANTS = [  # which differ by formula: one backend is enough
    functools.partial(Momentum, nesterov=True),
    functools.partial(keras_optims.Adagrad, initial_accumulator_value=0.0, epsilon=1e-5),
    functools.partial(keras_optims.RMSprop, momentum=0.8),
    functools.partial(keras_optims.RMSprop, centered=True, momentum=0.8, epsilon=1e-3),
    functools.partial(Adam, amsgrad=True),
    functools.partial(Adam, weight_decay=0.01, global_clipnorm=1.0),
]


@parametrize_with_checks(OURS, skip=OF_THE_BASE)
def test_our_optimizers_keep_the_contract(make_optimizer, check):
    check(make_optimizer)


@parametrize_with_checks(OF_EACH_SCOPE, only=OF_THE_BASE)
def test_the_base_class_keeps_the_contract_in_each_scope(make_optimizer, check):
    check(make_optimizer)


@parametrize_with_checks([cls for cls in OURS if cls.decay == "own" and cls not in OF_EACH_SCOPE], only=OF_THE_DECAY)
def test_a_formula_that_decays_itself_keeps_the_contract(make_optimizer, check):
    check(make_optimizer)


@pytest.mark.backend("tensorflow")
@parametrize_with_checks(VARIANTS, skip=OF_THE_BASE)
def test_their_variants_keep_the_contract(make_optimizer, check):
    check(make_optimizer)


# -- the checks themselves ------------------------------------------------------------------------


def test_each_check_has_its_broken_optimizer():
    assert list(BROKEN) == list(CHECKS)


@pytest.mark.backend("tensorflow")
@pytest.mark.parametrize(("name", "broken"), [*BROKEN.items(), *ALSO_BROKEN])
def test_a_check_finds_what_is_broken(name, broken):
    with pytest.raises(ContractError) as found:
        CHECKS[name](broken)
    assert CHECKS[name].reason in str(found.value)
    assert "It raised" not in str(found.value) or name in ("shapes", "empty_variable")


class NormalizedTogether(keras_optims.Optimizer):
    """Gradients over the norm of all of them: of the whole model, and elementwise but for that norm."""

    elementwise = True

    def begin_step(self, gradients, variables):
        norm = ops.sqrt(sum(ops.sum(ops.square(gradient)) for gradient in gradients))
        return {"norm": ops.where(norm > 0, norm, 1.0)}

    def step_scalars(self, learning_rate):
        return {"rate": learning_rate / self.of_step.norm}

    def update_step(self, gradient, variable, learning_rate):
        self.assign_sub(variable, self.scalars(variable, learning_rate).rate * gradient)


@pytest.mark.parametrize("make_optimizer", [NormalizedTogether, DecaysItself])
def test_a_formula_of_the_whole_model_and_one_that_decays_itself_are_sound(make_optimizer):
    report = check_optimizer(make_optimizer)
    assert not report.failed, str(report)
    skipped = [result.name for result in report.skipped]
    assert ("each_variable_has_its_own_state" in skipped) == (make_optimizer is NormalizedTogether)
    assert ("elementwise" in skipped) == (make_optimizer is DecaysItself)


@pytest.mark.backend("torch")
def test_a_slot_in_the_memory_of_a_weight_is_found():
    class KeepsItsStart(Momentum):
        def build(self, variables):
            super().build(variables)
            self.start = [keras.Variable(variable.value.detach(), name="start") for variable in variables]

        @property
        def variables(self):
            return [*super().variables, *self.start]

    with pytest.raises(ContractError, match=r"another one was set.* in its memory on torch"):
        CHECKS["memory_is_not_shared"](KeepsItsStart)


def test_an_error_where_it_should_work_is_a_finding_with_its_cause():
    with pytest.raises(ContractError, match="It raised RuntimeError: not on a") as found:
        CHECKS["deterministic"](RaisesWhereItIsNeeded)
    assert isinstance(found.value.__cause__, RuntimeError)


@pytest.mark.parametrize("name", ["trains_in_fit", "saved_model", "saved_before_the_first_step"])
def test_a_check_that_makes_a_model_neither_depends_on_random_numbers_nor_uses_up_any(name):
    made = []

    def of_backend():
        if keras.backend.backend() != "torch":
            return None
        import torch

        return float(torch.rand(()))

    def recorded(**arguments):
        made.append(Momentum(**arguments))
        return made[-1]

    def drawn(seed, check=None):
        keras.utils.set_random_seed(seed)
        if check:
            check(recorded)
        layer = keras.layers.Dense(2)
        layer.build((None, 3))
        of_keras = [np.array(ops.convert_to_numpy(each)) for each in (layer.kernel, keras.random.uniform((2,)))]
        return [random.random(), np.random.random(), of_backend(), *map(np.ndarray.tolist, of_keras)]

    assert drawn(1) == drawn(1, CHECKS[name])
    first = [np.array(variable) for variable in made[0]._trainable_variables]
    count = len(made)
    drawn(2, CHECKS[name])
    for one, other in zip(first, made[count]._trainable_variables, strict=True):
        np.testing.assert_array_equal(one, other)


def test_steps_of_one_size_that_go_back_and_forth_are_a_training():
    class SignDescent(keras_optims.Optimizer):
        def update_step(self, gradient, variable, learning_rate):
            self.assign_sub(variable, learning_rate * ops.sign(gradient))

    for seed in range(20):
        keras.utils.set_random_seed(seed)
        CHECKS["trains_in_fit"](SignDescent)


@pytest.mark.backend("jax")
def test_a_retrace_is_found():
    class ChangesADtype(Momentum):
        def __setattr__(self, name, value):
            super().__setattr__(name, value)
            if name == "learning_rate" and self.built:
                self._learning_rate._value = self._learning_rate.value.astype("float16")

    with pytest.raises(ContractError, match="traced 2 times"):
        CHECKS["learning_rate_can_be_set"](ChangesADtype)


def test_what_an_optimizer_does_not_take_is_not_checked():
    class Plain(keras.optimizers.Optimizer):
        def __init__(self, learning_rate=0.1):
            super().__init__(learning_rate)

        def update_step(self, gradient, variable, learning_rate):
            self.assign_sub(variable, gradient * learning_rate)

    for make_optimizer in (Plain, lambda **arguments: Plain(**arguments)):
        with pytest.raises(NotApplicable, match="it has no argument clipnorm"):
            CHECKS["clipnorm"](make_optimizer)
        CHECKS["zero_gradient"](make_optimizer)


# -- the report -----------------------------------------------------------------------------------


def test_the_report_says_what_was_found():
    report = check_optimizer(MakesStateLate, only=["config_is_exact", "state_is_built_once", "deterministic"])
    assert [result.name for result in report.results] == ["state_is_built_once", "config_is_exact", "deterministic"]
    assert [result.name for result in report.failed] == ["state_is_built_once"]
    assert "checkpoints" in report.failed[0].found
    assert json.loads(json.dumps(report.to_dict()))["results"][0]["outcome"] == "failed"
    assert str(report).startswith(f"MakesStateLate on {keras.backend.backend()}: 2 passed, 1 failed, 0 skipped\n")
    with pytest.raises(ContractError, match="MakesStateLate fails 1 of 3 checks:\n  state_is_built_once: "):
        report.raise_if_failed()


def test_a_report_without_a_failure_raises_nothing():
    some = ["config_is_exact", "state_is_built_once", "hyperparameters_can_be_set"]
    report = check_optimizer(functools.partial(keras_optims.GradientDescent, name="mine"), only=some, skip=some[:1])
    report.raise_if_failed()
    assert report.optimizer == "GradientDescent(name='mine')"
    assert [result.outcome for result in report.results] == ["passed", "skipped"]
    assert report.skipped[0].found == "it has no hyperparameter but learning_rate that can be set and has an effect"


@pytest.mark.parametrize("choice", [{"only": ["clipnrom"]}, {"skip": ["clipnrom"]}])
def test_an_unknown_check_is_an_error(choice):
    with pytest.raises(ValueError, match="There is no check 'clipnrom'; the checks are state_is_built_once"):
        check_optimizer(Adam, **choice)


# -- the page -------------------------------------------------------------------------------------


def script():
    path = pathlib.Path(__file__).parents[1] / "scripts" / "contract_table.py"
    spec = importlib.util.spec_from_file_location("contract_table", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.backend("tensorflow")
def test_the_page_lists_all_checks():
    assert script().checks_table() in script().PAGE.read_text()


@pytest.mark.backend("tensorflow")
def test_the_page_speaks_of_all_our_classes():
    assert f"{len(keras_optims.OPTIMIZERS)} classes, {len(CHECKS)} checks: " in script().PAGE.read_text()


KERAS = ["SGD", "Adam"]  # of each of the page: `python scripts/contract_table.py --check`, which takes ten minutes


@pytest.mark.slow
@pytest.mark.backend("tensorflow")
@pytest.mark.parametrize("name", KERAS)
def test_keras_optimizers_fail_what_the_page_says(name):
    table = script()
    if f"Made with {table.versions()}." not in table.PAGE.read_text():
        pytest.skip(f"the page was made with other versions than {table.versions()}")
    assert table.failures(name) == table.documented_failures(name)
