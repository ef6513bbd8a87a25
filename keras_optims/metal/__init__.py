"""The GPU of an Apple silicon Mac: what tensorflow-metal has kernels for, and what a step of an optimizer runs."""
