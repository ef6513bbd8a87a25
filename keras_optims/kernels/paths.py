"""Which way a variable's update goes, where a backend has fused kernels."""

import keras


def by_path(gradients, variables, kernel) -> tuple[list, list]:
    """The (gradient, variable) pairs that the kernel takes, and those that go through `update_step`.

    Fused kernels compute in float32; there may be none for an algorithm (`kernel` is `None`).
    """
    fused: list = []
    plain: list = []
    for gradient, variable in zip(gradients, variables, strict=True):
        takes = kernel is not None and keras.backend.standardize_dtype(variable.dtype) == "float32"
        (fused if takes else plain).append((gradient, variable))
    return fused, plain
