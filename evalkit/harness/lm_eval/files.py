"""YAML files and what they include -> one mapping. Nothing is run: `!function` becomes a FunctionRef."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from evalkit.errors import DataError
from evalkit.harness.lm_eval.functions import FunctionRef

# The parser in C is ten times as fast; some builds of PyYAML lack it.
_SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read(path: Path) -> dict[str, Any]:
    """Read a file with its includes: later includes win over earlier ones, the file's own keys over all.

    Raises DataError for a file that is missing, broken or no mapping, and for includes that go round in a circle.
    """
    return _merged(path.resolve(), ())


def _merged(path: Path, above: Sequence[Path]) -> dict[str, Any]:
    if path in above:
        circle = " -> ".join(p.name for p in (*above[above.index(path) :], path))
        raise DataError(f"{path}: include: the files include each other ({circle})")
    try:
        own = dict(_parse(path, path.stat().st_mtime_ns))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
    includes = own.pop("include", None)
    merged: dict[str, Any] = {}
    for name in includes if isinstance(includes, list) else [includes] if includes is not None else []:
        included = dict(_merged(_included(path, name), (*above, path)))
        included.pop("task_list", None)  # the tasks of the included file alone
        merged |= included
    return merged | own


def _included(path: Path, name: Any) -> Path:
    """Find an included file; the ending .yaml may be missing."""
    if not isinstance(name, str) or not name:
        raise DataError(f"{path}: include: expected a file's name, found {name!r}")
    wanted = path.parent / name
    found = next((p for p in (wanted, wanted.with_name(f"{wanted.name}.yaml")) if p.is_file()), None)
    if found is None:
        raise DataError(f"{path}: include: there is no {wanted}")
    return found.resolve()


@cache
def _parse(path: Path, changed: int) -> Mapping[str, Any]:
    """Parse one file; thousands include the same few. changed: when it was written, a part of the cache's key."""

    class Loader(_SafeLoader):  # type: ignore[misc, valid-type]
        """The safe loader, and one tag more."""

    Loader.add_constructor("!function", lambda loader, node: FunctionRef(loader.construct_scalar(node), path.parent))
    try:
        found = yaml.load(path.read_bytes(), Loader=Loader)
    except yaml.MarkedYAMLError as error:
        line = f" line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise DataError(f"{path}{line}: not valid YAML ({error.problem})") from None
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise DataError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from None
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise DataError(f"{path}: expected keys and values, found {type(found).__name__}")
    return found
