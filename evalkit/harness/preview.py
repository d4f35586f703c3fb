"""One rendered prompt of a task, for reading."""

from __future__ import annotations

from dataclasses import dataclass

from evalkit.data.sources import DataPaths
from evalkit.engine.base import TextEncoder
from evalkit.harness.catalog import check_data
from evalkit.harness.load import load
from evalkit.harness.loaded import Loaded
from evalkit.harness.prompts import render
from evalkit.harness.requests import encode
from evalkit.harness.settings import RunSettings
from evalkit.harness.task import Task
from evalkit.types import Cell


@dataclass(frozen=True)
class Preview:
    """The first document's prompt: a description, the context, and the text that is scored or expected.

    tokens: the numbers of tokens of context and target; None without an encoder to count them.
    """

    about: str
    context: str
    target: str
    tokens: tuple[int, int] | None = None


def prompt(
    task: Task, *, protocol: str | None, shots: int | None, data: DataPaths, encoder: TextEncoder | None = None
) -> Preview:
    """Render the first document with `shots` examples (None: as many as the protocol's paper gave).

    Raises UsageError and DataError as a run would.
    """
    check_data(data, [task])
    settings = RunSettings(shots=() if shots is None else (shots,), paper_shots=shots is None, protocol=protocol)
    loaded = load(task, settings, data)
    document, example = next(pair for pair in loaded.documents if not pair[1].error)
    cell = Cell(task=task.name, protocol=loaded.name, shots=max(loaded.shots), seed=1)
    texts = loaded.rules.texts(loaded, document, example, cell)
    context, target = texts[(example.gold or 0) if len(texts) > 1 else 0]
    if loaded.protocol.kind == "generate":
        target = render(loaded.protocol.target, example)
    about = _about(loaded, document.id, len(texts))
    if encoder is None:
        return Preview(about, context, target)
    [encoded] = encode([(context, target)], encoder)
    return Preview(about, context, target, (len(encoded.context) if context else 0, len(encoded.continuation)))


def _about(loaded: Loaded, name: str, requests: int) -> str:
    task, protocol = loaded.task, loaded.protocol
    alternatives = [protocol_name for protocol_name in task.protocols if protocol_name != loaded.name]
    facts = [f"family {task.family}", f"protocol {loaded.name} ({protocol.kind})"]
    facts += [f"others: {', '.join(alternatives)}"] if alternatives else []
    facts += [f"the paper's shots: {protocol.paper_shots}"] if protocol.paper_shots is not None else []
    facts += [f"templates: {', '.join(protocol.templates)}"] if protocol.templates else []
    return (
        f"{task.name}: {task.title}\n{', '.join(facts)}\nmetrics {', '.join(loaded.metrics)}; "
        f"{len(loaded.documents):,} documents, {requests} request(s) each; document {name}:\n"
    )
