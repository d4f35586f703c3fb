"""YAML files and what they include -> one mapping. Nothing is run: `!function` becomes a FunctionRef."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from evalkit.errors import DataError
from evalkit.files import read_bytes
from evalkit.lm_eval.tasks.functions import FunctionRef

# Bytes of a file, levels of nesting, values with every alias counted, and includes of one task.
_BYTES, _DEPTH, _VALUES, _INCLUDES = 16 << 20, 100, 200_000, 500
# With fewer characters that can open a level there is no need to count levels.
_SHALLOW = 2_000

# The parser in C is ten times as fast; some builds of PyYAML lack it.
_SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read(path: Path) -> dict[str, Any]:
    """Read a file with its includes: later includes win over earlier ones, the file's own keys over all.

    Raises DataError for a file that is missing, broken or no mapping, and for includes that go round in a circle.
    """
    return _merged(path.resolve(), (), [])


def _merged(path: Path, above: Sequence[Path], visited: list[Path]) -> dict[str, Any]:
    """Merge a file with its includes. visited: all files so far, a shared one as often as it is included."""
    visited.append(path)
    if len(visited) > _INCLUDES:
        raise DataError(f"{above[0]}: include: more than {_INCLUDES} files, nested includes counted")
    if path in above:
        circle = " -> ".join(p.name for p in (*above[above.index(path) :], path))
        raise DataError(f"{path}: include: the files include each other ({circle})")
    try:
        keys = dict(_parse(path, path.stat().st_mtime_ns))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
    includes = keys.pop("include", None)
    merged: dict[str, Any] = {}
    for name in includes if isinstance(includes, list) else [includes] if includes is not None else []:
        included = dict(_merged(_included(path, name), (*above, path), visited))
        included.pop("task_list", None)  # it concerns only the included file's tasks
        merged |= included
    return merged | keys


def _included(path: Path, name: Any) -> Path:
    """Find an included file; the ending .yaml may be left out."""
    if not isinstance(name, str) or not name:
        raise DataError(f"{path}: include: expected a file's name, found {name!r}")
    target = path.parent / name
    existing = next((p for p in (target, target.with_name(f"{target.name}.yaml")) if p.is_file()), None)
    if existing is None:
        raise DataError(f"{path}: include: there is no {target}")
    return existing.resolve()


@cache
def _parse(path: Path, changed: int) -> Mapping[str, Any]:
    """Parse one file, cached because thousands include the same few. changed: its mtime, part of the cache's key."""

    class Loader(_SafeLoader):  # type: ignore[misc, valid-type]
        """The safe loader with one more tag."""

    Loader.add_constructor("!function", lambda loader, node: FunctionRef(loader.construct_scalar(node), path.parent))
    raw = read_bytes(path, DataError, most=_BYTES)
    try:
        _check_depth(raw)
        loader = Loader(raw)
        try:
            node = loader.get_single_node()
            _expanded(node, {})
            document = None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        line = f" line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise DataError(f"{path}{line}: not valid YAML ({error.problem})") from None
    # PyYAML's own constructors raise other errors than YAMLError for a tag that does not fit its value.
    except (
        yaml.YAMLError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        ArithmeticError,
        RecursionError,
    ) as error:
        raise DataError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from None
    if not isinstance(document, dict) or not all(isinstance(key, str) for key in document):
        raise DataError(f"{path}: expected keys and values, found {type(document).__name__}")
    return document


def _check_depth(raw: bytes) -> None:
    """Refuse nesting so deep that the recursive parser would crash the process."""
    if sum(map(raw.count, (b"[", b"{", b":", b"-", b"?"))) <= _SHALLOW:
        return
    depth = 0
    for event in yaml.parse(raw, Loader=_SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEPTH:
            raise yaml.YAMLError(f"nested more than {_DEPTH} deep")


def _expanded(node: Any, counts: dict[int, int | None], depth: int = 0) -> int:
    """Return how many values a node holds once every alias is expanded.

    counts: by node; None for one that is being counted. Raises YAMLError for too many values, and for an alias inside
    its own anchor.
    """
    if depth > _DEPTH:
        raise yaml.YAMLError(f"nested more than {_DEPTH} deep")
    if id(node) not in counts:
        counts[id(node)] = None
        inner = node.value if isinstance(node, yaml.SequenceNode | yaml.MappingNode) else ()
        parts = [part for item in inner for part in (item if isinstance(item, tuple) else (item,))]
        counts[id(node)] = 1 + sum(_expanded(part, counts, depth + 1) for part in parts)
    count = counts[id(node)]
    if count is None:
        raise yaml.YAMLError("an alias inside its own anchor")
    if count > _VALUES:
        raise yaml.YAMLError(f"more than {_VALUES:,} values, aliases counted")
    return count
