"""The GPU of an Apple silicon Mac: what tensorflow-metal has kernels for, and a switch for its graph fusion."""

from keras_optims.metal.protection import protect

__all__ = ["protect"]
