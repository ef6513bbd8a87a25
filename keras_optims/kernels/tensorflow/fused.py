"""TensorFlow's training kernels (`ResourceApply*`): a weight, its gradient and its slots are read once and written once.

They exist for the CPU, CUDA, XLA and the Mac's GPU, where each operation is a dispatch of its own. Each function takes the
optimizer, (gradient, variable) pairs of dense float32 tensors, and the scalars of the step.
"""

import keras
import tensorflow as tf
from tensorflow.python.ops import control_flow_util

from keras_optims import keras_seam
from keras_optims.metal import protection


def native(variable):
    """The `tf.Variable`."""
    return variable.value if isinstance(variable, keras.Variable) else variable


def handle(variable):
    """What the raw operations take for a variable."""
    return native(variable).handle


def decay(variables, shrinkage):
    """θ ← θ − shrinkage·θ."""
    for variable in variables:
        resource = handle(variable)
        value = tf.raw_ops.ReadVariableOp(resource=resource, dtype=tf.float32)
        tf.raw_ops.ResourceApplyGradientDescent(var=resource, alpha=shrinkage, delta=value)


def gradient_descent(optimizer, pairs, s):
    """θ ← θ − η·g."""
    for gradient, variable in pairs:
        tf.raw_ops.ResourceApplyGradientDescent(var=handle(variable), alpha=s.learning_rate, delta=gradient)


def momentum(optimizer, pairs, s):
    """As `keras_optims.Momentum`: this kernel has the rate inside the velocity, `ResourceApplyMomentum` has it outside."""
    for gradient, variable in pairs:
        tf.raw_ops.ResourceApplyKerasMomentum(
            var=handle(variable),
            accum=handle(optimizer.velocity[variable]),
            lr=s.learning_rate,
            grad=gradient,
            momentum=s.momentum,
            use_nesterov=optimizer.nesterov,
        )


def adagrad(optimizer, pairs, s):
    """As `keras_optims.Adagrad`, whose accumulator has ε in it, as this kernel wants it."""
    for gradient, variable in pairs:
        accumulator = optimizer.accumulator[variable]
        tf.raw_ops.ResourceApplyAdagrad(
            var=handle(variable), accum=handle(accumulator), lr=s.learning_rate, grad=gradient, update_slots=True
        )


def rmsprop(optimizer, pairs, s):
    """As `keras_optims.RMSprop`. The kernels always write a velocity; without momentum it is a scratch slot."""
    velocity = optimizer.velocity or optimizer._untracked.scratch
    t = tf.cast(optimizer.step_number, "float32")
    excess = _excess(s.rho, s.one_minus_rho, t)  # of v; ε as much larger beside it, and the rate by its root
    scalars = {
        "lr": s.learning_rate * tf.sqrt(1 + excess),
        "rho": s.rho,
        "momentum": s.momentum,
        "epsilon": s.epsilon * (1 + excess),
    }
    for gradient, variable in pairs:
        slots = {"ms": handle(optimizer.mean_square[variable]), "mom": handle(velocity[variable])}
        if optimizer.centered:
            mean = handle(optimizer.mean_gradient[variable])
            tf.raw_ops.ResourceApplyCenteredRMSProp(var=handle(variable), mg=mean, **slots, grad=gradient, **scalars)
        else:
            tf.raw_ops.ResourceApplyRMSProp(var=handle(variable), **slots, grad=gradient, **scalars)


def adam(optimizer, pairs, s):
    """As `keras_optims.Adam`."""
    scalars = _of_adam(optimizer, s)
    for gradient, variable in pairs:
        slots = {"m": handle(optimizer.first_moment[variable]), "v": handle(optimizer.second_moment[variable])}
        if optimizer.amsgrad:
            largest = handle(optimizer.largest_second_moment[variable])
            tf.raw_ops.ResourceApplyAdamWithAmsgrad(var=handle(variable), **slots, vhat=largest, grad=gradient, **scalars)
        else:
            tf.raw_ops.ResourceApplyAdam(var=handle(variable), **slots, grad=gradient, **scalars)


def nadamw(optimizer, pairs, s):
    """As `keras_optims.NAdamW`: with its own correction off, the kernel's Nesterov is just its step."""
    scalars = _of_adam(optimizer, s)
    for gradient, variable in pairs:
        slots = {"m": handle(optimizer.first_moment[variable]), "v": handle(optimizer.second_moment[variable])}
        tf.raw_ops.ResourceApplyAdam(var=handle(variable), **slots, grad=gradient, use_nesterov=True, **scalars)


def _of_adam(optimizer, s):
    """The scalars of Adam's kernels. α has the correction of the start already, so the kernel's own is switched off (βᵗ = 0)."""
    t = tf.cast(optimizer.step_number, "float32")
    of_m, of_v = _excess(s.beta_1, s.one_minus_beta_1, t), _excess(s.beta_2, s.one_minus_beta_2, t)
    of_root = tf.sqrt(1 + of_v)
    scalars = {"lr": s.alpha * of_root / (1 + of_m), "beta1": s.beta_1, "beta2": s.beta_2, "epsilon": s.epsilon * of_root}
    return scalars | {"beta1_power": tf.zeros(()), "beta2_power": tf.zeros(())}


