"""Run folders made without a model, written and aggregated by the harness itself."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evalkit.harness.aggregate import aggregate
from evalkit.runs.store import RunStore
from evalkit.types import Cell, Prompt, Record, Response


@dataclass(frozen=True, kw_only=True)
class Made:
    """A task of a made-up run. scores: per document, a mapping metric -> statistics; None is a failed item.

    With several seeds a document's entry is a list of such mappings. wordings: the same by further templates. Responses
    are equal where scores and `answer` are; likelihood: theirs.
    """

    scores: Mapping[str, object]
    metrics: Sequence[str] = ("acc",)
    clusters: Mapping[str, str] = field(default_factory=dict)
    version: int = 1
    protocol: str = "plain"
    data: str = "d0"
    shots: int = 0
    seeds: Sequence[int] = (1,)
    documents: int | None = None
    answer: str = "x"
    likelihood: float = -1.0
    wordings: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


def binary(bits: str) -> dict[str, object]:
    """One document per sign of a text of 0 and 1."""
    return {f"doc-{i}": {"acc": (float(bit),)} for i, bit in enumerate(bits)}


def write_run(folder: Path, tasks: Mapping[str, Made], *, model: str = "m", order: int = 1) -> Path:
    """Write a whole run; order -1 stores the records backwards."""
    settings = {
        "evalkit": "0.1.0",
        "model": {"model": model, "hash": f"{model}-hash", "dtype": "float32"},
        "tasks": {
            name: {
                "version": task.version,
                "family": "qa",
                "protocol": task.protocol,
                "metrics": list(task.metrics),
                "data": task.data,
                "documents": task.documents or len(task.scores),
            }
            for name, task in tasks.items()
        },
        "shots": [0],
        "seeds": sorted({seed for task in tasks.values() for seed in task.seeds}),
        "limit": None,
    }
    records = [record for name, task in tasks.items() for record in _records(name, task)][::order]
    with RunStore(folder, settings) as store:
        store.append(records)
    store.finish(aggregate(records, settings), {})
    return folder


def unbind(folder: Path) -> None:
    """Take from a run's results what binds the manifest and the records to them, as older versions wrote them."""
    raw = json.loads((folder / "results.json").read_text())
    for name in ("records", "checksum"):
        raw.pop(name, None)
    (folder / "results.json").write_text(json.dumps(raw))


def _records(name: str, task: Made) -> list[Record]:
    found = []
    named = [
        (template, pair) for template, scores in {"": task.scores, **task.wordings}.items() for pair in scores.items()
    ]
    for template, (doc_id, scores) in named:
        per_seed = scores if isinstance(scores, list) else [scores]
        for seed, one in zip(task.seeds, per_seed, strict=True):
            found.append(
                Record(
                    cell=Cell(task=name, protocol=task.protocol, shots=task.shots, seed=seed, template=template),
                    doc_id=doc_id,
                    cluster=task.clusters.get(doc_id, ""),
                    level="",
                    prompt=Prompt(contexts=(f"Q: {doc_id}?\nA:",)),
                    continuations=(),
                    responses=(Response(text=f"{task.answer} {one}", loglikelihood=task.likelihood),),
                    gold="gold | `of` <b>",
                    prediction=f"said *{seed}*",
                    scores=one or {},
                    error="" if one else "too long",
                )
            )
    return found
