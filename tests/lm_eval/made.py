"""Small task files for tests: a complete one, and helpers that write variants of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from textwrap import dedent
from typing import Any

ROWS = [
    {"word": "rain", "options": ["wet", "dry", "loud"], "gold": 0},
    {"word": "sand", "options": ["wet", "dry", "loud"], "gold": 1},
    {"word": "gong", "options": ["wet", "dry", "loud"], "gold": 2},
    {"word": "sea", "options": ["wet", "dry", "loud"], "gold": 0},
]

TASK = """
    task: made
    dataset_path: json
    dataset_kwargs: {data_files: {test: rows.jsonl}}
    test_split: test
    output_type: multiple_choice
    doc_to_text: "{{word}} is"
    doc_to_target: gold
    doc_to_choice: options
"""


def write(folder: Path, name: str, text: str = TASK, *, more: str = "", rows: Sequence[Any] = ROWS) -> Path:
    """Write a YAML file, its text followed by more, and the rows that TASK reads."""
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dedent(text) + dedent(more), encoding="utf-8")
    return path
