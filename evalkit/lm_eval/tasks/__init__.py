"""Task files of lm-evaluation-harness, run unmodified: the same prompts, draws of shots, filters and scores.

path or lm-eval:NAME -> files.py (YAML and includes) -> taskfile.py (checked keys) -> task.py (a Task of the harness).
Its behaviour is that of release 0.4.13.
"""

from __future__ import annotations

from evalkit.lm_eval.tasks.chosen import choose

__all__ = ["choose"]
