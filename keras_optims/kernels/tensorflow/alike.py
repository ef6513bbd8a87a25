"""Small variables of one shape as one: a formula that is not elementwise, mapped over a stack of them by
`tf.vectorized_map`, with one call for each operation; see `keras_optims.kernels.stacks`.

No loop of XLA's is made of it: on a CPU that adds up a norm one number after the other.
"""

from __future__ import annotations

import tensorflow as tf

from keras_optims.batches import stacked, unstacked
from keras_optims.kernels import stacks
from keras_optims.kernels.tensorflow.fused import native
from keras_optims.stand_in import Place, StandIn


class _OneOfMany(stacks.OneOfMany, Place):
    """One of a stack.

    Args:
        of: the place outside of one of them.
        value: the value.
        slots: the places that are its slots.
    """

    def __init__(self, of, value, slots=None):
        super().__init__(of.variable, of.decays)
        self.rounded_to = of.rounded_to
        self.value, self._slots = value, slots or {}

    def read(self):
        """The value, in the dtype of the arithmetic."""
        return tf.cast(self.value, self.dtype)

    def write(self, value):
        """Sets it."""
        self.value = tf.cast(value, self.value.dtype)

    def slot(self, slot) -> _OneOfMany:
        """The place of this slot."""
        return self._slots[slot]


def left_by_stacks(frame, targets) -> list:
    """Runs weight decay and the formula, in the frame that is entered, on those targets that can be stacked.

    Returns:
        The other ones.
    """

    def what_keeps(numbers, slots):
        return _what_keeps(frame, [targets[n] for n in numbers], slots)

    if tf.executing_eagerly():  # each step would trace it anew
        return targets
    left = stacks.left_by_stacks(frame.optimizer, [target.variable for target in targets], what_keeps)
    return [targets[number] for number in left]


def _what_keeps(frame, targets, slots) -> str | None:
    """Runs the formula on a stack; where that is not possible, says why not, and nothing has changed."""
    place = targets[0].stand_in().place
    frame.compute(place)
    memory = [[target.variable for target in targets]]
    memory += [[slot.variable_of(target.variable) for target in targets] for slot in slots]
    memory = [[native(variable) for variable in each] for each in memory]

    def formula(tensors):
        gradient, weights, *of_slots = tensors
        its_slots = {slot: _OneOfMany(place.slot(slot), value) for slot, value in zip(slots, of_slots, strict=True)}
        its_place = _OneOfMany(place, weights, its_slots)
        inside = frame.inside()
        with inside:
            inside.run(gradient, StandIn(its_place))
        return [its_place.value, *(each.value for each in its_slots.values())]

    @tf.autograph.experimental.do_not_convert
    def mapped(*tensors):
        return tf.vectorized_map(formula, list(tensors), fallback_to_while_loop=False)

    given = [stacked([target.gradient for target in targets])]
    given += [stacked([variable.read_value() for variable in each]) for each in memory]
    try:
        function = tf.function(mapped, autograph=False)
        graph = function.get_concrete_function(*given).graph
    except Exception as error:  # whatever it is: by itself, the formula raises it again, or goes well
        return str(error).partition("\n")[0]
    if any(map(_has_an_effect, graph.get_operations())):
        return "it assigns what all variables share, draws numbers, or has another effect"
    for variables, stack in zip(memory, function(*given), strict=True):
        for variable, value in zip(variables, unstacked(stack), strict=True):
            variable.assign(value)
    return None


def _has_an_effect(operation) -> bool:
    definition = operation.op_def
    return definition is not None and definition.is_stateful and operation.type != "ReadVariableOp"
