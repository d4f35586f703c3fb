"""What a training tells on its way: metrics.jsonl, TensorBoard, and the clock behind the speeds."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evalkit.errors import UsageError
from evalkit.files import read_log, write_atomic

METRICS = "metrics.jsonl"


class Clock:
    """Seconds spent training, of the wall and of the processor, over all starts of a training; `spent` can be set."""

    def __init__(self) -> None:
        self.seconds = self.cpu_seconds = 0.0
        self._last: tuple[float, float] | None = None

    def start(self) -> None:
        """Begin to count."""
        self._last = time.monotonic(), time.process_time()

    def read(self) -> float:
        """Bring the seconds up to date; return those of the wall since the last reading."""
        assert self._last
        now = time.monotonic(), time.process_time()
        passed = now[0] - self._last[0]
        self.seconds += passed
        self.cpu_seconds += now[1] - self._last[1]
        self._last = now
        return passed

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Leave the time of the block out: what it does is no training."""
        self.read()
        try:
            yield
        finally:
            self.start()


class Metrics:
    """Appends to metrics.jsonl, and to TensorBoard's event files if wanted. Use as a context manager.

    What was logged after `step`, the one that the training goes on from, is dropped: those steps are taken again.
    """

    def __init__(self, out: Path, *, step: int, tensorboard: bool):
        self._path = out / METRICS
        _cut(self._path, step)
        self._board = _board(out / "tensorboard", step) if tensorboard else None

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
    """Return the lines of a training's metrics.jsonl; a torn one is left out."""
    return [row for row in read_log(out / METRICS) if isinstance(row.get("step"), int)]


def _cut(path: Path, step: int) -> None:
    rows = [row for row in read_metrics(path.parent) if row["step"] <= step]
    write_atomic(path, "".join(json.dumps(row) + "\n" for row in rows))


def check_tensorboard() -> None:
    """Raise UsageError where the package is absent."""
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        raise UsageError("--tensorboard needs the package tensorboard: pip install 'evalkit[tensorboard]'") from None


def _board(folder: Path, step: int) -> Any:
    check_tensorboard()
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=step + 1)
