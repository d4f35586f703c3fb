"""Pickles read as plain data: nothing that a pickle names is imported or called. Needs no torch.

A pickle is a program that may call any function. Here the few names that a format may use stand for records, which only
keep what they are given; any other name is refused.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import zipfile
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import Any

from evalkit.errors import CheckpointError
from evalkit.files import check_regular, read_bytes

# The most bytes of a pickle without its tensors.
_MOST = 64 << 20
_TEXTS = ("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE")
# Operations that only note a value for later.
_MEMORY = ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE")
_NUMBERS = ("BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "LONG4")
_UNREADABLE = (
    CheckpointError, OSError, ValueError, zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError
)  # fmt: skip


def texts_in(path: Path) -> frozenset[str]:
    """Return all texts of a file that torch.save wrote, the keys of its tables among them; empty for another file."""
    try:
        return frozenset(str(argument) for name, argument in _operations(path) if name in _TEXTS)
    except _UNREADABLE:
        return frozenset()


def value_in(path: Path, key: str) -> str | int | None:
    """Return the text or whole number that follows a key in a file that torch.save wrote; None if there is none."""
    try:
        values = (each for each in _operations(path) if each[0] not in _MEMORY)
        for name, argument in values:
            if name in _TEXTS and argument == key:
                kind, value = next(values, ("", None))
                if kind in _TEXTS or kind in _NUMBERS:
                    return value if isinstance(value, str | int) else None
    except _UNREADABLE:
        pass
    return None


def _operations(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield the names and arguments of the operations in a file of torch.save. Raises _UNREADABLE for another file."""
    check_regular(path, CheckpointError)
    with zipfile.ZipFile(path) as archive:
        [name] = [name for name in archive.namelist() if name.endswith("data.pkl") and name.count("/") < 2]
        if archive.getinfo(name).file_size > _MOST:
            raise ValueError(f"{name} is too large")
        for opcode, argument, _ in pickletools.genops(archive.read(name)):
            yield opcode.name, argument


def literals(path: Path) -> Mapping[Any, Any]:
    """Read a pickle of a table that holds only tables, lists, texts and numbers; errors as in `read`."""
    value = read(path, names=())
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: expected a pickled table, found {type(value).__name__}")
    return value


class Record:
    """Stands for an object of a pickle. name: of its class or function; args: of the call that made it.

    state: what it was given afterwards, usually its attributes by name; None if nothing.
    """

    name: str
    args: tuple[Any, ...]
    state: Any

    def __new__(cls, *args: Any) -> Record:
        """Keep the arguments."""
        record = super().__new__(cls)
        record.args, record.state = args, None
        return record

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __getitem__(self, key: str) -> Any:
        """Return an attribute. Raises KeyError if it has none of this name."""
        if not isinstance(self.state, dict):
            raise KeyError(key)
        return self.state[key]


def named(value: Any, name: str) -> bool:
    """Whether a value stands for an object of the class with this name, without its module."""
    return isinstance(value, Record) and value.name.rpartition(".")[2] == name


def read(path: Path, *, names: Container[str], most: int = _MOST) -> Any:
    """Read a file of at most `most` bytes as plain data.

    names: of the classes and functions that may occur, with their modules.

    Raises CheckpointError, naming the file, for any other name and for a damaged file.
    """
    data = read_bytes(path, CheckpointError, most=most)
    try:
        return _Unpickler(data, names).load()
    except _ForbiddenError as error:
        what = str(error)[:120]
        raise CheckpointError(f"{path} is refused: it holds {what}, and reading that could run code") from None
    except Exception as error:  # a damaged pickle fails in many ways
        reason = " ".join(str(error).split())[:120]
        raise CheckpointError(f"{path} cannot be read: {reason or type(error).__name__}; is the file cut?") from error


class _ForbiddenError(Exception):
    """What plain values and records do not need."""


# The operations that plain values and records are written with, by every protocol.
_OPERATIONS = frozenset(
    "PROTO FRAME STOP MARK POP POP_MARK DUP MEMOIZE GET BINGET LONG_BINGET PUT BINPUT LONG_BINPUT NONE NEWTRUE "
    "NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT UNICODE BINUNICODE SHORT_BINUNICODE "
    "BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST LIST APPEND "
    "APPENDS EMPTY_DICT DICT SETITEM SETITEMS GLOBAL STACK_GLOBAL REDUCE NEWOBJ BUILD".split()
)
_ATOMS = (str, bytes, int, float, type(None), Record)


def _refuse(machine: Any) -> None:
    raise _ForbiddenError("an operation that plain values do not need")


def _fill(machine: Any, items: list[Any]) -> None:
    """Add keys and values to the table on the stack. Keys are flat: to hash a nested tuple may take for ever."""
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not all(isinstance(part, _ATOMS) for part in (key if isinstance(key, tuple) else [key])):
            raise ValueError("a key is neither a text, a number nor a few of them")
        machine.stack[-1][key] = value


def _set_item(machine: Any) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    _fill(machine, [key, value])


def _set_items(machine: Any) -> None:
    _fill(machine, machine.pop_mark())


def _make_table(machine: Any) -> None:
    items = machine.pop_mark()
    machine.append({})
    _fill(machine, items)


class _Unpickler(pickle._Unpickler):
    """Makes records. Their classes are new for each pickle, because a pickle may change what it has been given.

    Python's machine in Python: the one in C reserves as much memory as any number in a damaged file says.
    """

    dispatch = {  # noqa: RUF012  (the base class's name for its operations by their codes)
        **{
            ord(operation.code): pickle._Unpickler.dispatch[ord(operation.code)]
            if operation.name in _OPERATIONS
            else _refuse
            for operation in pickletools.opcodes
        },
        pickle.SETITEM[0]: _set_item,
        pickle.SETITEMS[0]: _set_items,
        pickle.DICT[0]: _make_table,
    }

    def __init__(self, data: bytes, names: Container[str]):
        super().__init__(io.BytesIO(data))
        self._names, self._classes = names, dict[str, type[Record]]()

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if full not in self._names:
            raise _ForbiddenError(f"the name {full}")
        if full not in self._classes:
            self._classes[full] = type("Record", (Record,), {"name": full})
        return self._classes[full]
