"""What went wrong with a task, in one line."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Iterable

from evalkit.errors import CheckpointError, EvalkitError, NoMemoryError, StoreError, TaskError, out_of_memory
from evalkit.types import Record


def explain(error: Exception, task: str) -> EvalkitError:
    """Turn whatever a task raised into an error of ours: itself, the end of memory, or a failure of its code."""
    if isinstance(error, EvalkitError):
        return error
    text = str(error).strip().partition("\n")[0]
    if out_of_memory(error):
        return NoMemoryError(f"{task}: out of memory; a smaller --batch-tokens or --dtype bf16 needs less ({text})")
    frames = traceback.extract_tb(error.__traceback__)
    where = f" in {frames[-1].filename} line {frames[-1].lineno}" if frames else ""
    return TaskError(f"{task}: {type(error).__name__}: {text}{where}; --log-level debug shows the way there")


def ends_all(error: EvalkitError) -> bool:
    """Whether no other task could go on after this error."""
    return isinstance(error, (StoreError, CheckpointError))


def without_scores(records: Iterable[Record]) -> dict[str, str]:
    """Return the tasks of which not one item could be scored, each with the commonest reason."""
    reasons: dict[str, Counter[str]] = {}
    scored = set()
    for record in records:
        reasons.setdefault(record.cell.task, Counter())[record.error] += 1
        if not record.error:
            scored.add(record.cell.task)
    return {
        task: f"none of {counts.total()} items could be scored: {counts.most_common(1)[0][0]}"
        for task, counts in reasons.items()
        if task not in scored
    }
