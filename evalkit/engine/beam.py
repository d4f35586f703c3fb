"""Beam search: the best of several texts kept side by side (Brown et al. 2020, 2.4: width 4, length penalty 0.6)."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor

from evalkit.engine.base import TextCodec
from evalkit.engine.sampling import find_stop
from evalkit.types import Decoding, Response


@dataclass(frozen=True)
class _Beam:
    """Tokens with their score: summed log-probability while running, length-normalised once finished."""

    score: float
    ids: tuple[int, ...]


class BeamSearch:
    """Searches for one request's likeliest text.

    The rules are those of transformers' generate(num_beams=..., length_penalty=..., early_stopping=False), so that
    texts can be compared token by token. A finished beam scores log p / tokens ** length_penalty, where end of text
    counts as a token; Wu et al. 2016 divide by ((5 + tokens) / 6) ** penalty instead, and Brown et al. do not say
    which they used. The search ends at max_tokens, or when as many beams as the width have finished and the best
    running one, at its present length, scores no better than the worst of them.
    """

    def __init__(self, decoding: Decoding, tokenizer: TextCodec, *, ends: Collection[int]):
        self._decoding, self._tokenizer, self._ends = decoding, tokenizer, ends
        self._running = [_Beam(0.0, ())]  # best first, as are the finished ones
        self._finished: list[_Beam] = []
        self.done = False

    @property
    def rows(self) -> int:
        """Rows of scores that the next step needs: the prompt's alone, then one per running beam."""
        return len(self._running)

    def step(self, logits_RV: Tensor) -> list[tuple[int, int]]:
        """Extend the running beams from fp32 scores of the vocabulary.

        Return (row that it continues, its new token) of each beam that runs on, or nothing when done.
        """
        width, vocabulary = self._decoding.beams, logits_RV.shape[1]
        so_far_R = torch.tensor([beam.score for beam in self._running], dtype=torch.float64, device=logits_RV.device)
        scores_N = (logits_RV.double().log_softmax(1) + so_far_R[:, None]).flatten()
        # Enough candidates to fill the width even if each beam's likeliest tokens all end it.
        candidates = max(2, 1 + len(self._ends)) * width
        best = torch.topk(scores_N, min(candidates, len(scores_N)))
        length = len(self._running[0].ids) + 1
        running: list[_Beam] = []
        steps = []
        for rank, (score, place) in enumerate(zip(best.values.tolist(), best.indices.tolist(), strict=True)):
            row, token = divmod(place, vocabulary)
            ids = (*self._running[row].ids, token)
            if self._ends_with(ids):
                if rank < width:  # candidates of lower rank only replace beams that end; they may not end themselves
                    self._finished.append(_Beam(score / math.pow(length, self._decoding.length_penalty), ids))
            elif len(running) < width:
                running.append(_Beam(score, ids))
                steps.append((row, token))
        self._finished = sorted(self._finished, key=lambda beam: -beam.score)[:width]
        self._running = running
        self.done = not running or self._cannot_improve(length)
        return [] if self.done else steps

    def _ends_with(self, ids: tuple[int, ...]) -> bool:
        """Whether the last token ends a beam."""
        if ids[-1] in self._ends or len(ids) >= self._decoding.max_tokens:
            return True
        until = self._decoding.until
        return bool(until) and find_stop(self._tokenizer.decode(ids), until) >= 0

    def _cannot_improve(self, length: int) -> bool:
        if len(self._finished) < self._decoding.beams:
            return False
        attainable = self._running[0].score / math.pow(length, self._decoding.length_penalty)
        return attainable <= self._finished[-1].score

    def settled(self) -> str:
        """Return an empty text until the search has ended: any beam may still lose."""
        return self.response().text if self.done else ""

    def response(self) -> Response:
        """Return the best finished beam's text before the first stop string."""
        best = self._finished[0]
        logprob = best.score * math.pow(len(best.ids), self._decoding.length_penalty)
        ids = best.ids
        ids = ids[:-1] if ids[-1] in self._ends else ids
        text = self._tokenizer.decode(ids)
        stop = find_stop(text, self._decoding.until)
        return Response(text=text if stop < 0 else text[:stop], tokens=len(ids), loglikelihood=logprob)
