"""Several trainings on one corpus, some at a time, each in its own process, here or in workers (ladder_workers.py).

Two processes of one thread are faster than one process of two threads: small models leave a second thread waiting.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from evalkit.errors import EvalkitError
from evalkit.train.stopping import StoppedError, StopSignals

# Ends when the process ends that holds the other end of its standard input, however that ends.
_COMMAND = """
import os, sys, threading
threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()
from evalkit.cli import main
sys.exit(main(["train", *sys.argv[1:]]))
"""


class Process(Protocol):
    """A training in a process of its own, as subprocess has it."""

    def poll(self) -> int | None:
        """Return the exit code; None while it runs."""
        ...

    def terminate(self) -> None:
        """Ask it to save its state and end."""
        ...

    def wait(self) -> object:
        """Wait for its end."""
        ...


class TrainingFailedError(EvalkitError):
    """One of several trainings ended with an error; its messages are printed above."""


def name_of(size: str, seed: int) -> str:
    """Return the folder and model name of a training: "mini", and "mini-seed2" for other seeds than 0."""
    return size if seed == 0 else f"{size}-seed{seed}"


def train_all(
    trainings: Mapping[str, Sequence[str]], *, jobs: int, start: Callable[[str], Process] | None = None
) -> None:
    """Run `evalkit train` with each training's arguments, in order, `jobs` at a time.

    start: starts a training by its name (default: here, with its share of the cores). Raises TrainingFailedError for
    the first that fails, after stopping the others, and StoppedError after SIGTERM or SIGINT; either way they save
    their state and can continue with --resume.
    """

    def start_here(name: str) -> Process:
        process = start_process(trainings[name], threads=share_of_cores(jobs))
        threading.Thread(target=_forward, args=(process,), daemon=True).start()
        return process

    waiting, running = list(trainings), dict[str, Process]()
    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(StopSignals())
        stack.callback(_end, running)
        while waiting or running:
            if stop.number:
                name = signal.Signals(stop.number).name
                raise StoppedError(f"stopped by {name}; every training has saved its state", stop.number)
            while waiting and len(running) < jobs:
                name = waiting.pop(0)
                running[name] = (start or start_here)(name)
            time.sleep(0.2)
            ended = {name: code for name, process in running.items() if (code := process.poll()) is not None}
            for name, code in ended.items():
                del running[name]
                if code:
                    raise TrainingFailedError(f"the training of {name} ended with exit code {code}")


def share_of_cores(jobs: int) -> int:
    """Return the threads of each of several trainings at a time on this machine."""
    return max(1, (os.cpu_count() or 1) // jobs)


def _end(running: Mapping[str, Process]) -> None:
    """Ask the running trainings to save and end, and wait for them."""
    for process in running.values():
        process.terminate()
    for process in running.values():
        process.wait()


def start_process(arguments: Sequence[str], *, threads: int) -> subprocess.Popen[str]:
    """Start a training that ends with this process; its plain progress lines are its standard output."""
    return subprocess.Popen(
        [sys.executable, "-c", _COMMAND, *arguments],
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _forward(process: subprocess.Popen[str]) -> None:
    """Print a training's lines, so that several do not overwrite each other."""
    with process:  # waits for its end before its standard input is closed
        for line in process.stdout or ():
            print(line, end="", file=sys.stderr, flush=True)
        process.wait()
