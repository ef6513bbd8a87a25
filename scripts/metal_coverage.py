"""Writes docs/mac_kernels.md: what each optimizer's step runs on a Mac's GPU, and what falls to the CPU, beside Keras's.

    python scripts/metal_coverage.py [--check]

It traces the steps with the TensorFlow and Keras that it runs with, and needs no Mac. With --check it writes nothing, and ends
with 1 if the file is not what it would write. Those of a Mac:

    $(scripts/environment.sh tensorflow-2.19.1) scripts/metal_coverage.py
"""

import argparse
import difflib
import functools
import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).parents[1]
PAGE = ROOT / "docs" / "mac_kernels.md"

INTRODUCTION = """\
# What an update runs on the GPU of a Mac

Which kernels of tensorflow-metal 1.2.0 the step of each optimizer uses, and what of it falls to the CPU, beside the optimizer
of the same name in `keras.optimizers`, where there is one.

Made by `python scripts/metal_coverage.py` with {versions}. The script traces real steps, as `fit` compiles them, lets
TensorFlow optimize the graphs, and looks up each operation in the list of kernels that the plug-in registers for the GPU.
**Nothing was measured on a Mac**: a kernel that is registered may still be slow or wrong.

How to read the tables:

- **kernel**: the training kernel that updates a variable as a whole, without its first word, `ResourceApply`; or
  *elementary*: one kernel for each operation of the formula.
- **per variable**: how many operations a step has for each variable of the model, + how many reads of variables. On a Mac's
  GPU each operation is a dispatch of its own: TensorFlow compiles no operations into one there.
- **leaves the GPU**: the operations for which the GPU has no kernel. The CPU waits until the GPU has computed what it needs,
  which costs far more than the operation does. *Each*: so for each variable. *Once*: so in each step, whatever the number of
  variables. *Branches*: how often a step waits to know which of two branches it takes.

TensorFlow has kernels of its own for what a device has none for. They count here where they need no number from the GPU:
control flow, other shapes of a tensor, and assigning, which only hands over a buffer. So a bfloat16 variable is assigned on the
GPU, though the plug-in has no kernel for it. They do not count for `AssignAddVariableOp` and `AssignSubVariableOp`, where they
would add with the CPU, in the GPU's memory.
"""

DTYPES = {
    "float32": """\
Also with Keras's mixed precision, whose variables are float32, and so are their gradients: with the policy `mixed_bfloat16`,
and with `mixed_float16` and `compile(..., auto_scale_loss=False)` (`loss_scale_factor` can scale the loss by a constant
then). Without that argument `compile` wraps the optimizer in `keras.optimizers.LossScaleOptimizer`: the last row of the
options.""",
    "float16": """\
The policy `float16`. No training kernel serves it: ours compute in float32, and assign. Keras's use `AssignAddVariableOp` and
`AssignSubVariableOp`, for which there is no float16 kernel.""",
    "bfloat16": """\
The policy `bfloat16`; as float16.""",
}

OPTIONS = """\
Each with Adam and float32 variables. Where a step has branches, the operations of both are counted. What keeps a step from
staying on the GPU:

- `gradient_accumulation_steps` and `ema_overwrite_frequency`: by the number of steps so far, an integer, the CPU decides what
  to do.
- the schedules of Keras: `Cos` has no kernel, nor has the comparison of integers. `ExponentialDecay`, `InverseTimeDecay` and
  `PolynomialDecay` stay on the GPU.
- Keras's `LossScaleOptimizer`: it asks of each gradient whether it is finite, and the CPU decides whether to step, whatever
  optimizer is inside. The policy `mixed_bfloat16` does without it, and `mixed_float16` with `auto_scale_loss=False`.
"""


FORMULA = """\
How many operations a whole step has on the 161 tensors of ResNet-50, reads left out. The formula is Adam's, written by a user: a
subclass of our base class that is declared `elementwise`, and one of Keras's. On a Mac's GPU variables with fewer than 262,144
elements are then gathered, updated by one run of the formula, and given back.
"""


