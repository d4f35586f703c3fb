"""One damaged input at a time: what a reader makes of it, and how long it takes."""

from __future__ import annotations

import random
import signal
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalkit.errors import EvalkitError
from tests.fuzz.damage import any_damage

_PATIENCE = 20  # seconds


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of input. make: writes good files into a folder. files: globs of those to be damaged, one at a time.

    read: what a user's command does with the folder. task: what a message may name instead of a file.
    whole: the files carry checksums, so that `read` returns what it returns for the good ones, or refuses.
    damage: how a file is damaged.
    """

    name: str
    make: Callable[[Path], object]
    read: Callable[[Path], Any]
    files: Sequence[str] = ("*",)
    task: str = ""
    whole: bool = False
    damage: Callable[[bytes, random.Random], bytes] = any_damage


@dataclass(kw_only=True)
class Tally:
    """What became of the inputs of one kind. crashes: a report of each different one."""

    kind: str
    inputs: int = 0
    accepted: int = 0
    refused: int = 0
    slowest: float = 0.0
    crashes: dict[str, str] = field(default_factory=dict)
    crashed: int = 0


def run(kind: Kind, folder: Path, *, inputs: int, seed: int) -> Tally:
    """Damage the files of a kind so many times; `folder` is empty."""
    chance = random.Random(f"{seed} {kind.name}")
    kind.make(folder)
    good = {p: p.read_bytes() for pattern in kind.files for p in sorted(folder.rglob(pattern)) if p.is_file()}
    expected = kind.read(folder)
    tally = Tally(kind=kind.name)
    for _ in range(inputs):
        path = chance.choice(sorted(good))
        damaged = kind.damage(good[path], chance)
        path.write_bytes(damaged)
        _try(kind, folder, tally, expected)
        for each, content in good.items():
            if each == path or not each.is_file():
                each.write_bytes(content)
    return tally


def _try(kind: Kind, folder: Path, tally: Tally, expected: Any) -> None:
    tally.inputs += 1
    began = time.perf_counter()
    signal.alarm(_PATIENCE)  # ends the process, unless the runner makes an error of it
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = kind.read(folder)
        if kind.whole and found != expected:
            raise AssertionError("a wrong number: what was read is not what was written")
        tally.accepted += 1
    except EvalkitError as error:
        tally.refused += 1
        if problem := unclear(str(error), str(folder), kind.task or str(folder)):
            _crash(tally, problem, f"{problem}: {str(error)[:300]!r}")
    except BaseException as error:  # a panic of a library in Rust is no Exception
        if isinstance(error, KeyboardInterrupt):
            raise
        last = traceback.extract_tb(error.__traceback__)[-1]
        own = [frame for frame in traceback.extract_tb(error.__traceback__) if "/evalkit/" in frame.filename]
        place = own[-1] if own else last
        key = f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno} in {place.name}"
        _crash(tally, key, f"{key}: {str(error)[:200]}")
    signal.alarm(0)
    tally.slowest = max(tally.slowest, time.perf_counter() - began)


def unclear(message: str, *places: str) -> str:
    """Say what an error's message lacks; nothing for a clear one: one short line that names one of the places."""
    if len(message.splitlines()) != 1:
        return "a message of several lines"
    if len(message) > 2_000:
        return "a message without end"
    return "" if any(place in message for place in places) else "a message without a file"


def _crash(tally: Tally, key: str, report: str) -> None:
    tally.crashed += 1
    tally.crashes.setdefault(key, report)
