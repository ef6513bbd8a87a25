"""Turns off what is suspected of wrong forward passes on the Mac's GPU."""

from __future__ import annotations

import contextlib
import contextvars
import importlib.metadata
import platform
import warnings

import keras

OPTIONS = {"use_plugin_optimizers": False, "remapping": False, "layout_optimizer": False}
"""The options of `tf.config.optimizer.set_experimental_options` that `protect` sets."""


def protect() -> bool:
    """Turns tensorflow-metal's graph fusion off, so that dense layers with ReLU are computed one operation at a time.

    In graph mode, as in `fit`, the plug-in fuses MatMul, BiasAdd and ReLU, and is reported to return wrong values
    (keras#21668, tensorflow#62137). This switches off the plug-in's graph optimizers and the two of TensorFlow's own that
    rewrite to fused operations, by `tf.config.optimizer.set_experimental_options`. The optimizers' fused kernels stay in use.
    **Whether it mends the reported errors on a real Mac is not confirmed**; `keras-optims doctor` compares both ways there.

    Call it right after the imports. Where functions have run already it warns: graphs that other threads or input pipelines have
    optimized keep the fusion, and what was computed so far was computed with it.

    Returns:
        Whether it did anything: `False` off Apple silicon, without tensorflow-metal, and on other backends than TensorFlow.
    """
    if not on_metal():
        return False
    import tensorflow as tf

    late = _functions_have_run()
    tf.config.optimizer.set_experimental_options(OPTIONS)
    if late:
        warnings.warn(
            "keras_optims.metal.protect() must be called before anything is computed, right after the imports. Compiled "
            "functions have run already: their results may be wrong, and graphs that other threads optimized keep the fusion.",
            stacklevel=2,
        )
    return True


_PRETENDED: contextvars.ContextVar[bool] = contextvars.ContextVar("pretended", default=False)


@contextlib.contextmanager
def as_on_metal():
    """A context in which optimizers are built and steps are traced as they are on the GPU of a Mac, on any machine."""
    token = _PRETENDED.set(True)
    try:
        yield
    finally:
        _PRETENDED.reset(token)


def on_metal() -> bool:
    """Whether TensorFlow trains here with Apple's plug-in."""
    if _PRETENDED.get():
        return True
    if (platform.system(), platform.machine()) != ("Darwin", "arm64") or keras.backend.backend() != "tensorflow":
        return False
    try:
        importlib.metadata.version("tensorflow-metal")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _functions_have_run() -> bool:
    """Whether TensorFlow knows functions that it may have optimized."""
    from tensorflow.python.eager import context

    if not context.context()._initialized:  # and stays so: who has yet to choose devices may do so afterwards
        return False
    # TensorFlow gives this prefix to what `tf.function` has traced. Operations that run eagerly leave functions of other names.
    return any(name.startswith("__inference_") for name in context.context().list_function_names())
