"""One rendered prompt of a task, for reading."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import takewhile

from evalkit.data.sources import DataPaths
from evalkit.engine.base import TextEncoder
from evalkit.harness.load import load
from evalkit.harness.loaded import Loaded
from evalkit.harness.prompts import render
from evalkit.harness.requests import encode
from evalkit.harness.settings import RunSettings
from evalkit.harness.task import Task
from evalkit.types import Cell


@dataclass(frozen=True)
class Preview:
    """The first document's prompt: what it belongs to, its parts, and the text that is scored or expected.

    parts: the description, the shots and the query, which together are the context. tokens: the numbers of tokens of
    context and target; None without an encoder to count them.
    """

    about: str
    parts: tuple[str, str, str]
    target: str
    tokens: tuple[int, int] | None = None

    @property
    def context(self) -> str:
        """Return what the model reads."""
        return "".join(self.parts)


def prompt(
    task: Task, *, protocol: str | None, shots: int | None, data: DataPaths, encoder: TextEncoder | None = None
) -> Preview:
    """Render the first document with `shots` examples (None: as many as the protocol's paper gave).

    Raises UsageError and DataError as a run would.
    """
    settings = RunSettings(shots=() if shots is None else (shots,), paper_shots=shots is None, protocol=protocol)
    loaded = load(task, settings, data)
    document, example = next(pair for pair in loaded.documents if not pair[1].error)
    cell = Cell(task=task.name, protocol=loaded.name, shots=max(loaded.shots), seed=1)
    texts, bare = (
        loaded.rules.texts(loaded, document, example, replace(cell, shots=count)) for count in (cell.shots, 0)
    )
    choice = (example.gold or 0) if len(texts) > 1 else 0
    context, target = texts[choice]
    parts = _parts(context, bare[choice][0])
    if loaded.protocol.kind == "generate":
        target = render(loaded.protocol.target, example)
    about = _about(loaded, document.id, len(texts))
    if encoder is None:
        return Preview(about, parts, target)
    [encoded] = encode([(context, target)], encoder)
    return Preview(about, parts, target, (len(encoded.context) if context else 0, len(encoded.continuation)))


def _parts(context: str, bare: str) -> tuple[str, str, str]:
    """Split a context into description, shots and query by the same context without shots, `bare`.

    Both begin with the description and end with the query. Where the first shot begins as the query does, the
    description ends with the last line before that.
    """
    before, after = _common(context, bare), _common(context[::-1], bare[::-1])
    least = len(bare) - after
    description = max(least, bare.rfind("\n", 0, before) + 1) if context != bare else 0
    query = len(bare) - description
    return context[:description], context[description : len(context) - query], context[len(context) - query :]


def _common(one: str, other: str) -> int:
    """Return how many characters two texts have in common at their beginning."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


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
