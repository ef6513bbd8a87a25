"""The order of a step on TensorFlow, and which way each variable goes."""

import contextlib

import keras
import tensorflow as tf

from keras_optims.kernels.tensorflow import fused, rows
from keras_optims.kernels.tensorflow.groups import groups_of
from keras_optims.paths import Path
from keras_optims.row_gradient import RowGradient
from keras_optims.working_copy import arithmetic_dtype, is_half

traced_as_written = tf.autograph.experimental.do_not_convert  # AutoGraph takes longer over a step than TensorFlow itself
no_gradient = contextlib.nullcontext
outside_of_a_trace = tf.init_scope


def run_if(predicate, action, otherwise, state):
    """See `keras_optims.kernels`; under a distribution strategy the predicate must be the same on all replicas."""
    if fused.merges_replicas():
        # Replicas cannot meet in a branch that one of them has traced. So they branch all at once, and then each runs its own.
        def run_on_all(strategy, predicate, action, otherwise):
            def run_each(functions):
                run = tf.autograph.experimental.do_not_convert(lambda function: function())
                strategy.extended.call_for_each_replica(run, args=(functions,))

            the_same = strategy.experimental_local_results(predicate)[0]
            keras.ops.cond(the_same, lambda: run_each(action), lambda: run_each(otherwise))

        tf.distribute.get_replica_context().merge_call(run_on_all, args=(predicate, action, otherwise))
    else:
        keras.ops.cond(predicate, action, otherwise)


def assign(optimizer, variable, value):
    """See `keras_optims.kernels`: on every replica."""
    optimizer._distribution_strategy.extended.update(
        fused.native(variable), lambda one, its_value: one.assign(tf.cast(its_value, one.dtype)), args=(value,)
    )


def decayed(variable, decay, rate):
    """See `keras_optims.kernels`."""
    return variable - variable * decay * rate


def rounded(value, dtype):
    """See `keras_optims.kernels`."""
    return tf.cast(tf.cast(value, dtype), value.dtype)


def finish_build(optimizer):
    """See `keras_optims.kernels`: the slot that a kernel writes though the algorithm has none."""
    if fused.may_fuse(optimizer) and fused.needs_scratch(optimizer):
        of = [v for v in optimizer._trainable_variables if path_of(optimizer, v).name in ("fused", "grouped")]
        optimizer._untracked.scratch = optimizer.add_slot(of, "scratch", saved=False)


def prepared(optimizer, gradients, variables):
    """See `keras_optims.kernels`; under a distribution strategy they are summed over the replicas, so all have the same."""
    # A formula that is not known to treat all elements alike, or a sum over several steps, needs whole gradients.
    whole = not optimizer.lazy or optimizer.fused_kernel is None or optimizer.gradient_accumulation_steps

    def cast(gradient, variable):
        if not tf.is_tensor(gradient) or (whole and isinstance(gradient, tf.IndexedSlices)):
            gradient = tf.convert_to_tensor(gradient)
        return tf.cast(gradient, arithmetic_dtype(variable))

    gradients = list(map(cast, gradients, variables))
    if fused.is_distributed(optimizer):
        gradients = _summed_over_replicas(optimizer, gradients)

    def summed(gradient, variable):
        return rows.summed(gradient, variable.shape[0]) if isinstance(gradient, tf.IndexedSlices) else gradient

    return list(map(summed, gradients, variables))


def _summed_over_replicas(optimizer, gradients):
    replica, name = tf.distribute.get_replica_context(), type(optimizer).__name__
    if replica is None:
        raise ValueError(
            f"{name}.apply() must be called on a replica, in the function that strategy.run(...) runs; it was called in the "
            "scope of a tf.distribute strategy, but outside of strategy.run(...)."
        )
    if tf.distribute.has_strategy() and replica.strategy is not optimizer._distribution_strategy:
        raise ValueError(
            f"{name} must be made in the scope of the tf.distribute strategy that runs it, {type(replica.strategy).__name__}; "
            f"it was made under {type(optimizer._distribution_strategy).__name__}, so each replica would count steps of its own."
        )
    return replica.all_reduce(tf.distribute.ReduceOp.SUM, gradients)


