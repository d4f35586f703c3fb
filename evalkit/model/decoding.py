"""Decoding with a GPT token by token: many sequences side by side, which enter and leave at any time.

Every sequence has a slot in one preallocated cache. The beginning shared by all prompts is not in the slots: it is read
once, and the new tokens of all sequences are multiplied with its keys and values in one product. A new prompt reuses
the beginning that it shares with the prompt before it, so prompts in lexicographic order read every shared prefix once.

Shapes: L layers, J = 2 for keys and values, R slots, H heads of queries, G of keys and values, M = H / G, K the width
of a head, S positions of a slot, P positions that all prompts share, C sequences that continue by one token, E prompts
that enter, N tokens in a pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from evalkit.model.gpt import GPT, Attention, Block
from evalkit.model.rotary import rotation_at
from evalkit.model.tree_attention import whole_vectors

# Values of a mask that are held at once.
_MASK = 1 << 22


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A prompt that enters a slot; its first `start` tokens are those of the prompt that entered before it."""

    slot: int
    start: int
    tokens: Sequence[int]


def bytes_per_position(model: GPT) -> int:
    """Return the memory of one position's keys and values."""
    config = model.config
    return 2 * config.n_layer * config.n_kv_head * config.d_head * model.tokens.weight.element_size()


class DecodingCache:
    """Keys and values: of the last prompt read, and of every slot after the `shared` positions of all prompts.

    longest: tokens of the longest prompt. lengths: number of filled positions of each slot.
    """

    def __init__(self, model: GPT, *, shared: int, longest: int, slots: int, positions: int):
        config, weight = model.config, model.tokens.weight
        self.shared = shared
        size = whole_vectors(longest)
        self.prompt_LJGSK = weight.new_zeros(config.n_layer, 2, config.n_kv_head, size, config.d_head)
        self.slots_LJRGSK = weight.new_zeros(config.n_layer, 2, 0, config.n_kv_head, positions, config.d_head)
        self.lengths: list[int] = []
        self.resize(slots, positions)

    @property
    def positions(self) -> int:
        """Positions of a slot."""
        return self.slots_LJRGSK.shape[4]

    def resize(self, slots: int, positions: int) -> None:
        """Change the number of slots and of their positions, keeping the contents that fit."""
        old = self.slots_LJRGSK
        new = old.new_zeros(*old.shape[:2], slots, old.shape[3], positions, old.shape[5])
        R, S = min(old.shape[2], slots), min(old.shape[4], positions)
        new[:, :, :R, :, :S] = old[:, :, :R, :, :S]
        self.slots_LJRGSK = new
        self.lengths = (self.lengths + [0] * slots)[:slots]

    def copy(self, source: int, target: int, *, start: int = 0) -> None:
        """Make a slot equal to another, which it already equals up to `start`."""
        stop = self.lengths[source]
        self.slots_LJRGSK[:, :, target, :, start:stop] = self.slots_LJRGSK[:, :, source, :, start:stop]
        self.lengths[target] = stop


def read(model: GPT, cache: DecodingCache, *, tokens: Sequence[int], entries: Sequence[Entry]) -> Tensor:
    """Return the final states (C + E, D) after the tokens of slots 0..C-1 and after the entering prompts, in order.

    Prompts take consecutive slots, from C on if C > 0.
    """
    step = _Pass(model, cache, tokens, entries)
    x_ND = model.embed(step.tokens_N, step.positions_N)
    rotation = rotation_at(step.positions_N, model.config)
    last = len(model.blocks) - 1  # here only the states of the last tokens are needed
    for layer, module in enumerate(model.blocks):
        block: Block = module  # type: ignore[assignment]

        def attention(normed_ND: Tensor, layer: int = layer, part: Attention = block.attention) -> Tensor:
            heads = part.heads(normed_ND, rotation)
            attended_ND: Tensor = part.out(step.attend(layer, *heads, scale=part.scale, only_last=layer == last))
            return attended_ND

        keep = step.last_M if layer == last else None
        x_ND = block.through(x_ND, attention=attention, perceptron=block.perceptron, keep=keep)
    for slot, length in step.lengths:
        cache.lengths[slot] = length
    states_MD: Tensor = model.norm(x_ND[: len(tokens) + len(entries)])
    return states_MD


