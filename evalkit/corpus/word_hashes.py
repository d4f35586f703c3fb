"""Texts as hashes of their words, in numpy, by which near-duplicates and evaluation text are found.

A word is a run of letters and digits, in lower case, so punctuation, layout and Markdown's emphasis make no
difference (Brown et al. 2020, appendix C: "a lowercase, whitespace delimited word with no punctuation").
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

WORD = re.compile(r"[^\W_]+")

# Distinct spellings whose hashes are cached, about 150 MB of them; English books have far fewer.
_CACHED = 1_000_000
_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd, with mixed bits


class WordHasher:
    """Turns a text into one 64-bit hash per word, with a cache of hashes."""

    def __init__(self) -> None:
        self._hashes = _HashCache()

    def __call__(self, text: str) -> NDArray[np.uint64]:
        """Return the hashes of the text's words in their order."""
        return np.fromiter(map(self._hashes.__getitem__, WORD.findall(text)), dtype=np.uint64)


class _HashCache(dict[str, int]):
    def __missing__(self, word: str) -> int:
        if len(self) >= _CACHED:
            self.clear()
        value = int.from_bytes(blake2b(word.lower().encode(), digest_size=8).digest(), "little")
        self[word] = value
        return value


def grams(words: NDArray[np.uint64], *, n: int) -> NDArray[np.uint64]:
    """Return the hash of each run of n words; gram i begins at word i. Empty if there are fewer than n words."""
    count = len(words) - n + 1
    if count < 1:
        return np.zeros(0, dtype=np.uint64)
    total = words[:count].copy()
    for offset in range(1, n):
        total *= _FACTOR
        total += words[offset : offset + count]
    return total


def spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield where each word of WordHasher begins and ends, in characters."""
    return (match.span() for match in WORD.finditer(text))
