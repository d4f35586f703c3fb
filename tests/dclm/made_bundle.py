"""A small bundle of CORE with one task of each type."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SETTINGS = """
icl_tasks:
- label: arc_easy
  dataset_uri: world_knowledge/arc_easy.jsonl
  num_fewshot: [2]
  icl_task_type: multiple_choice
  continuation_delimiter: "\\nAnswer: "
- label: winograd
  dataset_uri: language_understanding/winograd_wsc.jsonl
  num_fewshot: [0]
  icl_task_type: schema
- label: jeopardy
  dataset_uri: world_knowledge/jeopardy_all.jsonl
  num_fewshot: [1]
  icl_task_type: language_modeling
  continuation_delimiter: "\\nAnswer: "
- label: squad
  dataset_uri: reading_comprehension/squad.jsonl
  num_fewshot: [1]
  icl_task_type: language_modeling
"""
BASELINES = "Eval Task,Random baseline\narc_easy,25\nwinograd,50\njeopardy,0\nsquad,0\n"

CHOICES: list[dict[str, Any]] = [
    {"query": f"Question: {i}?", "choices": ["red", "red hot", "blue"], "gold": i % 3} for i in range(6)
]
SCHEMAS = [
    {"context_options": [f"{i} because the cat", f"{i} because the dog"], "continuation": "ran.", "gold": i % 2}
    for i in range(4)
]
TEXTS = [{"context": f" CLUE {i}  ", "continuation": f"answer {i}"} for i in range(5)]


def make(folder: Path, *, baselines: str = BASELINES, settings: str = SETTINGS) -> Path:
    """Write the bundle without the file of squad."""
    documents = folder / "eval_data"
    for name, rows in (
        ("world_knowledge/arc_easy.jsonl", CHOICES),
        ("language_understanding/winograd_wsc.jsonl", SCHEMAS),
        ("world_knowledge/jeopardy_all.jsonl", TEXTS),
    ):
        path = documents / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "core.yaml").write_text(settings, encoding="utf-8")
    (folder / "eval_meta_data.csv").write_text(baselines, encoding="utf-8")
    return folder