class _Pass:
    """One pass: the positions of its tokens, what they may see, and the attention of a layer."""

    def __init__(self, model: GPT, cache: DecodingCache, tokens: Sequence[int], entries: Sequence[Entry]):
        self._cache, self._entries, self._continuing = cache, entries, len(tokens)
        self._config = model.config
        device = cache.slots_LJRGSK.device
        lengths = cache.lengths[: len(tokens)]
        flat, positions = list(tokens), [cache.shared + length for length in lengths]
        self._cuts: list[tuple[int, int]] = []
        for entry in entries:
            self._cuts.append((len(flat), len(flat) + len(entry.tokens) - entry.start))
            flat += entry.tokens[entry.start :]
            positions += range(entry.start, len(entry.tokens))
        # Rows of token 0, whose results are not used.
        self._padding = model.padding(len(flat))
        flat, positions = flat + [0] * self._padding, positions + [0] * self._padding
        self.tokens_N = torch.tensor(flat, device=device)
        self.positions_N = torch.tensor(positions, device=device).clamp(max=model.config.context - 1)
        last = [*range(len(tokens)), *(stop - 1 for _, stop in self._cuts)]
        self._last_padding = model.padding(len(last))
        self.last_M = torch.tensor(last + [0] * self._last_padding, device=device)
        self.lengths = [(slot, length + 1) for slot, length in enumerate(lengths)]
        self.lengths += [(entry.slot, len(entry.tokens) - cache.shared) for entry in entries]
        # Each sequence's last position in its slot, and the first of the slots.
        self._ends_M = torch.tensor([length - 1 for _, length in self.lengths], device=device)
        self._first = self.lengths[0][0]
        bands = (None,) if model.config.band is None else (None, model.config.band)
        self._masks_J = [self._mask(band) for band in bands]
        self._seen_J = [[_Seen(entry, band, device) for entry in entries] for band in bands]

    def _mask(self, band: int | None) -> Tensor:
        """Return what is added to the scores of each sequence's last token with shared positions and those of its slot.

        0, or minus infinity where it may not see them (M, P + S); slots up to the last filled position.
        """
        shared, device = self._cache.shared, self._ends_M.device
        filled = max(0, int(self._ends_M.max()) + 1)  # a part of what all prompts share is in no slot
        places_S = torch.arange(shared + filled, device=device)
        now_M1 = shared + self._ends_M[:, None]
        hidden_MS = places_S > now_M1
        if band is not None:
            hidden_MS |= places_S <= now_M1 - band
        return torch.zeros(hidden_MS.shape, device=device).masked_fill_(hidden_MS, -torch.inf)

    def attend(
        self, layer: int, q_NHK: Tensor, k_NGK: Tensor, v_NGK: Tensor, *, scale: float, only_last: bool
    ) -> Tensor:
        """Store keys and values; return the attention outputs of every token, or of every sequence's last token."""
        parts = []
        C = self._continuing
        if C:
            slots_JRGSK, rows_C = self._cache.slots_LJRGSK[layer], torch.arange(C, device=q_NHK.device)
            for slots_RGSK, new_CGK in zip(slots_JRGSK, (k_NGK[:C], v_NGK[:C]), strict=True):
                slots_RGSK[rows_C, :, self._ends_M[:C]] = new_CGK
            if not only_last:
                parts.append(self._see_slots(layer, q_NHK[:C], scale=scale))
        if self._cuts:
            kv_JGNK = torch.stack([k_NGK, v_NGK]).transpose(1, 2)
        for i, (start, stop) in enumerate(self._cuts):
            self._enter(layer, self._entries[i], kv_JGNK[:, :, start:stop])
            if not only_last:
                parts.append(self._see_prompt(layer, i, q_NHK[start:stop], scale=scale))
        if only_last:
            parts.append(self._see_slots(layer, q_NHK[self.last_M[: len(self._ends_M)]], scale=scale))
        parts.append(q_NHK.new_zeros(self._last_padding if only_last else self._padding, *q_NHK.shape[1:]))
        return torch.cat(parts).flatten(1)

    def _see_slots(self, layer: int, q_RHK: Tensor, *, scale: float) -> Tensor:
        """Attend with the last tokens of the first R sequences to the shared positions and those of their slots."""
        shared, mask_RS = self._cache.shared, self._masks_J[self._config.is_banded(layer)][: len(q_RHK)]
        filled, slots = mask_RS.shape[1] - shared, slice(self._first, self._first + len(q_RHK))
        keys_RGSK, values_RGSK = self._cache.slots_LJRGSK[layer, :, slots, :, :filled]
        keys_GPK, values_GPK = self._cache.prompt_LJGSK[layer, :, :, :shared]
        R, G = keys_RGSK.shape[:2]
        q_RGMK = q_RHK.unflatten(1, (G, -1)) / (1 / scale)
        scores_RGMS = q_RGMK @ keys_RGSK.transpose(2, 3)
        if shared:
            common_GRMP = (q_RGMK.transpose(0, 1).flatten(1, 2) @ keys_GPK.transpose(1, 2)).unflatten(1, (R, -1))
            scores_RGMS = torch.cat([common_GRMP.transpose(0, 1), scores_RGMS], 3)
        weights_RGMS = scores_RGMS.float().add_(mask_RS[:, None, None]).softmax(3).to(q_RHK.dtype)
        y_RGMK: Tensor = weights_RGMS[..., shared:] @ values_RGSK
        if shared:
            common_GRMK = weights_RGMS[..., :shared].transpose(0, 1).flatten(1, 2) @ values_GPK
            y_RGMK += common_GRMK.unflatten(1, (R, -1)).transpose(0, 1)
        return y_RGMK.flatten(1, 2)

    def _enter(self, layer: int, entry: Entry, new_JGTK: Tensor) -> None:
        """Put a prompt's new tokens after those it shares with the prompt before it, and fill its slot."""
        length, shared = len(entry.tokens), self._cache.shared
        prompt_JGSK = self._cache.prompt_LJGSK[layer, :, :, :length]
        prompt_JGSK[:, :, entry.start :] = new_JGTK
        self._cache.slots_LJRGSK[layer, :, entry.slot, :, : max(0, length - shared)] = prompt_JGSK[:, :, shared:]

    def _see_prompt(self, layer: int, i: int, q_THK: Tensor, *, scale: float) -> Tensor:
        """Attend with a prompt's new tokens to all of its tokens."""
        prompt_JGSK, parts, done = self._cache.prompt_LJGSK[layer], [], 0
        for count, seen_TS in self._seen_J[self._config.is_banded(layer)][i].pieces():
            keys = whole_vectors(count) if seen_TS is None else seen_TS.shape[1]
            y_HTK = F.scaled_dot_product_attention(
                q_THK[done : done + count].transpose(0, 1)[None],
                prompt_JGSK[0, :, :keys][None],
                prompt_JGSK[1, :, :keys][None],
                attn_mask=seen_TS,
                is_causal=seen_TS is None,
                scale=scale,
                enable_gqa=q_THK.shape[1] != self._config.n_kv_head,
            )[0]
            parts.append(y_HTK.transpose(0, 1))
            done += count
        return torch.cat(parts) if len(parts) > 1 else parts[0]


