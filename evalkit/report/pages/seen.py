"""The documents that `evalkit contamination` saw in a training text, for the browser of samples."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evalkit.errors import StoreError
from evalkit.files import read_json

Seen = Mapping[tuple[str, str], str]  # task, document -> the passage and where it stands


def read(path: Path) -> Seen:
    """Read the dirty documents of a contamination.json. Raises StoreError for another file."""
    raw = read_json(path, StoreError)
    try:
        return {
            (str(task["task"]), str(verdict["document"])): _passage(verdict)
            for task in raw["tasks"]
            for verdict in task["verdicts"]
            if verdict["verdict"] == "dirty"
        }
    except (KeyError, TypeError):
        raise StoreError(f"{path}: not the contamination.json of `evalkit contamination --out`") from None


def _passage(verdict: Mapping[str, Any]) -> str:
    number = verdict["training_document"]
    place = f" ({verdict['source']}, document {number})" if number is not None else ""
    return f"{verdict['passage']}{place}"
