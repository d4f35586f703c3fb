"""The formats of evalkit's own files: their numbers, and the JSON schema of each (schemas/*.json)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

from evalkit.errors import StoreError, unknown

# Of a run folder: manifest.json says it, and stands for the other files. Runs of evalkit 0.1.0 say nothing and are 1.
FORMAT = 1
# Schema -> the file that it describes.
SCHEMAS: Mapping[str, str] = MappingProxyType(
    {
        "manifest": "manifest.json of a run folder",
        "record": "a line of records.jsonl",
        "results": "results.json of a run folder",
        "baseline": "what evalkit baseline save writes",
        "forecast": "what evalkit forecast --out writes",
    }
)


def schema(name: str) -> dict[str, Any]:
    """Return the JSON schema of a file. Raises UsageError for an unknown name."""
    if name not in SCHEMAS:
        raise unknown("schema", name, SCHEMAS)
    text = resources.files("evalkit.runs").joinpath("schemas", f"{name}.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


def check_format(raw: Mapping[str, Any], path: Path) -> None:
    """Raise StoreError for a file of a run folder that a later evalkit wrote."""
    written = raw.get("format", FORMAT)
    if type(written) is not int or written < 1:
        raise StoreError(f"{path}: format is {written!r:.40}, not a number of at least 1")
    if written > FORMAT:
        raise StoreError(
            f"{path} is of format {written}, from a later evalkit; this one reads format {FORMAT}: upgrade it"
        )
