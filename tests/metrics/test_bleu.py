"""BLEU and chrF against sacrebleu itself."""

from __future__ import annotations

import random

import numpy as np
import pytest
import sacrebleu
from sacrebleu.metrics.bleu import BLEU

from evalkit import metrics
from evalkit.errors import DataError
from evalkit.metrics.base import Array, Metric
from evalkit.metrics.bleu import bleu
from evalkit.types import Example, Response

WORDS = [
    "the",
    "a",
    "cat",
    "dog",
    "sat",
    "on",
    "mat",
    ",",
    ".",
    "ran",
    "quickly",
    "to",
    "it's",
    "3.5",
    "café",
    "l'homme",
    "–",
    "big",
]


def corpus(n: int, *, refs: int, seed: int) -> tuple[list[str], list[list[str]]]:
    """Random sentences and noisy copies; some empty, some without one shared word."""
    rng = random.Random(seed)
    predictions, references = [], []
    for i in range(n):
        words = rng.choices(WORDS, k=rng.randint(1, 14))
        kept = [word if rng.random() < 0.8 else rng.choice(WORDS) for word in words]
        prediction = "" if i % 11 == 3 else "zzz " * (i % 5) if i % 7 == 2 else " ".join(kept)
        predictions.append(prediction)
        references.append([" ".join(words[: rng.randint(1, len(words))]) for _ in range(refs - 1)] + [" ".join(words)])
    return predictions, references


def table(metric: Metric, predictions: list[str], references: list[list[str]]) -> Array:
    return np.array(
        [
            metric.statistics(Example(task="", input="", output=r[0], references=tuple(r)), [Response(text=p)])
            for p, r in zip(predictions, references, strict=True)
        ]
    )


def subsets(n: int, *, count: int) -> list[list[int]]:
    rng = random.Random(7)
    return [rng.choices(range(n), k=rng.choice([1, 1, 2, 3, 10, n])) for _ in range(count)]


@pytest.mark.parametrize(
    ("name", "tokenize", "refs"), [("bleu", "13a", 1), ("bleu_intl", "intl", 1), ("bleu_multi", "13a", 3)]
)
def test_bleu_is_sacrebleus(name: str, tokenize: str, refs: int) -> None:
    predictions, references = corpus(60, refs=refs, seed=refs)
    metric = metrics.get(name)
    rows = table(metric, predictions, references)
    chosen = [*subsets(60, count=150), [3], [2, 9], list(range(60))]
    ours = metric.aggregate(np.array([rows[c].sum(axis=0) for c in chosen]), np.array([len(c) for c in chosen]))
    theirs = [
        sacrebleu.corpus_bleu(
            [predictions[i] for i in c],
            [[references[i][r] for i in c] for r in range(refs)],
            tokenize=tokenize,
        ).score
        for c in chosen
    ]
    assert ours == pytest.approx(theirs, abs=1e-9)
    assert min(theirs) == 0.0
    assert max(theirs) > 50.0


def test_bleu_formula_is_sacrebleus_for_any_counts() -> None:
    rng = np.random.default_rng(5)
    total = np.sort(rng.integers(0, 12, size=(2000, 4)), axis=1)[:, ::-1]
    correct = rng.integers(0, total + 1) * (rng.random((2000, 4)) < 0.7)
    lengths = np.stack([total[:, 0], rng.integers(0, 15, size=2000)], axis=1)
    rows = np.concatenate([lengths, correct, total], axis=1).astype(float)
    theirs = [
        BLEU.compute_bleu(
            correct=c.tolist(), total=t.tolist(), sys_len=int(n[0]), ref_len=int(n[1]), smooth_method="exp"
        ).score
        for c, t, n in zip(correct, total, lengths, strict=True)
    ]
    assert bleu(rows) == pytest.approx(theirs, abs=1e-9)
    # The cases that matter are there: smoothed orders, and no match at all.
    assert 100 < sum(score > 0 for score in theirs) < 2000


def test_chrf_is_sacrebleus() -> None:
    for refs in (1, 3):
        predictions, references = corpus(60, refs=refs, seed=refs)
        metric = metrics.get("chrf")
        rows = table(metric, predictions, references)
        for c in [*subsets(60, count=60), [3], list(range(60))]:
            theirs = sacrebleu.corpus_chrf(
                [predictions[i] for i in c], [[references[i][r] for i in c] for r in range(refs)]
            ).score
            ours = metric.aggregate(rows[c].sum(axis=0), np.array(len(c)))
            assert float(ours) == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize(
    ("name", "signature"),
    [
        ("bleu", "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:{}"),
        ("bleu_intl", "nrefs:1|case:mixed|eff:no|tok:intl|smooth:exp|version:{}"),
        ("bleu_multi", "nrefs:var|case:mixed|eff:no|tok:13a|smooth:exp|version:{}"),
        ("chrf", "case:mixed|eff:yes|nc:6|nw:0|space:no|version:{}"),
    ],
)
def test_signatures(name: str, signature: str) -> None:
    assert metrics.get(name).signature() == signature.format(sacrebleu.__version__)


def test_several_references_need_the_metric_for_it() -> None:
    with pytest.raises(DataError, match="takes one reference, a document has 2; use 'bleu_multi'"):
        table(metrics.get("bleu"), ["a"], [["a", "b"]])
