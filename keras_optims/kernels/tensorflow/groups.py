"""Small variables, updated as one.

A bias or a normalization's scale takes no time to compute; what it costs is its kernel's start and its slots' resources. So the
slots of small variables lie in one buffer per slot, one after the other, and in each step the variables themselves are gathered
in a buffer, updated there by one kernel, and given back. Variables with and without weight decay have groups of their own, and so
do those with other settings by rules.

The buffer of the variables is scratch. Those of the slots are state; each member's `Part` of them is saved under the member's
name, so that grouping leaves no trace in a saved state.
"""

from __future__ import annotations

import contextlib

import keras
import numpy as np
import tensorflow as tf

from keras_optims.kernels.tensorflow.fused import handle, in_xla, is_distributed, may_fuse, native
from keras_optims.slots import path_of

FEWEST = 8
"""Fewer variables than this are not worth a group."""


class Part:
    """One variable's share of a buffer; reads and assigns like a variable of its shape."""

    def __init__(self, buffer, start, shape, name):
        self._buffer = buffer
        self._start, self._stop = start, start + int(np.prod(shape))
        self.shape = tuple(shape)
        self.name = name
        self.dtype = "float32"

    @property
    def value(self):
        """The share, as a tensor."""
        return tf.reshape(self._buffer.value[self._start : self._stop], self.shape)

    def assign(self, value):
        """Sets the share and leaves the rest of the buffer as it is."""
        places = tf.expand_dims(tf.range(self._start, self._stop), 1)
        own = tf.reshape(tf.cast(value, tf.float32), [-1])
        tf.raw_ops.ResourceScatterNdUpdate(ref=handle(self._buffer), indices=places, updates=own)

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
        members: the model's variables.
        decays: whether they are decayed.
    """

    def __init__(self, optimizer, members, decays):
        self.members = members
        self.decays = decays
        self.sizes = [int(np.prod(member.shape)) for member in members]
        self.starts = [0, *np.cumsum(self.sizes)[:-1].tolist()]
        self.weights = optimizer.add_variable(shape=(sum(self.sizes),), dtype="float32", name=_WEIGHTS)
        optimizer._untracked.unsaved.add(_WEIGHTS)
        self._buffers: dict[str, keras.Variable] = {}  # by the slot's name

    def add_slot(self, optimizer, slot, name, initializers):
        """Makes the buffer of a slot, and returns the members' parts of it; `initializers` has one for each member."""
        initializers = [keras.initializers.get(initializer) for initializer in initializers]

        def each_initialized(shape, dtype=None):
            values = [each(tuple(member.shape), dtype=dtype) for each, member in zip(initializers, self.members, strict=True)]
            return tf.concat([tf.reshape(tf.cast(value, dtype), [-1]) for value in values], 0)

        shape = (sum(self.sizes),)
        buffer = optimizer.add_variable(shape=shape, initializer=each_initialized, dtype="float32", name=f"grouped_{name}")
        self._buffers[name] = buffer
        slot.set_of_group(self.weights, buffer)
        return self.parts_of(name)

    def parts_of(self, name):
        """The members' parts of a slot's buffer."""
        starts = zip(self.members, self.starts, strict=True)
        return [Part(self._buffers[name], start, member.shape, f"{member.name}_{name}") for member, start in starts]

    def saved_parts(self, variable):
        """((slot's name, member's path), part) of each member, if the variable is a slot's buffer of this group."""
        for name, buffer in self._buffers.items():
            if buffer is variable:
                return [((name, path_of(m)), part) for m, part in zip(self.members, self.parts_of(name), strict=True)]
        return []

    @contextlib.contextmanager
    def gathered(self, gradients: dict):
        """Holds the members' values in `weights` while the context lasts; yields their gradients, end to end.

        Args:
            gradients: by the member's place in the group. A member without one is left as it is, and its slots as well.
        """
        values = [tf.raw_ops.ReadVariableOp(resource=handle(member), dtype=tf.float32) for member in self.members]
        before = {} if len(gradients) == len(values) else {n: tf.identity(b.value) for n, b in self._buffers.items()}
        self.weights.assign(_end_to_end(values))
        yield _end_to_end([gradients.get(place, value) for place, value in enumerate(values)])
        new = self._pieces(native(self.weights))
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


_WEIGHTS = "grouped_weights"


def _end_to_end(tensors):
    all_of_it = tf.constant([-1])
    flat = [t if t.shape.rank == 1 else tf.raw_ops.Reshape(tensor=t, shape=all_of_it) for t in tensors]
    return tf.concat(flat, 0)


class Groups:
    """The groups of an optimizer; made once, before its first slot."""

    def __init__(self, optimizer, variables):
        self._key = optimizer._var_key
        self.all: list[Group] = []
        self._places: dict = {}
        small: dict = {}
        for variable in variables:
            if _is_small(optimizer, variable):
                small.setdefault((optimizer.settings_of(variable), optimizer.decays(variable)), []).append(variable)
        for (_, decays), members in small.items():
            if len(members) >= FEWEST:
                group = Group(optimizer, members, decays)
                self.all.append(group)
                self._places |= {self._key(member): (group, place) for place, member in enumerate(members)}

    def place_of(self, variable):
        """(group, place in it) of a model's variable; (None, None) for one that is in no group."""
        return self._places.get(self._key(variable), (None, None))


def groups_of(optimizer) -> Groups:
    """The groups of an optimizer; there are none before its first slot."""
    return optimizer._untracked.groups or Groups(optimizer, [])


def _is_small(optimizer, variable) -> bool:
    size, dtype = int(np.prod(variable.shape)), keras.backend.standardize_dtype(variable.dtype)
    is_updated = not optimizer._overwrite_variable_with_gradient(variable)
    return is_updated and dtype == "float32" and 0 < size < optimizer.group_below


def add_grouped_slot(optimizer, slot, variables, name, initializers):
    """See `keras_optims.kernels`."""
    if not may_fuse(optimizer) or is_distributed(optimizer):  # a buffer would have to be gathered on each replica
        return {}
    if optimizer._untracked.groups is None:
        optimizer._untracked.groups = Groups(optimizer, variables)
    by_variable = dict(zip(map(id, variables), initializers, strict=True))
    parts: dict = {}
    for group in optimizer._untracked.groups.all:
        of_members = group.add_slot(optimizer, slot, name, [by_variable[id(member)] for member in group.members])
        parts |= {id(member): part for member, part in zip(group.members, of_members, strict=True)}
    return parts


def parts_of(optimizer, variable):
    """See `keras_optims.kernels`."""
    return [part for group in groups_of(optimizer).all for part in group.saved_parts(variable)]
