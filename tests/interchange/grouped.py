"""A group of two imported tasks on the same rows of multiple choice."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def grouped(folder: Path, rows: Sequence[Mapping[str, Any]], *, metrics: Sequence[str]) -> Path:
    """Write rows of "q", "c" and "gold", the files of two tasks and their group; return the group's file."""
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    scored = ", ".join(f"{{metric: {metric}}}" for metric in metrics)
    for name in ("pick", "pick_again"):
        (folder / f"{name}.yaml").write_text(
            f"task: {name}\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: {folder / 'rows.jsonl'}}}}}\n"
            'test_split: test\ndoc_to_text: "{{q}}"\ndoc_to_target: "{{gold}}"\ndoc_to_choice: "{{c}}"\n'
            f"output_type: multiple_choice\nmetric_list: [{scored}]\n"
        )
    group = folder / "both.yaml"
    group.write_text("group: both\ntask: [pick, pick_again]\naggregate_metric_list: [{metric: acc}]\n")
    return group
