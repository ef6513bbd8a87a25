"""Many tensors as one, of which each operation is one kernel for all of them.

On a GPU an operation on a small tensor costs its launch. A formula that is elementwise may as well be run on all variables at
once: what it sees is a `Listed`, as long as all of them end to end, and each operation of torch on it becomes one `_foreach_`
function on the list. What there is no such function for is done tensor by tensor.
"""

from __future__ import annotations

import torch

aten = torch.ops.aten


class Listed(torch.Tensor):
    """A list of tensors that poses as one, with their elements end to end.

    Args:
        tensors: of any shapes, one dtype, on one device.
    """

    tensors: list[torch.Tensor]

    @staticmethod
    def __new__(cls, tensors):  # noqa: D102 (as the class says)
        size, first = sum(tensor.numel() for tensor in tensors), tensors[0]
        self = torch.Tensor._make_wrapper_subclass(cls, (size,), dtype=first.dtype, device=first.device)
        self.tensors = list(tensors)
        return self

    def __init__(self, tensors):
        super().__init__()

    def __repr__(self):
        return f"Listed({[tuple(tensor.shape) for tensor in self.tensors]}, dtype={self.dtype})"

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        """Does an operation on all tensors."""
        kwargs = kwargs or {}
        of_lists = _OF_LISTS.get(func)
        result = NotImplemented if of_lists is None else of_lists(*args, **kwargs)
        return _one_by_one(func, args, kwargs) if result is NotImplemented else Listed(result)


def _one_by_one(func, args, kwargs):
    like = next((each for each in [*args, *kwargs.values()] if isinstance(each, Listed)), None)
    if like is None:
        raise TypeError(f"{func} joins tensors, which is not elementwise, and the formula is declared elementwise.")
    of_each = [_parts(each, like) for each in args], {name: _parts(each, like) for name, each in kwargs.items()}
    results = []
    for i, tensor in enumerate(like.tensors):
        result = func(*[of[i] for of in of_each[0]], **{name: of[i] for name, of in of_each[1].items()})
        if not isinstance(result, torch.Tensor) or result.shape != tensor.shape:
            raise TypeError(f"{func} is not elementwise, and the formula is declared elementwise.")
        results.append(result)
    return Listed(results)


def _parts(value, like) -> list:
    """What each tensor of `like` meets of an argument."""
    if isinstance(value, Listed):
        return value.tensors
    if isinstance(value, torch.Tensor) and value.shape == like.shape:  # made by the formula, as long as all of them
        parts = value.split([tensor.numel() for tensor in like.tensors])
        return [part.view(tensor.shape) for part, tensor in zip(parts, like.tensors, strict=True)]
    if isinstance(value, (tuple, list, torch.Size)) and tuple(value) == tuple(like.shape):
        return [tensor.shape for tensor in like.tensors]
    return [value] * len(like.tensors)


def _is_scalar(value) -> bool:
    return isinstance(value, (int, float)) or (isinstance(value, torch.Tensor) and value.dim() == 0)


def _fits(*values) -> bool:
    """Whether dtypes are equal, so that a list's result has the one that torch would give it."""
    return len({value.dtype for value in values if isinstance(value, torch.Tensor)}) == 1


def _added(a, b, *, alpha=1):
    if not _fits(a, b):
        return NotImplemented
    if isinstance(a, Listed) and isinstance(b, Listed):
        return torch._foreach_add(a.tensors, b.tensors, alpha=alpha)
    if isinstance(a, Listed) and isinstance(b, torch.Tensor) and b.dim() == 0:
        return torch._foreach_add(a.tensors, b, alpha=alpha)
    if isinstance(a, Listed) and _is_scalar(b):
        return torch._foreach_add(a.tensors, b * alpha)
    if isinstance(b, Listed) and _is_scalar(a) and alpha == 1:
        return torch._foreach_add(b.tensors, a)
    return NotImplemented


def _subtracted(a, b, *, alpha=1):
    if not _fits(a, b):
        return NotImplemented
    if isinstance(a, Listed) and isinstance(b, Listed):
        return torch._foreach_sub(a.tensors, b.tensors, alpha=alpha)
    if isinstance(a, Listed):
        return _added(a, b, alpha=-alpha)
    if _is_scalar(a) and alpha == 1:
        return _negated(torch._foreach_sub(b.tensors, a) if isinstance(a, (int, float)) else _added(b, a, alpha=-1))
    return NotImplemented


def _subtracted_from(a, b, *, alpha=1):
    return _subtracted(b, a) if alpha == 1 else NotImplemented


def _negated(tensors):
    if tensors is not NotImplemented:
        torch._foreach_neg_(tensors)
    return tensors


def _multiplied(a, b):
    if not _fits(a, b):
        return NotImplemented
    if isinstance(a, Listed) and isinstance(b, Listed):
        return torch._foreach_mul(a.tensors, b.tensors)
    listed, other = (a, b) if isinstance(a, Listed) else (b, a)
    return torch._foreach_mul(listed.tensors, other) if _is_scalar(other) else NotImplemented


def _divided(a, b):
    if not (isinstance(a, Listed) and _fits(a, b)):
        return NotImplemented
    if isinstance(b, Listed):
        return torch._foreach_div(a.tensors, b.tensors)
    return torch._foreach_div(a.tensors, b) if _is_scalar(b) else NotImplemented


def _power(a, exponent):
    if not (isinstance(a, Listed) and isinstance(exponent, (int, float))):
        return NotImplemented
    return torch._foreach_mul(a.tensors, a.tensors) if exponent == 2 else torch._foreach_pow(a.tensors, exponent)


def _greater(a, b):
    return torch._foreach_maximum(a.tensors, b.tensors) if isinstance(a, Listed) and isinstance(b, Listed) else NotImplemented


def _less(a, b):
    return torch._foreach_minimum(a.tensors, b.tensors) if isinstance(a, Listed) and isinstance(b, Listed) else NotImplemented


def _unary(of_lists):
    return lambda a: of_lists(a.tensors)


_OF_LISTS = {
    aten.add.Tensor: _added,
    aten.sub.Tensor: _subtracted,
    aten.rsub.Scalar: _subtracted_from,
    aten.rsub.Tensor: _subtracted_from,
    aten.mul.Tensor: _multiplied,
    aten.div.Tensor: _divided,
    aten.pow.Tensor_Scalar: _power,
    aten.maximum.default: _greater,
    aten.minimum.default: _less,
    aten.abs.default: _unary(torch._foreach_abs),
    aten.exp.default: _unary(torch._foreach_exp),
    aten.neg.default: _unary(torch._foreach_neg),
    aten.reciprocal.default: _unary(torch._foreach_reciprocal),
    aten.sign.default: _unary(torch._foreach_sign),
    aten.sqrt.default: _unary(torch._foreach_sqrt),
    aten.tanh.default: _unary(torch._foreach_tanh),
}
"""What an operation is on lists; `NotImplemented` where these arguments have to be done one by one."""
