"""What backends say of grouping that update a whole list of variables at one call already."""


def add_grouped_slot(optimizer, slot, variables, name, initializers):
    """See `keras_optims.kernels`."""
    return {}


def parts_of(optimizer, variable):
    """See `keras_optims.kernels`."""
    return []


def finish_build(optimizer):
    """See `keras_optims.kernels`."""
