"""Small tensors end to end in one memory: what is done to all of them is done at once, without gathering them."""

from __future__ import annotations

import torch


def in_one(tensors: list[torch.Tensor]) -> torch.Tensor | None:
    """One tensor, flat, that is all of these end to end: what is written to it is theirs.

    They are moved to a memory of their own unless they lie so already. They stay the same objects, as the model knows them.
    Who writes to the one tells autograd by `written`.

    Args:
        tensors: contiguous, of one dtype, on one device, none without elements.

    Returns:
        The tensor; None where moving one of them could part it from what it shares memory with: another tensor, NumPy's view of
        it, or another process.
    """
    if not _lie_end_to_end(tensors):
        if not all(map(_is_alone, tensors)):
            return None
        flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
        for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.data = part.view(tensor.shape)
    first = tensors[0].detach()
    return first.as_strided((sum(tensor.numel() for tensor in tensors),), (1,), first.storage_offset())


def written(tensors: list[torch.Tensor]) -> None:
    """Says that tensors were written to, so that a backward pass through their earlier values is an error, as it must be."""
    torch.autograd.graph.increment_version(tensors)


def _lie_end_to_end(tensors) -> bool:
    storage, at = tensors[0].untyped_storage().data_ptr(), tensors[0].data_ptr()
    for tensor in tensors:
        if tensor.data_ptr() != at or tensor.untyped_storage().data_ptr() != storage:
            return False
        at += tensor.numel() * tensor.element_size()
    return True


_USERS = getattr(torch._C, "_storage_Use_Count", None)


def _is_alone(tensor) -> bool:
    """Whether nothing else knows its memory."""
    if _USERS is None or tensor.is_shared() or tensor.is_inference():
        return False
    storage = tensor.untyped_storage()
    return _USERS(storage._cdata) == 2  # the tensor, and `storage` here
