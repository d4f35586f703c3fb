"""What a model itself says of a benchmark, without its corpus: the order test, and min-k% against unseen texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evalkit.contamination import membership
from evalkit.contamination.corpora import Training
from evalkit.contamination.documents import Item
from evalkit.contamination.membership import Auc, Comparison
from evalkit.contamination.orders import OrderTest, order_test, spread
from evalkit.errors import DataError
from evalkit.progress import progress
from evalkit.types import Request

if TYPE_CHECKING:
    from evalkit.engine.batched import BatchedEngine

Values = NDArray[np.float64]

# Texts of a side that are compared: fewer unseen ones say nothing, more would take long, each being read by itself.
LEAST, MOST = 5, 1_000


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One task.

    documents: how many it has. order: None where no two of them can change places. reference: the same test of another
    model, which has not read them. items: those that are compared with unseen texts. familiar, unseen: by measure, of
    each item (D,) and unseen text (U,). comparisons: of these, with one value per passage. words: how well words alone
    tell the two apart. All that compares is empty or None without unseen texts.
    """

    task: str
    documents: int
    order: OrderTest | None
    reference: OrderTest | None = None
    items: Sequence[Item] = ()
    familiar: Mapping[str, Values] = field(default_factory=dict)
    unseen: Mapping[str, Values] = field(default_factory=dict)
    comparisons: Mapping[str, Comparison] = field(default_factory=dict)
    words: Auc | None = None


@dataclass(frozen=True, kw_only=True)
class Orders:
    """How orders are tested: at most so many shards of a task, so many permutations of each, and a seed for these."""

    shards: int = 50
    permutations: int = 30
    seed: int = 1


def order_evidence(
    task: str, items: Sequence[Item], engine: BatchedEngine, *, settings: Orders, reference: BatchedEngine | None = None
) -> Evidence:
    """Test the order of a task's documents. Raises CheckpointError for documents that a model cannot read."""
    tests = [
        order_test(
            items, model, shards=settings.shards, permutations=settings.permutations, seed=settings.seed, note=task
        )
        for model in (engine, reference)
        if model
    ]  # fmt: skip
    return Evidence(task=task, documents=len(items), order=tests[0], reference=tests[1] if reference else None)


def compared(
    evidence: Evidence, items: Sequence[Item], engine: BatchedEngine, unseen: Sequence[str],
    values: Mapping[str, Values], *, share: float,
) -> Evidence:  # fmt: skip
    """Return the evidence with a comparison of its documents with unseen texts, at most MOST of them.

    values: of the unseen texts, by measure.
    """
    items = spread(items, MOST)
    texts = [item.text for item in items]
    familiar = familiarities(engine, texts, share=share)
    return replace(
        evidence, items=items, familiar=familiar, unseen=values,
        comparisons={name: membership.compare(_by_passage(familiar[name], items), values[name]) for name in familiar},
        words=membership.words_auc(texts, unseen),
    )  # fmt: skip


def _by_passage(values: Values, items: Sequence[Item]) -> Values:
    """Return the mean of the documents that share a passage, which say the same twice."""
    names = [item.cluster or f"\0{i}" for i, item in enumerate(items)]
    _, places = np.unique(names, return_inverse=True)
    means: Values = np.bincount(places, weights=values) / np.bincount(places)
    return means


def unseen_texts(training: Training) -> list[str]:
    """Return the first MOST texts of a source. Raises DataError for too few."""
    documents = (text for chunk, _ in training.chunks() for _, text in chunk.documents())
    texts = list(islice(filter(str.strip, documents), MOST))
    if len(texts) < LEAST:
        raise DataError(f"{training.name} has {len(texts)} texts; a comparison needs at least {LEAST}")
    return texts


def familiarities(engine: BatchedEngine, texts: Sequence[str], *, share: float = membership.SHARE) -> dict[str, Values]:
    """Return how familiar texts are to a model, by measure, (T,). Raises CheckpointError for one it cannot read."""
    rows = []
    with progress("read the texts", total=len(texts), unit="texts") as bar:
        for number, tokens in enumerate(engine.tokenizer.encode_batch(texts)):
            request = Request(
                kind="loglikelihood_rolling", task="texts", doc_id=str(number), continuation_ids=tuple(tokens)
            )  # fmt: skip
            rows.append(membership.familiarity(engine.token_scores(request), share=share))
            bar.advance(1)
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}
