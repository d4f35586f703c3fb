"""The engine of the built-in GPT."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from evalkit.engine.batched import BatchedEngine, ScoredSpans, Span
from evalkit.engine.budget import MOST, Budget
from evalkit.engine.generation import Prompt
from evalkit.engine.prefix_tree import Batch, Forest, Ints, Leaf, Rows
from evalkit.engine.slots import SlotReading
from evalkit.model.folder import signature
from evalkit.model.gpt import GPT
from evalkit.model.packed import Held, PackedGPT
from evalkit.model.tree_attention import Tree
from evalkit.tokenizer import Tokenizer


class GPTEngine(BatchedEngine):
    """Runs a GPT. The options are those of BatchedEngine; batch_tokens is chosen automatically by default.

    ends: tokens that end a generated text besides end of text (chat models end a turn with a token of its own).
    """

    def __init__(
        self,
        model: GPT,
        tokenizer: Tokenizer,
        *,
        name: str,
        content_hash: str,
        ends: Collection[int] = (),
        batch_tokens: int | None = None,
        stride: int | None = None,
        every_window: bool = False,
    ):
        device = model.tokens.weight.device
        super().__init__(
            tokenizer,
            positions=model.config.context,
            device=device,
            ends={tokenizer.end_of_text, *ends},
            batch_tokens=batch_tokens or MOST,
            stride=stride,
            every_window=every_window,
            vocabulary=model.config.vocab_size,
        )
        self.model = model.eval()
        self._packed = PackedGPT(self.model)
        self._budget = Budget(batch_tokens) if batch_tokens else Budget.of(model.config, device)
        self._name, self._hash = name, content_hash

    def signature(self) -> Mapping[str, str]:
        """Return name, content hash, dtype, parameters and the rolling stride."""
        dtype = self.model.products or str(self.model.tokens.weight.dtype).removeprefix("torch.")
        return signature(
            self.model.config, name=self._name, content_hash=self._hash, dtype=dtype, stride=self._stride,
            every_window=self._every_window,
        )  # fmt: skip

    def halve_batches(self) -> bool:
        """From now on read half as many tokens at once; return False at a single one."""
        if self._budget.tokens == 1:
            return False
        self._budget = Budget(self._budget.tokens // 2)
        return super().halve_batches()

    @torch.inference_mode()
    def _score(self, spans: Sequence[Span]) -> Iterator[ScoredSpans]:
        """Read the spans as a tree of prefixes, each node once; a batch holds what it shares with the one before."""
        forest = Forest([Leaf(span.tokens[:-1], span.tokens[-span.scored :]) for span in spans])
        first, held = 0, None
        while first < len(spans):
            batch = forest.batch(first, tokens=self._budget.tokens)
            try:
                logprobs_M, greedy_M, held = self._score_batch(batch, held)
            except (RuntimeError, MemoryError) as error:
                self._budget.halve(error)
                continue
            first = batch.last
            yield ScoredSpans([spans[i] for i in forest.order[batch.first : batch.last]], logprobs_M, greedy_M)

    def _score_batch(self, batch: Batch, held: Held | None) -> tuple[Tensor, Tensor, Held]:
        """Return the scores of a batch's targets, leaf by leaf, and what it holds over for the next batch."""
        tokens_N, keep, states = (self._tensor(part) for part in (batch.tokens, batch.keep, batch.states))
        tree = Tree(
            held=batch.held,
            places=self._tensor(batch.places),
            ends=self._tensor(batch.ends),
            trunk=batch.trunk,
            rows=self._rows(batch.rows),
            trunk_rows=self._rows(batch.trunk_rows),
        )
        final_UD, after = self._packed.read(
            tokens_N, tree, held=held if batch.held else None, keep=keep, keep_last=keep[batch.keep_states :],
            states=states,
        )  # fmt: skip
        order_M = np.argsort(batch.sources, kind="stable")
        logprobs_M, greedy_M = self._packed.scores(
            final_UD, self._tensor(batch.sources[order_M]), self._tensor(batch.targets[order_M])
        )
        unsorted_M = self._tensor(np.argsort(order_M))
        return logprobs_M[unsorted_M].double().cpu(), greedy_M[unsorted_M].cpu(), after

    def _tensor(self, numbers: Ints) -> Tensor:
        return torch.from_numpy(numbers).to(self._device)

    def _rows(self, rows: Sequence[Rows]) -> list[tuple[Tensor, Tensor]]:
        return [(self._tensor(part.queries), self._tensor(part.keys)) for part in rows]

    @property
    def _reader(self) -> GPT:
        return self.model

    def _reading(self, prompts: Sequence[Prompt]) -> SlotReading:
        return SlotReading(self.model, prompts, batch_tokens=self._batch_tokens)
