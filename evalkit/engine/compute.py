"""How an engine computes, beside what its signature says: the device, and the threads of its matrix products.

Both decide the last bits of a log-likelihood: with two threads instead of one, sums are taken in another order.
"""

from __future__ import annotations

from collections.abc import Mapping

from evalkit.errors import UsageError


def check_threads(threads: int | None) -> None:
    """Raise UsageError for a number of threads below 1."""
    if threads is not None and threads < 1:
        raise UsageError(f"--threads must be at least 1, not {threads}")


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
