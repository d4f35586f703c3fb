"""Exit within two seconds of SIGINT or SIGTERM, even during a long computation."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

# Seconds in which Python has to exit by itself: it notices a signal only between two bytecodes, and one multiplication
# of large matrices can take longer.
_GRACE = 1.0


class Terminated(KeyboardInterrupt):
    """SIGTERM, as Python raises KeyboardInterrupt for SIGINT."""


@contextlib.contextmanager
def prompt_end(farewell: str) -> Iterator[None]:
    """Let SIGTERM interrupt the block as SIGINT does, and kill the process if that takes too long.

    farewell: printed on standard error in that case. No data is lost then either: files are written atomically, and an
    incomplete last line is detected at the next start. Does nothing outside the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard, rung = os.pipe()
    os.set_blocking(rung, False)
    over = threading.Event()
    watch = threading.Thread(target=_watch, args=(heard, over, farewell), daemon=True)
    handler = signal.signal(signal.SIGTERM, _terminate)
    # The interpreter writes to it as soon as a signal arrives, even in the middle of a long step.
    descriptor = signal.set_wakeup_fd(rung, warn_on_full_buffer=False)
    watch.start()
    try:
        yield
    finally:
        over.set()
        signal.set_wakeup_fd(descriptor)
        signal.signal(signal.SIGTERM, handler)
        os.close(rung)  # which ends the watch
        watch.join()
        os.close(heard)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated


def _watch(heard: int, over: threading.Event, farewell: str) -> None:
    """Wait for a signal, then for the block to end; if that takes too long, exit the process."""
    while number := os.read(heard, 1):
        if number[0] in (signal.SIGINT, signal.SIGTERM) and not over.wait(_GRACE):
            if sys.stderr.isatty():
                farewell = f"\x1b[?25h\n{farewell}"  # a progress bar hides the cursor
            with contextlib.suppress(OSError):  # standard error is closed
                os.write(2, f"{farewell}\n".encode())
            os._exit(128 + number[0])
