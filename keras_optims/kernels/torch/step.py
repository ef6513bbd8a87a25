"""The step on torch: which kernels update which variables."""

import contextlib

import keras
import torch
from keras import ops
from torch._C import _functorch as functorch

from keras_optims.dtypes import arithmetic_dtype
from keras_optims.kernels import stacks
from keras_optims.kernels.torch import alike, fused, pieces
from keras_optims.kernels.torch.listed import Listed
from keras_optims.paths import Path
from keras_optims.stand_in import StandIn

no_gradient = torch.no_grad
outside_of_a_trace = contextlib.nullcontext


def traced_as_written(function):
    """See `keras_optims.kernels`."""
    return function


def run_if(predicate, action, otherwise, state):
    """See `keras_optims.kernels`."""
    return action() if predicate else otherwise()


def apart(values, read):
    """See `keras_optims.kernels`."""
    taken: set = {_memory(value) for value in read if value is not None}
    distinct = []
    for value in values:
        whole, part = _memory(value), _part(value)  # parts of one tensor, as `torch.split` makes, are not each other's
        value = value.clone() if whole in taken or part in taken else value
        taken.add(_part(value))
        distinct.append(value)
    return distinct


def _memory(value) -> int:
    """Tells tensors that share memory; those of a list are all made together."""
    return _plain(value).untyped_storage()._cdata


def _part(value) -> tuple[int, int]:
    """Tells those that begin at the same place of it."""
    return _memory(value), _plain(value).storage_offset()


def _plain(value):
    value = value.tensors[0] if isinstance(value, Listed) else value
    while functorch.is_batchedtensor(value):
        value = functorch.get_unwrapped(value)
    return value


def assign(optimizer, variable, value):
    """See `keras_optims.kernels`."""
    variable.assign(ops.cast(value, variable.dtype))


def decayed(variable, decay, rate):
    """See `keras_optims.kernels`."""
    return variable * (1 - decay * rate)


def rounded(value, dtype):
    """See `keras_optims.kernels`."""
    return ops.cast(ops.cast(value, dtype), value.dtype)


def bits(value):
    """See `keras_optims.kernels`."""
    return value.view(torch.int32)


def of_bits(value):
    """See `keras_optims.kernels`."""
    return value.view(torch.float32)


def prepared(optimizer, gradients, variables):
    """See `keras_optims.kernels`; torch's sparse embeddings have sparse COO gradients."""
    return [_prepared(gradient, variable) for gradient, variable in zip(gradients, variables, strict=True)]


def _prepared(gradient, variable):
    if isinstance(gradient, torch.Tensor):
        if gradient.dtype is torch.float32 is variable._value.dtype and gradient.layout is torch.strided:
            return gradient
        gradient = gradient.to_dense()
    return ops.cast(ops.convert_to_tensor(gradient), arithmetic_dtype(variable))


def is_fast_at_bfloat16(tensor) -> bool:
    """See `keras_optims.kernels`."""
    return tensor.device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def path_of(optimizer, variable) -> Path:
    """See `keras_optims.kernels`."""
    if not fused.serves(optimizer):
        why = "a formula of its own" if optimizer.fused_kernel is None else "no kernel on torch"
        return _path_of_formula(optimizer, variable, f"{type(optimizer).__name__} has {why}")
    if variable._value.dtype is not torch.float32:
        dtype = keras.backend.standardize_dtype(variable.dtype)
        return _path_of_formula(optimizer, variable, f"the kernels are used for float32, and this is {dtype}")
    operation, device = fused.operation_of(optimizer), variable._value.device.type
    if operation is None:
        return Path("foreach", "torch has no fused kernel of this formula")
    if not fused.has_kernel(operation, device):
        return Path("foreach", f"torch.{operation} does not exist on {device}")
    return Path("fused", f"torch.{operation}")


def _path_of_formula(optimizer, variable, why) -> Path:
    if not optimizer.elementwise:
        why = f"{why}, which is not declared elementwise" if optimizer.fused_kernel is None else why
        if optimizer._untracked.not_stacked is not None:
            return Path("formula", f"{why}; not several variables at once: {optimizer._untracked.not_stacked}")
        if stacks.is_stacked(optimizer, variable):
            return Path("stacked", f"small variables of one shape at once; {why}")
        return Path("formula", why)
    if not (pieces.is_memory(variable) and pieces.are_possible(variable)):
        return Path("formula", f"{why}; lists and blocks are for contiguous memory")
    if optimizer.stores_smaller(variable):
        return Path("formula", "an operation at a time")
    if optimizer.torch_compile:
        return Path("compiled", f"torch's compiler makes one loop of it; {why}")
    if pieces.are_lists(variable._value.device.type):
        return Path("foreach", f"the formula, one kernel for each operation on all variables; {why}")
    if variable._value.numel() < pieces.SMALL:
        return Path("packed", f"small variables end to end; {why}")
    return Path("blocks", f"in blocks that stay in the cache; {why}")


def update(frame, gradients, variables):
    """See `keras_optims.kernels`."""
    optimizer = frame.optimizer
    by_kernel: list = []
    in_pieces: list = []
    by_variable: list = []
    has_kernel, is_memory = fused.serves(optimizer), pieces.is_memory(variables[0])
    for gradient, variable in zip(gradients, variables, strict=True):
        if has_kernel and variable._value.dtype is torch.float32:
            by_kernel.append((gradient, variable))
        elif optimizer.elementwise and is_memory and pieces.are_possible(variable) and not optimizer.stores_smaller(variable):
            in_pieces.append((gradient, variable))
        else:
            by_variable.append((gradient, variable))
    for gradient, variable in alike.left_by_stacks(frame, by_variable) if is_memory else by_variable:
        frame.run(gradient, StandIn(optimizer.place_of(variable)))
    if in_pieces:
        pieces.run(frame, in_pieces)
    if by_kernel:
        fused.run(frame, *map(list, zip(*by_kernel, strict=True)))


def count(iterations):
    """See `keras_optims.kernels`."""
    if iterations.value is iterations._value:
        iterations._value.add_(1)
    else:
        iterations.assign_add(1)


class Outlet:
    """See `keras_optims.kernels`; here steps are not compiled."""

    def __init__(self):
        self._held = None

    def put(self, number, array):
        """See `keras_optims.kernels`."""
        self._held = int(number), array

    def take(self):
        """See `keras_optims.kernels`."""
        held, self._held = self._held, None
        return None if held is None else (held[0], ops.convert_to_numpy(held[1]))
