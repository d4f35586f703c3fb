"""How much of the held-out items appears in training text: shares of 8-grams, as in GPT-2's Table 6.

Radford et al. 2019, section 4: strings are lower-cased, only words of letters and digits are kept, and the figure is
the share of the test set's 8-grams that the training set holds. There it was estimated with Bloom filters, here it is
counted (with 64-bit hashes).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.world.dice import digest
from evalkit.world.families import NAMES, items

__all__ = ["as_said", "grams", "overlap"]

N = 8
_PRIME = np.uint64(0x100000001B3)
_WORD = re.compile(r"\w+")
_BATCH = 4096

Row = Mapping[str, Any]

_AS_SAID: dict[str, Callable[[Row], str]] = {
    "reading": lambda row: f"{row['passage']}\nQ: {row['question']}\nA:{row['lead']} {row['answer']}",
    "translation": lambda row: f"{row['english']} = {row['french']}",
    "summary": lambda row: f"{row['article']}\nTL;DR: {row['summary']}",
    "qa": lambda row: f"Q: {row['question']}\nA: {row['answer']}",
    "lm": lambda row: str(row["text"]),
    "lastword": lambda row: f"{row['context']} {row['word']}.",
    "cloze": lambda row: f"{row['passage']} {row['before']} {row['choices'][row['gold']]}{row['after']}",
    "pronouns": lambda row: f"{row['before']} {row['choices'][row['gold']]} {row['after']}",
    "patterns": lambda row: f"{row['input']} -> {row['output']}",
}


def as_said(name: str, row: Row) -> str:
    """Return an item as a training page would say it."""
    return _AS_SAID[name](row)


def grams(texts: Iterable[str], *, n: int = N) -> NDArray[np.uint64]:
    """Return the hashes of the texts' n-grams, those that occur twice twice."""
    batches = []
    for text in texts:
        words = np.array([_hash(word) for word in _WORD.findall(text.lower())], dtype=np.uint64)
        if len(words) >= n:
            windows = np.lib.stride_tricks.sliding_window_view(words, n)
            total = np.zeros(len(windows), dtype=np.uint64)
            for i in range(n):
                total = total * _PRIME + windows[:, i]
            batches.append(total)
    return np.concatenate(batches) if batches else np.zeros(0, dtype=np.uint64)


@cache
def _hash(word: str) -> int:
    return digest(word)


def overlap(documents: Iterable[str], *, seed: int = 0) -> dict[str, float | None]:
    """Return, for each family, the share of its items' 8-grams that stand in the documents.

    None where the items are too short to hold any.
    """
    tests = {name: grams(as_said(name, row) for row in items(name, "test", seed=seed)) for name in NAMES}
    wanted = np.unique(np.concatenate(list(tests.values())))
    seen = np.zeros(len(wanted), dtype=bool)
    for batch in _batches(documents):
        hashes = np.unique(grams(batch))
        where = np.searchsorted(wanted, hashes).clip(max=len(wanted) - 1)
        seen[where[wanted[where] == hashes]] = True
    return {
        name: float(seen[np.searchsorted(wanted, test)].mean()) if len(test) else None for name, test in tests.items()
    }


def _batches(documents: Iterable[str]) -> Iterable[list[str]]:
    batch: list[str] = []
    for document in documents:
        batch.append(document)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    yield batch
