"""Several processes, started by torchrun, train one model: DistributedDataParallel, or FSDP2 to split the model.

Each process takes its part of every step's sequences. Gradients are averaged, so the weights are those of one process
up to rounding. What is stored is unsplit, whatever the number of processes, and rank 0 writes it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from evalkit.errors import EvalkitError, UsageError
from evalkit.train.objective import Objective

# The others wait for an evaluation on rank 0. A process that dies is noticed long before: torchrun ends the others.
_PATIENCE = timedelta(hours=2)


class WorkerLostError(EvalkitError):
    """Another process of this training ended."""


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """The processes of one training. rank: this one's number, from 0. device: the one it computes on."""

    rank: int = 0
    size: int = 1
    device: str = "cpu"
    _reducing: list[nn.parallel.DistributedDataParallel] = field(default_factory=list, repr=False, compare=False)

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes files and messages."""
        return self.rank == 0

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean of a tensor over the processes."""
        if self.size > 1:
            dist.all_reduce(values)
            values /= self.size
        return values

    def largest(self, number: int) -> int:
        """Return the maximum of a number over the processes, so that all act on what one of them has noticed."""
        if self.size == 1:
            return number
        value = torch.tensor(number, device=self.device)
        dist.all_reduce(value, dist.ReduceOp.MAX)
        return int(value)

    def wait(self) -> None:
        """Wait until every process has reached this call."""
        self.largest(0)

    def wrap(self, objective: Objective, *, shard: bool) -> nn.Module:
        """Return a module that computes the loss and averages gradients over the processes."""
        if shard:
            if not dist.is_initialized():
                raise UsageError("--fsdp needs processes: start with torchrun --nproc-per-node N -m evalkit.cli train")
            from torch.distributed.device_mesh import init_device_mesh
            from torch.distributed.fsdp import fully_shard

            mesh = init_device_mesh(self.device.partition(":")[0], (self.size,))
            for block in objective.model.blocks:
                fully_shard(block, mesh=mesh)
            fully_shard(objective, mesh=mesh)
            return objective
        objective.to(self.device)
        if self.size == 1:
            return objective
        wrapped = nn.parallel.DistributedDataParallel(objective)
        self._reducing.append(wrapped)
        return wrapped

    def release(self) -> None:
        """Take apart what `wrap` made, which is then unusable; call it before the process group is destroyed.

        DDP's reducer shares ownership of the group. If it were the last owner (an exception's traceback keeps it
        alive), it would end the group while holding Python's lock, waiting for a gloo thread that may need that lock.
        """
        for wrapped in self._reducing:
            del wrapped.logger, wrapped.reducer
        self._reducing.clear()


def launched() -> bool:
    """Whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


@contextlib.contextmanager
def ranks(device: str) -> Iterator[Ranks]:
    """Join the processes that torchrun started, or be the only one; gloo on CPUs, nccl on CUDA.

    Raises WorkerLostError when another process ends early.
    """
    if not launched():
        yield Ranks(device=device)
        return
    if device == "cuda":
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo", timeout=_PATIENCE)
    joined = Ranks(rank=dist.get_rank(), size=dist.get_world_size(), device=device)
    try:
        yield joined
    except RuntimeError as error:
        if not _lost(error):
            raise
        reason = str(error).strip().splitlines()[0].partition(". ")[0]
        raise WorkerLostError(
            f"process {joined.rank} lost contact with another of the {joined.size} processes ({reason})"
        ) from error
    finally:
        joined.release()
        dist.destroy_process_group()


def _lost(error: RuntimeError) -> bool:
    """Whether an error is of the connection to the other processes; gloo's are plain RuntimeErrors."""
    return isinstance(error, dist.DistError) or "gloo" in str(error) or "by peer" in str(error)


def synchronized(module: nn.Module, *, last: bool) -> contextlib.AbstractContextManager[Any]:
    """Return the context of one part of a step: gradients are averaged over the processes in the last part only."""
    if isinstance(module, nn.parallel.DistributedDataParallel) and not last:
        return module.no_sync()
    if callable(set_sync := getattr(module, "set_requires_gradient_sync", None)):  # FSDP2's
        set_sync(last)
    return contextlib.nullcontext()
