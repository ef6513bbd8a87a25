"""Slots that are kept in less memory than they are computed in: bfloat16, or 8 bits in blocks.

A formula sees its slots in float32. In between they are kept as `slot_dtype` says:

"bfloat16": half of the memory. An average with β = 0.999 moves by a thousandth of what it is away from, and less than 1/512 of a
number is lost when it is rounded to the nearest bfloat16: the average would stand still. So it is rounded up or down, up as often
as it lies closer to the upper one. Which one it is follows from the number of the step and the element's place (the points of a
lattice, which fill the unit interval evenly over steps and over elements), so there is no state of it, and a step is the same
wherever it is made.

"int8": a quarter. Blocks of 256 elements, of each the number that is largest in size in float32, and for each element the nearest
of 256 shares of that (Dettmers et al. 2022, "8-bit Optimizers via Block-wise Quantization", https://arxiv.org/abs/2110.02861).
The shares are the paper's dynamic map: seven decades, with twice as many shares in each as in the one below. Slots that are never
negative, such as a second moment, have a map without a sign. Unlike in the paper, the largest number keeps its sign, as of the
share 1 there is no negative, and it would shrink by 0.7 % in each step; and a second moment that is not 0 never becomes 0: what
is divided by its root would jump.
"""

from __future__ import annotations

import math
import zlib

import keras
import numpy as np
from keras import ops

from keras_optims import kernels
from keras_optims.axes import EMBEDDING
from keras_optims.dtypes import wide
from keras_optims.metal import protection
from keras_optims.stand_in import path_of
from keras_optims.step import frame_of

BFLOAT16, INT8 = "bfloat16", "int8"
SIGNED, NON_NEGATIVE, EXACT = "signed", "non_negative", "exact"
"""What the numbers in a slot may be, and whether they may be kept in fewer bits."""

FEWEST = 4096
"""Variables with fewer elements keep float32 slots, as in the paper: they take no memory, and grouped they are faster."""

BLOCK = 256
"""The elements of a block that share their largest absolute value."""

CODE, LARGEST = "code", "largest"


def may_be(optimizer, variable) -> bool:
    """Whether slots of one of the model's variables may be kept in `slot_dtype`; those of embeddings never in 8 bits."""
    dtype = optimizer.slot_dtype
    if dtype is None or math.prod(variable.shape) < FEWEST:
        return False
    return dtype != INT8 or optimizer.axes_of(variable).kind != EMBEDDING


def check(optimizer):
    """Raises `ValueError` if an optimizer that is built has no slot that `slot_dtype` could be for."""
    if optimizer.slot_dtype is None:
        return
    if protection.on_metal():
        raise ValueError(f"slot_dtype is not for TensorFlow on the Mac's GPU; received {optimizer.slot_dtype!r}.")
    slots = optimizer._untracked.slots.all
    if not any(slot.is_of_the_formula and slot.numbers != EXACT for slot in slots):
        raise ValueError(
            f"slot_dtype is for slots that may be kept in fewer bits, and {type(optimizer).__name__} with these arguments has "
            "none; "
            f"received {optimizer.slot_dtype!r}."
        )


def made(optimizer, variable, name, initializer, shape, numbers) -> StoredSmaller:
    """The slot variable of a model's variable, in the optimizer's `slot_dtype`."""
    cls = _InBFloat16 if optimizer.slot_dtype == BFLOAT16 else _InBlocks
    return cls(optimizer, variable, name, initializer, tuple(shape), numbers)


