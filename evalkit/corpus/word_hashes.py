"""Texts as hashes of their words, in numpy, by which near-duplicates and evaluation text are found.

A word is a run of letters and digits, in lower case, so punctuation, layout and Markdown's emphasis make no
difference (Brown et al. 2020, appendix C: "a lowercase, whitespace delimited word with no punctuation").
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
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


class GramSet:
    """Sorted hashes of runs of words, each once, that texts are searched for."""

    _BITS = 24
    _REST = np.uint64(64 - _BITS)

    def __init__(self, values: NDArray[np.uint64]):
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def _beginnings(self) -> NDArray[np.bool_]:
        """Whether any value begins with these bits: a lookup in 16 MB saves the search for most grams."""
        present = np.zeros(1 << self._BITS, dtype=bool)
        present[self.values >> self._REST] = True
        return present

    def matches(self, text_grams: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the positions in a text's grams that are in the set, and the place of each in `values`."""
        if not (len(text_grams) and len(self.values)):
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        candidates = np.flatnonzero(self._beginnings[text_grams >> self._REST])
        places = np.searchsorted(self.values, text_grams[candidates]).clip(max=len(self.values) - 1)
        same = self.values[places] == text_grams[candidates]
        return candidates[same], places[same]


def spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield where each word of WordHasher begins and ends, in characters."""
    return (match.span() for match in WORD.finditer(text))
