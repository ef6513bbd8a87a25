"""The step on TensorFlow as the Mac's GPU gets it: one kernel for each variable, all of them registered there.

`metal_ops.json` lists what tensorflow-metal 1.2.0 registers for the GPU. Anything else falls to the CPU, and waits for it.
"""

import dataclasses
import functools
import importlib.util
import json
import pathlib
import re

import keras
import pytest

import keras_optims
from keras_optims.metal.coverage import LARGE, PASSIVE, SMALL, Coverage, coverage
from keras_optims.metal.tracing import operations, registered_for_every_device, registered_for_metal, registered_on
from tests.variants import ONE_EACH, VARIANTS

pytestmark = pytest.mark.backend("tensorflow")

KERNELS = {
    keras_optims.GradientDescent: "ResourceApplyGradientDescent",
    keras_optims.Momentum: "ResourceApplyKerasMomentum",
    keras_optims.Adagrad: "ResourceApplyAdagrad",
    keras_optims.RMSprop: "ResourceApplyRMSProp",
    keras_optims.Adam: "ResourceApplyAdam",
    keras_optims.AdamW: "ResourceApplyAdam",
    keras_optims.SGD: "ResourceApplyKerasMomentum",
    keras_optims.NAdamW: "ResourceApplyAdam",
    keras_optims.Adadelta: "ResourceApplyAdadelta",
}
SERVED = [variant for variant in VARIANTS if variant.make in KERNELS]
OTHERS = [variant for variant in ONE_EACH if variant.make not in (*KERNELS, keras_optims.SOAP)]


def kernel_of(variant):
    if variant.arguments.get("amsgrad"):
        return "ResourceApplyAdamWithAmsgrad"
    return "ResourceApplyCenteredRMSProp" if variant.arguments.get("centered") else KERNELS[variant.make]


def covered(make, **traced) -> Coverage:
    return coverage(make, registered_for_metal(), **traced)


# -- our steps ------------------------------------------------------------------------------------


@pytest.mark.parametrize("decay", [{}, {"weight_decay": 0.01}], ids=["", "decay"])
@pytest.mark.parametrize("variant", SERVED, ids=str)
def test_a_large_variable_takes_one_kernel_and_two_with_weight_decay(variant, decay):
    found = covered(lambda: variant.optimizer(**decay))
    expected = {f"{kernel_of(variant)} float32": 1}
    if decay or "weight_decay" in variant.arguments:
        expected["ResourceApplyGradientDescent float32"] = expected.get("ResourceApplyGradientDescent float32", 0) + 1
    assert found.each == expected
    assert found.stays_on_the_gpu, found


@pytest.mark.parametrize("shapes", [LARGE, SMALL], ids=["large", "small"])
@pytest.mark.parametrize("variant", OTHERS, ids=str)
def test_a_formula_without_a_kernel_stays_on_the_gpu(variant, shapes):
    """An operation at a time, and for small variables once for all of them."""
    found = covered(lambda: variant.optimizer(weight_decay=0.01), shapes=shapes)
    # What is no matrix of hidden layers goes by a kernel beside Muon.
    assert found.kind == "fused" if variant.make is keras_optims.Muon and shapes == SMALL else found.kind == "elementary"
    assert found.stays_on_the_gpu, found
    assert shapes == LARGE or found.operations == 1 or not variant.takes_rows  # a norm is that of each


def test_soap_leaves_the_gpu_for_the_eigenvectors_and_for_when_they_are_due():
    """Once for all matrices of one shape."""
    found = covered(keras_optims.SOAP)
    assert not found.falls
    decompositions = {"SelfAdjointEigV2 float32", "Qr float32"}
    assert decompositions == {named for named in found.falls_once if "float32" in named} - {"ReverseV2 float32"}
    assert found.decisions == 2  # the first, and the later ones


@pytest.mark.parametrize("variant", SERVED, ids=str)
def test_small_variables_take_one_kernel_together(variant):
    made = []

    def make():
        made.append(variant.optimizer())
        return made[-1]

    found = covered(make, shapes=SMALL)
    kernel = f"{kernel_of(variant)} float32"
    if variant.make is keras_optims.GradientDescent:  # no slots: its kernel for each is less work than grouping
        assert found.each == {kernel: 1}
    else:
        assert found.each == {"AssignVariableOp float32": 1}  # which hands over a buffer
        assert found.once[kernel] == 1
    assert found.stays_on_the_gpu, found
    assert {line.path for line in made[0].explain()} <= {"fused", "grouped"}


@pytest.mark.parametrize("variant", [v for v in VARIANTS if v.takes_rows], ids=str)
def test_rows_of_a_sparse_gradient_are_updated_on_the_gpu(variant):
    found = covered(variant.optimizer, sparse=True)
    assert found.stays_on_the_gpu, found
    assert found.kind == "elementary"


