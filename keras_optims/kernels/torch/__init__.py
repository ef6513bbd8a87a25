"""The step on torch; see `keras_optims.kernels` for the functions."""

from keras_optims.kernels.torch.step import (
    Outlet,
    apart,
    assign,
    count,
    decayed,
    is_fast_at_bfloat16,
    no_gradient,
    outside_of_a_trace,
    path_of,
    prepared,
    rounded,
    run_if,
    traced_as_written,
    update,
)
from keras_optims.kernels.ungrouped import colocated, finish_build, is_distributed, may_group, update_list

__all__ = [
    "Outlet",
    "apart",
    "assign",
    "colocated",
    "count",
    "decayed",
    "finish_build",
    "is_distributed",
    "is_fast_at_bfloat16",
    "may_group",
    "no_gradient",
    "outside_of_a_trace",
    "path_of",
    "prepared",
    "rounded",
    "run_if",
    "traced_as_written",
    "update",
    "update_list",
]
