"""Packages that only some commands need, and which extra of evalkit installs each: `pip install 'evalkit[report]'`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from evalkit.errors import UsageError

# Module -> extra. A package in several extras stands with the one that is nearest to what a user asked for.
EXTRAS: Mapping[str, str] = MappingProxyType(
    {
        "accelerate": "hf",
        "datasets": "hub",
        "fsspec": "s3",
        "gguf": "gguf",
        "lxml_html_clean": "corpus",
        "matplotlib": "report",
        "mlflow": "mlflow",
        "pandas": "report",
        "py3langid": "corpus",
        "pyarrow": "hub",
        "ray": "ray",
        "rensa": "corpus",
        "s3fs": "s3",
        "sklearn": "report",
        "tensorboard": "tensorboard",
        "trafilatura": "corpus",
        "transformers": "hf",
        "wandb": "wandb",
        "warcio": "corpus",
    }
)


def require(module: str, what: str, *, extra: str | None = None) -> Any:
    """Import a module of an optional package. Raises UsageError that says what needs it, and how to install it.

    what: the start of the sentence, in the plural: "figures". extra: if another one than in EXTRAS is meant.
    """
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        name = extra or EXTRAS[package]
        raise UsageError(f"{what} need the package {package}: pip install 'evalkit[{name}]' ({error})") from None


def missing(error: ImportError) -> UsageError | None:
    """Return what to tell a user about an optional package that is not installed; None for any other module."""
    package = (error.name or "").partition(".")[0]
    if package not in EXTRAS:
        return None
    return UsageError(f"this needs the package {package}: pip install 'evalkit[{EXTRAS[package]}]'")
