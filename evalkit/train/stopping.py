"""SIGTERM and SIGINT end a training between two steps, with its state saved."""

from __future__ import annotations

import signal
import threading
from contextlib import AbstractContextManager
from types import FrameType
from typing import Any

from evalkit.errors import EvalkitError


class StoppedError(EvalkitError):
    """A training was asked to stop, and saved its state. exit_code: 128 plus the signal's number, as in shells."""

    def __init__(self, message: str, number: int):
        super().__init__(message)
        self.number = number
        self.exit_code = 128 + number


class StopSignals(AbstractContextManager["StopSignals"]):
    """Records the first SIGTERM or SIGINT (`number`) instead of ending the process.

    A second Ctrl-C has its usual effect. A SIGTERM after a Ctrl-C is only recorded: torchrun and a ladder's parent send
    it to processes that are already saving. Outside the main thread, where Python allows no handlers, nothing is
    recorded. Python's wakeup descriptor, by which others would end a process that seems to hang, is off meanwhile,
    because saving takes time.
    """

    def __init__(self) -> None:
        self.number = 0
        self._handlers: dict[int, Any] = {}
        self._wakeup = -1

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            self._wakeup = signal.set_wakeup_fd(-1)
            for number in (signal.SIGTERM, signal.SIGINT):
                self._handlers[number] = signal.signal(number, self._record)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if self._handlers:
            signal.set_wakeup_fd(self._wakeup)

    def _record(self, number: int, frame: FrameType | None) -> None:
        self.number = self.number or number
        if number == signal.SIGINT:
            signal.signal(number, self._handlers[number])
