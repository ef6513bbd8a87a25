"""The order of a step on TensorFlow, and which way each variable goes."""

import contextlib

import keras
import tensorflow as tf

from keras_optims import keras_seam
from keras_optims.dtypes import arithmetic_dtype, is_half
from keras_optims.kernels import stacks
from keras_optims.kernels.tensorflow import alike, fused, loops, rows
from keras_optims.kernels.tensorflow.groups import Groups, groups_of
from keras_optims.kernels.tensorflow.loops import Target
from keras_optims.metal import protection
from keras_optims.paths import Path
from keras_optims.row_gradient import RowGradient
from keras_optims.stand_in import StandIn

traced_as_written = tf.autograph.experimental.do_not_convert  # AutoGraph takes longer over a step than TensorFlow itself
no_gradient = contextlib.nullcontext
outside_of_a_trace = tf.init_scope


def run_if(predicate, action, otherwise, state):
    """See `keras_optims.kernels`; under a distribution strategy the predicate must be the same on all replicas."""
    replica = tf.distribute.get_replica_context() if fused.merges_replicas() else None
    if replica is None:
        return keras.ops.cond(predicate, lambda: action() or [], lambda: otherwise() or [])

    # Replicas cannot meet in a branch that one of them has traced. So they branch all at once, and then each runs its own.
    def run_on_all(strategy, predicate, action, otherwise):
        def run_each(functions):
            run = tf.autograph.experimental.do_not_convert(lambda function: function() or [])
            returned = strategy.extended.call_for_each_replica(run, args=(functions,))
            return [strategy.experimental_local_results(each) for each in returned]

        the_same = strategy.experimental_local_results(predicate)[0]
        returned = keras.ops.cond(the_same, lambda: run_each(action), lambda: run_each(otherwise))
        return [of_replicas[0] for of_replicas in returned]  # all of them have computed the same

    return replica.merge_call(run_on_all, args=(predicate, action, otherwise))


def apart(values, read):
    """See `keras_optims.kernels`; here an assignment copies what it needs to."""
    return values


def colocated(optimizer, variable):
    """See `keras_optims.kernels`."""
    return keras_seam.strategy(optimizer).extended.colocate_vars_with(fused.native(variable))


def assign(optimizer, variable, value):
    """See `keras_optims.kernels`: on every replica."""
    keras_seam.strategy(optimizer).extended.update(
        fused.native(variable), lambda one, its_value: one.assign(tf.cast(its_value, one.dtype)), args=(value,)
    )


def decayed(value, decay, rate):
    """See `keras_optims.kernels`."""
    return value - value * decay * rate


def rounded(value, dtype):
    """See `keras_optims.kernels`."""
    return tf.cast(tf.cast(value, dtype), value.dtype)


def bits(value):
    """See `keras_optims.kernels`."""
    return tf.bitcast(value, tf.int32)


def of_bits(value):
    """See `keras_optims.kernels`."""
    return tf.bitcast(value, tf.float32)


def finish_build(optimizer):
    """See `keras_optims.kernels`."""
    if fused.may_fuse(optimizer) and fused.needs_scratch(optimizer):  # a slot that a kernel writes though the algorithm has none
        of = [v for v in optimizer.variables_it_updates(optimizer.variables_of_the_model()) if _dtype(v) == "float32"]
        optimizer._untracked.scratch = optimizer.add_slot(of, "scratch", saved=False)
    if optimizer.elementwise and not fused.is_distributed(optimizer):
        optimizer._untracked.groups = Groups(optimizer)
    optimizer._untracked.slots.make_all()


def prepared(optimizer, gradients, variables):
    """See `keras_optims.kernels`; under a distribution strategy they are summed over the replicas, so all have the same."""

    def cast(gradient, variable):
        if not tf.is_tensor(gradient) or (isinstance(gradient, tf.IndexedSlices) and _needs_all_of_it(optimizer, variable)):
            gradient = tf.convert_to_tensor(gradient)
        return tf.cast(gradient, arithmetic_dtype(variable))

    gradients = list(map(cast, gradients, variables))
    if fused.is_distributed(optimizer):
        gradients = _summed_over_replicas(optimizer, gradients)

    def summed(gradient, variable):
        return rows.summed(gradient, variable.shape[0]) if isinstance(gradient, tf.IndexedSlices) else gradient

    return list(map(summed, gradients, variables))


