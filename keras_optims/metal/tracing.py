"""What TensorFlow runs in an optimizer's step: the operations of the traced function after graph optimization."""

from __future__ import annotations

import collections
import json
import pathlib

# Registered for every device by TensorFlow itself, and no work there: they pass on a buffer, a handle or a constant.
PASSIVE = {
    "_Arg",
    "_Retval",
    "Const",
    "ExpandDims",
    "Identity",
    "NoOp",
    "Placeholder",
    "ReadVariableOp",
    "Reshape",
    "VarHandleOp",
}


def operations(step, *arguments) -> list[tuple[str, tuple[str, ...]]]:
    """(operation, its dtypes) of each node that a `tf.function` runs, called for the first time, without the passive ones.

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
    return [(node.op, _dtypes(node)) for node in [*graph.node, *functions] if node.op not in PASSIVE]


def _dtypes(node):
    from tensorflow import dtypes

    named = {"T", "dtype", "SrcT", "DstT", "Tparams"}
    return tuple(dtypes.as_dtype(a.type).name for name, a in sorted(node.attr.items()) if name in named and a.type)


def registered_for_metal() -> dict[str, set[str]]:
    """The operations for which tensorflow-metal 1.2.0 registers a GPU kernel, with the dtypes of each (TensorFlow's names)."""
    facts = json.loads((pathlib.Path(__file__).parent / "metal_ops.json").read_text(encoding="utf-8"))["ops"]
    return {operation: {"float32" if dtype == "float" else dtype for dtype in dtypes} for operation, dtypes in facts.items()}


def counted(found: list[tuple[str, tuple[str, ...]]]) -> collections.Counter[str]:
    """How often each operation occurs."""
    return collections.Counter(operation for operation, _ in found)
