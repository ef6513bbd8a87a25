"""Small variables, updated as one.

A bias or a normalization's scale takes no time to compute; what it costs is its kernel's start and its slots' resources. So the
slots of small variables lie in one buffer per slot, one after the other, and in each step the variables themselves are gathered
in a buffer, updated there by one kernel or one run of the formula, and given back. Variables with and without weight decay, of
different dtypes, with different slots, or with other settings by rules have groups of their own.

The buffer of the variables is scratch. Those of the slots are state; each member's `Part` of them is saved under the member's
name, so that grouping leaves no trace in a saved state.
"""

from __future__ import annotations

import contextlib

import keras
import numpy as np
import tensorflow as tf

from keras_optims.dtypes import arithmetic_dtype
from keras_optims.kernels.tensorflow.fused import handle, in_xla, is_distributed, native, operation
from keras_optims.metal import protection
from keras_optims.stand_in import is_overwritten

FEWEST = 8
"""Fewer variables than this are not worth a group."""

BELOW = {"kernel": 16_384, "kernel on a Mac's GPU": 65_536, "formula": 262_144}
"""Variables with fewer elements are grouped. On the Mac's GPU each kernel is a dispatch, which takes longer than copying some
hundred kB. Of a formula without a kernel each operation is one there, and elsewhere each shape is a program to compile."""


class Part:
    """One variable's share of a buffer; reads and assigns like a variable of its shape."""

    def __init__(self, buffer, start, shape, name):
        self._buffer = buffer
        self._start, self._stop = start, start + int(np.prod(shape))
        self.shape = tuple(shape)
        self.name = name
        self.dtype = keras.backend.standardize_dtype(buffer.dtype)

    @property
    def value(self):
        """The share, as a tensor."""
        return tf.reshape(self._buffer.value[self._start : self._stop], self.shape)

    def assign(self, value):
        """Sets the share and leaves the rest of the buffer as it is."""
        places = tf.expand_dims(tf.range(self._start, self._stop), 1)
        own = tf.reshape(tf.cast(value, self.dtype), [-1])
        tf.raw_ops.ResourceScatterNdUpdate(ref=handle(self._buffer), indices=places, updates=own)

    def assign_add(self, value):
        """Adds to the share."""
        self.assign(self.value + tf.cast(value, self.dtype))

    def assign_sub(self, value):
        """Subtracts from the share."""
        self.assign(self.value - tf.cast(value, self.dtype))

    def numpy(self):
        """The share, as a NumPy array."""
        return self.value.numpy()

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.numpy(), dtype)

    def __tf_tensor__(self, dtype=None, name=None):
        return tf.convert_to_tensor(self.value, dtype=dtype, name=name)


class Group:
    """Variables that are updated as one.

    Args:
        optimizer: the optimizer.
        members: the model's variables, of one dtype.
        decays: whether they are decayed.
    """

    def __init__(self, optimizer, members, decays):
        self.members = members
        self.decays = decays
        self.dtype = keras.backend.standardize_dtype(members[0].dtype)
        self.arithmetic_dtype = arithmetic_dtype(members[0])
        self.sizes = [int(np.prod(member.shape)) for member in members]
        self.starts = [0, *np.cumsum(self.sizes)[:-1].tolist()]
        self.weights = optimizer.add_variable(shape=(sum(self.sizes),), dtype=self.arithmetic_dtype, name="grouped_weights")
        optimizer._untracked.unsaved.add("grouped_weights")
        self._buffers: dict[str, keras.Variable] = {}  # by the slot's name

    def add_slot(self, optimizer, slot, makings):
        """Makes the buffer of a slot, whose parts become the members' slot variables; `makings` has one for each member."""

        def each_initialized(shape, dtype=None):
            values = [making.initializer(making.shape, dtype=dtype) for making in makings]
            return tf.concat([tf.reshape(tf.cast(value, dtype), [-1]) for value in values], 0)

        name, dtype = slot.name, makings[0].dtype
        with tf.init_scope():
            buffer = optimizer.add_buffer((sum(self.sizes),), each_initialized, dtype, f"grouped_{name}")
        optimizer._untracked.unsaved.add(f"grouped_{name}")  # its parts are saved
        self._buffers[name] = buffer
        slot.set_of_group(self.weights, buffer)
        for member, part in zip(self.members, self.parts_of(name), strict=True):
            slot.set_part(member, part)

    def parts_of(self, name):
        """The members' parts of a slot's buffer."""
        starts = zip(self.members, self.starts, strict=True)
        return [Part(self._buffers[name], start, member.shape, f"{member.name}_{name}") for member, start in starts]

    @contextlib.contextmanager
    def gathered(self, gradients: dict):
        """Holds the members' values in `weights` while the context lasts; yields their gradients, end to end.

        Args:
            gradients: by the member's place in the group. A member without one is left as it is, and its slots as well.
        """
        values = [tf.raw_ops.ReadVariableOp(resource=handle(member), dtype=self.dtype) for member in self.members]
        before = {} if len(gradients) == len(values) else {n: tf.identity(b.value) for n, b in self._buffers.items()}
        self.weights.assign(tf.cast(_end_to_end(values), self.arithmetic_dtype))
        zeros = {place: tf.cast(values[place], self.arithmetic_dtype) for place in range(len(values)) if place not in gradients}
        yield _end_to_end([gradients[place] if place in gradients else zeros[place] for place in range(len(values))])
        new = self._pieces(tf.cast(native(self.weights), self.dtype))
        # Each shape is in the graph once.
        shapes = {tuple(member.shape): tf.constant(list(member.shape), tf.int32) for member in self.members}
        for place in gradients:
            member, value = self.members[place], new[place]
            value = value if len(member.shape) == 1 else tf.raw_ops.Reshape(tensor=value, shape=shapes[tuple(member.shape)])
            tf.raw_ops.AssignVariableOp(resource=handle(member), value=value)
        for name, old in before.items():
            old, new = tf.split(old, self.sizes), tf.split(native(self._buffers[name]), self.sizes)
            self._buffers[name].assign(tf.concat([(new if i in gradients else old)[i] for i in range(len(old))], 0))

    def _pieces(self, flat):
        """The members' shares of a tensor that `_end_to_end` has made, flat."""
        if not in_xla():
            return tf.split(flat, self.sizes)
        # XLA compiles each slice as a program of its own, 9 ms each, and gathers of one size only once.
        ranges = {size: tf.range(size) for size in set(self.sizes)}
        return [tf.gather(flat, ranges[size] + start) for size, start in zip(self.sizes, self.starts, strict=True)]


