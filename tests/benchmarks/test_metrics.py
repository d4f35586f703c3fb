"""Speed of intervals and of scoring answers: `pytest tests/benchmarks/test_metrics.py --benchmark-only`."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from evalkit import metrics
from evalkit.stats.intervals import interval
from evalkit.types import Example, Response

Benchmark = Callable[..., Any]
WORDS = [f"word{i}" for i in range(2000)]


def counts(n: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """BLEU statistics of n made-up sentences of about 25 words."""
    rng = np.random.default_rng(0)
    length = rng.integers(8, 45, size=n)
    total = np.stack([length - order for order in range(4)], axis=1)
    correct = rng.binomial(total, [0.6, 0.35, 0.22, 0.14])
    return np.column_stack([length, length + rng.integers(-3, 4, size=n), correct, total]).astype(float)


def texts(n: int, *, words: int) -> list[tuple[Example, list[Response]]]:
    rng = random.Random(0)
    pairs = [(rng.choices(WORDS, k=words), rng.choices(WORDS, k=words)) for _ in range(n)]
    return [
        (Example(task="", input="", output=" ".join(a)), [Response(text=" ".join(a[: words // 2] + b))])
        for a, b in pairs
    ]


@pytest.mark.parametrize("n", [3_000, 10_000])
def test_interval_of_bleu(benchmark: Benchmark, n: int) -> None:
    rows = counts(n)
    found = benchmark(interval, metrics.get("bleu"), rows)
    assert 0 < found.low < found.value < found.high < 100


@pytest.mark.parametrize(("name", "words"), [("f1", 5), ("rougeL", 60), ("bleu", 25)])
def test_a_thousand_documents(benchmark: Benchmark, name: str, words: int) -> None:
    items, metric = texts(1000, words=words), metrics.get(name)
    rows = benchmark(lambda: [metric.statistics(example, responses) for example, responses in items])
    assert len(rows) == 1000 and max(row[0] for row in rows) > 0