# What an option's step leaves the GPU for, once and not for each variable; see the page. All other options stay there.
LEAVING = {
    "ema_overwrite_frequency": {"AddV2 int64", "Equal int64", "FloorMod int64"},
    "gradient_accumulation_steps": {"AddV2 int64", "Equal int64", "FloorMod int64", "FloorDiv int64"},
    "PiecewiseConstantDecay": {"Greater int64", "LessEqual int64"},
    "CosineDecay": {"Cos float32"},
}
DECIDING = ("ema_overwrite_frequency", "gradient_accumulation_steps", "warm-up")


def page_script():
    spec = importlib.util.spec_from_file_location(
        "metal_coverage", pathlib.Path(__file__).parents[1] / "scripts" / "metal_coverage.py"
    )
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


PAGE_SCRIPT = page_script()


@pytest.mark.parametrize(("name", "arguments", "traced"), list(PAGE_SCRIPT.options()), ids=lambda name: str(name)[:60])
def test_no_option_leaves_the_gpu_for_more_than_it_must(name, arguments, traced):
    found = covered(functools.partial(keras_optims.Adam, **arguments), **traced)
    assert found.falls == ()
    assert set(found.falls_once) <= set().union(*(falls for option, falls in LEAVING.items() if option in name))
    assert found.decisions <= any(option in name for option in DECIDING)


# -- half precision -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("variant", [v for v in ONE_EACH if v.make is not keras_optims.SOAP], ids=str)
def test_half_precision_variables_take_the_formula_and_are_assigned(variant, dtype):
    """There is no kernel that adds to them, and none of the fused ones serves them."""
    found = covered(variant.optimizer, dtype=dtype)
    assert found.kind == "elementary"
    assert found.stays_on_the_gpu, found
    assign, cast = f"AssignVariableOp {dtype}", f"Cast float32 {dtype}"
    stacked = cast in found.once  # small ones of one shape are, where a formula is not elementwise, and cast together
    assert {named for named in found.each if named.endswith(f" {dtype}")} == ({assign} if stacked else {assign, cast})
    assert {named for named in found.once if named.endswith(f" {dtype}")} <= {cast, f"ConcatV2 {dtype}", f"Split {dtype}"}


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_a_model_in_mixed_precision_updates_float32_variables_by_the_kernel(policy):
    import tensorflow as tf

    applied = []

    class Recorded(keras_optims.Adam):
        def apply(self, grads, trainable_variables=None):
            applied.extend(gradient.dtype.name for gradient in grads)
            super().apply(grads, trainable_variables)

    keras.config.set_dtype_policy(policy)
    try:
        model = keras.Sequential([keras.Input((20,)), keras.layers.Dense(30), keras.layers.Dense(2)])
        model.compile(Recorded(), "mse", auto_scale_loss=False)
        model.optimizer.build(model.trainable_variables)
        step = tf.function(lambda x, y: model.train_step((x, y)))
        found = operations(step, tf.ones((8, 20)), tf.ones((8, 2)))
    finally:
        keras.config.set_dtype_policy("float32")
    half = policy.removeprefix("mixed_")
    assert ("Cast", ("float32", half)) in found  # the model computes in half precision
    assert applied == ["float32"] * 4
    assert found.count(("ResourceApplyAdam", ("float32",))) == 4
    assert not [node for node in found if node[0].startswith("Assign") and half in node[1]]


# -- the comparison itself ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "operations_of_each", "reads"),
    [
        (keras.optimizers.Adam, 21, 6),
        (keras.optimizers.Adagrad, 7, 2),
        (functools.partial(keras.optimizers.SGD, momentum=0.9), 5, 3),
    ],
)
def test_operations_and_reads_of_keras_are_counted_for_each_variable(make, operations_of_each, reads):
    found = covered(make)
    assert (found.operations, found.reads, found.fused) == (operations_of_each, reads, ())


def test_what_has_no_kernel_falls_for_each_variable_or_once():
    """Keras counts its steps in integers, which the GPU does not add; its Adam does so for each variable."""
    sgd, adam = covered(keras.optimizers.SGD), covered(keras.optimizers.Adam)
    assert (sgd.falls, sgd.falls_once, sgd.kind) == ((), ("AddV2 int64",), "elementary")
    assert (adam.falls, adam.falls_once, adam.kind) == (("AddV2 int64",), ("AddV2 int64",), "CPU")


def test_half_precision_variables_that_are_added_to_fall():
    """TensorFlow's own kernel for every device does not count: it would add with the CPU."""
    assert "float16" in registered_for_every_device()["AssignAddVariableOp"]
    assert covered(keras.optimizers.Adagrad, dtype="float16").falls == (
        "AssignAddVariableOp float16",
        "AssignSubVariableOp float16",
    )


