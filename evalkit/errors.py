"""The error tree. Everything a user can cause is an EvalkitError: one clear line, a non-zero exit, no traceback.

EvalkitError
├── UsageError         an argument that is not allowed (unknown task, K larger than the pool, ...)
├── DataError          a benchmark file that is missing, cut or not in the expected format
│   └── NoDataError    a benchmark that is nowhere: neither the user's files nor the hub's
├── CheckpointError    a model or tokenizer folder that cannot be read
├── StoreError         a run folder that cannot be written, read or resumed
├── CompareError       two runs that cannot be compared: other documents, protocol, task version, ...
└── PromptTooLongError one item whose query does not fit the model's context
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class EvalkitError(Exception):
    """Base of every error that a user can cause; the message says what, where and what is allowed."""

    exit_code = 2


class UsageError(EvalkitError):
    """An argument that is not allowed."""


class DataError(EvalkitError):
    """A benchmark file that is missing, cut or not in the expected format."""


class NoDataError(DataError):
    """A benchmark that neither the user's files nor the hub or its cache have."""


class CheckpointError(EvalkitError):
    """A model or tokenizer folder that cannot be read."""


class StoreError(EvalkitError):
    """A run folder that cannot be written, read or resumed."""


class CompareError(EvalkitError):
    """Two runs that cannot be compared: other documents, another protocol, another version of a task or metric."""


class PromptTooLongError(EvalkitError):
    """An item whose query alone does not fit the context; it is recorded as failed, never scored as wrong."""


def unknown(kind: str, name: str, allowed: Iterable[str]) -> UsageError:
    """Build the error for a name that is not in `allowed`, with the nearest one as a suggestion, instead of many.

    >>> str(unknown("task", "lambda", ["lambada", "coqa"]))
    "unknown task 'lambda'; did you mean 'lambada'? (allowed: coqa, lambada)"
    """
    names = sorted(allowed)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    listed = "" if near and len(names) > 20 else f" (allowed: {', '.join(names)})"
    return UsageError(f"unknown {kind} {name!r}{hint}{listed}")
