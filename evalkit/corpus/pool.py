"""Several processes working on a stream of tasks, of which only a few are in memory at a time."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from typing import Any, TypeVar

from evalkit.errors import EvalkitError

T = TypeVar("T")


def run_in_order(function: Callable[..., T], tasks: Iterable[tuple[Any, ...]], *, jobs: int) -> Iterator[T]:
    """Yield function(*task) for each task, in order, from `jobs` processes; with one job, from this process.

    Raises EvalkitError when a process dies.
    """
    if jobs == 1:
        yield from (function(*task) for task in tasks)
        return
    # Spawned, not forked: the threads of the tokenizer and of arrow do not survive a fork.
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_begin_process) as pool:
        pending: deque[Future[T]] = deque()
        try:
            for task in tasks:
                pending.append(pool.submit(function, *task))
                if len(pending) > jobs:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        except BrokenProcessPool:
            raise EvalkitError(
                "a process of the build died, perhaps for lack of memory; finished parts are kept: give the same "
                "command again, with fewer --jobs if it recurs"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _begin_process() -> None:
    """Leave Ctrl-C to the parent process, which reports it once, and end when the parent is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent, "the parent itself does not wait for a parent"
    parent.join()
    os._exit(1)