def _end_to_end(tensors):
    all_of_it = tf.constant([-1])
    flat = [t if t.shape.rank == 1 else tf.raw_ops.Reshape(tensor=t, shape=all_of_it) for t in tensors]
    return tf.concat(flat, 0)


class Groups:
    """The groups of an optimizer; made at the end of its build."""

    def __init__(self, optimizer):
        self._key = optimizer.key_of
        self.all: list[Group] = []
        self._places: dict = {}
        alike: dict = {}
        for variable in optimizer.variables_of_the_model():
            waiting = optimizer._untracked.slots.waiting(variable)
            number = len(optimizer._untracked.slots.of_the_formula(variable))
            is_whole = may_group(optimizer, variable) and len(waiting) == number and optimizer.variables_it_updates([variable])
            if is_whole and (waiting or not _has_kernel(optimizer, variable)):  # one without slots takes longer to gather
                kind = (
                    optimizer.settings_of(variable),
                    optimizer.decays(variable),
                    keras.backend.standardize_dtype(variable.dtype),
                    tuple((slot.name, making.dtype) for slot, making in waiting),
                )
                alike.setdefault(kind, []).append((variable, waiting))
        for (_, decays, _, _), found in alike.items():
            if len(found) >= FEWEST:
                self._add(optimizer, Group(optimizer, [variable for variable, _ in found], decays), found)

    def _add(self, optimizer, group, found):
        for number, (slot, _) in enumerate(found[0][1]):
            group.add_slot(optimizer, slot, [waiting[number][1] for _, waiting in found])
        self.all.append(group)
        self._places |= {self._key(member): (group, place) for place, member in enumerate(group.members)}

    def place_of(self, variable):
        """(group, place in it) of a model's variable; (None, None) for one that is in no group."""
        return self._places.get(self._key(variable), (None, None))


class _NoGroups:
    all = ()

    def place_of(self, variable):
        return None, None


def groups_of(optimizer):
    """The groups of an optimizer; there are none before the end of its build."""
    return optimizer._untracked.groups or _NoGroups()


def may_group(optimizer, variable) -> bool:
    """See `keras_optims.kernels`."""
    if not optimizer.elementwise or is_overwritten(variable) or is_distributed(optimizer) or optimizer.stores_smaller(variable):
        return False  # (distributed, a buffer would have to be gathered on each replica)
    limit = optimizer.group_below
    if limit is None:
        has_kernel = _has_kernel(optimizer, variable)
        limit = BELOW["formula" if not has_kernel else "kernel on a Mac's GPU" if protection.on_metal() else "kernel"]
    return 0 < int(np.prod(variable.shape)) < limit


def _has_kernel(optimizer, variable) -> bool:
    return operation(optimizer) is not None and keras.backend.standardize_dtype(variable.dtype) == "float32"
