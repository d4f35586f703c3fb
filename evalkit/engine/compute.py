"""How an engine computes, beside what its signature says: the device, and the threads of its matrix products.

Both decide the last bits of a log-likelihood: with two threads instead of one, sums are taken in another order.
"""

from __future__ import annotations

from collections.abc import Mapping

from evalkit.errors import UsageError, check_whole, unknown
from evalkit.model.precision import DTYPES, INT8, check_int8


def check_threads(threads: int | None) -> None:
    """Raise UsageError for a number of threads below 1."""
    check_whole("--threads", threads)


def check_options(*, dtype: str | None, device: str, batch_tokens: int | None) -> None:
    """Raise UsageError for options that are not allowed, or a device that this machine lacks."""
    allowed = (*DTYPES, INT8)
    if dtype is not None and dtype not in allowed:
        raise unknown("dtype", dtype, allowed)
    check_whole("--batch-tokens", batch_tokens)
    check_device(device)
    if dtype == INT8:
        check_int8(device)


def check_stride(stride: int | None, *, positions: int) -> None:
    """Raise UsageError for a stride of rolling windows that no window of so many tokens has."""
    check_whole("--stride", stride)
    if stride is not None and stride > positions:
        raise UsageError(
            f"--stride must be at most {positions:,}, the tokens that the model reads at once, not {stride:,}"
        )


def check_device(device: str) -> None:
    """Raise UsageError for a device that this machine lacks; for "cpu" torch is not imported."""
    kind = device.partition(":")[0]
    if kind not in ("cpu", "cuda"):
        raise unknown("device", device, ("cpu", "cuda"))
    if kind == "cpu":
        return
    import torch

    if not torch.cuda.is_available():
        raise UsageError(f"device {device!r}: this machine has no CUDA device (allowed here: cpu)")


def compute(device: str, threads: int) -> Mapping[str, str]:
    """Return what engines must share for the same bytes.

    kind: the instructions of the CPU, or the model of the GPU. threads: of matrix products. torch: its version.
    """
    import torch

    on_gpu = device.partition(":")[0] == "cuda"
    kind = torch.cuda.get_device_name(device) if on_gpu else f"cpu {torch.backends.cpu.get_cpu_capability()}"
    return {"kind": kind, "threads": str(threads), "torch": torch.__version__}


def set_threads(threads: int) -> int:
    """Set the threads of matrix products in this process; return the number before."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    return before


def share_memory(processes: int) -> None:
    """Say how many processes like this one use the memory of this machine, so that batches fit beside theirs."""
    from evalkit.engine.budget import Budget

    Budget.sharing = processes
