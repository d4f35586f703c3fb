"""The likeliest next word outside a given set: GPT-2's stop-word filter (Radford et al. 2019, section 3.3)."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from evalkit.engine.base import TextCodec
from evalkit.types import Decoding, Response


@dataclass(frozen=True)
class _Start:
    """The tokens of a word so far, and their log-probability."""

    score: float
    ids: tuple[int, ...]


class WordSearch:
    """Searches for the likeliest word that Decoding.avoid does not hold, whatever its case.

    A word is a space followed by letters or digits; "n't" and "'s" belong to it. Its probability is that of its tokens
    times that of a next token that does not continue it, so "of" does not win where "office" is likely. The `beams`
    likeliest starts of words are kept, plus those that are words to avoid, since a longer word may begin with one. The
    search ends when no start is likelier than the best complete word; if there is none, the text is empty.
    """

    def __init__(self, decoding: Decoding, tokenizer: TextCodec, *, ends: Collection[int]):
        del ends  # a token that ends the text ends the word, as any other character does
        self._decoding, self._tokenizer = decoding, tokenizer
        self._avoid = frozenset(word.lower() for word in decoding.avoid)
        self._running = [_Start(0.0, ())]
        self._best: _Start | None = None
        self.done = False

    @property
    def rows(self) -> int:
        """Rows of scores that the next step needs: the prompt's alone, then one per start of a word."""
        return len(self._running)

    def step(self, logits_RV: Tensor) -> list[tuple[int, int]]:
        """End or extend every start from fp32 scores of the vocabulary.

        Return (row that it continues, its new token) of each start that runs on, or nothing when done.
        """
        device = logits_RV.device
        opening_V, continuing_V = (kind.to(device) for kind in _kinds(self._tokenizer, logits_RV.shape[1]))
        so_far_R = torch.tensor([start.score for start in self._running], dtype=torch.float64, device=device)
        scores_RV = logits_RV.double().log_softmax(1) + so_far_R[:, None]
        if scores_RV.isnan().any():  # comparisons with NaN are always false
            self._best, self.done = _Start(math.nan, ()), True
            return []
        length = len(self._running[0].ids)
        if length:
            ended_R = scores_RV.masked_fill(continuing_V, -torch.inf).logsumexp(1)
            for start, score in zip(self._running, ended_R.tolist(), strict=True):
                if score > self._threshold() and not self._avoided(start.ids):
                    self._best = _Start(score, start.ids)
        if length < self._decoding.max_tokens:
            steps = self._extend(scores_RV.masked_fill(~(continuing_V if length else opening_V), -torch.inf))
        else:
            steps = []
        self.done = not steps
        return steps

    def _extend(self, scores_RV: Tensor) -> list[tuple[int, int]]:
        """Keep the likeliest longer starts that may still beat the best word."""
        best = torch.topk(scores_RV.flatten(), min(self._decoding.beams + len(self._avoid), scores_RV.numel()))
        running: list[_Start] = []
        steps = []
        free = self._decoding.beams
        for score, place in zip(best.values.tolist(), best.indices.tolist(), strict=True):
            if not free or score <= self._threshold():
                break
            row, token = divmod(place, scores_RV.shape[1])
            ids = (*self._running[row].ids, token)
            free -= not self._avoided(ids)
            running.append(_Start(score, ids))
            steps.append((row, token))
        self._running = running or self._running
        return steps

    def _threshold(self) -> float:
        """Return the score that a word must exceed."""
        return self._best.score if self._best else -torch.inf

    def _avoided(self, ids: Sequence[int]) -> bool:
        return self._tokenizer.decode(ids).strip().lower().replace("\u2019", "'") in self._avoid

    def settled(self) -> str:
        """Return an empty text until the search has ended: any word may still lose."""
        return self.response().text if self.done else ""

    def response(self) -> Response:
        """Return the word with its leading space."""
        if self._best is None:
            return Response()
        text = self._tokenizer.decode(self._best.ids)
        return Response(text=text, tokens=len(self._best.ids), loglikelihood=self._best.score)


@lru_cache(maxsize=4)
def _kinds(tokenizer: TextCodec, vocabulary: int) -> tuple[Tensor, Tensor]:
    """Return which of a network's tokens begin a word after a space, and which continue one (V each)."""
    opening = torch.zeros(vocabulary, dtype=torch.bool)
    continuing = opening.clone()
    letter = tokenizer.encode("a")  # some tokenizers drop the leading space of a text's first token
    for token in range(min(vocabulary, tokenizer.size)):
        text = tokenizer.decode([*letter, token])[1:]
        opening[token] = text[:1] == " " and text[1:2].isalnum()
        continuing[token] = text[:1].isalnum() or (text[:1] in ("'", "\u2019") and text[1:2].isalpha())
    return opening, continuing
