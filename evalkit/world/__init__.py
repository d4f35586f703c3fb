"""The generated world: an English-French corpus in which tasks occur naturally, and its held-out items.

    corpus(documents=40_000)   the training documents, about six million tokens
    items("reading", "test")   held-out items of a task family
    print(sample("trivia"))    one document of a kind, to be read

Separation is by construction: every content (passage, sentence pair, event, question) has a canonical key, and a
hash of it decides whether it is held out. Training draws again when it is, testing when it is not.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from evalkit.files import hash_files
from evalkit.world.dice import held_out
from evalkit.world.items import NAMES, items
from evalkit.world.pages import KINDS, corpus, sample

__all__ = ["KINDS", "NAMES", "VERSION", "corpus", "generator_hash", "held_out", "items", "sample"]

VERSION = "world-1"
"""Changes whenever a document or an item does; part of every signature on this corpus."""


@lru_cache(maxsize=1)
def generator_hash() -> str:
    """Hash the generator's code: items made by other code may be other items."""
    return hash_files(*sorted(Path(__file__).parent.glob("*.py")))
