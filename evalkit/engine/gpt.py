"""The engine of the built-in GPT: batches sorted by length, logits only where a token is scored.

Shapes as in model/gpt.py; R is the number of scored positions of a batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from evalkit.engine.rolling import rolling_windows
from evalkit.engine.sampling import Sampler
from evalkit.model.gpt import GPT, KVCache
from evalkit.tokenizer import Tokenizer
from evalkit.types import Request, Response

# Rows of the (positions, vocabulary) matrix of scores that are held at once.
_LOGIT_ROWS = 2048


@dataclass(frozen=True)
class _Span:
    """Tokens to feed and how many of them, at the end, to score: part `part` of the request at position `owner`."""

    owner: int
    part: int
    tokens: tuple[int, ...]
    scored: int


class GPTEngine:
    """Runs a GPT.

    batch_tokens: tokens in a batch, padding included; it changes speed and memory, never a score. stride: tokens by
    which rolling windows advance; the context length if not given (GPT-2's non-overlapping windows).
    """

    def __init__(
        self,
        model: GPT,
        tokenizer: Tokenizer,
        *,
        name: str,
        content_hash: str,
        batch_tokens: int = 16384,
        stride: int | None = None,
    ):
        self.model, self.tokenizer = model.eval(), tokenizer
        self.context_length = model.config.context
        self._name, self._hash = name, content_hash
        self._batch_tokens = batch_tokens
        self._stride = stride or self.context_length
        weight = model.tokens.weight
        self._device, self._dtype = weight.device, weight.dtype

    def signature(self) -> Mapping[str, str]:
        """Return name, content hash, dtype, parameters and the rolling stride."""
        return {
            "model": self._name,
            "hash": self._hash,
            "dtype": str(self._dtype).removeprefix("torch."),
            "parameters": str(self.model.config.parameters),
            "block_parameters": str(self.model.config.block_parameters),
            "context": str(self.context_length),
            "stride": str(self._stride),
        }

    def loglikelihood(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        """Score continuations; one without tokens has log-likelihood 0 and is greedy."""
        spans = []
        for i, request in enumerate(requests):
            if request.continuation_ids:
                whole = request.context_ids + request.continuation_ids
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
            stream = (self.tokenizer.end_of_text, *request.continuation_ids)
            windows = rolling_windows(len(request.continuation_ids), context=self.context_length, stride=self._stride)
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
            inputs_BT = torch.zeros(len(batch), width, dtype=torch.long)
            where, targets = [], []
            for b, span in enumerate(batch):
                length = len(span.tokens) - 1
                inputs_BT[b, :length] = torch.tensor(span.tokens[:-1])
                where.append(torch.arange(length - span.scored, length) + b * width)
                targets.append(torch.tensor(span.tokens[-span.scored :]))
            states_BTD = self.model.hidden(inputs_BT.to(self._device))
            states_RD = states_BTD.flatten(0, 1)[torch.cat(where).to(self._device)]
            logprobs_R, greedy_R = self._scores_of(states_RD, torch.cat(targets).to(self._device))
            counts = [span.scored for span in batch]
            yield from zip(batch, logprobs_R.split(counts), greedy_R.split(counts), strict=True)

    def _scores_of(self, states_RD: Tensor, targets_R: Tensor) -> tuple[Tensor, Tensor]:
        """Return each target's log-probability (fp64) and whether it is the argmax; softmax in fp32, in chunks."""
        logprobs, greedy = [], []
        for states, targets in zip(states_RD.split(_LOGIT_ROWS), targets_R.split(_LOGIT_ROWS), strict=True):
            logits = self.model.unembed(states).float()
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
        sizes = [len(r.context_ids) + r.decoding.max_tokens for r in requests]
        order = sorted(range(len(requests)), key=lambda i: (-sizes[i], requests[i].context_ids))
        for rows in self._batches(order, sizes):
            yield from self._decode([(i, requests[i]) for i in rows])

    def _decode(self, batch: Sequence[tuple[int, Request]]) -> Iterator[tuple[int, Response]]:
        """Decode one batch of (position, request)."""
        lengths_B = torch.tensor([len(r.context_ids) for _, r in batch], device=self._device)
        slots = max(len(r.context_ids) + r.decoding.max_tokens for _, r in batch)
        prompts_BT = torch.zeros(len(batch), int(lengths_B.max()), dtype=torch.long)
        for b, (_, request) in enumerate(batch):
            prompts_BT[b, : len(request.context_ids)] = torch.tensor(request.context_ids)
        cache = KVCache(
            self.model.config, sequences=len(batch), positions=slots, dtype=self._dtype, device=self._device
        )
        states_BTD = self.model.hidden(prompts_BT.to(self._device), cache)
        cache.lengths_B += lengths_B
        last_BD = states_BTD[torch.arange(len(batch), device=self._device), lengths_B - 1]
        live = [(i, Sampler(request.decoding, self.tokenizer)) for i, request in batch]
        while True:
            logits_BV = self.model.unembed(last_BD).float()
            for (_, sampler), logits_V in zip(live, logits_BV, strict=True):
                sampler.push(logits_V)
            yield from ((i, sampler.response()) for i, sampler in live if sampler.done)
            keep = [b for b, (_, sampler) in enumerate(live) if not sampler.done]
            if not keep:
                return
            if len(keep) < len(live):
                live = [live[b] for b in keep]
                cache.keep(torch.tensor(keep, device=self._device))
            newest_B1 = torch.tensor([[sampler.ids[-1]] for _, sampler in live], device=self._device)
            last_BD = self.model.hidden(newest_B1, cache)[:, 0]
            cache.lengths_B += 1
