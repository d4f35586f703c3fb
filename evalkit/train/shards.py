"""Tensors that FSDP2 has split over processes: joined for a checkpoint, split again when it is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor


def whole(value: Any, *, keep: bool = True) -> Any:
    """Return nested values with every split tensor joined, in CPU memory; all processes must call it.

    keep: whether this process needs them; otherwise its tensors are dropped one by one, to save memory.
    """
    if isinstance(value, Mapping):
        return {key: whole(part, keep=keep) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [whole(part, keep=keep) for part in value]
    if hasattr(value, "full_tensor"):  # DTensor, whose module takes seconds to import
        full = value.full_tensor()
        return full.cpu() if keep else None
    return value


def split_like(value: Any, parameter: Tensor) -> Any:
    """Return a tensor of a parameter's shape split as the parameter is; any other value unchanged."""
    if not hasattr(parameter, "device_mesh") or not isinstance(value, Tensor) or not value.ndim:
        return value
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(parameter, DTensor)
    value = value.to(parameter.device)
    return distribute_tensor(value, parameter.device_mesh, parameter.placements, src_data_rank=None)
