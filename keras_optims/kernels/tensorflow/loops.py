"""A formula as one compiled loop: XLA reads each weight, gradient and slot once and writes once, in a step that is not XLA's.

The variables are arguments of a nested function that XLA compiles, so they are updated in place, and variables with equal shapes
share its trace. The scalars of the step are computed outside of it, once.
"""

from __future__ import annotations

import dataclasses

import keras
import tensorflow as tf

from keras_optims.dtypes import is_half
from keras_optims.kernels.tensorflow.fused import in_xla, native
from keras_optims.metal import protection
from keras_optims.quantized import StoredSmaller, offset_of_step
from keras_optims.stand_in import Place, StandIn


@dataclasses.dataclass(frozen=True, eq=False)
class Target:
    """What a formula is run on: a variable, or the buffer that holds those of a group.

    Attributes:
        gradient: of its shape, in the dtype of the arithmetic.
        variable: the variable or buffer, by which its slots are looked up.
        decays: whether it is decayed.
        dtype: the dtype to which the result is rounded in the end.
    """

    gradient: tf.Tensor
    variable: keras.Variable
    decays: bool
    dtype: str

    def stand_in(self) -> StandIn:
        """What the formula sees."""
        return StandIn(_rounding(Place(self.variable, self.decays), self.dtype))


class Argument(Place):
    """A variable that is the argument of a function that is being compiled.

    Args:
        of: the variable outside, whose name and slots it has.
        native: the `tf.Variable`, or a list of those that it is kept in.
        slots: the same of its slots.
        decays: whether it is decayed.
    """

    def __init__(self, of, native, slots=None, decays=False):
        super().__init__(of, decays)
        self._native, self._slots = native, slots or {}

    def read(self):
        """The value."""
        if isinstance(self.variable, StoredSmaller):
            return tf.cast(self.variable.decoded([part.read_value() for part in self._native]), self.dtype)
        return tf.cast(self._native.read_value(), self.dtype)

    def write(self, value):
        """Sets it."""
        if isinstance(self.variable, StoredSmaller):
            for part, kept in zip(self._native, self.variable.encoded_in_a_step(value), strict=True):
                part.assign(kept)
        else:
            self._native.assign(tf.cast(value, self._native.dtype))

    def slot(self, slot) -> Argument:
        """The argument that is this slot."""
        of = slot.variable_of(self.variable)
        return Argument(of, self._slots[slot])


def _rounding(place, dtype):
    place.rounded_to = dtype if is_half(dtype) else None
    return place


def are_possible() -> bool:
    """Whether a step that is traced now may have functions that XLA compiles; in XLA itself it is one loop without."""
    return not tf.executing_eagerly() and not in_xla() and not protection.on_metal()


def run(frame, targets: list[Target]):
    """Weight decay and the formula for each target, in the frame that is entered."""
    by_kind: dict = {}
    for target in targets:
        slots = frame.optimizer._untracked.slots.of_the_formula(target.variable)
        kept = tuple(isinstance(slot.variable_of(target.variable), StoredSmaller) for slot in slots)
        by_kind.setdefault((target.decays, target.dtype, slots, kept), []).append(target)
    for (decays, dtype, slots, _), alike in by_kind.items():
        _run_alike(frame, alike, decays, dtype, slots)


def _run_alike(frame, targets, decays, dtype, slots):
    frame.compute(targets[0].stand_in().place)
    offset_of_step(frame.optimizer)
    at_hand: list = []  # the variable outside whose turn it is; what is traced depends on its shape, and not on itself

    def each(gradient, variable, *its_slots):
        its_place = Argument(at_hand[0], variable, dict(zip(slots, its_slots, strict=True)), decays)
        inside = frame.inside()
        with inside:
            inside.run(gradient, StandIn(_rounding(its_place, dtype)))

    compiled = tf.function(each, jit_compile=True, autograph=False)
    for target in targets:
        at_hand[:] = [target.variable]
        variable = native(target.variable)
        with tf.device(variable.device):
            compiled(target.gradient, variable, *[_natives(slot.variable_of(target.variable)) for slot in slots])


def _natives(variable):
    """The `tf.Variable` of a slot variable, or a list of those that it is kept in."""
    return [native(part) for part in variable.parts] if isinstance(variable, StoredSmaller) else native(variable)
