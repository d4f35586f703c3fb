"""What engines of neural networks share: what a request scores, windows over long documents, decoding.

Shapes as in model/gpt.py; R is the number of scored positions, or of sequences being decoded, in a batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from evalkit.engine.base import TextCodec
from evalkit.engine.beam import BeamSearch
from evalkit.engine.generation import Prompt, Reading, Search, decode
from evalkit.engine.rolling import rolling_windows
from evalkit.engine.sampling import Sampler
from evalkit.engine.words import WordSearch
from evalkit.types import Request, Response


@dataclass(frozen=True, slots=True)
class Span:
    """Tokens to feed and how many of them, at the end, to score: part `part` of the request at position `owner`."""

    owner: int
    part: int
    tokens: tuple[int, ...]
    scored: int


class BatchedEngine(ABC):
    """Answers requests in batches; a subclass says how its network reads tokens.

    positions: tokens that one pass of the network can read. batch_tokens: tokens in a batch, padding included; it
    changes speed and memory, never a score. stride: tokens by which rolling windows advance; `positions` if not given
    (GPT-2's non-overlapping windows). ends: tokens that end a generated text. every_window: whether what a document
    begins with stands before each of its windows, not before the first alone.
    """

    _begin: int | None = None  # the token that the tokenizer puts before every text, if it does

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
    ):
        self.tokenizer = tokenizer
        self.context_length = self._positions = positions
        self._first = tokenizer.end_of_text  # what a document begins with
        self._device, self._ends = device, frozenset(ends)
        self._batch_tokens, self._stride = batch_tokens, stride or positions
        self._every_window = every_window

    @abstractmethod
    def signature(self) -> Mapping[str, str]:
        """Return what identifies the numbers."""

    @abstractmethod
    def _score(self, spans: Sequence[Span]) -> Iterator[tuple[Span, Tensor, Tensor]]:
        """Yield each span with its scored tokens' log-probabilities (fp64), and whether no other was likelier."""

    @abstractmethod
    def _reading(self, prompts: Sequence[Prompt]) -> Reading:
        """Return what reads these prompts and continues them."""

    def _context(self, request: Request) -> tuple[int, ...]:
        """Return the tokens that a request is conditioned on."""
        return request.context_ids

    def loglikelihood(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        """Score continuations; one without tokens has log-likelihood 0 and is greedy.

        Of a context that is too long the left is cut, behind the token that begins texts if there is one; a
        continuation that alone is too long is an error.
        """
        spans = []
        for i, request in enumerate(requests):
            scored = len(request.continuation_ids)
            if scored > self._positions:
                yield i, Response(error=f"the answer has {scored} tokens, the context allows {self._positions}")
            elif scored:
                whole = (self._context(request) or (self._first,)) + request.continuation_ids
                spans.append(Span(i, 0, self._cut(whole, scored), scored))
            else:
                yield i, Response(is_greedy=True)
        for span, logprobs, greedy in self._score(spans):
            total = float(logprobs.sum())
            yield span.owner, Response(loglikelihood=total, is_greedy=bool(greedy.all()), tokens=span.scored)

    def _cut(self, whole: tuple[int, ...], scored: int) -> tuple[int, ...]:
        """Cut tokens of which the last is not read to what the network reads."""
        most = self._positions + 1
        head = whole[:1] if self._begin is not None and len(whole) > most > scored + 1 else ()
        return head + whole[-(most - len(head)) :]

    def loglikelihood_rolling(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        """Score whole documents; windows of all documents share batches."""
        spans, waiting = [], []
        for i, request in enumerate(requests):
            stream = (self._first, *request.continuation_ids)
            windows = rolling_windows(
                len(request.continuation_ids), context=self._positions, stride=self._stride,
                every_begins=self._every_window,
            )  # fmt: skip
            waiting.append(len(windows))
            head = stream[: int(self._every_window)]
            spans += [Span(i, part, head + stream[w.start : w.stop], w.scored) for part, w in enumerate(windows)]
            if not windows:
                yield i, Response(is_greedy=True)
        greedy_all = [True] * len(requests)
        parts: dict[int, list[tuple[int, float]]] = {}
        for span, logprobs, greedy in self._score(spans):
            i = span.owner
            # Windows finish in any order; summing them in one order keeps the last bit the same.
            parts.setdefault(i, []).append((span.part, float(logprobs.sum())))
            greedy_all[i] = greedy_all[i] and bool(greedy.all())
            waiting[i] -= 1
            if not waiting[i]:
                total = sum(value for _, value in sorted(parts.pop(i)))
                tokens = len(requests[i].continuation_ids)
                yield i, Response(loglikelihood=total, is_greedy=greedy_all[i], tokens=tokens)

    @torch.inference_mode()
    def generate_until(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        """Decode with a key-value cache; a sequence that is finished makes room for the next."""
        reading = self._reading([self._prompt(request) for request in requests])
        for ended in decode(reading, lambda place: self._search(requests[place])):
            yield from ((place, search.response()) for place, search in ended)

    @torch.inference_mode()
    def stream(self, request: Request) -> Iterator[str]:
        """Yield the text of generate_until in pieces, as it is decoded (a beam search's at its end).

        A piece never ends within a character, and nothing of a stop string is shown.
        """
        search, shown = self._search(request), 0
        for _ in decode(self._reading([self._prompt(request)]), lambda _: search):
            text = search.settled()
            if len(text) > shown:
                yield text[shown:]
                shown = len(text)

    def _prompt(self, request: Request) -> Prompt:
        decoding = request.decoding
        return Prompt(tokens=self._context(request), more=decoding.max_tokens, rows=decoding.beams)

    def _search(self, request: Request) -> Search:
        kind = WordSearch if request.decoding.avoid else BeamSearch if request.decoding.beams > 1 else Sampler
        return kind(request.decoding, self.tokenizer, ends=self._ends)