def _needs_all_of_it(optimizer, variable) -> bool:
    """Whether rows of a gradient will not do: for sums over several steps, and formulas of another scope than elements."""
    formula = optimizer.settings_of(variable).formula or optimizer
    by_rows = optimizer.lazy and formula.goes_by_rows(variable)
    return not by_rows or bool(optimizer.gradient_accumulation_steps)


def _summed_over_replicas(optimizer, gradients):
    replica, name = tf.distribute.get_replica_context(), type(optimizer).__name__
    if replica is None:
        raise ValueError(
            f"{name}.apply() must be called on a replica, in the function that strategy.run(...) runs; it was called in the "
            "scope of a tf.distribute strategy, but outside of strategy.run(...)."
        )
    if tf.distribute.has_strategy() and replica.strategy is not keras_seam.strategy(optimizer):
        raise ValueError(
            f"{name} must be made in the scope of the tf.distribute strategy that runs it, {type(replica.strategy).__name__}; "
            f"it was made under {type(keras_seam.strategy(optimizer)).__name__}, so each replica would count steps of its own."
        )
    return replica.all_reduce(tf.distribute.ReduceOp.SUM, gradients)


def count(iterations):
    """See `keras_optims.kernels`."""
    fused.native(iterations).assign_add(1)  # not Keras's, which adds first and then assigns: the Mac's GPU adds no integers


def is_fast_at_bfloat16(tensor) -> bool:
    """See `keras_optims.kernels`; in a function that is being traced no tensor has a device yet."""
    return bool(tf.config.list_physical_devices("GPU")) and not protection.on_metal()


def path_of(optimizer, variable) -> Path:
    """See `keras_optims.kernels`."""
    operation, dtype, name = fused.operation(optimizer), _dtype(variable), type(optimizer).__name__
    is_grouped = groups_of(optimizer).place_of(variable)[0] is not None
    if operation is not None and dtype == "float32":
        return Path("grouped", f"{operation}, for all small variables at once") if is_grouped else Path("fused", operation)
    if is_half(dtype):
        why = f"{dtype} is updated in float32 arithmetic"
    elif optimizer.fused_kernel is None:
        why = f"{name} has a formula of its own"
    elif fused.is_missing_on_metal(optimizer):
        why = "tensorflow-metal lacks its kernel"
    elif operation is None:
        why = "epsilon follows a schedule, and the kernel has a constant one"
    else:
        why = f"the kernels serve float32, and this is {dtype}"
    if not optimizer.elementwise:
        why = f"{why}, which is not declared elementwise" if optimizer.fused_kernel is None else why
        return _path_by_variable(optimizer, variable, why)
    if is_grouped:
        return Path("grouped", f"the formula once, for all small variables; {why}")
    if fused.is_distributed(optimizer):
        return Path("formula", f"{why}; under a tf.distribute strategy an operation at a time")
    if protection.on_metal():
        return Path("formula", f"{why}; TensorFlow compiles nothing on the Mac's GPU")
    return Path("compiled", f"XLA makes one loop of the formula in a compiled step; {why}")


def _path_by_variable(optimizer, variable, why) -> Path:
    if fused.is_distributed(optimizer):
        return Path("formula", why)
    if stacks.is_stacked(optimizer, variable):
        return Path("stacked", f"small variables of one shape at once, in a compiled step; {why}")
    if optimizer._untracked.not_stacked is not None:
        return Path("formula", f"{why}; not several variables at once: {optimizer._untracked.not_stacked}")
    return Path("formula", why)


def _dtype(variable) -> str:
    return keras.backend.standardize_dtype(variable.dtype)


