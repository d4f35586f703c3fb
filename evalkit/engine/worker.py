"""Worker: what an actor of Ray is; it holds one engine at a time, and answers the driver's calls."""

from __future__ import annotations

import gc
import logging
import pickle
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from evalkit.engine.base import Engine, ask
from evalkit.engine.calls import Description, description, load
from evalkit.engine.compute import compute, set_threads
from evalkit.types import Request, Response

# The responses to a call by their positions, or what went wrong.
Responses = list[tuple[int, Response]] | Exception


class Report(NamedTuple):
    """How a worker computes (see compute), and on which device of which machine, for people."""

    compute: Mapping[str, str]
    device: str


class Worker:
    """Holds one engine, loaded from its description, and asks it."""

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._warnings = _Warnings()
        logging.getLogger("evalkit").addHandler(self._warnings)

    def start(self, *, device: str, threads: int) -> Report | Exception:
        """Set the threads; return how this worker computes."""
        try:
            set_threads(threads)
            return Report(compute(device, threads), _device(device))
        except Exception as error:
            return _sendable(error)

    def load(
        self, make: Callable[[], Engine], *, expected: Mapping[str, str] | None, device: str, threads: int
    ) -> Report | Exception:
        """Load an engine in place of the one before, which is let go first; return how this worker computes."""
        self.unload()
        report = self.start(device=device, threads=threads)  # again: Ray may have started this worker anew
        try:
            self._engine = load(make, expected=expected)
        except Exception as error:
            return _sendable(error)
        return report

    def unload(self) -> None:
        """Let the engine go, with its memory."""
        if self._engine is None:
            return
        self._engine = None
        gc.collect()
        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def describe(self) -> Description:
        """Describe the engine, which is loaded."""
        assert self._engine
        return description(self._engine)

    def answer(self, requests: Sequence[Request]) -> tuple[Responses, Sequence[str]] | None:
        """Return the responses to a call, or what went wrong, and warnings; None if Ray has started this one again."""
        if self._engine is None:
            return None
        try:
            responses: Responses = list(ask(self._engine, requests[0].kind, requests))
        except Exception as error:
            responses = _sendable(error)
        return responses, self._warnings.taken()


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
