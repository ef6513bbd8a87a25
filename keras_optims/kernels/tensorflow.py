"""The step on TensorFlow, alone and under tf.distribute."""

import contextlib

import keras
import tensorflow as tf

no_gradient = contextlib.nullcontext
outside_of_a_trace = tf.init_scope
to_dense = tf.convert_to_tensor  # of IndexedSlices too; rows that occur more than once are summed


def run_if(predicate, action, otherwise, state):
    """See `keras_optims.kernels`."""
    keras.ops.cond(predicate, action, otherwise)


def decayed(variable, decay, rate):
    """See `keras_optims.kernels`."""
    return variable - variable * decay * rate


def for_each_variable(optimizer, update, gradients, variables, learning_rate):
    """See `keras_optims.kernels`; under a distribution strategy the gradients are summed over the replicas first."""
    if not tf.distribute.has_strategy():
        for gradient, variable in zip(gradients, variables, strict=True):
            update(gradient, variable, learning_rate)
        return

    def update_on_each_replica(strategy, pairs, learning_rate):
        for gradient, variable in pairs:
            strategy.extended.update(variable, lambda v, g, rate: update(g, v, rate), args=(gradient, learning_rate), group=False)

    native = [variable.value if isinstance(variable, keras.Variable) else variable for variable in variables]
    pairs = optimizer._all_reduce_sum_gradients(list(zip(gradients, native, strict=True)))
    tf.__internal__.distribute.interim.maybe_merge_call(
        update_on_each_replica, optimizer._distribution_strategy, pairs, tf.convert_to_tensor(learning_rate)
    )