class StoredSmaller(keras.Variable):
    """A slot variable that reads and assigns like one of float32, and is kept in fewer bits.

    Attributes:
        parts: the variables that it is kept in.
    """

    parts: list

    def __init__(self, optimizer, variable, name, shape):
        # Not Keras's constructor, which would make memory for it.
        known = {"optimizer": optimizer, "shape_of": shape, "full_name": f"{path_of(variable)}_{name}".replace("/", "_")}
        self.__dict__.update(known, dtype_of=wide(variable.dtype))

    def encoded(self, value, offset) -> list:
        """What is kept of a value: a tensor for each part."""
        raise NotImplementedError

    def decoded(self, parts):
        """The value of tensors that are kept."""
        raise NotImplementedError

    @property
    def value(self):
        """The value, a tensor in the dtype of the arithmetic."""
        return ops.cast(self.decoded([ops.convert_to_tensor(part) for part in self.parts]), self.dtype)

    def assign(self, value):
        """Sets the value, as closely as it can be kept."""
        value = ops.broadcast_to(ops.convert_to_tensor(value), self.shape)
        for part, kept in zip(self.parts, self.encoded_in_a_step(value), strict=True):
            part.assign(kept)
        return value

    def encoded_in_a_step(self, value) -> list:
        """What is kept of a value that is assigned now."""
        return self.encoded(ops.cast(value, "float32"), offset_of_step(self.optimizer))

    def assign_add(self, value):
        """Adds to the value."""
        return self.assign(self.value + ops.cast(ops.convert_to_tensor(value), self.dtype))

    def assign_sub(self, value):
        """Subtracts from the value."""
        return self.assign(self.value - ops.cast(ops.convert_to_tensor(value), self.dtype))

    @property
    def dtype(self):
        """The dtype of the arithmetic."""
        return self.dtype_of

    @property
    def shape(self):
        """Its shape."""
        return self.shape_of

    @property
    def ndim(self):
        """The number of dimensions."""
        return len(self.shape_of)

    @property
    def name(self):
        """Its name."""
        return self.full_name

    @property
    def path(self):
        """Its name."""
        return self.full_name

    @property
    def trainable(self):
        """Whether gradients are wanted of it; they are not."""
        return False

    @property
    def constraint(self):
        """None."""
        return None

    def numpy(self):
        """The value, as a NumPy array."""
        return ops.convert_to_numpy(self.value)

    def __repr__(self):
        return f"<{type(self).__name__} path={self.path}, shape={self.shape}>"


# -- bfloat16 -------------------------------------------------------------------------------------

_OF_STEPS, _OF_ELEMENTS = 37345, 49471
"""2¹⁶ times 1/p² and 1/p, with p = 1.3247 that is p³ = p + 1: multiples of the two fill the unit square evenly."""

_LOW_BITS = 0xFFFF


def offset_of_step(optimizer):
    """What the number of the step adds to the lattice, an int32 scalar; `None` outside of a step."""
    frame = frame_of(optimizer)
    if frame is None:
        return None
    return frame.once("offset of the step", lambda: _offset(optimizer.iterations))


def _offset(step):
    # Of the lowest 15 bits, so that the product stays in int32; the lattice begins anew every 32,768 steps.
    return ops.bitwise_and(ops.bitwise_and(ops.cast(step, "int32"), 0x7FFF) * _OF_STEPS, _LOW_BITS)


class _InBFloat16(StoredSmaller):
    """A slot variable in bfloat16."""

    def __init__(self, optimizer, variable, name, initializer, shape, numbers):
        super().__init__(optimizer, variable, name, shape)
        self.__dict__["_salt"] = zlib.crc32(name.encode()) & _LOW_BITS  # moments of one weight are not rounded alike
        self.__dict__["parts"] = [optimizer.add_slot_variable(variable, name, initializer, shape, BFLOAT16)]

    def encoded(self, value, offset):
        """The neighbors in bfloat16, the upper one as often as the value is closer to it; outside of a step the nearest."""
        if offset is None:
            return [ops.cast(value, BFLOAT16)]
        return [ops.cast(_rounded(value, offset, self._salt), BFLOAT16)]

    def decoded(self, parts):
        """The value."""
        return ops.cast(parts[0], "float32")


def _rounded(value, offset, salt):
    size = math.prod(value.shape)
    places = ops.arange(size, dtype="int32")
    # (i mod 2¹⁵)·a mod 2¹⁶: in int32, as above
    lattice = ops.bitwise_and(ops.bitwise_and(places, 0x7FFF) * _OF_ELEMENTS + (offset + salt), _LOW_BITS)
    bits = kernels.bits(value) + ops.reshape(lattice, value.shape)
    rounded = kernels.of_bits(ops.bitwise_and(bits, ~_LOW_BITS))
    return ops.where(ops.isnan(value), value, rounded)


# -- 8 bits ---------------------------------------------------------------------------------------

_DECADES = 7


