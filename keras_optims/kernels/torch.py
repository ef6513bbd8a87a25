"""The step on torch: its fused kernels, which read and write each number once, and its foreach kernels where there is none.

Both update a whole list of tensors at a call. The hyperparameters are read from their variables once a step, all at one time: on
a GPU that is one wait.
"""

import contextlib
import math
import types

import torch
from keras import ops

from keras_optims.kernels.paths import by_path

no_gradient = torch.no_grad
outside_of_a_trace = contextlib.nullcontext


def to_dense(gradient):
    """See `keras_optims.kernels`: torch's sparse embeddings have sparse COO gradients."""
    if not isinstance(gradient, torch.Tensor):
        return ops.convert_to_tensor(gradient)
    return gradient.to_dense() if gradient.is_sparse else gradient


def run_if(predicate, action, otherwise, state):
    """See `keras_optims.kernels`."""
    action() if predicate else otherwise()


def assign(optimizer, variable, value):
    """See `keras_optims.kernels`."""
    variable.assign(ops.cast(value, variable.dtype))


def decayed(variable, decay, rate):
    """See `keras_optims.kernels`."""
    return variable * (1 - decay * rate)


def update(optimizer, gradients, variables, learning_rate):
    """See `keras_optims.kernels`."""
    kernel = _KERNELS.get(optimizer.fused_kernel)
    fused, plain = by_path(gradients, variables, kernel)
    for gradient, variable in plain:
        optimizer.update_variable(gradient, variable, learning_rate)
    if kernel is not None and fused:
        decaying = [variable.value for _, variable in fused if optimizer.decays(variable)]
        scalars = {**vars(optimizer.scalars(fused[0][1], learning_rate)), "t": optimizer.step_number}
        if decaying:
            scalars["shrinkage"] = optimizer.weight_decay * learning_rate
        s = _as_numbers(scalars)
        if decaying:
            torch._foreach_mul_(decaying, 1 - s.shrinkage)
        kernel(optimizer, [gradient for gradient, _ in fused], [variable for _, variable in fused], s)


def _as_numbers(scalars: dict) -> types.SimpleNamespace:
    values = torch.stack([torch.as_tensor(value) for value in scalars.values()]).tolist()
    return types.SimpleNamespace(**dict(zip(scalars, values, strict=True)))


def _tensors(slot, variables):
    return [slot[variable].value for variable in variables]


def gradient_descent(optimizer, gradients, variables, s):
    """θ ← θ − η·g."""
    _fused_sgd([v.value for v in variables], gradients, [], lr=s.learning_rate)


def momentum(optimizer, gradients, variables, s):
    """As `keras_optims.Momentum`."""
    weights, velocity = [v.value for v in variables], _tensors(optimizer.velocity, variables)
    if not optimizer.nesterov and s.momentum != 0:  # at γ = 0 the kernel would forget the buffer, and with it the rate
        # The kernel: b ← γ·b + (1 − dampening)·g, θ ← θ − lr·b. With these two, b is the velocity, with the rate inside.
        _fused_sgd(weights, gradients, velocity, lr=-1.0, dampening=1.0 + s.learning_rate, momentum=s.momentum)
        return
    torch._foreach_mul_(velocity, s.momentum)
    torch._foreach_add_(velocity, gradients, alpha=-s.learning_rate)
    if optimizer.nesterov:
        torch._foreach_add_(weights, gradients, alpha=-s.learning_rate)
        torch._foreach_add_(weights, velocity, alpha=s.momentum)
    else:
        torch._foreach_add_(weights, velocity)


def adagrad(optimizer, gradients, variables, s):
    """As `keras_optims.Adagrad`."""
    weights, accumulator = [v.value for v in variables], _tensors(optimizer.accumulator, variables)
    torch._foreach_addcmul_(accumulator, gradients, gradients)
    root = torch._foreach_add(accumulator, s.epsilon)
    torch._foreach_sqrt_(root)
    torch._foreach_addcdiv_(weights, gradients, root, value=-s.learning_rate)


def rmsprop(optimizer, gradients, variables, s):
    """As `keras_optims.RMSprop`."""
    weights, mean_square = [v.value for v in variables], _tensors(optimizer.mean_square, variables)
    torch._foreach_mul_(mean_square, s.rho)
    torch._foreach_addcmul_(mean_square, gradients, gradients, value=s.one_minus_rho)
    root = torch._foreach_add(mean_square, s.epsilon)
    if optimizer.mean_gradient is not None:
        mean = _tensors(optimizer.mean_gradient, variables)
        torch._foreach_mul_(mean, s.rho)
        torch._foreach_add_(mean, gradients, alpha=s.one_minus_rho)
        torch._foreach_addcmul_(root, mean, mean, value=-1)
    torch._foreach_sqrt_(root)
    if optimizer.velocity is None:
        torch._foreach_addcdiv_(weights, gradients, root, value=-s.learning_rate)
        return
    velocity = _tensors(optimizer.velocity, variables)
    torch._foreach_mul_(velocity, s.momentum)
    torch._foreach_addcdiv_(velocity, gradients, root, value=s.learning_rate)
    torch._foreach_add_(weights, velocity, alpha=-1)


def adam(optimizer, gradients, variables, s):
    """As `keras_optims.Adam`."""
    weights = [v.value for v in variables]
    # The kernel corrects the start in its own way, θ ← θ − lr/c₁·m / (√v/c₂ + eps) with c₁ = 1−β₁ᵗ and c₂ = √(1−β₂ᵗ): lr and
    # eps are such that this is α·m / (√v + ε).
    beta_1, beta_2 = 1 - s.one_minus_beta_1, 1 - s.one_minus_beta_2
    c_1, c_2 = 1 - beta_1**s.t, math.sqrt(1 - beta_2**s.t)
    amsgrad = optimizer.largest_second_moment is not None
    torch._fused_adam_(
        weights,
        gradients,
        _tensors(optimizer.first_moment, variables),
        _tensors(optimizer.second_moment, variables),
        _tensors(optimizer.largest_second_moment, variables) if amsgrad else [],
        [torch.as_tensor(s.t, dtype=torch.float32, device=weights[0].device)] * len(weights),
        lr=s.alpha * c_1 / c_2,
        beta1=beta_1,
        beta2=beta_2,
        weight_decay=0.0,
        eps=s.epsilon / c_2,
        amsgrad=amsgrad,
        maximize=False,
    )


def _fused_sgd(weights, gradients, buffers, *, lr, momentum=0.0, dampening=0.0):
    torch._fused_sgd_(
        weights,
        gradients,
        buffers,
        weight_decay=0.0,
        momentum=momentum,
        lr=lr,
        dampening=dampening,
        nesterov=False,
        maximize=False,
        is_first_step=False,
    )


_KERNELS = {
    "gradient_descent": gradient_descent,
    "momentum": momentum,
    "adagrad": adagrad,
    "rmsprop": rmsprop,
    "adam": adam,
}
