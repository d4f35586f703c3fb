"""What engines of neural networks share: batches sorted by length, logits only where a token is scored, decoding.

Shapes as in model/gpt.py; R is the number of scored positions, or of sequences being decoded, in a batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from evalkit.engine.beam import BeamSearch
from evalkit.engine.rolling import rolling_windows
from evalkit.engine.sampling import Sampler
from evalkit.engine.words import WordSearch
from evalkit.tokenizer import Tokenizer
from evalkit.types import Request, Response

_Search = Sampler | BeamSearch | WordSearch

# Rows of the (positions, vocabulary) matrix of scores that are held at once.
_LOGIT_ROWS = 2048


@dataclass(frozen=True)
class _Span:
    """Tokens to feed and how many of them, at the end, to score: part `part` of the request at position `owner`."""

    owner: int
    part: int
    tokens: tuple[int, ...]
    scored: int


class Reading(Protocol):
    """A batch of prompts that a network has read, and can continue."""

    def logits(self) -> Tensor:
        """Return logits_RV of the token that follows each row."""
        ...

    def extend(self, rows: list[int], tokens: list[int]) -> None:
        """Let row i be what row rows[i] was, followed by tokens[i]; a row may be dropped or occur many times."""
        ...


def pad(sequences: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Return token ids (B, T), padded on the right with 0, and the lengths (B)."""
    lengths = [len(sequence) for sequence in sequences]
    padded_BT = torch.zeros(len(sequences), max(lengths), dtype=torch.long)
    for b, sequence in enumerate(sequences):
        padded_BT[b, : lengths[b]] = torch.tensor(sequence)
    return padded_BT, torch.tensor(lengths)


