"""torch's fused kernels, which read and write each number once, and foreach kernels where there is none, of formulas that a class
names.

Both update a whole list of tensors at a call. The hyperparameters are read from their variables once a step, all at one time: on
a GPU that is one wait.
"""

import functools
import math
import types

import keras
import torch


def serves(optimizer) -> bool:
    """Whether there is a kernel here of the formula that the optimizer names."""
    return optimizer.fused_kernel in _KERNELS


def operation_of(optimizer) -> str | None:
    """The name of torch's fused kernel of an optimizer's formula, if there is one."""
    name = optimizer.fused_kernel
    if (name == "momentum" and optimizer.nesterov) or (name == "adagrad" and not optimizer.epsilon_is_in_the_accumulator):
        return None
    return _FUSED.get(name)


_FUSED = {"gradient_descent": "_fused_sgd_", "momentum": "_fused_sgd_", "adagrad": "_fused_adagrad_", "adam": "_fused_adam_"}


@functools.cache
def has_kernel(operation, device) -> bool:
    """Whether a fused kernel exists on a kind of device."""
    key = torch._C._dispatch_key_for_device(device)
    return hasattr(torch, operation) and torch._C._dispatch_has_kernel_for_dispatch_key(f"aten::{operation}", key)


def run(frame, gradients, variables):
    """Weight decay and formula of float32 variables, by the kernel that the frame's optimizer names."""
    optimizer, learning_rate = frame.optimizer, frame.rate()
    kernel, names = _KERNELS[optimizer.fused_kernel]
    tensors = _tensors_of(variables[0])
    weights = tensors(variables)
    decaying: list = []
    if optimizer.is_on("weight_decay"):
        decaying = [w for w, variable in zip(weights, variables, strict=True) if optimizer.decays(variable)]
    s = _numbers(optimizer, (*names, "weight_decay") if decaying else names, learning_rate, tensors)
    if decaying:
        if optimizer.overrides("decayed"):  # θ − θ·λ·η, of which λ·η is not rounded beside 1
            torch._foreach_add_(decaying, decaying, alpha=-s.weight_decay * s.learning_rate)
        else:
            torch._foreach_mul_(decaying, 1 - s.weight_decay * s.learning_rate)
    operation = operation_of(optimizer)
    is_fused = operation is not None and has_kernel(operation, weights[0].device.type)
    kernel(optimizer, weights, gradients, lambda slot: tensors(slot.of(variables)), s, is_fused)


def _tensors_of(variable):
    """The function from variables to their tensors.

    `value` looks each time for a scope that replaces it, which takes longer than a small tensor's update; one tells of all.
    """
    return _held if variable.value is variable._value else _current


def _held(variables):
    return [variable._value for variable in variables]


def _current(variables):
    return [variable.value for variable in variables]


def _numbers(optimizer, names, learning_rate, tensors) -> types.SimpleNamespace:
    """The hyperparameters as Python floats, with what rounding to float32 took from them, and t."""
    residuals = {name: residual for name in names if (residual := optimizer.residual(name)) is not None}
    scalars = [learning_rate, optimizer.iterations, *[getattr(optimizer, name) for name in names], *residuals.values()]
    scalars = [tensors((s,))[0] if isinstance(s, keras.Variable) else torch.as_tensor(s) for s in scalars]
    rate, step, *values = _as_numbers(scalars)
    numbers = dict(zip(names, values, strict=False))
    for name, residual in zip(residuals, values[len(names) :], strict=True):
        numbers[name] += residual
    return types.SimpleNamespace(**numbers, learning_rate=rate, t=step + 1)


def _as_numbers(scalars) -> list[float]:
    if all(scalar.device.type == "cpu" for scalar in scalars):
        return [scalar.item() for scalar in scalars]
    return torch.stack([scalar.to(torch.float32) for scalar in scalars]).tolist()


# Each kernel takes the optimizer, the tensors of weights and gradients, a function from a slot to its tensors, the numbers of the
# step, and whether torch's fused kernel is there.


def gradient_descent(optimizer, weights, gradients, slot, s, is_fused):
    """θ ← θ − η·g."""
    if is_fused:
        _fused_sgd(weights, gradients, [], lr=s.learning_rate)
    else:
        torch._foreach_add_(weights, gradients, alpha=-s.learning_rate)


_LEAST_RATE_BESIDE_ONE = 2.0**-27
"""A smaller rate loses digits in 1 + rate, float64's 2⁻⁵³ of it, that float32's 2⁻²⁴ would have."""


