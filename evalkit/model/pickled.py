"""Looks into pickles without running them: the opcodes are read, never followed. Needs no torch."""

from __future__ import annotations

import pickletools
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evalkit.errors import CheckpointError
from evalkit.files import check_regular, read_bytes

# The most bytes of a pickle without its tensors.
_MOST = 64 << 20
_TEXTS = ("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE")
_MARK = object()


def texts_in(path: Path) -> frozenset[str]:
    """Return all texts of a file that torch.save wrote, the keys of its tables among them; empty for another file."""
    try:
        check_regular(path, CheckpointError)
        with zipfile.ZipFile(path) as archive:
            [name] = [name for name in archive.namelist() if name.endswith("data.pkl") and name.count("/") < 2]
            if archive.getinfo(name).file_size > _MOST:
                return frozenset()
            operations = pickletools.genops(archive.read(name))
            return frozenset(str(argument) for opcode, argument, _ in operations if opcode.name in _TEXTS)
    except (CheckpointError, OSError, ValueError, zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError):
        return frozenset()


def literals(path: Path) -> Mapping[Any, Any]:
    """Read a pickle of a table that holds only tables, lists, texts and numbers; anything else is refused.

    Raises CheckpointError, naming the file and what is refused.
    """
    raw = read_bytes(path, CheckpointError, most=_MOST)
    try:
        value = _Reader(path).read(raw)
    except (ValueError, IndexError, TypeError, KeyError, AttributeError, UnicodeDecodeError) as error:
        raise CheckpointError(
            f"{path} cannot be read: {' '.join(str(error).split())[:200]}; is the file cut?"
        ) from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: expected a pickled table, found {type(value).__name__}")
    return value


class _Reader:
    """Follows the few opcodes that plain values are written with, by every protocol."""

    def __init__(self, path: Path):
        self._path = path
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def read(self, raw: bytes) -> Any:
        """Return the value of a pickle."""
        for opcode, argument, position in pickletools.genops(raw):
            if opcode.name == "STOP":
                return self._stack.pop()
            if not self._push(opcode.name, argument) and not self._build(opcode.name, argument):
                raise CheckpointError(
                    f"{self._path} is refused: it holds something other than tables, lists, texts and numbers, and "
                    f"reading that could run code ({opcode.name} at byte {position})"
                )
        raise ValueError("the pickle has no end")

    def _push(self, name: str, argument: Any) -> bool:
        """Follow an opcode that adds a value; False for another one."""
        constants = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "MARK": _MARK}
        numbers = ("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT")
        if name in constants:
            self._stack.append(constants[name])
        elif name in _TEXTS or name in numbers:
            self._stack.append(argument)
        elif name in ("EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE"):
            self._stack.append({"EMPTY_DICT": {}, "EMPTY_LIST": [], "EMPTY_TUPLE": ()}[name])
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            self._stack.append(self._memo[int(argument)])
        else:
            return False
        return True

    def _build(self, name: str, argument: Any) -> bool:
        """Follow an opcode that works on the values before it; False for another one."""
        if name in ("PROTO", "FRAME"):
            pass
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = self._stack[-1]
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            self._memo[int(argument)] = self._stack[-1]
        elif name == "SETITEM":
            value, key = self._stack.pop(), self._stack.pop()
            self._stack[-1][key] = value
        elif name in ("SETITEMS", "DICT"):
            items = self._marked()
            if name == "DICT":
                self._stack.append({})
            self._stack[-1].update(zip(items[::2], items[1::2], strict=True))
        elif name == "APPEND":
            value = self._stack.pop()
            self._stack[-1].append(value)
        elif name in ("APPENDS", "LIST"):
            items = self._marked()
            if name == "LIST":
                self._stack.append([])
            self._stack[-1].extend(items)
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            size = int(name[-1])
            self._stack[-size:] = [tuple(self._stack[-size:])]
        elif name == "TUPLE":
            self._stack.append(tuple(self._marked()))
        else:
            return False
        return True

    def _marked(self) -> list[Any]:
        """Take the values above the last mark off the stack, and the mark."""
        place = len(self._stack) - 1 - self._stack[::-1].index(_MARK)
        items = self._stack[place + 1 :]
        del self._stack[place:]
        return items
