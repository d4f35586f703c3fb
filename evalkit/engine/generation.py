"""Decoding: sequences are searched side by side; finished ones leave and waiting prompts enter."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

from torch import Tensor

from evalkit.engine.beam import BeamSearch
from evalkit.engine.prefix_tree import common_prefix
from evalkit.engine.sampling import Sampler, step_all
from evalkit.engine.word_search import WordSearch

Search = Sampler | BeamSearch | WordSearch

# Tokens that prompts must share, beyond what all of them share, to be read one after the other.
_RELATED = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """A sequence's first tokens, how many may be generated, and how many rows its search is expected to need."""

    tokens: tuple[int, ...]
    new_tokens: int
    rows: int = 1


class Reading(Protocol):
    """Prompts that a network reads and continues. Each sequence being continued is a row."""

    def advance(self, rows: list[int], tokens: list[int]) -> tuple[list[int], Tensor]:
        """Let row i be what row rows[i] was, followed by tokens[i]; rows may be dropped or occur many times.

        Then as many waiting prompts as fit become further rows. Return these prompts' positions among all prompts,
        and logits_RV of the token that follows each row. When no row is left, all prompts have been read.
        """
        ...


def decode(reading: Reading, begin: Callable[[int], Search]) -> Iterator[list[tuple[int, Search]]]:
    """Search from every prompt; after each token yield the searches that ended, with their prompts' positions."""
    live: list[tuple[int, Search]] = []
    rows: list[int] = []
    tokens: list[int] = []
    while True:
        entered, logits_RV = reading.advance(rows, tokens)
        live += [(place, begin(place)) for place in entered]
        if not live:
            return
        rows, tokens = _choose([search for _, search in live], logits_RV.float())
        yield [(place, search) for place, search in live if search.done]
        live = [(place, search) for place, search in live if not search.done]


def _choose(searches: Sequence[Search], logits_RV: Tensor) -> tuple[list[int], list[int]]:
    """Let every search take its step; return the rows that continue, and their tokens."""
    starts = list(accumulate((search.rows for search in searches), initial=0))
    samplers = {start: search for start, search in zip(starts, searches, strict=False) if isinstance(search, Sampler)}
    logits_SV = logits_RV if len(samplers) == len(logits_RV) else logits_RV[list(samplers)]
    sampled = iter(step_all(list(samplers.values()), logits_SV))
    rows, tokens = [], []
    for search, start, stop in zip(searches, starts, starts[1:], strict=False):
        steps = next(sampled) if isinstance(search, Sampler) else search.step(logits_RV[start:stop])
        rows += [start + row for row, _ in steps]
        tokens += [token for _, token in steps]
    return rows, tokens


def shared_by_all(prompts: Sequence[Prompt]) -> int:
    """Return how many leading tokens all prompts share, leaving at least one of each."""
    tokens = [prompt.tokens for prompt in prompts]
    return min(common_prefix(min(tokens), max(tokens)), min(map(len, tokens)) - 1) if tokens else 0


def reading_order(prompts: Sequence[Prompt], *, shared: int) -> list[int]:
    """Return the positions of prompts in the order in which to read them.

    Prompts that share more than all prompts do follow each other in lexicographic order, in which no earlier prompt has
    a longer common prefix with a prompt than the one just before it. Otherwise the longest come first: neighbours then
    have nearly the same length, and a prompt that does not fit into memory fails at once.
    """
    families: list[list[int]] = []
    for place in sorted(range(len(prompts)), key=lambda i: prompts[i].tokens):
        tokens = prompts[place].tokens
        start = tokens[: shared + _RELATED]
        if families and len(start) == shared + _RELATED and prompts[families[-1][-1]].tokens[: len(start)] == start:
            families[-1].append(place)
        else:
            families.append([place])
    families.sort(key=lambda family: -max(len(prompts[i].tokens) + prompts[i].new_tokens for i in family))
    return [place for family in families for place in family]
