"""Decoding with a GPT token by token: many sequences side by side, which enter and leave at any time.

Every sequence has a slot in one preallocated cache. The beginning shared by all prompts is not in the slots: it is read
once, and the new tokens of all sequences are multiplied with its keys and values in one product. A new prompt reuses
the beginning that it shares with the prompt before it, so prompts in lexicographic order read every shared prefix once.

Shapes: L layers, J = 2 for keys and values, R slots, H heads, K = D / H, S positions of a slot, P positions that all
prompts share, C sequences that continue by one token, E prompts that enter, N tokens in a pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evalkit.model.gpt import GPT, Block


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A prompt that enters a slot; its first `start` tokens are those of the prompt that entered before it."""

    slot: int
    start: int
    tokens: Sequence[int]


def bytes_per_position(model: GPT) -> int:
    """Return the memory of one position's keys and values."""
    return 2 * model.config.n_layer * model.config.d_model * model.tokens.weight.element_size()


class DecodingCache:
    """Keys and values: of the last prompt read, and of every slot after the `shared` positions of all prompts.

    longest: tokens of the longest prompt. lengths: number of filled positions of each slot.
    """

    def __init__(self, model: GPT, *, shared: int, longest: int, slots: int, positions: int):
        config, weight = model.config, model.tokens.weight
        self.shared = shared
        self._head = (config.n_head, config.d_model // config.n_head)
        self.prompt_LJHSK = weight.new_zeros(config.n_layer, 2, self._head[0], longest, self._head[1])
        self.slots_LJRHSK = weight.new_zeros(config.n_layer, 2, 0, self._head[0], positions, self._head[1])
        self.lengths: list[int] = []
        self.resize(slots, positions)

    @property
    def positions(self) -> int:
        """Positions of a slot."""
        return self.slots_LJRHSK.shape[4]

    def resize(self, slots: int, positions: int) -> None:
        """Change the number of slots and of their positions, keeping the contents that fit."""
        old = self.slots_LJRHSK
        new = old.new_zeros(*old.shape[:2], slots, old.shape[3], positions, old.shape[5])
        R, S = min(old.shape[2], slots), min(old.shape[4], positions)
        new[:, :, :R, :, :S] = old[:, :, :R, :, :S]
        self.slots_LJRHSK = new
        self.lengths = (self.lengths + [0] * slots)[:slots]

    def copy(self, source: int, target: int, *, start: int = 0) -> None:
        """Make a slot equal to another, which it already equals up to `start`."""
        stop = self.lengths[source]
        self.slots_LJRHSK[:, :, target, :, start:stop] = self.slots_LJRHSK[:, :, source, :, start:stop]
        self.lengths[target] = stop


def read(model: GPT, cache: DecodingCache, *, tokens: Sequence[int], entries: Sequence[Entry]) -> Tensor:
    """Return the final states (C + E, D) after the tokens of slots 0..C-1 and after the entering prompts, in order.

    The slots of the prompts must not be among 0..C-1.
    """
    step = _Pass(model, cache, tokens, entries)
    x_ND = model.tokens(step.tokens_N) + model.positions(step.positions_N)
    last = len(model.blocks) - 1  # here only the states of the last tokens are needed
    for layer, block in enumerate(model.blocks):
        attend = partial(step.attend, layer, only_last=layer == last)
        x_ND = _through(block, x_ND, attend, keep=step.last_M if layer == last else None)
    for slot, length in step.lengths:
        cache.lengths[slot] = length
    states_MD: Tensor = model.norm(x_ND)
    return states_MD


def _through(block: nn.Module, x_ND: Tensor, attend: Callable[[Tensor], Tensor], *, keep: Tensor | None) -> Tensor:
    """Apply a block; keep: the rows for which `attend` returns outputs, None for all."""
    assert isinstance(block, Block)
    attended_ND = block.attention.out(attend(block.attention.qkv(x_ND if block.post else block.norm_1(x_ND))))
    x_ND = attended_ND + (x_ND if keep is None else x_ND[keep])
    if block.post:
        x_ND = block.norm_1(x_ND)
        normed_ND: Tensor = block.norm_2(x_ND + block.perceptron(x_ND))
        return normed_ND
    return x_ND + block.perceptron(block.norm_2(x_ND))


class _Pass:
    """One pass: the positions of its tokens, what they may see, and the attention of a layer."""

    def __init__(self, model: GPT, cache: DecodingCache, tokens: Sequence[int], entries: Sequence[Entry]):
        self._cache, self._entries, self._continuing = cache, entries, len(tokens)
        self._band, self._n_head = model.config.band, model.config.n_head
        device = cache.slots_LJRHSK.device
        lengths = cache.lengths[: len(tokens)]
        flat, positions = list(tokens), [cache.shared + length for length in lengths]
        self._cuts: list[tuple[int, int]] = []
        for entry in entries:
            self._cuts.append((len(flat), len(flat) + len(entry.tokens) - entry.start))
            flat += entry.tokens[entry.start :]
            positions += range(entry.start, len(entry.tokens))
        self.tokens_N = torch.tensor(flat, device=device)
        self.positions_N = torch.tensor(positions, device=device).clamp(max=model.config.context - 1)
        self.last_M = torch.tensor([*range(len(tokens)), *(stop - 1 for _, stop in self._cuts)], device=device)
        self.lengths = [(slot, length + 1) for slot, length in enumerate(lengths)]
        self.lengths += [(entry.slot, len(entry.tokens) - cache.shared) for entry in entries]
        self._ends_C = torch.tensor(lengths, device=device, dtype=torch.long)
        self._hidden_J = [self._hidden(band) for band in (None, self._band)]
        self._seen_J = [[self._mask(entry, band) for entry in entries] for band in (None, self._band)]

    def _hidden(self, band: int | None) -> Tensor:
        """Return which shared positions and positions of its slot a continuing sequence may not see (C, P + S)."""
        shared = self._cache.shared
        places_S = torch.arange(shared + self._cache.positions, device=self._ends_C.device)
        now_C1 = shared + self._ends_C[:, None]
        hidden_CS = places_S > now_C1
        return hidden_CS if band is None else hidden_CS | (places_S <= now_C1 - band)

    def _mask(self, entry: Entry, band: int | None) -> Tensor | None:
        """Return what the new tokens of a prompt may see (T, its length); None if plain causal attention is enough."""
        length = len(entry.tokens)
        banded = band is not None and band < length
        if not banded and entry.start == 0:
            return None
        places_S = torch.arange(length, device=self._ends_C.device)
        now_T1 = places_S[entry.start :, None]
        seen_TS = places_S <= now_T1
        return seen_TS & (places_S > now_T1 - band) if banded and band is not None else seen_TS

    def attend(self, layer: int, qkv_NC: Tensor, *, only_last: bool) -> Tensor:
        """Store keys and values; return the attention outputs of every token, or of every sequence's last token."""
        N, C = qkv_NC.shape
        q_NHK, k_NHK, v_NHK = qkv_NC.view(N, 3, self._n_head, -1).unbind(1)
        parts = []
        if self._continuing:
            slots = slice(0, self._continuing)
            parts.append(self._continue(layer, q_NHK[slots], k_NHK[slots], v_NHK[slots]))
        for i, (start, stop) in enumerate(self._cuts):
            new_JTHK = torch.stack([k_NHK[start:stop], v_NHK[start:stop]])
            first = stop - 1 if only_last else start
            parts.append(self._enter(layer, i, q_NHK[first:stop], new_JTHK))
        return torch.cat(parts).reshape(-1, C // 3)

    def _continue(self, layer: int, q_CHK: Tensor, k_CHK: Tensor, v_CHK: Tensor) -> Tensor:
        """Add one position to each of the first slots; each sees the shared positions and those of its slot."""
        shared, rows_C = self._cache.shared, torch.arange(len(q_CHK), device=q_CHK.device)
        slots_JRHSK = self._cache.slots_LJRHSK[layer]
        slots_JRHSK[0][rows_C, :, self._ends_C], slots_JRHSK[1][rows_C, :, self._ends_C] = k_CHK, v_CHK
        # All positions, filled or not, because a part of them would have to be copied for the products.
        keys_CHSK, values_CHSK = slots_JRHSK[:, : self._continuing]
        keys_HPK, values_HPK = self._cache.prompt_LJHSK[layer, :, :, :shared]
        q_CHK = q_CHK / math.sqrt(q_CHK.shape[2])
        common_HCP = q_CHK.transpose(0, 1) @ keys_HPK.transpose(1, 2)
        slot_CHS = (q_CHK[:, :, None] @ keys_CHSK.transpose(2, 3))[:, :, 0]
        scores_CHS = torch.cat([common_HCP.transpose(0, 1), slot_CHS], 2).float()
        scores_CHS = scores_CHS.masked_fill(self._hidden_J[layer % 2][:, None], -torch.inf)
        weights_CHS = scores_CHS.softmax(2).to(q_CHK.dtype)
        common_HCK = weights_CHS[:, :, :shared].transpose(0, 1) @ values_HPK
        y_CHK: Tensor = common_HCK.transpose(0, 1) + (weights_CHS[:, :, None, shared:] @ values_CHSK)[:, :, 0]
        return y_CHK

    def _enter(self, layer: int, i: int, q_THK: Tensor, new_JTHK: Tensor) -> Tensor:
        """Read a prompt's new tokens after those it shares with the prompt before it, and fill its slot."""
        entry, shared = self._entries[i], self._cache.shared
        length = len(entry.tokens)
        prompt_JHSK = self._cache.prompt_LJHSK[layer, :, :, :length]
        prompt_JHSK[:, :, entry.start :] = new_JTHK.transpose(1, 2)
        self._cache.slots_LJRHSK[layer, :, entry.slot, :, : length - shared] = prompt_JHSK[:, :, shared:]
        seen_TS = self._seen_J[layer % 2][i]
        if seen_TS is not None:
            seen_TS = seen_TS[-len(q_THK) :]
        y_HTK = F.scaled_dot_product_attention(
            q_THK.transpose(0, 1)[None], prompt_JHSK[0][None], prompt_JHSK[1][None], attn_mask=seen_TS,
            is_causal=seen_TS is None and len(q_THK) == length,
        )[0]  # fmt: skip
        y_THK: Tensor = y_HTK.transpose(0, 1)
        return y_THK
