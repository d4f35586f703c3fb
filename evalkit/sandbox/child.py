"""The client of the child process: starts it, sends it work, and restarts it after the system has killed it."""

from __future__ import annotations

import atexit
import builtins
import contextlib
import json
import os
import pickle
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

import jinja2.exceptions
from jinja2.exceptions import SecurityError, TemplateError

from evalkit.errors import DataError
from evalkit.sandbox.worker import MEMORY, SECONDS, read_frame, write_frame

Kind = Literal["render", "find", "remove", "tokenize"]

# A template or pattern that killed the child this often is not tried again.
_TRIES = 3
_MAIN = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from evalkit.sandbox.worker import main; main()"


class UnreadableError(Exception):
    """Items of types that only this process has, from the code of a task that the user trusts."""


class _Child:
    """One child per process; after a fork each process starts its own."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._ended: Counter[tuple[str, str]] = Counter()

    def ask(self, kind: Kind, source: str, items: Sequence[Any]) -> list[Any]:
        """Return each item's value or exception. Raises UnreadableError."""
        try:
            packed = pickle.dumps(items)
        except Exception as error:
            raise UnreadableError(str(error)) from error
        with self._lock:
            if self._ended[kind, source] >= _TRIES:
                return [_limit()] * len(items)
            answers = self._exchange(pickle.dumps((kind, source, packed)))
            if answers is None and len(items) > 1:  # one of them killed it: find out which
                return [answer for item in items for answer in self.ask(kind, source, [item])]
            if answers is None:
                self._ended[kind, source] += 1
                return [_limit()]
        if len(answers) != len(items):
            raise UnreadableError("objects of a module that only this process has")
        return [answer[1] if answer[0] else _error(*answer[1:]) for answer in answers]

    def _exchange(self, frame: bytes) -> list[Any] | None:
        """Send a frame and receive the answer; None if the child died instead."""
        process = self._alive()
        assert process.stdin and process.stdout, "both are pipes"
        try:
            write_frame(process.stdin, frame)
            answer = read_frame(process.stdout)
        except OSError:
            answer = None
        except BaseException:  # interrupted in between: the next answer would belong to this question
            self.close()
            raise
        if answer is None:
            self.close()
            return None
        return json.loads(answer)  # type: ignore[no-any-return]

    def _alive(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._owner != os.getpid():
            # Isolated: neither the working folder nor the environment affects its imports.
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-c", _MAIN, json.dumps(sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            )
            self._owner = os.getpid()
            atexit.register(self.close)
        return self._process

    def close(self) -> None:
        """Kill the child."""
        process, self._process = self._process, None
        if process is None or self._owner != os.getpid():
            return
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()  # type: ignore[union-attr]
        process.kill()
        process.wait()
        atexit.unregister(self.close)


def _limit() -> SecurityError:
    return SecurityError(f"it takes more than {SECONDS:g} s of processor time or {MEMORY >> 20:,} MiB of memory")


def _error(name: str, message: str) -> Exception:
    """Rebuild an exception of the child's, or make a TemplateError that names it."""
    kind = getattr(jinja2.exceptions, name, None) or getattr(builtins, name, None)
    if isinstance(kind, type) and issubclass(kind, Exception):
        with contextlib.suppress(TypeError):
            return kind(message)
    return TemplateError(f"{name}: {message}")


_child = _Child()


def ask(kind: Kind, source: str, items: Sequence[Any]) -> list[Any]:
    """Render a template for rows, or find or remove a pattern in texts; return a value or an exception for each.

    render: rows -> texts. find: texts -> what re.findall returns. remove: texts -> texts. tokenize: lists of texts ->
    the first of a list that is too hard for the rules of a tokenizer, and why, or nothing. Raises UnreadableError for
    rows that cannot be sent.
    """
    return _child.ask(kind, source, items)


def find_all(pattern: str, texts: Sequence[str]) -> list[list[Any]]:
    """Return re.findall of each text. Raises DataError for a pattern that is invalid or takes too long."""
    return [
        [tuple(match) if isinstance(match, list) else match for match in matches]
        for matches in _matched("find", pattern, texts)
    ]


def remove_all(pattern: str, texts: Sequence[str]) -> list[str]:
    """Return the texts without what matches. Raises as `find_all` does."""
    return [str(text) for text in _matched("remove", pattern, texts)]


def _matched(kind: Kind, pattern: str, texts: Sequence[str]) -> list[Any]:
    values = ask(kind, pattern, list(texts))
    for value in values:
        if isinstance(value, Exception):
            raise DataError(f"the pattern {pattern!r} cannot be applied: {value}")
    return values
