"""Worker: what an actor of Ray is; it holds one engine at a time, and answers the driver's calls."""

from __future__ import annotations

import gc
import logging
import os
import pickle
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from evalkit.engine.base import Engine, Frugal
from evalkit.engine.calls import Description, Job, description, load
from evalkit.engine.compute import compute, set_threads, share_memory

log = logging.getLogger(__name__)

# What has come of a job, or what went wrong.
Values = list[Any] | Exception


class Report(NamedTuple):
    """How a worker computes (see compute), and on which device of which machine, for people.

    process: Ray's name of it. kills: how many processes the machine's kernel has killed because memory ran out.
    halvings: how often the batches of the engine have been halved for want of memory.
    """

    compute: Mapping[str, str]
    device: str
    process: str = ""
    kills: int = 0
    halvings: int = 0

    def lost_to_kernel(self, now: Report) -> bool:
        """Whether this process may have been killed for its memory, given what another says later."""
        return self.device == now.device and self.kills < now.kills


class Worker:
    """Holds one engine, loaded from its description, and asks it."""

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._shared: Any = None
        self._warnings = _Warnings()
        logging.getLogger("evalkit").addHandler(self._warnings)

    def start(self, *, device: str, threads: int, folder: str, sharing: int) -> Report | Exception:
        """Set the threads, go into a folder, if it is here, for relative paths; return how this worker computes.

        sharing: how many workers a machine has, at most.
        """
        try:
            set_threads(threads)
            share_memory(sharing)
            with suppress(OSError):
                os.chdir(folder)
            return Report(compute(device, threads), _device(device), _process(), _kills())
        except Exception as error:
            return _sendable(error)

    def load(
        self,
        make: Callable[[], Engine],
        shared: Any,
        *,
        expected: Mapping[str, str] | None,
        device: str,
        threads: int,
        folder: str,
        sharing: int,
        halvings: int = 0,
        died: Report | None = None,
    ) -> Report | Exception:
        """Load an engine in place of the one before, which is let go first; return how this worker computes.

        halvings: how often its batches are halved, because memory ran out before. died: what this worker was before it
        died.
        """
        self.unload()
        self._shared = shared
        # Again: Ray may have started this worker anew.
        report = self.start(device=device, threads=threads, folder=folder, sharing=sharing)
        try:
            self._engine = load(make, expected=expected)
        except Exception as error:
            return _sendable(error)
        if not isinstance(report, Report):
            return report
        halvings += bool(died and died.lost_to_kernel(report))
        self._halve(halvings)
        return report._replace(halvings=halvings)

    def _halve(self, halvings: int) -> None:
        if halvings and isinstance(self._engine, Frugal):
            for _ in range(halvings):
                self._engine.halve_batches()
            log.warning("memory ran out and ended a worker: continuing with batches %d times smaller", 2**halvings)

    def unload(self) -> None:
        """Let the engine go, with its memory."""
        if self._engine is None:
            return
        self._engine = self._shared = None
        gc.collect()
        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def describe(self) -> Description:
        """Describe the engine, which is loaded."""
        assert self._engine
        return description(self._engine)

    def share(self, shared: Any) -> None:
        """Keep what all jobs for the engine need."""
        self._shared = shared

    def answer(self, job: Job) -> tuple[Values, Sequence[str]] | None:
        """Return what comes of a job, or what went wrong, and warnings; None if Ray has started this one again."""
        engine = self._engine
        if engine is None:
            return None
        try:
            values: Values = list(job.run(lambda: engine, self._shared))
        except Exception as error:
            values = _sendable(error)
        return values, self._warnings.taken()


class _Warnings(logging.Handler):
    """Keeps warnings until they are taken: a worker's own standard error is read by nobody."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a warning."""
        self._texts.append(record.getMessage())

    def taken(self) -> Sequence[str]:
        """Return the warnings since the last time."""
        texts, self._texts = self._texts, []
        return texts


def _sendable(error: Exception) -> Exception:
    """Return an error that another process can read."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error.with_traceback(None)  # whose frames would keep the engine that they were computing with


def _device(device: str) -> str:
    """Name the device of this worker: its GPUs by Ray's numbers, or a core, and the machine."""
    import ray

    gpus = ",".join(map(str, ray.get_gpu_ids())) if device.partition(":")[0] == "cuda" else ""
    return f"{socket.gethostname()} gpu {gpus}" if gpus else socket.gethostname()


def _process() -> str:
    """Return Ray's name of this process."""
    import ray

    return str(ray.get_runtime_context().get_worker_id())


def _kills() -> int:
    """Return how many processes of this machine have been killed because memory ran out; 0 where it is unknown."""
    try:
        lines = Path("/proc/vmstat").read_text(encoding="ascii").splitlines()
    except OSError:  # not Linux
        return 0
    return int(dict(line.split() for line in lines).get("oom_kill", 0))
