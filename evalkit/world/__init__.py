"""The generated world: an English-French corpus in which tasks occur naturally, and its held-out items.

    corpus(documents=40_000)   the training documents, about six million tokens
    items("reading", "test")   held-out items of a task family
    print(sample("trivia"))    one document of a kind, to be read

Separation is by construction: every content (passage, sentence pair, event, question) has a canonical key, and a
hash of it decides whether it is held out. Training draws again when it is, testing when it is not.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.files import hash_files

if TYPE_CHECKING:
    from evalkit.world.dice import held_out
    from evalkit.world.families import NAMES, items
    from evalkit.world.pages import KINDS, corpus, sample

__all__ = ["KINDS", "NAMES", "VERSION", "corpus", "generator_hash", "held_out", "items", "sample"]

# Where names come from that are imported when they are first used: items that are cached need no generator.
_HOMES = {
    "held_out": "dice",
    **dict.fromkeys(("NAMES", "items"), "families"),
    **dict.fromkeys(("KINDS", "corpus", "sample"), "pages"),
}

VERSION = "world-1"
"""Changes whenever a document or an item does; part of every signature on this corpus."""


@lru_cache(maxsize=1)
def generator_hash() -> str:
    """Hash the generator's code: items made by other code may be other items."""
    return hash_files(*sorted(Path(__file__).parent.glob("*.py")))


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'evalkit.world' has no attribute {name!r}")
    value = getattr(import_module(f"evalkit.world.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
