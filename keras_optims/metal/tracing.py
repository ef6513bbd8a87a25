"""What TensorFlow runs in an optimizer's step, and what has a kernel on which device."""

from __future__ import annotations

import collections
import functools
import json
import pathlib

_DTYPE_ATTRIBUTES = {"T", "dtype", "SrcT", "DstT", "Tparams"}
ANY_DTYPE = "any"


def operations(step, *arguments) -> list[tuple[str, tuple[str, ...]]]:
    """(operation, its dtypes) of each node that a `tf.function` runs, called for the first time.

    Args:
        step: the `tf.function`; it must not have run yet.
        arguments: its arguments.

    Returns:
        An entry for each node of the optimized graph and of the functions that it calls.
    """
    from tensorflow.python.eager import context

    context.context().enable_graph_collection()
    try:
        step(*arguments)  # the graphs are collected at the first call
        graph = context.context().export_run_metadata().function_graphs[0].post_optimization_graph
    finally:
        context.context().disable_graph_collection()
    functions = [node for function in graph.library.function for node in function.node_def]
    return [(operation, _dtypes(node)) for node in [*graph.node, *functions] for operation in _apart(node)]


def _apart(node):
    """The operations of a node: TensorFlow joins chains of one argument into one, on the CPU only."""
    if node.op == "_UnaryOpsComposition":
        return [name.decode() for name in node.attr["op_names"].list.s]
    return [node.op]


def _dtypes(node):
    from tensorflow import dtypes

    attributes = sorted(node.attr.items(), key=lambda attribute: attribute[0], reverse=True)  # a Cast's SrcT before its DstT
    return tuple(dtypes.as_dtype(a.type).name for name, a in attributes if name in _DTYPE_ATTRIBUTES and a.type)


def registered_for_metal() -> dict[str, set[str]]:
    """The operations for which tensorflow-metal 1.2.0 registers a GPU kernel, with the dtypes of each (TensorFlow's names)."""
    facts = json.loads((pathlib.Path(__file__).parent / "metal_ops.json").read_text(encoding="utf-8"))["ops"]
    in_tensorflow = {"float": "float32", "half": "float16", "double": "float64"}
    return {operation: {in_tensorflow.get(dtype, dtype) for dtype in dtypes} for operation, dtypes in facts.items()}


def registered_on(device_type: str) -> dict[str, set[str]]:
    """The operations that this process has a kernel for, with the dtypes of each; `ANY_DTYPE` where it is for all.

    Args:
        device_type: `"CPU"`, `"GPU"` (with tensorflow-metal loaded: the Mac's), or `"DEFAULT"`: TensorFlow's own kernels for
            any device that has none.
    """
    from tensorflow import dtypes
    from tensorflow.python.framework import kernels

    found: dict[str, set[str]] = collections.defaultdict(set)
    for kernel in kernels.get_all_registered_kernels().kernel:
        if kernel.device_type == device_type:
            named = [c.allowed_values.list.type for c in kernel.constraint if c.name in _DTYPE_ATTRIBUTES]
            found[kernel.op] |= {dtypes.as_dtype(t).name for types in named for t in types} or {ANY_DTYPE}
    return dict(found)


@functools.cache
def registered_for_every_device() -> dict[str, set[str]]:
    """TensorFlow's kernels for devices that have none of their own."""
    return registered_on("DEFAULT")
