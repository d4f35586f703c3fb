"""The error tree. Everything a user can cause is an EvalkitError: one clear line, a non-zero exit, no traceback.

EvalkitError
├── UsageError         an argument that is not allowed (unknown task, K larger than the pool, ...)
├── DataError          a benchmark file that is missing, truncated or not in the expected format
│   ├── NoDataError    a benchmark that is found neither in the user's files nor on the hub
│   └── LabelError     a row whose label names none of its choices; a failed item
├── CheckpointError    a model or tokenizer folder that cannot be read
├── StoreError         a run folder that cannot be written, read or resumed
│   └── DiskError      a disk that is full, read-only or broken, or gives no permission
├── CompareError       two runs that cannot be compared: other documents, protocol, task version, ...
├── TaskError          a task whose own code failed
├── ClusterError       workers that cannot be started
│   └── WorkerDiedError      what a worker was computing has killed it, repeatedly
├── NoMemoryError      a computation that does not fit in memory
└── PromptError        one item whose prompt the model cannot read; a failed item
    ├── PromptTooLongError   its query does not fit the model's context
    └── UnknownTextError     it has characters for which the tokenizer has no token

Exit codes of the command line:
0    success
1    compare: a regression; run: a task, a model or too many items failed, the other results are valid
2    the input: an argument, a file or a folder that cannot be used
3    the disk: full, read-only, broken, no permission to write (no permission to read is 2)
4    out of memory
70   a bug in evalkit
130  interrupted (SIGINT)
143  terminated (SIGTERM)
"""

from __future__ import annotations

import difflib
import errno
import functools
import operator
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

# The exit code of an unexpected error.
FAULT = 70
# Errors of a disk, for which no argument of a command is to blame.
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EFBIG)
# The most characters of a message.
_LONGEST = 1_500
# The most names that a message lists.
_LISTED = 40
# How torch, its allocators, CUDA and the operating system say that memory has run out.
_OUT_OF_MEMORY = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory")


class EvalkitError(Exception):
    """Base of every error that a user can cause; the message says what, where and what is allowed."""

    exit_code = 2

    def __str__(self) -> str:
        """Return one line of printable characters of bounded length, even if a damaged file is quoted in it."""
        text = "".join(char if char.isprintable() else " " for char in super().__str__()).strip()
        return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 4 :]}"


class UsageError(EvalkitError):
    """An argument that is not allowed."""


class DataError(EvalkitError):
    """A benchmark file that is missing, truncated or not in the expected format."""


class NoDataError(DataError):
    """A benchmark that is found neither in the user's files nor on the hub or in its cache."""


class LabelError(DataError):
    """A row whose label names none of its choices; its item is recorded as failed, never scored as wrong."""


class CheckpointError(EvalkitError):
    """A model or tokenizer folder that cannot be read."""


class StoreError(EvalkitError):
    """A run folder that cannot be written, read or resumed."""


class DiskError(StoreError):
    """A disk that is full, read-only or broken, or gives no permission."""

    exit_code = 3


class CompareError(EvalkitError):
    """Two runs that cannot be compared: other documents, another protocol, another version of a task or metric."""


class TaskError(EvalkitError):
    """A task whose own code failed: its rendering, its scoring, a control."""


class ClusterError(EvalkitError):
    """Workers on a cluster that cannot be started, or differ from each other."""


class WorkerDiedError(ClusterError):
    """Work that has killed its worker so often that it is not tried again; its items are recorded as failed."""


class NoMemoryError(EvalkitError):
    """A computation that does not fit in the memory of the machine or its accelerator."""

    exit_code = 4


class PromptError(EvalkitError):
    """An item whose prompt the model cannot read; it is recorded as failed, never scored as wrong."""


class PromptTooLongError(PromptError):
    """An item whose query alone does not fit the context."""


class UnknownTextError(PromptError):
    """An item with characters for which the tokenizer has no token, not even one for unknown ones."""


def cannot(what: str, path: Path, error: OSError, *, note: str = "") -> StoreError:
    """Build the error for a file that cannot be written or read: "cannot write PATH: No space left on device"."""
    # A file without read permission is wrong input, like a missing one; without write permission, the disk's fault.
    refused = what == "read" and error.errno in (errno.EACCES, errno.EPERM)
    kind = DiskError if error.errno in _DISK and not refused else StoreError
    return kind(f"cannot {what} {path}: {error.strerror or error}{note}")


def out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: torch raises an error class of its own, or on a CPU a bare RuntimeError."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(phrase in text for phrase in _OUT_OF_MEMORY)
    )


def program(main: Callable[[], None]) -> Callable[[], int]:
    """Make `main` return an exit code and print an EvalkitError as one line, as in the cli."""

    @functools.wraps(main)
    def guarded() -> int:
        try:
            main()
        except EvalkitError as error:
            print(f"evalkit: error: {error}", file=sys.stderr)
            return error.exit_code
        return 0

    return guarded


def check_whole(name: str, value: object, *, least: int | None = 1) -> None:
    """Raise UsageError for a setting that is no whole number, or is below `least`. A setting that is None passes.

    name: of the setting, as the user gives it. least: None for any number.
    """
    if value is None:
        return
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise UsageError(f"{name} must be a whole number, not {value!r:.60}")
    if least is not None and operator.index(value) < least:
        raise UsageError(f"{name} must be at least {least}, not {value}")


def unknown(kind: str, name: str, allowed: Iterable[str], *, where: str = "", listed_by: str = "") -> UsageError:
    """Build the error for a name that is not in `allowed`, suggesting the nearest; a long list is then left out.

    where: follows the name: "in --margin". listed_by: the command that prints a long list, in place of the list.

    >>> str(unknown("task", "lambda", ["lambada", "coqa"]))
    "unknown task 'lambda'; did you mean 'lambada'? (allowed: coqa, lambada)"
    """
    names = sorted(allowed)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    shown = ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED:,} more" if len(names) > _LISTED else "")
    listed = f" (allowed: {shown})"
    if len(names) > 20 and (near or listed_by):
        listed = "" if near else f" ({listed_by} lists the {len(names):,} allowed)"
    return UsageError(f"unknown {kind} {name!r}{f' {where}' if where else ''}{hint}{listed}")
