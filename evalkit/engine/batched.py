"""What engines of neural networks share: the tokens that a request scores, windows over long documents, decoding.

Shapes as in model/gpt.py; R is the number of scored positions, or of sequences being decoded, in a batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from evalkit.engine.base import TextCodec
from evalkit.engine.beam import BeamSearch
from evalkit.engine.compute import check_stride
from evalkit.engine.generation import Prompt, Reading, Search, decode
from evalkit.engine.rolling import rolling_windows
from evalkit.engine.sampling import Sampler
from evalkit.engine.token_scores import Reader, TokenScores, token_scores
from evalkit.engine.word_search import WordSearch
from evalkit.errors import CheckpointError
from evalkit.types import Request, Response


@dataclass(frozen=True, slots=True)
class Span:
    """Tokens to read, the last `scored` of them to be scored: part `part` of the request at position `owner`."""

    owner: int
    part: int
    tokens: tuple[int, ...]
    scored: int


class ScoredSpans(NamedTuple):
    """Spans of a batch; for their scored tokens (M), one span after the other, the log-probability (fp64) and whether
    each was the argmax.
    """

    spans: Sequence[Span]
    logprobs: Tensor
    greedy: Tensor

    def totals(self) -> Iterator[tuple[Span, float, bool]]:
        """Yield each span with the sum of its log-probabilities, and whether all of its tokens were the argmax.

        Spans with as many tokens are summed in one operation, in the order in which one by itself would be.
        """
        counts = np.array([span.scored for span in self.spans])
        starts = np.cumsum(counts) - counts
        totals, all_greedy = np.empty(len(counts)), np.empty(len(counts), dtype=bool)
        for count in np.unique(counts):
            [alike] = np.nonzero(counts == count)
            tokens = torch.from_numpy(starts[alike, None] + np.arange(count))
            totals[alike], all_greedy[alike] = self.logprobs[tokens].sum(1), self.greedy[tokens].all(1)
        yield from zip(self.spans, totals.tolist(), all_greedy.tolist(), strict=True)


class BatchedEngine(ABC):
    """Answers requests in batches; a subclass defines how its network reads tokens.

    positions: tokens that one pass of the network can read. batch_tokens: tokens in a batch, padding included; it
    changes speed and memory, never a score. stride: tokens by which rolling windows advance; `positions` by default
    (GPT-2's non-overlapping windows). ends: tokens that end a generated text. every_window: whether the token that
    begins a document is repeated before each of its windows, not only before the first. vocabulary: how many token ids
    the network knows; a request with any other id is answered by an error.

    If the tokenizer puts a token before every text (`begin`), contexts and documents begin with it, and it takes one
    position: the model was trained that way. Otherwise documents begin with end of text.
    """

    def __init__(
        self,
        tokenizer: TextCodec,
        *,
        positions: int,
        device: torch.device,
        ends: Collection[int],
        batch_tokens: int,
        stride: int | None,
        every_window: bool = False,
        vocabulary: int,
    ):
        self.tokenizer = tokenizer
        self._positions, self._begin = positions, tokenizer.begin
        self.context_length = positions - (tokenizer.begin is not None)
        # The token that begins a document.
        self._first = tokenizer.end_of_text if tokenizer.begin is None else tokenizer.begin
        self._device, self._ends = device, frozenset(ends)
        check_stride(stride, positions=positions)
        self._batch_tokens, self._stride = batch_tokens, stride or positions
        self._every_window = every_window
        highest = tokenizer.highest
        self._known_ids = None if highest is not None and highest < vocabulary else range(vocabulary)

    @abstractmethod
    def signature(self) -> Mapping[str, str]:
        """Return what identifies the numbers."""

    @abstractmethod
    def _score(self, spans: Sequence[Span]) -> Iterator[ScoredSpans]:
        """Yield the spans in batches, each span once."""

    @property
    @abstractmethod
    def _reader(self) -> Reader:
        """Return the network, to read a text by itself."""

    @abstractmethod
    def _reading(self, prompts: Sequence[Prompt]) -> Reading:
        """Return the object that reads these prompts and continues them."""

    def halve_batches(self) -> bool:
        """From now on read half as many tokens at once; return False at a single one."""
        if self._batch_tokens == 1:
            return False
        self._batch_tokens //= 2
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        return True

    def _context(self, request: Request) -> tuple[int, ...]:
        """Return the tokens that a request is conditioned on."""
        ids = request.context_ids
        if self._begin is None or ids[:1] == (self._begin,):
            return ids
        empty = ids == (self.tokenizer.end_of_text,)  # how the harness encodes an empty context
        return (self._begin,) if empty else (self._begin, *ids)

    def loglikelihood(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        """Score continuations; one without tokens has log-likelihood 0 and is greedy.

        A context that is too long is cut on the left, after the token that begins texts if there is one; a
        continuation that is too long by itself is an error.
        """
        spans = []
        for i, request in enumerate(requests):
            scored = len(request.continuation_ids)
            if unknown := self._unknown(request):
                yield i, unknown
            elif scored > self._positions:
                yield i, Response(error=f"the answer has {scored} tokens, the context allows {self._positions}")
            elif scored:
                tokens = (self._context(request) or (self._first,)) + request.continuation_ids
                spans.append(Span(i, 0, self._cut(tokens, scored), scored))
            else:
                yield i, Response(is_greedy=True)
        for span, total, greedy in chain.from_iterable(batch.totals() for batch in self._score(spans)):
            yield span.owner, Response(loglikelihood=total, is_greedy=greedy, tokens=span.scored)

    def _cut(self, tokens: tuple[int, ...], scored: int) -> tuple[int, ...]:
        """Cut tokens, the last of which is not read, to the number that the network can read."""
        limit = self._positions + 1
        head = tokens[:1] if self._begin is not None and len(tokens) > limit > scored + 1 else ()
        return head + tokens[-(limit - len(head)) :]

    def loglikelihood_rolling(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        """Score whole documents; windows of all documents share batches."""
        spans, open_parts = [], []
        for i, request in enumerate(requests):
            if unknown := self._unknown(request):
                open_parts.append(0)
                yield i, unknown
                continue
            stream = ((self._context(request) or (self._first,))[0], *request.continuation_ids)
            windows = rolling_windows(
                len(request.continuation_ids), context=self._positions, stride=self._stride,
                every_begins=self._every_window,
            )  # fmt: skip
            open_parts.append(len(windows))
            head = stream[: int(self._every_window)]
            spans += [Span(i, part, head + stream[w.start : w.stop], w.scored) for part, w in enumerate(windows)]
            if not windows:
                yield i, Response(is_greedy=True)
        greedy_all = [True] * len(requests)
        parts: dict[int, list[tuple[int, float]]] = {}
        for span, logprob, greedy in chain.from_iterable(batch.totals() for batch in self._score(spans)):
            i = span.owner
            # Windows finish in any order; summing them in one order keeps the last bit the same.
            parts.setdefault(i, []).append((span.part, logprob))
            greedy_all[i] = greedy_all[i] and greedy
            open_parts[i] -= 1
            if not open_parts[i]:
                total = sum(value for _, value in sorted(parts.pop(i)))
                tokens = len(requests[i].continuation_ids)
                yield i, Response(loglikelihood=total, is_greedy=greedy_all[i], tokens=tokens)

    @torch.inference_mode()
    def generate_until(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        """Decode with a key-value cache; each finished sequence makes room for the next."""
        unknown = {i: error for i, request in enumerate(requests) if (error := self._unknown(request))}
        yield from unknown.items()
        places = [i for i in range(len(requests)) if i not in unknown]
        reading = self._reading([self._prompt(requests[i]) for i in places])
        for ended in decode(reading, lambda place: self._search(requests[places[place]])):
            yield from ((places[place], search.response()) for place, search in ended)

    @torch.inference_mode()
    def stream(self, request: Request) -> Iterator[str]:
        """Yield the text of generate_until in pieces as it is decoded (with a beam search, all of it at the end).

        A piece never ends within a character, and no part of a stop string is shown.
        """
        if unknown := self._unknown(request):
            raise CheckpointError(unknown.error)
        search, shown = self._search(request), 0
        for _ in decode(self._reading([self._prompt(request)]), lambda _: search):
            text = search.settled()
            if len(text) > shown:
                yield text[shown:]
                shown = len(text)

    def token_scores(self, request: Request) -> TokenScores:
        """Score each token of a document by itself: of the first that one pass can read.

        Raises CheckpointError for an id that the network does not know.
        """
        if unknown := self._unknown(request):
            raise CheckpointError(unknown.error)
        first = (self._context(request) or (self._first,))[0]
        tokens = (first, *request.continuation_ids)[: self._positions + 1]
        return token_scores(self._reader, torch.tensor(tokens, device=self._device))

    def _unknown(self, request: Request) -> Response | None:
        """Return the error of a request with an id that the network does not know."""
        if self._known_ids is None:
            return None
        begin = () if self._begin is None else (self._begin,)
        tokens = (*begin, *(request.context_ids or (self._first,)), *request.continuation_ids)
        stray = next((token for token in tokens if token not in self._known_ids), None)
        if stray is None:
            return None
        return Response(error=f"the tokenizer gives the id {stray:,}, the model has {len(self._known_ids):,} token ids")

    def _prompt(self, request: Request) -> Prompt:
        decoding = request.decoding
        return Prompt(tokens=self._context(request), new_tokens=decoding.max_tokens, rows=decoding.beams)

    def _search(self, request: Request) -> Search:
        kind = WordSearch if request.decoding.avoid else BeamSearch if request.decoding.beams > 1 else Sampler
        return kind(request.decoding, self.tokenizer, ends=self._ends)
