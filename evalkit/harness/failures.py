"""What went wrong with a task, in one line."""

from __future__ import annotations

import traceback
from collections import Counter

from evalkit.errors import CheckpointError, EvalkitError, NoMemoryError, StoreError, TaskError, out_of_memory
from evalkit.runs.scores import Scores

# The share of a cell's items that may fail before a run ends with another exit code.
MAX_FAILED = 0.05


def explain(error: Exception, task: str) -> EvalkitError:
    """Turn an exception into an EvalkitError: itself, a NoMemoryError, or a TaskError naming the line of code."""
    if isinstance(error, EvalkitError):
        return error
    text = str(error).strip().partition("\n")[0]
    if out_of_memory(error):
        return NoMemoryError(f"{task}: out of memory; a smaller --batch-tokens or --dtype bf16 needs less ({text})")
    frames = traceback.extract_tb(error.__traceback__)
    where = f" in {frames[-1].filename} line {frames[-1].lineno}" if frames else ""
    return TaskError(f"{task}: {type(error).__name__}: {text}{where}; --log-level debug shows the traceback")


def ends_all(error: EvalkitError) -> bool:
    """Whether no other task could go on after this error."""
    return isinstance(error, (StoreError, CheckpointError))


def too_many(failed: int, scored: int, *, allowed: float) -> bool:
    """Whether more than this share of items failed, or all of them."""
    return bool(failed) and (not scored or failed > allowed * (failed + scored))


def failed_tasks(scores: Scores, *, allowed: float) -> dict[str, str]:
    """Return the tasks with too many failed items: the worst cell, how many, and the most frequent reason."""
    cells: dict[tuple[str, int, str, str], Counter[str]] = {}
    for cell in scores.cells:
        counts = cells.setdefault((cell.task, cell.shots, cell.variant, cell.template), Counter())
        errors, records = scores.errors(cell)
        counts.update({"": records - len(errors)})
        counts.update(errors)
    reasons: dict[str, tuple[float, str]] = {}
    for (task, shots, *changes), counts in cells.items():
        failed = counts.total() - counts[""]
        if too_many(failed, counts[""], allowed=allowed):
            where = " ".join(filter(None, (f"at {shots} shots", *changes)))
            counted = f"{failed:,} of {counts.total():,} items failed {where}" if counts[""] else (
                f"none of {failed:,} items could be scored {where}"
            )  # fmt: skip
            reason = next(text for text, _ in counts.most_common() if text)
            worst = (failed / counts.total(), f"{counted}: {reason}")
            reasons[task] = max(reasons.get(task, worst), worst, key=lambda pair: pair[0])
    return {task: text for task, (_, text) in reasons.items()}
