"""The step on torch."""

import contextlib

import torch
from keras import ops

no_gradient = torch.no_grad
outside_of_a_trace = contextlib.nullcontext


def to_dense(gradient):
    """See `keras_optims.kernels`: torch's sparse embeddings have sparse COO gradients."""
    return gradient.to_dense() if isinstance(gradient, torch.Tensor) and gradient.is_sparse else ops.convert_to_tensor(gradient)


def run_if(predicate, action, otherwise, state):
    """See `keras_optims.kernels`."""
    action() if predicate else otherwise()


def decayed(variable, decay, rate):
    """See `keras_optims.kernels`."""
    return variable * (1 - decay * rate)


def for_each_variable(optimizer, update, gradients, variables, learning_rate):
    """See `keras_optims.kernels`."""
    for gradient, variable in zip(gradients, variables, strict=True):
        update(gradient, variable, learning_rate)
