"""A training's log: metrics.jsonl, TensorBoard, and the clock that its speeds are computed from."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evalkit.extras import require
from evalkit.files import read_log, write_atomic

METRICS = "metrics.jsonl"


class Clock:
    """Wall-clock and CPU seconds spent training, over all starts of a training; both can be set."""

    def __init__(self) -> None:
        self.seconds = self.cpu_seconds = 0.0
        self._last: tuple[float, float] | None = None

    def start(self) -> None:
        """Start counting."""
        self._last = time.monotonic(), time.process_time()

    def read(self) -> float:
        """Update the seconds; return the wall-clock seconds since the last reading."""
        assert self._last
        now = time.monotonic(), time.process_time()
        elapsed = now[0] - self._last[0]
        self.seconds += elapsed
        self.cpu_seconds += now[1] - self._last[1]
        self._last = now
        return elapsed

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Exclude the time of the block, which is not training."""
        self.read()
        try:
            yield
        finally:
            self.start()


class Metrics:
    """Appends to metrics.jsonl and, on request, to TensorBoard's event files. Use as a context manager.

    Lines logged after `step`, from which the training continues, are dropped: those steps are taken again.
    """

    def __init__(self, out: Path, *, step: int, tensorboard: bool):
        self._path = out / METRICS
        _cut(self._path, step)
        self._board = board(out / "tensorboard", step) if tensorboard else None

    def __enter__(self) -> Metrics:
        self._file = self._path.open("a", encoding="utf-8")
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()
        if self._board:
            self._board.close()

    def write(self, entry: Mapping[str, Any]) -> None:
        """Add a line."""
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()
        if self._board:
            for name, value in entry.items():
                if name != "step" and value is not None:
                    self._board.add_scalar(name, value, entry["step"])


def read_metrics(out: Path) -> list[dict[str, Any]]:
    """Return the lines of a training's metrics.jsonl, without incomplete ones."""
    return [row for row in read_log(out / METRICS) if isinstance(row.get("step"), int)]


def _cut(path: Path, step: int) -> None:
    rows = [row for row in read_metrics(path.parent) if row["step"] <= step]
    write_atomic(path, "".join(json.dumps(row) + "\n" for row in rows))


def check_tensorboard() -> None:
    """Raise UsageError if the package is not installed."""
    require("tensorboard", "files of --tensorboard")


def board(folder: Path, step: int) -> Any:
    """Return a writer of TensorBoard's event files, in which what follows a step is dropped.

    Raises UsageError if the package is not installed.
    """
    check_tensorboard()
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=step + 1)
