"""What LAMB and LARS share: the length of a step in proportion to the weights that it moves."""

from keras import ops


def norm(tensor):
    """The L2 norm of all elements, 0 of an empty tensor."""
    return ops.sqrt(ops.sum(ops.square(tensor)))


def trust_ratio(numerator, denominator):
    """Their quotient; 1 where one of them is 0, so that weights of zero begin to move."""
    known = ops.logical_and(numerator > 0, denominator > 0)
    one = ops.ones_like(denominator)
    return ops.where(known, numerator / ops.where(known, denominator, one), one)