class BatchedEngine(ABC):
    """Answers requests in batches; a subclass says how its network reads tokens.

    positions: tokens that one pass of the network can read. batch_tokens: tokens in a batch, padding included; it
    changes speed and memory, never a score. stride: tokens by which rolling windows advance; `positions` if not given
    (GPT-2's non-overlapping windows). ends: tokens that end a generated text.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        positions: int,
        device: torch.device,
        ends: Collection[int],
        batch_tokens: int,
        stride: int | None,
    ):
        self.tokenizer = tokenizer
        self.context_length = self._positions = positions
        self._first = tokenizer.end_of_text  # what a document begins with
        self._device, self._ends = device, frozenset(ends)
        self._batch_tokens, self._stride = batch_tokens, stride or positions

    @abstractmethod
    def signature(self) -> Mapping[str, str]:
        """Return what identifies the numbers."""

    @abstractmethod
    def _hidden(self, tokens_BT: Tensor, lengths_B: Tensor) -> Tensor:
        """Return what `_unembed` takes (B, T, D) at every position of sequences padded on the right."""

    @abstractmethod
    def _unembed(self, hidden: Tensor) -> Tensor:
        """Turn (..., D) into logits (..., V)."""

    @abstractmethod
    def _read(self, prompts: Sequence[Sequence[int]], room: int) -> Reading:
        """Read prompts, leaving room for so many tokens in all, prompt included."""

    def _context(self, request: Request) -> tuple[int, ...]:
        """Return the tokens that a request is conditioned on."""
        return request.context_ids

    def _groups(self, prompts: Sequence[Sequence[int]], order: Sequence[int]) -> Iterator[list[int]]:
        """Split positions of prompts into those that `_read` can take together: here, all of them."""
        yield list(order)

    def loglikelihood(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        """Score continuations; one without tokens has log-likelihood 0 and is greedy."""
        spans = []
        for i, request in enumerate(requests):
            if request.continuation_ids:
                whole = self._context(request) + request.continuation_ids
                spans.append(_Span(i, 0, whole, len(request.continuation_ids)))
            else:
                yield i, Response(is_greedy=True)
        for span, logprobs, greedy in self._score(spans):
            total = float(logprobs.sum())
            yield span.owner, Response(loglikelihood=total, is_greedy=bool(greedy.all()), tokens=span.scored)

    def loglikelihood_rolling(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        """Score whole documents; windows of all documents share batches."""
        spans, waiting = [], []
        for i, request in enumerate(requests):
            stream = (self._first, *request.continuation_ids)
            windows = rolling_windows(len(request.continuation_ids), context=self._positions, stride=self._stride)
            waiting.append(len(windows))
            spans += [_Span(i, part, stream[w.start : w.stop], w.scored) for part, w in enumerate(windows)]
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
    def _score(self, spans: Sequence[_Span]) -> Iterator[tuple[_Span, Tensor, Tensor]]:
        """Yield each span with its scored tokens' log-probabilities (fp64) and whether each was the argmax."""
        order = sorted(range(len(spans)), key=lambda i: (-len(spans[i].tokens), spans[i].tokens))
        for rows in self._batches(order, [len(s.tokens) - 1 for s in spans]):
            batch = [spans[i] for i in rows]
            width = len(batch[0].tokens) - 1
            inputs_BT, lengths_B = pad([span.tokens[:-1] for span in batch])
            where, targets = [], []
            for b, span in enumerate(batch):
                length = len(span.tokens) - 1
                where.append(torch.arange(length - span.scored, length) + b * width)
                targets.append(torch.tensor(span.tokens[-span.scored :]))
            states_BTD = self._hidden(inputs_BT.to(self._device), lengths_B.to(self._device))
            states_RD = states_BTD.flatten(0, 1)[torch.cat(where).to(self._device)]
            logprobs_R, greedy_R = self._scores_of(states_RD, torch.cat(targets).to(self._device))
            counts = [span.scored for span in batch]
            yield from zip(batch, logprobs_R.split(counts), greedy_R.split(counts), strict=True)

    def _scores_of(self, states_RD: Tensor, targets_R: Tensor) -> tuple[Tensor, Tensor]:
        """Return each target's log-probability (fp64) and whether it is the argmax; softmax in fp32, in chunks."""
        logprobs, greedy = [], []
        for states, targets in zip(states_RD.split(_LOGIT_ROWS), targets_R.split(_LOGIT_ROWS), strict=True):
            logits = self._unembed(states).float()
            chosen = logits.gather(1, targets[:, None])[:, 0]
            logprobs.append((chosen - logits.logsumexp(1)).double().cpu())
            greedy.append((logits.argmax(1) == targets).cpu())
        return torch.cat(logprobs), torch.cat(greedy)

    def _batches(self, order: Sequence[int], widths: Sequence[int]) -> Iterator[list[int]]:
        """Cut a longest-first order into batches of at most batch_tokens, padding included."""
        rows: list[int] = []
        for i in order:
            if rows and (len(rows) + 1) * widths[rows[0]] > self._batch_tokens:
                yield rows
                rows = []
            rows.append(i)
        if rows:
            yield rows

    @torch.inference_mode()
    def generate_until(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        """Decode with a key-value cache; finished sequences leave the batch."""
        prompts = [self._context(request) for request in requests]
        rooms = [len(p) + r.decoding.max_tokens for p, r in zip(prompts, requests, strict=True)]
        sizes = [room * r.decoding.beams for room, r in zip(rooms, requests, strict=True)]
        order = sorted(range(len(requests)), key=lambda i: (-sizes[i], prompts[i]))
        for group in self._groups(prompts, order):
            for rows in self._batches(group, sizes):
                searches = [self._search(requests[i]) for i in rows]
                reading = self._read([prompts[i] for i in rows], max(rooms[i] for i in rows))
                for finished in self._steps(reading, searches):
                    yield from ((rows[b], searches[b].response()) for b in finished)

    @torch.inference_mode()
    def stream(self, request: Request) -> Iterator[str]:
        """Yield the text of generate_until in pieces, as it is decoded (a beam search's at its end).

        A piece never ends within a character, and nothing of a stop string is shown.
        """
        search, prompt = self._search(request), self._context(request)
        shown = 0
        for _ in self._steps(self._read([prompt], len(prompt) + request.decoding.max_tokens), [search]):
            text = search.settled()
            if len(text) > shown:
                yield text[shown:]
                shown = len(text)

    def _search(self, request: Request) -> _Search:
        kind = WordSearch if request.decoding.avoid else BeamSearch if request.decoding.beams > 1 else Sampler
        return kind(request.decoding, self.tokenizer, ends=self._ends)

    def _steps(self, reading: Reading, searches: Sequence[_Search]) -> Iterator[list[int]]:
        """Decode one batch; after each token yield the positions of the searches that it finished."""
        live = list(range(len(searches)))
        while True:
            logits_RV = reading.logits().float()
            rows: list[int] = []
            tokens: list[int] = []
            start = 0
            for b, part_RV in zip(live, logits_RV.split([searches[b].rows for b in live]), strict=True):
                for row, token in searches[b].step(part_RV):
                    rows.append(start + row)
                    tokens.append(token)
                start += len(part_RV)
            yield [b for b in live if searches[b].done]
            live = [b for b in live if not searches[b].done]
            if not live:
                return
            reading.extend(rows, tokens)