def main():
    """Writes the page, or compares it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the file instead of writing it")
    arguments = parser.parse_args()
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.path.insert(0, str(ROOT))
    text = page()
    if not arguments.check:
        PAGE.write_text(text, encoding="utf-8")
        return
    there = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    sys.stdout.writelines(difflib.unified_diff(there.splitlines(True), text.splitlines(True), str(PAGE.name), "as traced now"))
    sys.exit(there != text)


def versions() -> str:
    """The versions that the page depends on."""
    import keras
    import tensorflow as tf

    return f"TensorFlow {tf.__version__} and Keras {keras.__version__}"


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION.format(versions=versions())]
    parts += [f"## {dtype} variables\n\n{text}\n\n{table('optimizer', optimizer_rows(dtype))}" for dtype, text in DTYPES.items()]
    parts += [f"## Options\n\n{OPTIONS}\n{table('option', option_rows())}"]
    return "\n".join([*parts, f"## A formula of one's own\n\n{FORMULA}\n{formula_table()}"])


def optimizer_rows(dtype, only=None):
    """(name, our coverage, Keras's or `None`) of each of `variants_of(dtype)`, or of those whose names are in `only`."""
    for variant in variants_of(dtype):
        if only is None or variant.name in only:
            theirs = None if variant.keras is None else covered(variant.namesake, dtype=dtype)
            yield variant.name, covered(variant.optimizer, dtype=dtype), theirs


def variants_of(dtype):
    """Each variant of each optimizer; in half precision the first of each class."""
    from tests.variants import ONE_EACH, VARIANTS

    return [variant for variant in VARIANTS if dtype == "float32" or variant in ONE_EACH]


def option_rows(only=None):
    """(name, our coverage, Keras's) of Adam with each option, or with those whose names are in `only`."""
    import keras

    import keras_optims

    for name, arguments, traced in options():
        if only is not None and name not in only:
            continue
        shared = {key: value for key, value in arguments.items() if key != "lazy"}
        ours, theirs = functools.partial(keras_optims.Adam, **arguments), functools.partial(keras.optimizers.Adam, **shared)
        yield name, covered(ours, **traced), covered(theirs, **traced)
    ours, theirs = (functools.partial(scaled, optimizer) for optimizer in (keras_optims.Adam, keras.optimizers.Adam))
    name = "in a `LossScaleOptimizer`"
    if only is None or name in only:
        yield name, covered(ours), covered(theirs)


def scaled(make):
    """As `compile` wraps an optimizer under the policy mixed_float16."""
    import keras

    return keras.optimizers.LossScaleOptimizer(make())


def options():
    """(name, arguments of the optimizer, arguments of `coverage`) of each row."""
    from keras.optimizers import schedules

    from keras_optims.metal.coverage import SMALL

    for arguments in (
        {"weight_decay": 0.01},
        {"clipnorm": 1.0},
        {"global_clipnorm": 1.0},
        {"clipvalue": 1.0},
        {"use_ema": True},
        {"use_ema": True, "ema_overwrite_frequency": 100},
        {"gradient_accumulation_steps": 4},
        {"loss_scale_factor": 1024.0},
    ):
        yield ", ".join(f"`{name}={value}`" for name, value in arguments.items()), arguments, {}
    for name, schedule in {
        "ExponentialDecay": schedules.ExponentialDecay(0.1, 100, 0.9),
        "ExponentialDecay, staircase": schedules.ExponentialDecay(0.1, 100, 0.9, staircase=True),
        "InverseTimeDecay": schedules.InverseTimeDecay(0.1, 100, 0.5),
        "PolynomialDecay": schedules.PolynomialDecay(0.1, 100),
        "PiecewiseConstantDecay": schedules.PiecewiseConstantDecay([100, 200], [0.1, 0.01, 0.001]),
        "CosineDecay": schedules.CosineDecay(0.1, 100),
        "CosineDecay with warm-up": schedules.CosineDecay(0.0, 100, warmup_target=0.1, warmup_steps=10),
        "CosineDecayRestarts": schedules.CosineDecayRestarts(0.1, 100),
    }.items():
        yield f"learning rate: {name}", {"learning_rate": schedule}, {}
    yield "sparse gradients, `lazy=True`", {"lazy": True}, {"sparse": True}
    yield "sparse gradients, `lazy=False`", {"lazy": False}, {"sparse": True}
    yield "small variables, updated as one", {}, {"shapes": SMALL}


def formula_table(only=None) -> str:
    """Markdown: the operations of a step on ResNet-50's shapes, of each row or of those whose names are in `only`."""
    import keras

    sys.path.insert(0, str(ROOT / "scripts"))
    from accelerator.formula import FormulaOnKeras, FormulaOnOurs
    from benchmark_update import CASES

    import keras_optims
    from keras_optims.metal.coverage import dispatches

    def ungrouped():
        optimizer = FormulaOnOurs()
        optimizer.group_below = 0
        return optimizer

    rows = {
        "our base class": FormulaOnOurs,
        "our base class, `group_below = 0`": ungrouped,
        "Keras's base class": FormulaOnKeras,
        "`keras_optims.Adam`, which has a kernel": keras_optims.Adam,
        "`keras.optimizers.Adam`": keras.optimizers.Adam,
    }
    lines = [
        f"| {name} | {dispatches(make, CASES['resnet50']):,} |" for name, make in rows.items() if only is None or name in only
    ]
    return "\n".join(["| optimizer | operations in a step |", "|---|---:|", *lines, ""])


def covered(make, **traced):
    """The coverage of an optimizer by the plug-in's kernels."""
    from keras_optims.metal.coverage import coverage
    from keras_optims.metal.tracing import registered_for_metal

    return coverage(make, registered_for_metal(), **traced)


def table(first, rows) -> str:
    """Markdown, from (name, our coverage, Keras's coverage)."""
    header = [first, *(f"{column}{of}" for of in ("", " (Keras)") for column in ("kernel", "per variable", "leaves the GPU"))]
    lines = [header, ["---", *["---", "---:", "---"] * 2], *([name, *cells(ours), *cells(keras)] for name, ours, keras in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def cells(covered):
    """The columns of one coverage."""
    if covered is None:
        return ["–", "–", "–"]
    leaves = [
        f"{when}: {', '.join(map(code, falls))}"
        for when, falls in (("each", covered.falls), ("once", covered.falls_once))
        if falls
    ]
    leaves += [f"branches: {covered.decisions}"] if covered.decisions else []
    kernel = ", ".join(code(name.removeprefix("ResourceApply")) for name in covered.fused) or "elementary"
    return [kernel, f"{covered.operations} + {covered.reads}", "; ".join(leaves) or "no"]


def code(name):
    """As code in Markdown."""
    return f"`{name}`"


if __name__ == "__main__":
    main()
