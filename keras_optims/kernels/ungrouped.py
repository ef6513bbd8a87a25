"""What backends say of grouping whose slots each lie by themselves, and that know no replicas of a step."""

import contextlib

from keras_optims.stand_in import StandIn


def may_group(optimizer, variable):
    """See `keras_optims.kernels`."""
    return False


def finish_build(optimizer):
    """See `keras_optims.kernels`."""


def is_distributed(optimizer):
    """See `keras_optims.kernels`."""
    return False


def colocated(optimizer, variable):
    """See `keras_optims.kernels`."""
    return contextlib.nullcontext()


def update_list(frame, gradients, variables):
    """See `keras_optims.kernels`."""
    frame.run_all(gradients, [StandIn(frame.optimizer.place_of(variable)) for variable in variables])
