"""Trainings of a ladder as tasks of Ray, on this machine or on a cluster: one whose worker dies goes on in another.

Checkpoints are written where they are without workers, so machines share a file system.
"""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from evalkit.engine.placing import connected, number_for
from evalkit.errors import ClusterError, check_whole
from evalkit.train.ladder import Process, share_of_cores, start_process

# How often a training is started again because its worker died.
_RETRIES = 10
# Seconds between two looks at what trainings have printed, and whether they are to end.
_LOOK = 0.5

Start = Callable[[str], Process]


@contextmanager
def workers(
    trainings: Mapping[str, Sequence[str]],
    again: Mapping[str, Sequence[str]],
    *,
    number: int | None,
    address: str | None,
    device: str,
) -> Iterator[tuple[int, Start]]:
    """Return how many trainings there may be at a time, and what starts one by name, while the block runs.

    trainings: the arguments of `evalkit train` of each. again: those with which it goes on after its worker has died.
    number, address: of workers, and of a running cluster, as in engine.placing. Every training has the threads that it
    would have without workers; on a cluster, its share of the cores of its machine.

    Raises UsageError where Ray is not installed or its address does not answer.
    """
    check_whole("--workers", number)
    with connected(address, cpus=os.cpu_count() or 1) as ray:
        number = number or number_for(device)
        threads = _share(ray, number) if address else share_of_cores(number)
        resources = {"num_cpus": threads, "num_gpus": 1 if device.partition(":")[0] == "cuda" else 0}
        task = ray.remote(_train).options(max_retries=_RETRIES, **resources)
        board = ray.remote(_Board).options(num_cpus=0).remote()
        ended = threading.Event()
        printing = threading.Thread(target=_print_lines, args=(board, ended), daemon=True)
        printing.start()

        def start(name: str) -> Process:
            folder = str(Path.cwd())
            return _Training(name, task.remote(name, trainings[name], again[name], board, folder, threads), board)

        try:
            yield number, start
        finally:
            ended.set()
            printing.join()


def _share(ray: Any, number: int) -> int:
    """Return the threads of each of several trainings on a cluster."""
    cores = [int(node["Resources"].get("CPU", 1)) for node in ray.nodes() if node["Alive"]]
    return max(1, min(cores) // math.ceil(number / len(cores)))


def _train(name: str, arguments: Sequence[str], again: Sequence[str], board: Any, folder: str, threads: int) -> int:
    """Train in a process that ends with this one; return its exit code."""
    import ray

    os.chdir(folder)  # the arguments may have relative paths
    if ray.get(board.is_stopped.remote(name)):  # while it waited for room
        return 128 + signal.SIGTERM
    repeated = ray.get(board.begin.remote(name))
    with start_process(again if repeated else arguments, threads=threads) as process:
        threading.Thread(target=_stop_when_told, args=(process, board, name), daemon=True).start()
        for line in process.stdout or ():
            board.print.remote(line)
        return process.wait()


def _stop_when_told(process: subprocess.Popen[str], board: Any, name: str) -> None:
    """Ask a training to save its state and end; Ray's own way of cancelling does not wait for that."""
    import ray

    with suppress(ray.exceptions.RayError):
        while process.poll() is None:
            if ray.get(board.is_stopped.remote(name)):
                process.terminate()
                return
            time.sleep(_LOOK)


class _Board:
    """The actor that keeps what trainings print until it is taken, and knows which are to end."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._begun: Counter[str] = Counter()
        self._stopped: set[str] = set()

    def begin(self, name: str) -> int:
        """Return how often a training has begun before."""
        before = self._begun[name]
        self._begun[name] += 1
        if before:
            self._lines.append(f"{name} goes on from its last checkpoint: its worker died\n")
        return before

    def print(self, line: str) -> None:
        """Keep a line."""
        self._lines.append(line)

    def stop(self, name: str) -> None:
        """Have a training end."""
        self._stopped.add(name)

    def is_stopped(self, name: str) -> bool:
        """Whether it is to end."""
        return name in self._stopped

    def taken(self) -> Sequence[str]:
        """Return the lines since the last time."""
        lines, self._lines = self._lines, []
        return lines


def _print_lines(board: Any, ended: threading.Event) -> None:
    import ray

    with suppress(ray.exceptions.RayError):
        last = False
        while not last:
            last = ended.wait(_LOOK)
            for line in ray.get(board.taken.remote()):
                print(line, end="", file=sys.stderr, flush=True)


class _Training:
    """A training in a worker; see ladder.Process. reference: Ray's, of the task."""

    def __init__(self, name: str, reference: Any, board: Any):
        self._name, self._reference, self._board = name, reference, board

    def poll(self) -> int | None:
        """Return the exit code; None while it runs. Raises ClusterError if its workers died too often."""
        import ray

        if not ray.wait([self._reference], timeout=0)[0]:
            return None
        try:
            return int(ray.get(self._reference))
        except ray.exceptions.RayError as error:
            reason = type(error).__name__
            raise ClusterError(f"the worker of {self._name} died {_RETRIES + 1} times ({reason})") from None

    def terminate(self) -> None:
        """Ask it to save its state and end; one that waits for room will not begin."""
        import ray

        ray.get(self._board.stop.remote(self._name))

    def wait(self) -> None:
        """Wait for its end."""
        import ray

        ray.wait([self._reference])
