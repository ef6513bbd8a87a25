"""The step on TensorFlow, alone and under tf.distribute; see `keras_optims.kernels` for the functions."""

from keras_optims.kernels.tensorflow.fused import is_distributed
from keras_optims.kernels.tensorflow.groups import may_group
from keras_optims.kernels.tensorflow.outlet import Outlet
from keras_optims.kernels.tensorflow.step import (
    apart,
    assign,
    colocated,
    count,
    decayed,
    finish_build,
    is_fast_at_bfloat16,
    no_gradient,
    outside_of_a_trace,
    path_of,
    prepared,
    rounded,
    run_if,
    traced_as_written,
    update,
    update_list,
)

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
