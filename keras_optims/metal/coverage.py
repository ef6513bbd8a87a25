"""Which kernels of the Mac's GPU an optimizer's step runs there, and what of it falls to the CPU.

Where the GPU has no kernel for an operation and its dtypes, the CPU waits until the GPU has computed the input, copies it,
computes, and copies the result back. Nothing warns of it. So the step is traced, and each operation of the graph that TensorFlow
would run is looked up among the registered kernels.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Mapping

import keras
import numpy as np

from keras_optims.metal.protection import as_on_metal
from keras_optims.metal.tracing import ANY_DTYPE, operations, registered_for_every_device

LARGE = ((200, 128),)
"""Shape of variables each of which has an update of its own."""

SMALL = ((7,), (3, 4), (), (1, 5))
"""Shapes of variables that are updated as one."""

PASSIVE = {
    # These pass on a tensor, a handle, a constant, or the same numbers in another shape.
    "_Arg",
    "_Retval",
    "Const",
    "ExpandDims",
    "Identity",
    "IdentityN",
    "NoOp",
    "Placeholder",
    "Reshape",
    "Squeeze",
    "VarHandleOp",
    # These pass a tensor to one of two branches and take it from there. What they wait for is counted as a decision.
    "Merge",
    "Switch",
}
"""Served by TensorFlow itself on every device, and no work there."""

_READ = "ReadVariableOp"  # TensorFlow's as well; no work for the GPU, but scheduled for each variable

# TensorFlow's own kernel for every device serves the dtypes that the GPU's does not. It makes the new value's buffer the
# variable's, and needs no number from the GPU. (Those of AssignAddVariableOp and AssignSubVariableOp add with the CPU.)
_HANDS_OVER = "AssignVariableOp"


@dataclasses.dataclass(frozen=True)
class Coverage:
    """What a step runs on the Mac's GPU; `dataclasses.asdict` of it is JSON. Operations are named as in `"AddV2 int64"`.

    Attributes:
        each: operation → how often a step runs it for each variable; without reads and what does no work.
        once: operation → how often a step runs it whatever the number of variables.
        reads: how many reads of variables a step has for each variable.
        falls: what of `each` has no kernel on the GPU.
        falls_once: what of `once` has no kernel on the GPU.
        decisions: how often a step waits for a number before it knows which of two branches it takes.
    """

    each: dict[str, float]
    once: dict[str, float]
    reads: float
    falls: tuple[str, ...]
    falls_once: tuple[str, ...]
    decisions: int

    @property
    def operations(self) -> float:
        """How many operations a step has for each variable, without reads."""
        return _whole(sum(self.each.values()))

    @property
    def fused(self) -> tuple[str, ...]:
        """The training kernels that update the variables, in alphabetic order."""
        names = {named.split()[0] for named in (*self.each, *self.once)}
        return tuple(sorted(name for name in names if name.startswith("ResourceApply")))

    @property
    def kind(self) -> str:
        """`"fused"`; `"elementary"`: a kernel for each operation of the formula; or `"CPU"`: a part of each update falls."""
        if self.falls:
            return "CPU"
        return "fused" if self.fused else "elementary"

    @property
    def stays_on_the_gpu(self) -> bool:
        """Whether the CPU neither computes nor decides anything between a step's begin and its end."""
        return not (self.falls or self.falls_once or self.decisions)

    def __str__(self):
        how = {
            "fused": f"fused: {', '.join(self.fused)}",
            "elementary": f"elementary: {self.operations} operations for each variable",
            "CPU": f"falls to the CPU for each variable: no kernel for {', '.join(self.falls)}",
        }
        once = f"; once in a step: no kernel for {', '.join(self.falls_once)}" if self.falls_once else ""
        return how[self.kind] + once + (f"; waits for {self.decisions} decisions" if self.decisions else "")


def coverage(
    make: Callable[[], keras.optimizers.Optimizer],
    registered: Mapping[str, set[str]],
    *,
    shapes=LARGE,
    dtype: str = "float32",
    sparse: bool = False,
) -> Coverage:
    """Traces the step of an optimizer, and looks its operations up.

    Args:
        make: makes the optimizer; it is called twice.
        registered: the GPU's kernels, operation → dtypes: `registered_for_metal()`, or on a Mac `registered_on("GPU")`.
        shapes: the variables' shapes. The step is traced with three and with four variables of each; what it has more the second
            time it has for each variable.
        dtype: of the variables and their gradients. (Keras's mixed precision has float32 variables, and float32 gradients.)
        sparse: whether the gradients are `tf.IndexedSlices`, as those of an embedding.
    """
    few, many = (collections.Counter(_step(make(), shapes * times, dtype, sparse)) for times in (3, 4))
    each = {node: (many[node] - few[node]) / len(shapes) for node in many if many[node] != few[node]}
    once = {node: few[node] - 3 * len(shapes) * each.get(node, 0) for node in few}
    once = {node: number for node, number in once.items() if number}
    return Coverage(
        each={_named(node): _whole(number) for node, number in each.items() if _is_work(node)},
        once={_named(node): _whole(number) for node, number in once.items() if _is_work(node)},
        reads=_whole(sum(number for (operation, _), number in each.items() if operation == _READ)),
        falls=tuple(sorted(_named(node) for node in each if not _has_kernel(node, registered))),
        falls_once=tuple(sorted(_named(node) for node in once if not _has_kernel(node, registered))),
        decisions=int(few["Switch", ("bool",)]),  # each sends itself into its two branches, so that they can wait for it
    )


def dispatches(make: Callable[[], keras.optimizers.Optimizer], shapes) -> int:
    """How many operations a step on float32 variables of these shapes has there, without reads and what does no work."""
    return sum(_is_work(node) for node in _step(make(), shapes, "float32", sparse=False))


def _step(optimizer, shapes, dtype, sparse):
    """The operations of the optimizer's step on variables of these shapes, gradients passed in."""
    import tensorflow as tf

    variables = [keras.Variable(np.ones(shape), dtype=dtype, name=f"v{i}") for i, shape in enumerate(shapes)]
    with as_on_metal():
        optimizer.build(variables)
    rows = [tf.constant([0, 1, 0]) for _ in shapes if sparse]  # one of them twice, as in a batch

    def step(gradients, rows):
        if rows:
            gradients = [tf.IndexedSlices(g, r, tf.constant(s)) for g, r, s in zip(gradients, rows, shapes, strict=True)]
        optimizer.apply(gradients, variables)

    with as_on_metal():
        return operations(tf.function(step), [tf.ones((3, *s[1:]) if sparse else s, dtype) for s in shapes], rows)


def _is_work(node) -> bool:
    return node[0] not in PASSIVE and node[0] != _READ


def _has_kernel(node, registered) -> bool:
    by_tensorflow = node[0] == _HANDS_OVER and _serves(registered_for_every_device(), node)
    return not _is_work(node) or by_tensorflow or _serves(registered, node)


def _serves(kernels, node) -> bool:
    operation, dtypes = node
    return operation in kernels and (ANY_DTYPE in kernels[operation] or set(dtypes) <= kernels[operation])


def _named(node) -> str:
    operation, dtypes = node
    return " ".join([operation, *dtypes])


def _whole(number):
    """As an int where it is one: JSON and tables show 1, not 1.0."""
    return int(number) if number == int(number) else round(number, 2)