def update(frame, gradients, variables):
    """See `keras_optims.kernels`; under a distribution strategy the gradients are those of all replicas together."""
    optimizer = frame.optimizer
    for gradient, variable in zip(gradients, variables, strict=True):
        optimizer.remember_sparse(variable, isinstance(gradient, RowGradient))
    if fused.is_distributed(optimizer):
        _update_on_all_replicas(frame, gradients, variables)
        return
    targets: list[Target] = []
    of_groups: dict = {}
    for gradient, variable in zip(gradients, variables, strict=True):
        group, place = groups_of(optimizer).place_of(variable)
        if isinstance(gradient, RowGradient):
            rows.update(frame, gradient, variable)
        elif group is not None:
            of_groups.setdefault(group, {})[place] = gradient
        else:
            targets.append(Target(gradient, variable, optimizer.decays(variable), _dtype(variable)))
    with contextlib.ExitStack() as stack:
        for group, its_gradients in of_groups.items():
            together = stack.enter_context(group.gathered(its_gradients))
            targets.append(Target(together, group.weights, group.decays, group.dtype))
        _update(frame, targets)


def _update(frame, targets: list[Target]):
    """Each target by the kernel, as a compiled loop, or by the formula an operation at a time."""
    optimizer = frame.optimizer
    served = [target for target in targets if fused.operation(optimizer) is not None and target.dtype == "float32"]
    others = [target for target in targets if target not in served]
    if served:
        _update_fused(frame, served)
    if not others:
        return
    if fused.is_distributed(optimizer):
        left = others
    elif optimizer.elementwise and loops.are_possible():
        loops.run(frame, others)
        left = []
    else:
        left = alike.left_by_stacks(frame, others)
    for target in left:
        frame.run(target.gradient, target.stand_in())


def _update_fused(frame, targets: list[Target]):
    optimizer = frame.optimizer
    decaying = [target.variable for target in targets if target.decays]
    if fused.in_xla() and not fused.has_xla_kernel(optimizer):  # XLA fuses the formula itself
        for target in targets:
            frame.run(target.gradient, target.stand_in())
        return
    if decaying:
        fused.decay(decaying, frame.once("shrinkage", lambda: tf.cast(optimizer.weight_decay * frame.rate(), "float32")))
    pairs = [(target.gradient, target.variable) for target in targets]
    fused.KERNELS[optimizer.fused_kernel](optimizer, pairs, frame.scalars("float32"))


def update_list(frame, gradients, variables):
    """See `keras_optims.kernels`."""
    if not fused.is_distributed(frame.optimizer):
        frame.run_all(gradients, [StandIn(frame.optimizer.place_of(variable)) for variable in variables])
        return

    # On each device once, with the first variable; the others are found there as the slots are.
    def update_all(_, gradients, of_step):
        own = frame.on_a_replica(of_step)
        with own:
            own.run_all(gradients, [StandIn(own.optimizer.place_of(variable)) for variable in variables])

    def update_each(strategy, gradients, of_step):
        strategy.extended.update(fused.native(variables[0]), update_all, args=(gradients, of_step), group=False)

    _merged(frame, update_each, gradients, vars(frame.of_step))


def _update_on_all_replicas(frame, gradients, variables):
    def update_one(variable, gradient, learning_rate, of_step):
        own = frame.on_a_replica(of_step, learning_rate)  # the other replicas have theirs
        with own:
            if isinstance(gradient, RowGradient):
                rows.update(own, gradient, variable)
            else:
                _update(own, [Target(gradient, variable, own.optimizer.decays(variable), _dtype(variable))])

    def update_each(strategy, gradients, learning_rate, of_step):
        for gradient, variable in zip(gradients, variables, strict=True):
            args = (gradient, learning_rate, of_step)
            strategy.extended.update(fused.native(variable), update_one, args=args, group=False)

    _merged(frame, update_each, gradients, tf.convert_to_tensor(frame.rate()), vars(frame.of_step))


def _merged(frame, function, *arguments):
    """Calls a function once for all replicas."""
    strategy = keras_seam.strategy(frame.optimizer)
    tf.__internal__.distribute.interim.maybe_merge_call(function, strategy, *arguments)
