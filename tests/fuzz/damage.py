"""Ways to damage a file: its bytes, its JSON values, its rows. Equal seeds make equal files."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

from evalkit.files import canonical_json
from evalkit.runs.journal import seal, unseal
from evalkit.runs.stored import checksum

# What takes the place of a JSON value: other types, numbers that cannot be, texts that look like something else.
_ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63) - 1, 10**400, 0.5, -0.0, 1e308, float("nan"), float("inf"),
    float("-inf"), "", " ", "0", "nan", "x", "\0", "\ud800", "../../etc/passwd", "/etc/passwd", "x" * 100_000,
    "{{ ''.__class__.__mro__ }}", "</script><script>alert(1)</script>", "%s%n", [], {}, [[]], [None], {"": None},
    [1, "a", {}], {"a": {"b": []}}, "\u2028\n\r\t", "line\nline",
)  # fmt: skip
# What no encoder writes, but a file may hold.
_TEXTS = (
    "[" * 100_000,
    '{"a":' * 50_000,
    "9" * 5_000,
    "1e999",
    "-Infinity",
    '{"a":1,"a":2}',
    "",
    "\ufeff{}",
    "'a'",
    "tru",
)


def any_damage(data: bytes, chance: random.Random) -> bytes:
    """Return the bytes, damaged in one to three ways."""
    ways: list[Callable[[bytes, random.Random], bytes]] = [_cut, _flip, _insert, _delete, _swap, _blank, _repeat]
    if data.lstrip()[:1] in (b"{", b"["):
        ways += [_json] * 12
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        data = chance.choice(ways)(data, chance)
    return data


def resealed(data: bytes, chance: random.Random) -> bytes:
    """Return a run's or a baseline's file with values of other types and a checksum that fits them."""
    if data.lstrip().startswith(b"{\n"):
        raw = json.loads(data)
        raw.pop("checksum", None)
        raw = _odd(raw, chance)
        return json.dumps(raw | {"checksum": checksum(raw)} if isinstance(raw, dict) else raw).encode()
    lines = data.splitlines(keepends=True)
    place = chance.randrange(len(lines))
    run = json.loads(lines[place])["check"].split("-")[2]
    lines[place] = seal(canonical_json(_odd(unseal(lines[place]), chance)), run)
    return b"".join(lines)


def _odd(value: Any, chance: random.Random) -> Any:
    """Change values as `_replaced` and `_rekeyed` do, and read them back."""
    for _ in range(chance.choice((1, 1, 2, 3))):
        value = json.loads(chance.choice((_replaced, _replaced, _rekeyed))(value, chance))
    return value


def _cut(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data) + 1)]


def _flip(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(min(len(data), chance.choice((1, 1, 2, 8, 64)))):
        changed[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _insert(data: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(data) + 1)
    new = chance.choice(
        (chance.randbytes(chance.randint(1, 64)), b"\0" * 8, b"\n", b"\xff\xfe", b'"', b"{", b"\xed\xa0\x80")
    )
    return data[:place] + new + data[place:]


def _delete(data: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(data) + 1)
    return data[:place] + data[place + chance.choice((1, 1, 4, 100)) :]


def _swap(data: bytes, chance: random.Random) -> bytes:
    """Change a digit: what stays readable, and is another number."""
    places = [place for place, byte in enumerate(data) if 48 <= byte < 58]
    if not places:
        return data
    place = chance.choice(places)
    return data[:place] + b"%d" % ((data[place] - 47) % 10) + data[place + 1 :]


def _blank(data: bytes, chance: random.Random) -> bytes:
    """Zero a stretch, as a disk does after a power cut."""
    place, length = chance.randrange(len(data) + 1), chance.choice((8, 64, 512))
    return data[:place] + b"\0" * len(data[place : place + length]) + data[place + length :]


def _repeat(data: bytes, chance: random.Random) -> bytes:
    start, end = sorted(chance.randrange(len(data) + 1) for _ in range(2))
    return data[:end] + data[start:end] + data[end:]


def _json(data: bytes, chance: random.Random) -> bytes:
    """Change values of JSON, or of one line of JSON lines; other bytes stay as they are."""
    lines = data.split(b"\n")
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        place = chance.randrange(len(lines))
    else:
        lines, place = [data], 0
    try:
        value = json.loads(lines[place])
    except (ValueError, RecursionError):
        return _flip(data, chance)
    text = chance.choice((_replaced, _replaced, _replaced, _rekeyed, _raw))(value, chance)
    lines[place] = text.encode("utf-8", "surrogatepass")
    return b"\n".join(lines)


def _replaced(value: Any, chance: random.Random) -> str:
    places = list(_places(value))
    if not places:
        return json.dumps(chance.choice(_ODD))
    holder, key = chance.choice(places)
    holder[key] = chance.choice(_ODD)
    return json.dumps(value)


def _rekeyed(value: Any, chance: random.Random) -> str:
    """Drop, rename, double or add an entry."""
    places = list(_places(value))
    if not places:
        return json.dumps([value])
    holder, key = chance.choice(places)
    if isinstance(holder, list):
        chance.choice((lambda: holder.pop(key), lambda: holder.append(holder[key]), holder.clear, holder.reverse))()
    else:
        taken = holder.pop(key)
        chance.choice((lambda: None, lambda: holder.update({key + "x": taken}), lambda: holder.update(extra=taken)))()
    return json.dumps(value)


def _raw(value: Any, chance: random.Random) -> str:
    """Put a text where a value stands that `json.dumps` would not write."""
    places = list(_places(value))
    text = chance.choice(_TEXTS)
    if not places:
        return text
    holder, key = chance.choice(places)
    holder[key] = "@@here@@"
    return json.dumps(value).replace('"@@here@@"', text)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield (list or dict, index or key) of every value inside a value."""
    stack = [value]
    while stack:
        holder = stack.pop()
        items = holder.items() if isinstance(holder, dict) else enumerate(holder) if isinstance(holder, list) else ()
        for key, inner in items:
            yield holder, key
            if isinstance(inner, (dict, list)):
                stack.append(inner)
