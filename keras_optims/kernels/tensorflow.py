"""The step on TensorFlow, alone and under tf.distribute.

TensorFlow's training kernels (`ResourceApply*`) read a weight, its gradient and its slots once and write them once. They exist
for the CPU, CUDA, XLA and the Mac's GPU, where each operation is a dispatch of its own. They serve dense float32 variables.
"""

import contextlib

import keras
import tensorflow as tf

from keras_optims.kernels.paths import by_path

no_gradient = contextlib.nullcontext
outside_of_a_trace = tf.init_scope
to_dense = tf.convert_to_tensor  # of IndexedSlices too; rows that occur more than once are summed


def run_if(predicate, action, otherwise, state):
    """See `keras_optims.kernels`."""
    keras.ops.cond(predicate, action, otherwise)


def assign(optimizer, variable, value):
    """See `keras_optims.kernels`: on every replica."""
    optimizer._distribution_strategy.extended.update(
        _native(variable), lambda one, its_value: one.assign(tf.cast(its_value, one.dtype)), args=(value,)
    )


def decayed(variable, decay, rate):
    """See `keras_optims.kernels`."""
    return variable - variable * decay * rate


def update(optimizer, gradients, variables, learning_rate):
    """See `keras_optims.kernels`; under a distribution strategy the gradients are summed over the replicas first."""
    if tf.distribute.has_strategy():
        _update_on_all_replicas(optimizer, gradients, variables, learning_rate)
        return
    kernel = _kernel_of(optimizer)
    fused, plain = by_path(gradients, variables, kernel)
    for gradient, variable in plain:
        optimizer.update_variable(gradient, variable, learning_rate)
    if kernel is not None and fused:
        decaying = [variable for _, variable in fused if optimizer.decays(variable)]
        shrinkage = optimizer.weight_decay * learning_rate if decaying else None
        for variable in decaying:
            _gradient_descent(variable, tf.convert_to_tensor(variable), shrinkage)
        kernel(optimizer, fused, optimizer.scalars(fused[0][1], learning_rate))


def _update_on_all_replicas(optimizer, gradients, variables, learning_rate):
    def update_each(strategy, pairs, learning_rate):
        def update_one(variable, gradient, learning_rate):
            optimizer.update_variable(gradient, variable, learning_rate)

        for gradient, variable in pairs:
            strategy.extended.update(variable, update_one, args=(gradient, learning_rate), group=False)

    pairs = optimizer._all_reduce_sum_gradients(list(zip(gradients, map(_native, variables), strict=True)))
    tf.__internal__.distribute.interim.maybe_merge_call(
        update_each, optimizer._distribution_strategy, pairs, tf.convert_to_tensor(learning_rate)
    )


def _kernel_of(optimizer):
    if optimizer.fused_kernel == "adam" and optimizer.amsgrad:
        return None  # XLA, which `fit` uses where it can, has no kernel for AMSGrad
    return _KERNELS.get(optimizer.fused_kernel)


def _native(variable):
    return variable.value if isinstance(variable, keras.Variable) else variable


def _handle(variable):
    return _native(variable).handle


def _gradient_descent(variable, direction, rate):
    tf.raw_ops.ResourceApplyGradientDescent(var=_handle(variable), alpha=rate, delta=direction)


def gradient_descent(optimizer, pairs, s):
    """θ ← θ − η·g."""
    for gradient, variable in pairs:
        _gradient_descent(variable, gradient, s.learning_rate)


def momentum(optimizer, pairs, s):
    """As `keras_optims.Momentum`: this kernel has the rate inside the velocity, `ResourceApplyMomentum` has it outside."""
    for gradient, variable in pairs:
        tf.raw_ops.ResourceApplyKerasMomentum(
            var=_handle(variable),
            accum=_handle(optimizer.velocity[variable]),
            lr=s.learning_rate,
            grad=gradient,
            momentum=s.momentum,
            use_nesterov=optimizer.nesterov,
        )


def adam(optimizer, pairs, s):
    """As `keras_optims.Adam`.

    The correction of the start is a part of α already, so the kernel's own is switched off (βᵗ = 0). The kernel takes 1 − β of
    the β that was rounded to float32, so its averages are 1 + δ times what they should be, where δ is what the rounding does to
    1 − βᵗ, the weight of all gradients so far; for β₂ = 0.999 that is 1.3e-5. α makes up for it.
    """
    t = optimizer.step_number

    def delta(beta, one_minus_beta):
        residual = (1 - beta) - one_minus_beta  # what rounding took from β
        return t * beta ** (t - 1) * residual / (1 - beta**t)

    alpha = s.alpha * (1 + delta(s.beta_2, s.one_minus_beta_2) / 2 - delta(s.beta_1, s.one_minus_beta_1))
    scalars = {"lr": alpha, "beta1": s.beta_1, "beta2": s.beta_2, "epsilon": s.epsilon}
    switched_off = {"beta1_power": tf.zeros(()), "beta2_power": tf.zeros(())}
    for gradient, variable in pairs:
        tf.raw_ops.ResourceApplyAdam(
            var=_handle(variable),
            m=_handle(optimizer.first_moment[variable]),
            v=_handle(optimizer.second_moment[variable]),
            grad=gradient,
            **scalars,
            **switched_off,
        )


_KERNELS = {"gradient_descent": gradient_descent, "momentum": momentum, "adam": adam}
