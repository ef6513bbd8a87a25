"""The step on TensorFlow as the Mac's GPU gets it: one kernel for each variable, all of them registered there.

`metal_ops.json` lists what tensorflow-metal 1.2.0 registers for the GPU. Anything else falls to the CPU, and waits for it.
"""

import keras
import numpy as np
import pytest

import keras_optims
from keras_optims.metal.tracing import counted, operations, registered_for_metal
from tests.variants import VARIANTS

pytestmark = pytest.mark.backend("tensorflow")

LARGE, SMALL = [(200, 128), (160, 120)], [(7,), (3, 4), (), (1, 5)]
KERNELS = {
    keras_optims.GradientDescent: "ResourceApplyGradientDescent",
    keras_optims.Momentum: "ResourceApplyKerasMomentum",
    keras_optims.Adagrad: "ResourceApplyAdagrad",
    keras_optims.RMSprop: "ResourceApplyRMSProp",
    keras_optims.Adam: "ResourceApplyAdam",
    keras_optims.AdamW: "ResourceApplyAdam",
}


def kernel_of(variant):
    if variant.arguments.get("amsgrad"):
        return "ResourceApplyAdamWithAmsgrad"
    return "ResourceApplyCenteredRMSProp" if variant.arguments.get("centered") else KERNELS[variant.make]


def traced(optimizer, shapes, sparse=False):
    """The operations of the optimizer's step on variables of these shapes, gradients passed in."""
    import tensorflow as tf

    variables = [keras.Variable(np.ones(shape, "float32"), name=f"v{i}") for i, shape in enumerate(shapes)]
    optimizer.build(variables)
    gradients = [tf.ones(shape) for shape in shapes]
    if sparse:
        gradients = [tf.IndexedSlices(tf.ones((3, *s[1:])), tf.constant([0, 1, 0]), tf.constant(s)) for s in shapes]
    return operations(tf.function(lambda gradients: optimizer.apply(gradients, variables)), gradients)


def not_registered(found):
    registered = registered_for_metal()
    return {(operation, dtypes) for operation, dtypes in found if not set(dtypes) <= set(registered.get(operation, ()))}


@pytest.mark.parametrize("decay", [{}, {"weight_decay": 0.01}], ids=["", "decay"])
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_a_large_variable_takes_one_kernel_and_two_with_weight_decay(variant, decay):
    few, many = (counted(traced(variant.optimizer(**decay), LARGE * n)) for n in (1, 3))
    expected = {kernel_of(variant): 4}
    if decay or variant.make is keras_optims.AdamW:
        expected["ResourceApplyGradientDescent"] = expected.get("ResourceApplyGradientDescent", 0) + 4
    assert dict(many - few) == expected  # and nothing else grows with the number of variables
    assert not few - many


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_small_variables_take_one_kernel_together(variant):
    optimizer = variant.optimizer()
    few, many = counted(traced(optimizer, LARGE + SMALL * 3)), counted(traced(variant.optimizer(), LARGE + SMALL * 9))
    more = 24  # variables
    if variant.make is keras_optims.GradientDescent:  # no slots: its kernel for each is less work than grouping
        assert dict(many - few) == {"ResourceApplyGradientDescent": more}
    else:
        assert dict(many - few) == {"AssignVariableOp": more}  # which hands over a buffer
        assert many[kernel_of(variant)] == len(LARGE) + 1
    assert {line.path for line in optimizer.explain()} <= {"fused", "grouped"}


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("arguments", [{}, {"weight_decay": 0.01}, {"loss_scale_factor": 2.0}], ids=str)
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_every_operation_of_a_step_has_a_kernel_on_the_gpu(variant, arguments, sparse):
    shapes = LARGE if sparse else LARGE + SMALL * 3
    assert not not_registered(traced(variant.optimizer(**arguments), shapes, sparse))


def test_the_comparison_with_the_registered_kernels_notices_what_is_missing():
    """Keras's Adam counts its steps in integers, which the GPU does not add."""
    assert ("AddV2", ("int64",)) in not_registered(traced(keras.optimizers.Adam(), LARGE))