class _Map:
    """The dynamic map, of which each decade is a line: share = (code − start)/slope.

    Shares are counted from 0, code 0; the decade i = 0..6, from 10^(i−7) to 10^(i−6), has 2^i of them, twice as many where
    there is no sign, each in the middle of an equal part of it. The last code is 1.
    """

    def __init__(self, signed: bool):
        counts = [2**i if signed else 2 ** (i + 1) for i in range(_DECADES)]
        firsts = np.cumsum([1, *counts])  # the code of each decade's first share, and that of 1
        self.last = int(firsts[-1])
        shares = [0.0]
        for i, count in enumerate(counts):
            shares += [10.0 ** (i - 6) * (0.1 + 0.9 * (j + 0.5) / count) for j in range(count)]
        self.shares = np.array([*shares, 1.0])
        borders = (self.shares[1:] + self.shares[:-1]) / 2  # between two neighbors
        self.smallest = float(borders[0])
        self.largest = float(borders[-1])
        self.decades = []
        for i, count in enumerate(counts):
            slope = count / 0.9 * 10.0 ** (6 - i)
            start = firsts[i] - 0.5 - count / 9
            self.decades.append((float(borders[firsts[i] - 1]), slope, float(start), int(firsts[i]), int(firsts[i + 1]) - 1))

    def codes(self, shares):
        """The number of the nearest share for each of a tensor of shares ≥ 0; 0 where it is not a number."""
        slope, start, low, high = (ops.full_like(shares, first) for first in self.decades[0][1:])
        for border, *line in self.decades[1:]:
            above = shares >= border
            slope, start, low, high = (
                ops.where(above, number, of) for number, of in zip(line, (slope, start, low, high), strict=True)
            )
        codes = ops.minimum(ops.maximum(ops.floor(shares * slope + start + 0.5), low), high)
        codes = ops.where(shares >= self.largest, float(self.last), codes)
        return ops.where(shares >= self.smallest, codes, 0.0)

    def of_codes(self, codes):
        """The shares of a tensor of codes, which are whole numbers in float32."""
        slope, start = (ops.full_like(codes, first) for first in self.decades[0][1:3])
        for _, of_decade, its_start, first, _ in self.decades[1:]:
            above = codes >= first
            slope, start = ops.where(above, of_decade, slope), ops.where(above, its_start, start)
        shares = (codes - start) / slope
        shares = ops.where(codes >= self.last, 1.0, shares)
        return ops.where(codes >= 1, shares, 0.0)


_MAPS = {SIGNED: _Map(signed=True), NON_NEGATIVE: _Map(signed=False)}


class _InBlocks(StoredSmaller):
    """A slot variable in 8 bits, with one float32 number for each block of 256 elements in row-major order.

    The codes are int8: of signed numbers that of the share, negative where the share is, and −128 for the share 1; of others
    the code less 128.
    """

    def __init__(self, optimizer, variable, name, initializer, shape, numbers):
        super().__init__(optimizer, variable, name, shape)
        self.__dict__.update(_numbers=numbers, _map=_MAPS[numbers])

        def first(number):
            def initialized(its_shape, dtype=None):
                value = ops.broadcast_to(ops.cast(initializer(shape, dtype="float32"), "float32"), shape)
                return ops.cast(self.encoded(value, None)[number], dtype)

            return initialized

        blocks = (-(-math.prod(shape) // BLOCK),)
        code = optimizer.add_slot_variable(variable, f"{name}_{CODE}", first(0), shape, INT8)
        largest = optimizer.add_slot_variable(variable, f"{name}_{LARGEST}", first(1), blocks, "float32")
        self.__dict__["parts"] = [code, largest]

    def encoded(self, value, offset):
        """The codes, and the number of the largest absolute value of each block."""
        blocks = _in_blocks(value)
        highest, lowest = ops.max(blocks, axis=1), ops.min(blocks, axis=1)
        largest = ops.where(highest >= -lowest, highest, lowest)
        largest = ops.where(ops.any(ops.isnan(blocks), axis=1), float("nan"), largest)  # which a maximum may leave out
        shares = blocks / ops.where(largest == 0, 1.0, largest)[:, None]
        if self._numbers == NON_NEGATIVE:
            codes = self._map.codes(shares)
            codes = ops.where(shares > 0, ops.maximum(codes, 1.0), codes) - 128
        else:
            sizes = self._map.codes(ops.abs(shares))
            # Of the largest share there is no negative, and needs to be none.
            codes = ops.where(shares < 0, -ops.minimum(sizes, 127.0), ops.where(sizes > 127, -128.0, sizes))
        codes = ops.reshape(ops.reshape(codes, (-1,))[: math.prod(self.shape)], self.shape)
        return [ops.cast(codes, INT8), largest]

    def decoded(self, parts):
        """The value."""
        codes, largest = _in_blocks(ops.cast(parts[0], "float32")), parts[1]
        if self._numbers == NON_NEGATIVE:
            shares = self._map.of_codes(codes + 128)
        else:
            sizes = ops.where(codes == -128, 128.0, ops.abs(codes))
            shares = self._map.of_codes(sizes)
            shares = ops.where(ops.logical_and(codes < 0, codes > -128), -shares, shares)
        value = ops.reshape(shares * largest[:, None], (-1,))
        return ops.reshape(value[: math.prod(self.shape)], self.shape)


def _in_blocks(value):
    """A tensor as rows of 256, the last one filled with zeros."""
    flat = ops.reshape(value, (-1,))
    rest = -math.prod(value.shape) % BLOCK
    if rest:
        flat = ops.concatenate([flat, ops.zeros((rest,), flat.dtype)])
    return ops.reshape(flat, (-1, BLOCK))
