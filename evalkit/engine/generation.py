"""Decoding: sequences are searched side by side, those that are finished leave, waiting prompts enter."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

from torch import Tensor

from evalkit.engine.beam import BeamSearch
from evalkit.engine.prefix_tree import common_prefix
from evalkit.engine.sampling import Sampler, step_all
from evalkit.engine.words import WordSearch

Search = Sampler | BeamSearch | WordSearch

# Tokens that prompts must share, beyond what all of them do, to be read one behind the other.
_RELATED = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """A sequence's first tokens, how many may follow, and how many rows its search is expected to need."""

    tokens: tuple[int, ...]
    more: int
    rows: int = 1


class Reading(Protocol):
    """Prompts that a network reads and continues. Each sequence that is being continued is a row."""

    def advance(self, rows: list[int], tokens: list[int]) -> tuple[list[int], Tensor]:
        """Let row i be what row rows[i] was, followed by tokens[i]; rows may be dropped or occur many times.

        Then as many waiting prompts as there is room for become further rows. Return the places of these prompts
        among all, and logits_RV of the token that follows each row. Without a row left, all prompts have been read.
        """
        ...


def decode(reading: Reading, begin: Callable[[int], Search]) -> Iterator[list[tuple[int, Search]]]:
    """Search from every prompt; after each token yield the searches that it ended, with the places of their prompts."""
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
    """Let every search take its step: return the rows that go on, and their tokens."""
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
    """Return how many tokens all prompts begin with; at least one of each is left over."""
    tokens = [prompt.tokens for prompt in prompts]
    return min(common_prefix(min(tokens), max(tokens)), min(map(len, tokens)) - 1) if tokens else 0


def reading_order(prompts: Sequence[Prompt], *, shared: int) -> list[int]:
    """Return the places of prompts in the order in which to read them.

    Prompts that share more than what all do follow each other, in the order of a dictionary, where each has with the
    one before it the longest common prefix with any before it. Otherwise the longest come first: neighbours are of
    nearly one length, and what does not fit the memory shows at once.
    """
    families: list[list[int]] = []
    for place in sorted(range(len(prompts)), key=lambda i: prompts[i].tokens):
        tokens = prompts[place].tokens
        start = tokens[: shared + _RELATED]
        if families and len(start) == shared + _RELATED and prompts[families[-1][-1]].tokens[: len(start)] == start:
            families[-1].append(place)
        else:
            families.append([place])
    families.sort(key=lambda family: -max(len(prompts[i].tokens) + prompts[i].more for i in family))
    return [place for family in families for place in family]