def count(iterations):
    """See `keras_optims.kernels`."""
    fused.native(iterations).assign_add(1)  # not Keras's, which adds first and then assigns: the Mac's GPU adds no integers


def path_of(optimizer, variable) -> Path:
    """See `keras_optims.kernels`."""
    operation, dtype = fused.operation(optimizer), keras.backend.standardize_dtype(variable.dtype)
    if optimizer.fused_kernel is None:
        return Path("formula", f"{type(optimizer).__name__} has a formula of its own")
    if operation is None:
        return Path("formula", "epsilon follows a schedule, and the kernel has a constant one")
    if is_half(dtype):
        return Path("formula", f"{dtype} is updated in float32 arithmetic, for which there is no kernel")
    if dtype != "float32":
        return Path("formula", f"the kernels serve float32, and this is {dtype}")
    if groups_of(optimizer).place_of(variable)[0] is not None:
        return Path("grouped", f"{operation}, for all small variables at once")
    return Path("fused", operation)


def update(optimizer, gradients, variables, learning_rate):
    """See `keras_optims.kernels`; under a distribution strategy the gradients are those of all replicas together."""
    if fused.is_distributed(optimizer):
        _update_on_all_replicas(optimizer, gradients, variables, learning_rate)
        return
    pairs, decaying = [], []  # for the kernel
    of_groups: dict = {}
    for gradient, variable in zip(gradients, variables, strict=True):
        group, place = groups_of(optimizer).place_of(variable)
        optimizer.remember_sparse(variable, isinstance(gradient, RowGradient))
        if isinstance(gradient, RowGradient):
            rows.update(optimizer, gradient, variable, learning_rate)
        elif group is not None:
            of_groups.setdefault(group, {})[place] = gradient
        elif path_of(optimizer, variable).name == "fused":
            pairs.append((gradient, variable))
            decaying += [variable] if optimizer.decays(variable) else []
        else:
            optimizer.update_variable(gradient, variable, learning_rate)
    with contextlib.ExitStack() as stack:
        for group, its_gradients in of_groups.items():
            pairs.append((stack.enter_context(group.gathered(its_gradients)), group.weights))
            decaying += [group.weights] if group.decays else []
        if pairs:
            _update_fused(optimizer, pairs, decaying, learning_rate)


def _update_fused(optimizer, pairs, decaying, learning_rate):
    if decaying:
        fused.decay(decaying, optimizer.weight_decay * learning_rate)
    if fused.in_xla() and not fused.has_xla_kernel(optimizer):  # XLA fuses the formula itself
        for gradient, variable in pairs:
            optimizer.update_step(gradient, variable, learning_rate)
    else:
        fused.KERNELS[optimizer.fused_kernel](optimizer, pairs, optimizer.scalars(pairs[0][1], learning_rate))


def _update_on_all_replicas(optimizer, gradients, variables, learning_rate):
    settings = optimizer._untracked.active  # the other replicas set theirs meanwhile

    def update_one(variable, gradient, learning_rate):
        if isinstance(gradient, RowGradient):
            rows.update(optimizer, gradient, variable, learning_rate)
        elif path_of(optimizer, variable).name == "fused":
            _update_fused(optimizer, [(gradient, variable)], [variable] if optimizer.decays(variable) else [], learning_rate)
        else:
            optimizer.update_variable(gradient, variable, learning_rate)

    def update_each(strategy, gradients, learning_rate):
        with optimizer.using(settings):
            for gradient, variable in zip(gradients, variables, strict=True):
                strategy.extended.update(fused.native(variable), update_one, args=(gradient, learning_rate), group=False)

    for gradient, variable in zip(gradients, variables, strict=True):
        optimizer.remember_sparse(variable, isinstance(gradient, RowGradient))
    tf.__internal__.distribute.interim.maybe_merge_call(
        update_each, optimizer._distribution_strategy, gradients, tf.convert_to_tensor(learning_rate)
    )
