"""One rendered prompt of a task, for people to read."""

from __future__ import annotations

from dataclasses import dataclass

from evalkit.harness.prompts import pairs, render
from evalkit.harness.run import RunSettings, load
from evalkit.harness.sources import DataPaths
from evalkit.harness.task import Task


@dataclass(frozen=True)
class Preview:
    """The first document's prompt: what is known of it, the context, and the text that is scored or expected."""

    about: str
    context: str
    target: str


def prompt(task: Task, *, protocol: str | None, shots: int, data: DataPaths) -> Preview:
    """Render the first document with `shots` examples. Raises UsageError and DataError as a run would."""
    loaded = load(task, RunSettings(shots=(shots,), protocol=protocol), data)
    document, example = loaded.documents[0]
    count = 0 if loaded.protocol.kind == "rolling" else shots
    drawn = loaded.pool.draw(document, example, group=loaded.group(document), count=count, seed=1)
    texts = pairs(loaded.protocol, example, drawn)
    context, target = texts[example.gold or 0]
    if loaded.protocol.kind == "generate":
        target = render(loaded.protocol.target, example)
    about = (
        f"{task.name}: {task.title}\nfamily {task.family}, protocol {loaded.name} ({loaded.protocol.kind}), "
        f"metrics {', '.join(loaded.protocol.metrics)}, {len(loaded.documents):,} documents, "
        f"{len(texts)} request(s) each; document {document.id}:\n"
    )
    return Preview(about, context, target)