class _Seen:
    """What the new tokens of a prompt may see: all tokens up to themselves, in banded layers the last `band` of these.

    Keys are counted in whole vectors, those behind the prompt's last token hidden. A small mask is made once for all
    layers, a large one piece by piece when it is needed.
    """

    def __init__(self, entry: Entry, band: int | None, device: torch.device):
        self._start, self._length, self._device = entry.start, len(entry.tokens), device
        self._band = band if band is not None and band < self._length else None
        self._plain = self._band is None and entry.start == 0
        small = not self._plain and (self._length - entry.start) * self._length <= _MASK
        self._mask_TS = self._mask(entry.start, self._length) if small else None

    def pieces(self) -> Iterator[tuple[int, Tensor | None]]:
        """Yield how many of the new tokens are next and what they see (T, S); None: causal attention."""
        if self._plain:
            yield self._length, None
        elif self._mask_TS is not None:
            yield len(self._mask_TS), self._mask_TS
        else:
            size = max(1, _MASK // self._length)
            for start in range(self._start, self._length, size):
                stop = min(start + size, self._length)
                yield stop - start, self._mask(start, stop)

    def _mask(self, start: int, stop: int) -> Tensor:
        places_S = torch.arange(whole_vectors(stop), device=self._device)
        now_T1 = places_S[start:stop, None]
        seen_TS = places_S <= now_T1
        return seen_TS if self._band is None else seen_TS & (places_S > now_T1 - self._band)