def adamax(optimizer, pairs, s):
    """As `keras_optims.Adamax`; the correction as for `adam`."""
    excess = _excess(s.beta_1, s.one_minus_beta_1, tf.cast(optimizer.step_number, "float32"))
    scalars = {"lr": s.alpha / (1 + excess), "beta1": s.beta_1, "beta2": s.beta_2, "epsilon": s.epsilon}
    for gradient, variable in pairs:
        slots = {"m": handle(optimizer.first_moment[variable]), "v": handle(optimizer.infinity_norm[variable])}
        tf.raw_ops.ResourceApplyAdaMax(var=handle(variable), **slots, beta1_power=tf.zeros(()), grad=gradient, **scalars)


def adadelta(optimizer, pairs, s):
    """As `keras_optims.Adadelta`. Both means are too large by the same share, so that ε alone has to grow with them."""
    excess = _excess(s.rho, s.one_minus_rho, tf.cast(optimizer.step_number, "float32"))
    scalars = {"lr": s.learning_rate, "rho": s.rho, "epsilon": s.epsilon * (1 + excess)}
    for gradient, variable in pairs:
        tf.raw_ops.ResourceApplyAdadelta(
            var=handle(variable),
            accum=handle(optimizer.mean_square[variable]),
            accum_update=handle(optimizer.mean_squared_step[variable]),
            grad=gradient,
            **scalars,
        )


def _excess(decay_rate, complement, t):
    """By what share a kernel's average is too large at step t.

    The kernels take 1 − β of the β that was rounded to float32; `complement` is 1 − β itself. What rounding does to β it does to
    1 − βᵗ, the weight of all gradients so far; for β = 0.999 that is 1.3e-5. The rate makes up for it, and ε beside the average.
    """
    residual = (1 - decay_rate) - complement
    # 1 − βᵗ by way of βᵗ would have no digit left for β near 1. 1 − e⁻²ʸ is 2·tanh y / (1 + tanh y), which keeps them all.
    tanh = tf.tanh(tf.math.log1p(residual - (1 - decay_rate)) * t * -0.5)  # of −complement: exact, and no operation of CPUs only
    return t * decay_rate ** (t - 1) * residual * (1 + tanh) / (2 * tanh)


def needs_scratch(optimizer) -> bool:
    """Whether the kernel writes more than the algorithm remembers."""
    return optimizer.fused_kernel == "rmsprop" and optimizer.velocity is None


def in_xla() -> bool:
    """Whether this is the trace of a function that XLA will compile."""
    return control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())


def has_xla_kernel(optimizer) -> bool:
    """Whether XLA knows the operation too."""
    return operation(optimizer) != "ResourceApplyAdamWithAmsgrad"


def may_fuse(optimizer) -> bool:
    """Whether this optimizer's float32 variables are updated by the kernels."""
    return operation(optimizer) is not None


def is_distributed(optimizer) -> bool:
    """Whether the variables may live on several replicas."""
    built_under = type(keras_seam.strategy(optimizer)).__name__
    return tf.distribute.has_strategy() or not built_under.startswith("_DefaultDistributionStrategy")


def merges_replicas() -> bool:
    """Whether the step of one replica of several is being run or traced, which meets the others in a `merge_call`."""
    return tf.distribute.has_strategy() and not tf.__internal__.distribute.strategy_supports_no_merge_call()


def operation(optimizer) -> str | None:
    """The name of the operation that serves this optimizer's formula; `None` where there is none."""
    if is_missing_on_metal(optimizer):
        return None
    name = optimizer.fused_kernel
    if name == "adagrad" and not optimizer.epsilon_is_in_the_accumulator:
        return None
    if (name == "rmsprop" and optimizer.centered) or (name == "adam" and optimizer.amsgrad):
        return _VARIANTS[name]
    return _OPERATIONS.get(name)


def is_missing_on_metal(optimizer) -> bool:
    """Whether the CPU would have to take the kernel's place on the Mac's GPU, which has kernels for all of the formula."""
    return _OPERATIONS.get(optimizer.fused_kernel) == "ResourceApplyAdaMax" and protection.on_metal()


_OPERATIONS = {
    "gradient_descent": "ResourceApplyGradientDescent",
    "momentum": "ResourceApplyKerasMomentum",
    "adagrad": "ResourceApplyAdagrad",
    "rmsprop": "ResourceApplyRMSProp",
    "adam": "ResourceApplyAdam",
    "nadamw": "ResourceApplyAdam",
    "adamax": "ResourceApplyAdaMax",
    "adadelta": "ResourceApplyAdadelta",
}
_VARIANTS = {"rmsprop": "ResourceApplyCenteredRMSProp", "adam": "ResourceApplyAdamWithAmsgrad"}

KERNELS = {
    "gradient_descent": gradient_descent,
    "momentum": momentum,
    "adagrad": adagrad,
    "rmsprop": rmsprop,
    "adam": adam,
    "nadamw": nadamw,
    "adamax": adamax,
    "adadelta": adadelta,
}
