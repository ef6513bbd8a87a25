"""What the backend sees, and how Keras would compile a model."""

from __future__ import annotations

import os
import time
from typing import Any


def starting() -> dict:
    """Imports Keras with its backend."""
    began = time.perf_counter()
    import keras

    keras.ops.convert_to_numpy(keras.ops.zeros(1))  # looks for the devices
    backend = keras.backend.backend()
    return {
        "keras": keras.__version__,
        "backend": backend,
        "version": __import__(backend).__version__,
        "chosen_by": "KERAS_BACKEND" if "KERAS_BACKEND" in os.environ else "Keras's configuration",
        "seconds": time.perf_counter() - began,
    }


def devices() -> dict:
    """The GPUs, and whether Keras would compile a model of dense layers with XLA."""
    import keras

    from tuning.runtime.machine import accelerators

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model.compile(loss="mse")
    return {"gpus": accelerators(), "jit": bool(model.jit_compile)}


def to_measure() -> dict[str, Any]:
    """What `keras.device` takes for the GPU, where there is one, and for the CPU."""
    import keras

    from tuning.runtime.machine import accelerators

    gpu, cpu = {"tensorflow": _of_tensorflow, "jax": _of_jax, "torch": _of_torch}[keras.backend.backend()]()
    return {"GPU": gpu, "CPU": cpu} if accelerators() else {"CPU": cpu}


def _of_tensorflow():
    return "gpu:0", "cpu:0"


def _of_jax():
    import jax

    return jax.devices()[0], jax.devices("cpu")[0]


def _of_torch():
    import torch

    return "mps" if torch.backends.mps.is_available() else "cuda:0", "cpu"  # on "cpu:0" Keras makes weights without gradients