def momentum(optimizer, weights, gradients, slot, s, is_fused):
    """As `keras_optims.Momentum`."""
    velocity = slot(optimizer.velocity)
    # At γ = 0 the kernel would forget the buffer, and with it the rate.
    if is_fused and s.momentum != 0 and (s.learning_rate == 0 or s.learning_rate >= _LEAST_RATE_BESIDE_ONE):
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


def adagrad(optimizer, weights, gradients, slot, s, is_fused):
    """As `keras_optims.Adagrad`."""
    accumulator = slot(optimizer.accumulator)
    if is_fused:
        torch._fused_adagrad_(
            weights,
            gradients,
            accumulator,
            [torch.tensor(float(s.t), device=weights[0].device)] * len(weights),
            lr=s.learning_rate,
            lr_decay=0.0,
            weight_decay=0.0,
            eps=0.0,  # it is in the accumulator
            maximize=False,
        )
        return
    torch._foreach_addcmul_(accumulator, gradients, gradients)
    epsilon = 0.0 if optimizer.epsilon_is_in_the_accumulator else s.epsilon
    root = torch._foreach_add(accumulator, epsilon)
    torch._foreach_sqrt_(root)
    torch._foreach_addcdiv_(weights, gradients, root, value=-s.learning_rate)


def rmsprop(optimizer, weights, gradients, slot, s, is_fused):
    """As `keras_optims.RMSprop`."""
    mean_square = slot(optimizer.mean_square)
    torch._foreach_mul_(mean_square, s.rho)
    torch._foreach_addcmul_(mean_square, gradients, gradients, value=1 - s.rho)
    root = torch._foreach_add(mean_square, s.epsilon)
    if optimizer.mean_gradient is not None:
        mean = slot(optimizer.mean_gradient)
        torch._foreach_mul_(mean, s.rho)
        torch._foreach_add_(mean, gradients, alpha=1 - s.rho)
        torch._foreach_addcmul_(root, mean, mean, value=-1)
    torch._foreach_sqrt_(root)
    if optimizer.velocity is None:
        torch._foreach_addcdiv_(weights, gradients, root, value=-s.learning_rate)
        return
    velocity = slot(optimizer.velocity)
    torch._foreach_mul_(velocity, s.momentum)
    torch._foreach_addcdiv_(velocity, gradients, root, value=s.learning_rate)
    torch._foreach_add_(weights, velocity, alpha=-1)


def adam(optimizer, weights, gradients, slot, s, is_fused):
    """As `keras_optims.Adam`."""
    first, second = slot(optimizer.first_moment), slot(optimizer.second_moment)
    largest = slot(optimizer.largest_second_moment) if optimizer.amsgrad else []
    # In float32, as Keras does: the first steps of two trainings differ by 1e-5 otherwise.
    t = torch.tensor(float(s.t))
    power_1, power_2 = (torch.tensor((s.beta_1, s.beta_2)) ** t).tolist()
    alpha = s.learning_rate * math.sqrt(1 - power_2) / (1 - power_1)
    if is_fused:
        # The kernel: θ ← θ − lr/c₁·m / (√v/c₂ + eps), with corrections of its own in float64. So made, it is α·m / (√v + ε).
        c_1, c_2 = 1 - s.beta_1**s.t, math.sqrt(1 - s.beta_2**s.t)
        torch._fused_adam_(
            weights,
            gradients,
            first,
            second,
            largest,
            [t.to(weights[0].device)] * len(weights),
            lr=alpha * c_1 / c_2,
            beta1=s.beta_1,
            beta2=s.beta_2,
            weight_decay=0.0,
            eps=s.epsilon / c_2,
            amsgrad=optimizer.amsgrad,
            maximize=False,
        )
        return
    torch._foreach_lerp_(first, gradients, 1 - s.beta_1)
    torch._foreach_mul_(second, s.beta_2)
    torch._foreach_addcmul_(second, gradients, gradients, value=1 - s.beta_2)
    if optimizer.amsgrad:
        torch._foreach_maximum_(largest, second)
    root = torch._foreach_sqrt(largest or second)
    torch._foreach_add_(root, s.epsilon)
    torch._foreach_addcdiv_(weights, first, root, value=-alpha)


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


_KERNELS = {  # and the hyperparameters that it reads, beside the learning rate
    "gradient_descent": (gradient_descent, ()),
    "momentum": (momentum, ("momentum",)),
    "adagrad": (adagrad, ("epsilon",)),
    "rmsprop": (rmsprop, ("rho", "momentum", "epsilon")),
    "adam": (adam, ("beta_1", "beta_2", "epsilon")),
}
