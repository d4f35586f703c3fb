"""Optional packages that only some sources need: `pip install 'evalkit[corpus]'`."""

from __future__ import annotations

import importlib
from typing import Any

from evalkit.errors import UsageError


def require(module: str, what: str) -> Any:
    """Import a module of an optional package. Raises UsageError with the purpose and how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise UsageError(f"{what} need the package {package}: pip install 'evalkit[corpus]' ({error})") from error
