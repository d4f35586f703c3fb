"""Several trainings on one corpus, some at a time, each in its own process.

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
from collections.abc import Mapping, Sequence

from evalkit.errors import EvalkitError
from evalkit.train.stopping import StoppedError, StopSignals


class TrainingFailedError(EvalkitError):
    """One of several trainings ended with an error; its messages are printed above."""


def name_of(size: str, seed: int) -> str:
    """Return the folder and model name of a training: "mini", and "mini-seed2" for other seeds than 0."""
    return size if seed == 0 else f"{size}-seed{seed}"


def train_all(trainings: Mapping[str, Sequence[str]], *, jobs: int) -> None:
    """Run `evalkit train` with each training's arguments, in order, `jobs` at a time.

    Every process gets its share of the cores. Raises TrainingFailedError for the first that fails, after stopping the
    others, and StoppedError after SIGTERM or SIGINT; either way they save their state and can continue with --resume.
    """
    threads = max(1, (os.cpu_count() or 1) // jobs)
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    waiting, running = list(trainings.items()), dict[str, subprocess.Popen[str]]()
    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(StopSignals())
        stack.callback(_end, running)
        while waiting or running:
            if stop.number:
                name = signal.Signals(stop.number).name
                raise StoppedError(f"stopped by {name}; every training has saved its state", stop.number)
            while waiting and len(running) < jobs:
                name, arguments = waiting.pop(0)
                running[name] = _start(arguments, environment)
            time.sleep(0.2)
            for name in [name for name, process in running.items() if process.poll() is not None]:
                if code := running.pop(name).returncode:
                    raise TrainingFailedError(f"the training of {name} ended with exit code {code}")


def _end(running: Mapping[str, subprocess.Popen[str]]) -> None:
    """Ask the running trainings to save and end, and wait for them."""
    for process in running.values():
        process.terminate()
    for process in running.values():
        process.wait()


def _start(arguments: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[str]:
    """Start a training and forward its plain progress lines, so that several do not overwrite each other."""
    process = subprocess.Popen(
        [sys.executable, "-m", "evalkit.cli", "train", *arguments],
        env=dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    threading.Thread(target=_forward, args=(process,), daemon=True).start()
    return process


def _forward(process: subprocess.Popen[str]) -> None:
    assert process.stdout
    with process.stdout as lines:
        for line in lines:
            print(line, end="", file=sys.stderr, flush=True)
