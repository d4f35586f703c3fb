"""A causal language model of transformers in two halves, and what its key-value cache can do."""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from evalkit.engine.network import View
from evalkit.errors import CheckpointError

# Settings that give the width of a window; a window counts places in a row, so such models have one sequence in each.
_WINDOW = re.compile(r"window(_size|_len)?$")


class Network:
    """A model in two halves where that is possible: states of every position, logits only of those needed.

    splits: false if the output matrix alone does not give the model's logits (Gemma 2 caps them, Cohere scales them);
    then the states are the logits. continues: its cache keeps every position of every layer and can be extended by
    several tokens at once; false for sliding windows, state spaces and compressed keys. packs: it splits, continues and
    obeys a View; false for windows of any kind, and where distances are counted in the row (ALiBi).

    The layers may be on several devices: what goes in and comes out is on the first one, a layer's cache on its own.

    Raises CheckpointError for a model that sees later tokens.
    """

    def __init__(self, model: Any):
        self.model, self._head = model.eval(), model.get_output_embeddings()
        self.device: torch.device = model.device
        self._keeps = "logits_to_keep" in inspect.signature(model.forward).parameters
        tokens_BT = torch.arange(1, 7, device=self.device).reshape(2, 3) % model.get_input_embeddings().num_embeddings
        self.splits = False
        with torch.no_grad():  # not inference mode, whose tensors a model in training must not keep
            logits_BTV = model(input_ids=tokens_BT, use_cache=False).logits
            changed_BT = tokens_BT.clone()
            changed_BT[:, -1] = 0
            others_BTV = model(input_ids=changed_BT, use_cache=False).logits
            gap = (logits_BTV[:, 0] - others_BTV[:, 0]).abs().max()
            if gap > 16 * torch.finfo(model.dtype).eps * logits_BTV.abs().max():
                raise CheckpointError(f"{type(model).__name__} sees later tokens: not a causal language model")
            self.vocabulary = logits_BTV.shape[2]
            # Bit for bit: a wrong "no" is safe, only slower.
            if self._head is not None:
                states_BTD = model.base_model(input_ids=tokens_BT, use_cache=False)[0]
                self.splits = torch.equal(self._head(states_BTD).float().to(self.device), logits_BTV.float())
            self.continues = self._continues(tokens_BT, logits_BTV)
            self.packs = self.splits and self.continues and self._packs(tokens_BT, logits_BTV)

    def _continues(self, tokens_BT: Tensor, logits_BTV: Tensor) -> bool:
        """Test the cache: one sequence read in two parts, its beginning repeated for two rows."""
        _, cache = self.run(tokens_BT[:1, :1])
        if {type(layer).__name__ for layer in getattr(cache, "layers", ["none"])} != {"DynamicLayer"}:
            return False
        cache = self.selected(cache, torch.zeros(2, dtype=torch.long, device=self.device))
        states_BTD, _ = self.run(tokens_BT[:1, 1:].expand(2, 2), cache=cache)
        return self._close(states_BTD, logits_BTV[:1, 1:])

    def _packs(self, tokens_BT: Tensor, logits_BTV: Tensor) -> bool:
        """Test views: two sequences mixed in one row, then a row for each, the shorter padded on the left."""
        settings = self.model.config.get_text_config().to_dict()
        windows = [value for key, value in settings.items() if _WINDOW.search(key) and not isinstance(value, bool)]
        if any(windows) or "position_ids" not in inspect.signature(self.model.base_model.forward).parameters:
            return False
        count, length = tokens_BT.shape
        places_1T = torch.arange(length, device=self.device).repeat_interleave(count)[None]
        sees_1TT = torch.kron(torch.ones(length, length).tril(), torch.eye(count)).bool()[None].to(self.device)
        rows_BS = torch.tensor([[0, count], [0, 1]], device=self.device)
        places_B1 = torch.tensor([[2], [1]], device=self.device)
        sees_B1S = torch.tensor([[[True, True, True]], [[False, True, True]]], device=self.device)
        try:
            packed_1TD, cache = self.run(tokens_BT.T.reshape(1, -1), view=View(places_1T, sees_1TT))
            next_B1 = torch.stack([tokens_BT[0, 2:], tokens_BT[1, 1:2]])
            next_B1D, _ = self.run(next_B1, cache=self.gathered(cache, rows_BS), view=View(places_B1, sees_B1S))
        except (IndexError, RuntimeError, TypeError, ValueError):  # a mask of another shape than it expects
            return False
        expected_B1V = torch.stack([logits_BTV[0, 2:], logits_BTV[1, 1:2]])
        mixed_1TV = logits_BTV.transpose(0, 1).flatten(0, 1)[None]
        return self._close(packed_1TD, mixed_1TV) and self._close(next_B1D, expected_B1V)

    def _close(self, states: Tensor, logits: Tensor) -> bool:
        """Whether states give these logits, but for rounding."""
        share = min(0.02, 1024 * torch.finfo(self.model.dtype).eps)
        difference = self.unembed(states).float() - logits.float()
        return bool(difference.abs().max() <= share * logits.float().abs().max())

    def run(
        self, tokens_BT: Tensor, *, cache: Any = None, last: bool = False, view: View | None = None
    ) -> tuple[Tensor, Any]:
        """Read tokens after those of a cache, if any; the cache is consumed.

        Return states (B, T, D), only those of the last position if `last`, and the model's new cache, or None if it
        has none whose rows can be reordered.
        """
        options: dict[str, Any] = {"use_cache": True, **self._seen(view)}
        if cache is not None:
            options["past_key_values"] = cache
        if last and self._keeps and not self.splits:
            options["logits_to_keep"] = 1
        output = (self.model.base_model if self.splits else self.model)(input_ids=tokens_BT, **options)
        states_BTD = output[0] if self.splits else output.logits
        states_BTD = (states_BTD[:, -1:] if last else states_BTD).to(self.device)
        new_cache = getattr(output, "past_key_values", None)
        return states_BTD, new_cache if hasattr(new_cache, "reorder_cache") else None

    def hidden(self, tokens_BT: Tensor) -> Tensor:
        """Return states (B, T, D) without keeping a cache."""
        output = (self.model.base_model if self.splits else self.model)(input_ids=tokens_BT, use_cache=False)
        states_BTD: Tensor = output[0] if self.splits else output.logits
        return states_BTD.to(self.device)

    def unembed(self, hidden: Tensor) -> Tensor:
        """Turn states into logits."""
        logits: Tensor = self._head(hidden) if self.splits else hidden
        return logits.to(self.device)

    def positions(self, cache: Any) -> int:
        """Return the number of positions of a cache, S."""
        return int(cache.get_seq_length())

    def gathered(self, cache: Any, places_RS: Tensor) -> Any:
        """Return a new cache whose row r holds these positions of the one row of a cache, which is not changed."""
        return _changed(cache, lambda kept_1HSD: kept_1HSD[0][:, places_RS.to(kept_1HSD.device)].transpose(0, 1))

    def selected(self, cache: Any, rows_R: Tensor, *, start: int = 0) -> Any:
        """Return a new cache of some rows of this one, without the positions before `start`."""
        return _changed(cache, lambda kept_BHSD: kept_BHSD[rows_R.to(kept_BHSD.device), :, start:])

    def joined(self, first: Any, second: Any) -> Any:
        """Return a cache with the rows of both, the shorter ones padded on the left; the first is consumed."""
        for layer, other in zip(first.layers, second.layers, strict=True):  # so that one layer at a time is held twice
            layer.keys, layer.values = _stacked(layer.keys, other.keys), _stacked(layer.values, other.values)
        return first

    def _seen(self, view: View | None) -> dict[str, Any]:
        """Return the options of a forward pass that make a view."""
        if view is None:
            return {}
        dtype = self.model.dtype
        # As numbers to add, which every implementation of attention takes; some take no truth values.
        hidden_BTS = torch.zeros_like(view.sees, dtype=dtype).masked_fill_(~view.sees, torch.finfo(dtype).min)
        return {"attention_mask": hidden_BTS[:, None], "position_ids": view.places}


def _changed(cache: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Return a new cache with other keys and values (B, H, S, D)."""
    changed = copy.copy(cache)
    changed.layers = [copy.copy(layer) for layer in cache.layers]
    for layer in changed.layers:
        layer.keys, layer.values = change(layer.keys), change(layer.values)
    return changed


def _stacked(first_BHSD: Tensor, second_BHSD: Tensor) -> Tensor:
    """Put rows below one another, the shorter ones padded on the left."""
    length = max(first_BHSD.shape[2], second_BHSD.shape[2])
    pads = [(0, 0, length - part.shape[2], 0) for part in (first_BHSD, second_BHSD)]
    return torch.cat([torch.nn.functional.pad(first_BHSD, pads[0]), torch.nn.functional.pad(second_BHSD, pads[1])])
