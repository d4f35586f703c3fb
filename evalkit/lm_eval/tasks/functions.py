"""`!function module.name` of a task file: located without running anything, loaded only if the user trusts it."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from evalkit.errors import DataError, UsageError
from evalkit.files import digest
from evalkit.plugins import FILE_MODULES


@dataclass(frozen=True)
class FunctionRef:
    """A function that a task file names. folder: that of the task file, where its module is looked up first."""

    name: str
    folder: Path

    @property
    def module(self) -> str:
        """The part before the last dot."""
        return self.name.rpartition(".")[0]

    @property
    def path(self) -> Path:
        """The module's file beside the task file; it need not exist, since the module may be an installed one."""
        return self.folder / f"{self.module.replace('.', '/')}.py"

    def __str__(self) -> str:
        return f"!function {self.name}"

    def problem(self) -> str:
        """Return why there is no such function, or ""; no code runs."""
        function = self.name.rpartition(".")[2]
        if not self.module:
            return f"{self}: expected module.function"
        path = self.path if self.path.is_file() else _beside_package(self)
        if path is None:
            return f"{self}: there is no {self.path}"
        names = _top_level(path)
        return "" if names is None or function in names else f"{self}: {path} defines no {function}"

    def digest(self) -> str:
        """Hash the module's source, so that changed code is a changed task."""
        return digest(self.path.read_text(encoding="utf-8")) if self.path.is_file() else ""

    def load(self) -> Callable[..., Any]:
        """Run the module and return its function. Raises DataError when the module fails or lacks it."""
        function = self.name.rpartition(".")[2]
        try:
            module = _module(self.path) if self.path.is_file() else importlib.import_module(self.module)
            value = getattr(module, function)
        except Exception as error:  # foreign code may fail in any way
            raise DataError(f"{self.path}: {self} cannot be loaded ({type(error).__name__}: {error})") from error
        if not callable(value):
            raise DataError(f"{self.path}: {function} is not a function but {type(value).__name__}")
        return value  # type: ignore[no-any-return]


def references(value: Any, key: str = "") -> list[tuple[str, FunctionRef]]:
    """List every function within a value of a task file, with its key."""
    if isinstance(value, FunctionRef):
        return [(key, value)]
    if isinstance(value, Mapping):
        return [
            pair for name, item in value.items() for pair in references(item, f"{key}.{name}" if key else str(name))
        ]
    if isinstance(value, list):
        return [pair for item in value for pair in references(item, key)]
    return []


def loaded(value: Any) -> Any:
    """Return a value of a task file with every function loaded; this runs the code."""
    if isinstance(value, FunctionRef):
        return value.load()
    if isinstance(value, Mapping):
        return {name: loaded(item) for name, item in value.items()}
    return [loaded(item) for item in value] if isinstance(value, list) else value


def plain(value: Any) -> Any:
    """Return a value of a task file as JSON allows: functions by their names, keys as texts."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def check_trust(config: Mapping[str, Any], path: Path, *, trusted: bool) -> None:
    """Raise UsageError for a function in the file unless the user trusts it, DataError for a missing one."""
    for key, reference in references(config):
        if problem := reference.problem():
            raise DataError(f"{path}: {key}: {problem}")
        if not trusted:
            raise UsageError(
                f"{path}: {key} is code: {reference.name} in {reference.path}; "
                f"it runs only with --trust-task-code, so read it first"
            )


def _module(path: Path) -> ModuleType:
    """Load a file once. The module's name contains a hash of its text: `datasets` keys its cache by it."""
    path = path.resolve()
    name = f"evalkit_lm_eval_{path.stem}_{digest(str(path) + path.read_text(encoding='utf-8'))}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader, "a .py file has a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    FILE_MODULES.append(module)
    return module


def _beside_package(reference: FunctionRef) -> Path | None:
    """Find package.folder.module in the package that contains the task file, or in an installed one."""
    first, *rest = reference.module.split(".")
    for parent in reference.folder.parents:
        if parent.name == first and (path := parent.joinpath(*rest).with_suffix(".py")).is_file():
            return path
    try:
        spec = importlib.util.find_spec(first)
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.submodule_search_locations:
        return Path(spec.origin) if spec and spec.origin else None
    path = Path(next(iter(spec.submodule_search_locations))).joinpath(*rest).with_suffix(".py")
    return path if path.is_file() else None


@cache
def _top_level(path: Path) -> frozenset[str] | None:
    """Return the names that a module defines; None where they are unknown: import *, globals(), another Python."""
    try:
        text = path.read_text(encoding="utf-8")
        body = ast.parse(text).body
    except (SyntaxError, OSError, ValueError, RecursionError, MemoryError):  # the last two: nested too deeply
        return None
    if "globals()" in text:
        return None
    names: set[str] = set()
    while body:
        node = body.pop()
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {part.id for target in node.targets for part in ast.walk(target) if isinstance(part, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.Try | ast.If):
            body += [*node.body, *node.orelse, *(item for h in getattr(node, "handlers", []) for item in h.body)]
    return None if "*" in names else frozenset(names)
