"""Published values shown beside ours: as hollow points in figures, in italics in tables."""

from __future__ import annotations

from dataclasses import dataclass

from evalkit import papers
from evalkit.model import config


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """A value that a paper printed for a task that we have too.

    paper: short name ("GPT-2"). model: as the paper names it ("117M"), or a baseline ("human", "previous SOTA").
    parameters: of the model, None for a baseline. task, metric: OUR names. shots: None where the paper does not say.
    value: in the unit in which we show the metric. note: what differs from our protocol.
    """

    paper: str
    model: str
    task: str
    metric: str
    value: float
    parameters: int | None = None
    shots: int | None = None
    note: str = ""


def printed() -> list[Reference]:
    """Return what the GPT-2 and GPT-3 papers print, under our names; they used their own prompts and shots."""
    references = []
    for (task, protocol, shots, model, source, metric), value in papers.published().items():
        name = model if source == "model" else source.partition(":")[2]
        references.append(
            Reference(
                # GPT-3's paper also measures by GPT-2's protocols.
                paper="GPT-3" if model.startswith("gpt3-") else _PAPERS.get(protocol, protocol),
                model=name.rpartition("-")[2] if source == "model" else name,
                task=task,
                metric=metric,
                value=value.value,
                parameters=config.SIZES[model].parameters if source == "model" and model in config.SIZES else None,
                shots=int(shots) if shots.isdigit() else None,
                note="; ".join(filter(None, (value.where, value.note))),
            )
        )
    return references


_PAPERS = {"gpt2": "GPT-2", "gpt3": "GPT-3"}
