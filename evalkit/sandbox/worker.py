"""The child process: renders and matches what it is sent; the system kills it if one item takes too long.

child.py starts it once and keeps it. A step in C (a regular expression, a join) cannot be interrupted from within, so
the limits are the system's: processor time for each item, memory for the process.
"""

from __future__ import annotations

import json
import pickle
import re
import resource
import signal
import struct
import sys
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import IO, Any

# Seconds of processor time for one item; bytes of the process's address space; characters of one result.
SECONDS, MEMORY, LONGEST = 2.0, 1 << 30, 10_000_000
# Seconds of the processor that the rules of a tokenizer may take for a text of some hundred characters: usual ones take
# a thousandth.
PATIENCE = 0.5
_LENGTH = struct.Struct("!Q")


def write_frame(file: IO[bytes], body: bytes) -> None:
    """Send bytes preceded by their length."""
    file.write(_LENGTH.pack(len(body)))
    file.write(body)
    file.flush()


def read_frame(file: IO[bytes]) -> bytes | None:
    """Read what write_frame sent; None if the other side has ended."""
    head = file.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    body = file.read(size := _LENGTH.unpack(head)[0])
    return body if len(body) == size else None


def main() -> None:
    """Answer until the parent exits. An answer is [true, value] or [false, name of the error, its message]."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to handle
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while (frame := read_frame(sys.stdin.buffer)) is not None:
        kind, source, packed = pickle.loads(frame)
        try:
            items = pickle.loads(packed)
        except Exception:  # an object of a module that only the parent has
            answers: list[Any] = []
        else:
            answers = [_answer(_ACTIONS[kind], source, item) for item in items]
        signal.setitimer(signal.ITIMER_PROF, 0)
        write_frame(sys.stdout.buffer, json.dumps(answers).encode())


def _answer(action: Callable[[str, Any], Any], source: str, item: Any) -> list[Any]:
    signal.setitimer(signal.ITIMER_PROF, SECONDS)  # SIGPROF ends the process
    try:
        value = action(source, item)
        if isinstance(value, str) and len(value) > LONGEST:
            return [False, "SecurityError", f"a template may write at most {LONGEST:,} characters"]
        return [True, value]
    except MemoryError:
        return [False, "SecurityError", f"it takes more than {MEMORY >> 20:,} MiB of memory"]
    except Exception as error:
        return [False, type(error).__name__, str(error)[:2_000]]


def _render(source: str, row: Mapping[str, Any]) -> str:
    return str(_environment().render(source, row))


@cache
def _environment() -> Any:
    from evalkit.sandbox.environment import LimitedEnvironment

    return LimitedEnvironment.for_tasks()


def _find(pattern: str, text: str) -> list[Any]:
    return re.findall(pattern, text)


def _remove(pattern: str, text: str) -> str:
    return re.sub(pattern, "", text)


def _tokenize(source: str, texts: list[str]) -> list[str]:
    """Return the first text for which the rules of a tokenizer give up or take long, and why; or nothing."""
    backend = _backend(source)
    for text in texts if backend else ():
        began = time.process_time()
        try:
            normal = backend.normalizer.normalize_str(text) if backend.normalizer else text
            if backend.pre_tokenizer:
                backend.pre_tokenizer.pre_tokenize_str(normal)
            if backend.decoder:
                backend.decoder.decode([text])
        except BaseException as error:  # a panic of the library is no Exception
            return [text, f"the library gives up ({error})"]
        if (seconds := time.process_time() - began) > PATIENCE:
            return [text, f"they take {seconds:.1f} s"]
    return []


@cache
def _backend(source: str) -> Any:
    import tokenizers

    try:
        return tokenizers.Tokenizer.from_str(source)
    except Exception:  # who reads the whole file says what is wrong with it
        return None


_ACTIONS: Mapping[str, Callable[[str, Any], Any]] = {
    "render": _render,
    "find": _find,
    "remove": _remove,
    "tokenize": _tokenize,
}
