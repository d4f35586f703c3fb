"""A causal language model of transformers in two halves, and what its key-value cache can do."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from evalkit.errors import CheckpointError


class Network:
    """A model in two halves where that is possible: states of every position, logits only of those needed.

    splits: false if the output matrix alone does not give the model's logits (Gemma 2 caps them, Cohere scales them);
    then the states are the logits. continues: its cache keeps every position of every layer and can be extended by
    several tokens at once; false for sliding windows, state spaces and compressed keys.

    Raises CheckpointError for a model that sees later tokens.
    """

    def __init__(self, model: Any):
        self.model, self._head = model.eval(), model.get_output_embeddings()
        self.device: torch.device = model.device
        self._keeps = "logits_to_keep" in inspect.signature(model.forward).parameters
        tokens_BT = torch.arange(1, 7, device=self.device).reshape(2, 3) % model.get_input_embeddings().num_embeddings
        self.splits = False
        with torch.inference_mode():
            logits_BTV = model(input_ids=tokens_BT, use_cache=False).logits
            changed_BT = tokens_BT.clone()
            changed_BT[:, -1] = 0
            others_BTV = model(input_ids=changed_BT, use_cache=False).logits
            gap = (logits_BTV[:, 0] - others_BTV[:, 0]).abs().max()
            if gap > 16 * torch.finfo(model.dtype).eps * logits_BTV.abs().max():
                raise CheckpointError(f"{type(model).__name__} sees later tokens: not a causal language model")
            self.vocabulary = logits_BTV.shape[2]
            # Bit for bit: a wrong "no" is safe, only slower.
            self.splits = self._head is not None and torch.equal(
                self._head(model.base_model(input_ids=tokens_BT, use_cache=False)[0]).float(), logits_BTV.float()
            )
            self.continues = self._continues(tokens_BT, logits_BTV)

    def _continues(self, tokens_BT: Tensor, logits_BTV: Tensor) -> bool:
        """Test the cache: one sequence read in two parts, its beginning repeated for two rows."""
        _, cache = self.run(tokens_BT[:1, :1])
        if {type(layer).__name__ for layer in getattr(cache, "layers", ["none"])} != {"DynamicLayer"}:
            return False
        cache = self.repeated(cache, [0, 0])
        states_BTD, _ = self.run(tokens_BT[:1, 1:].expand(2, 2), cache=cache)
        difference = self.unembed(states_BTD).float() - logits_BTV[:1, 1:].float()
        return bool(difference.abs().max() <= 0.02 * logits_BTV.float().abs().max())

    def run(
        self, tokens_BT: Tensor, *, cache: Any = None, last: bool = False, mask_BS: Tensor | None = None
    ) -> tuple[Tensor, Any]:
        """Read tokens after those of a cache, if any; the cache is consumed.

        Return states (B, T, D), only those of the last position if `last`, and the model's new cache, or None if it
        has none whose rows can be reordered. mask_BS: which tokens are real, those of the cache included.
        """
        options: dict[str, Any] = {"use_cache": True}
        if cache is not None:
            options["past_key_values"] = cache
        if mask_BS is not None:
            options["attention_mask"] = mask_BS.long()
        if last and self._keeps and not self.splits:
            options["logits_to_keep"] = 1
        output = (self.model.base_model if self.splits else self.model)(input_ids=tokens_BT, **options)
        states_BTD = output[0] if self.splits else output.logits
        new_cache = getattr(output, "past_key_values", None)
        return states_BTD[:, -1:] if last else states_BTD, new_cache if hasattr(new_cache, "reorder_cache") else None

    def hidden(self, tokens_BT: Tensor, *, mask_BS: Tensor | None = None) -> Tensor:
        """Return states (B, T, D) without keeping a cache."""
        options = {} if mask_BS is None else {"attention_mask": mask_BS.long()}
        output = (self.model.base_model if self.splits else self.model)(input_ids=tokens_BT, use_cache=False, **options)
        states_BTD: Tensor = output[0] if self.splits else output.logits
        return states_BTD

    def unembed(self, hidden: Tensor) -> Tensor:
        """Turn states into logits."""
        logits: Tensor = self._head(hidden) if self.splits else hidden
        return logits

    def repeated(self, cache: Any, rows: Sequence[int]) -> Any:
        """Return a new cache whose row i is row rows[i] of this one, which is not changed."""
        chosen = copy.copy(cache)
        chosen.layers = [copy.copy(layer) for layer in cache.layers]
        chosen.reorder_cache(torch.tensor(rows, device=self.device))
        return chosen
