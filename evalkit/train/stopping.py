"""SIGTERM and SIGINT end a training between two steps, with its state saved."""

from __future__ import annotations

import signal
import threading
from contextlib import AbstractContextManager
from types import FrameType
from typing import Any

from evalkit.errors import EvalkitError


class StoppedError(EvalkitError):
    """A training was asked to stop, and saved its state. exit_code: 128 and the signal's number, as in shells."""

    def __init__(self, message: str, number: int):
        super().__init__(message)
        self.number = number
        self.exit_code = 128 + number


class StopSignals(AbstractContextManager["StopSignals"]):
    """Notes SIGTERM and SIGINT (`number`, the first of them) instead of dying of it.

    A second Ctrl-C acts as it always does. A SIGTERM behind a Ctrl-C is noted only: torchrun and a ladder's parent send
    it to those who are saving already. Outside the main thread, where Python allows no handlers, nothing is noted.
    Whoever else is woken by signals, to end a process that does not end by itself, is not meanwhile: saving takes time.
    """

    def __init__(self) -> None:
        self.number = 0
        self._before: dict[int, Any] = {}
        self._woken = -1

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            self._woken = signal.set_wakeup_fd(-1)
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._before:
            signal.set_wakeup_fd(self._woken)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.number = self.number or number
        if number == signal.SIGINT:
            signal.signal(number, self._before[number])
