"""Where does a step run? What TensorFlow has registered for the device, and what it does when it may not choose another one."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

import keras

import keras_optims
from tuning.doctor.measuring import only_on_tensorflow
from tuning.doctor.measuring.devices import to_measure
from tuning.errors import one_line

# Without SOAP, whose eigenvectors the CPU has to compute on a Mac: docs/mac_kernels.md.
_OPTIMIZERS = {name: cls for name, cls in keras_optims.OPTIMIZERS.items() if cls is not keras_optims.SOAP}

_OTHER_BACKEND = "only TensorFlow leaves a device where a kernel is missing"


@only_on_tensorflow(_OTHER_BACKEND)
def kernels() -> dict:
    """What a step of each optimizer runs, traced, against the kernels that this TensorFlow has for the GPU, or else for the CPU.

    Returns:
        `{"device", "optimizers": {name: coverage}}` with the fields and properties of `keras_optims.metal.coverage.Coverage`, and
        `has_one`: whether there is a fused kernel of the formula.
    """
    from keras_optims.kernels.tensorflow.fused import operation
    from keras_optims.metal.coverage import coverage
    from keras_optims.metal.protection import as_on_metal
    from keras_optims.metal.tracing import registered_on

    device = next(iter(to_measure()))
    registered = registered_on(device)
    found = {}
    for name, optimizer in _OPTIMIZERS.items():
        covered = coverage(optimizer, registered)
        found[name] = {**dataclasses.asdict(covered), "kernel": covered.fused, "stays": covered.stays_on_the_gpu}
        with as_on_metal():  # as `coverage` traces
            found[name]["has_one"] = operation(optimizer()) is not None
    return {"device": device, "optimizers": found}


@only_on_tensorflow(_OTHER_BACKEND)
def placement() -> dict:
    """Each optimizer's step with soft placement off, so that an operation without a kernel on the GPU is an error.

    Returns:
        `{"rows": [{"optimizer", "mode", "device", "error"}]}`: where the weights are, and `None` or what was raised.
    """
    if "GPU" not in to_measure():
        return {"skipped": "there is no GPU here to stay on"}
    return {"rows": [_placed(name, mode, "gpu:0") for name in _OPTIMIZERS for mode in ("eager", "function")]}


def _placed(name: str, mode: str, device: str) -> dict:
    import tensorflow as tf

    row = {"optimizer": name, "mode": mode, "device": None, "error": None}
    try:
        with _no_other_device(), keras.device(device):
            optimizer, weights = keras_optims.OPTIMIZERS[name](), keras.Variable(tf.ones((8, 8)), name="weights")
            optimizer.build([weights])
            step = optimizer.apply if mode == "eager" else tf.function(optimizer.apply)
            step([tf.ones((8, 8))])
            row["device"] = weights.value.device
    except Exception as error:  # whatever it is, it is the finding
        row["error"] = one_line(error)
    return row


@contextlib.contextmanager
def _no_other_device() -> Iterator[None]:
    import tensorflow as tf

    before = tf.config.get_soft_device_placement()
    tf.config.set_soft_device_placement(False)
    try:
        yield
    finally:
        tf.config.set_soft_device_placement(before)
