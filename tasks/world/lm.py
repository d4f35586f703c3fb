"""Perplexity of held-out pages of the generated world, eight of each kind; the level is the kind of page."""

from __future__ import annotations

from evalkit.data.sources import WorldSource
from evalkit.harness.perplexity import rolling, whole_text
from evalkit.harness.task import Task, document_per_row

TASKS = (
    Task(
        name="world_lm",
        family="lm",
        title="perplexity of held-out pages (generated world)",
        licence="Apache-2.0",
        source=WorldSource("lm"),
        to_example=whole_text("text"),
        documents=document_per_row(level="kind"),
        protocols={"plain": rolling("ppl_word", "ppl_token", "bits_per_byte")},
    ),
)