def test_an_operation_without_dtypes_needs_a_kernel_too():
    found = covered(lambda: keras.optimizers.LossScaleOptimizer(keras_optims.Adam()))
    assert found.falls == ("All", "IsFinite float32")
    assert found.decisions == 2
    assert found.fused == ("ResourceApplyAdam",)
    assert str(found).startswith("falls to the CPU for each variable: no kernel for All, IsFinite float32; once in a step: ")


@pytest.mark.parametrize("missing", ["ResourceApplyAdam", "Cast"])
def test_the_kernels_that_are_registered_are_an_argument(missing):
    kernels = {operation: dtypes for operation, dtypes in registered_for_metal().items() if operation != missing}
    found = coverage(keras_optims.Adam, kernels)
    assert [named.split()[0] for named in (*found.falls, *found.falls_once)] == [missing]
    assert coverage(keras_optims.Adam, registered_on("CPU")).stays_on_the_gpu


def test_a_coverage_is_json():
    found = covered(keras_optims.Adam)
    assert json.loads(json.dumps(dataclasses.asdict(found)))["each"] == {"ResourceApplyAdam float32": 1}
    assert str(found) == "fused: ResourceApplyAdam"


def test_tensorflow_serves_what_counts_as_passive_on_every_device():
    kernels = registered_for_every_device()
    assert PASSIVE | {"ReadVariableOp"} <= kernels.keys()
    assert {"float32", "bfloat16", "int64"} <= kernels["AssignVariableOp"]


# -- the page -------------------------------------------------------------------------------------


CHECKED = {  # rows of the page, one for each way of running; all of them: python scripts/metal_coverage.py --check
    "float32": ("adagrad", "centered rmsprop with momentum", "adam", "ftrl with penalties", "lamb with decay", "muon", "prodigy"),
    "float16": ("momentum", "novograd", "lamb"),
    "bfloat16": ("adam",),
}
OPTIONS_CHECKED = (
    "`weight_decay=0.01`",
    "learning rate: CosineDecay",
    "sparse gradients, `lazy=True`",
    "small variables, updated as one",
)
FORMULAS_CHECKED = ("our base class", "`keras_optims.Adam`, which has a kernel")


@pytest.fixture(scope="module")
def sections():
    """Of the page that was made with these versions: heading -> its text, and "" -> what comes before the first."""
    page = PAGE_SCRIPT.PAGE.read_text(encoding="utf-8")
    if PAGE_SCRIPT.versions() not in page:
        made_with = re.search(r"TensorFlow \S+ and Keras [\d.]*\d", page)
        pytest.skip(f"the page is of {made_with[0]}, and these are {PAGE_SCRIPT.versions()}")
    assert page.startswith(PAGE_SCRIPT.INTRODUCTION.format(versions=PAGE_SCRIPT.versions()))
    return dict(part.split("\n", 1) for part in page.split("\n## ")[1:])


def first_column(text):
    return [line.split(" | ")[0].removeprefix("| ") for line in text.splitlines() if line.startswith("| ")]


def assert_rows(section, rows, names):
    """These rows of a table are in the section, with its header."""
    header, line, *rows = rows.splitlines()
    assert first_column("\n".join(rows)) == list(names)
    assert f"\n{header}\n{line}\n" in section
    assert [row for row in rows if row not in section.splitlines()] == []


@pytest.mark.slow  # which leaves it out on older versions
@pytest.mark.parametrize("dtype", CHECKED)
def test_the_page_has_the_rows_that_the_script_writes(dtype, sections):
    section = sections[f"{dtype} variables"]
    assert section.startswith(f"\n{PAGE_SCRIPT.DTYPES[dtype]}\n\n| optimizer |")
    assert first_column(section)[2:] == [variant.name for variant in PAGE_SCRIPT.variants_of(dtype)]
    rows = PAGE_SCRIPT.table("optimizer", PAGE_SCRIPT.optimizer_rows(dtype, CHECKED[dtype]))
    assert_rows(section, rows, CHECKED[dtype])


@pytest.mark.slow
def test_the_page_has_the_options_that_the_script_writes(sections):
    section = sections["Options"]
    assert section.startswith(f"\n{PAGE_SCRIPT.OPTIONS}\n| option |")
    assert first_column(section)[2:-1] == [name for name, _, _ in PAGE_SCRIPT.options()]
    assert_rows(section, PAGE_SCRIPT.table("option", PAGE_SCRIPT.option_rows(OPTIONS_CHECKED)), OPTIONS_CHECKED)


@pytest.mark.slow
def test_the_page_has_the_formulas_that_the_script_writes(sections):
    section = sections["A formula of one's own"]
    assert section.startswith(f"\n{PAGE_SCRIPT.FORMULA}\n| optimizer |")
    assert_rows(section, PAGE_SCRIPT.formula_table(FORMULAS_CHECKED), FORMULAS_CHECKED)
