"""How the built-in GPT reads prompts: in the slots of one cache, as many as the token budget allows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

from evalkit.engine.generation import Prompt, reading_order, shared_by_all
from evalkit.engine.prefix_tree import common_prefix
from evalkit.model.decoding import DecodingCache, Entry, bytes_per_position, read
from evalkit.model.gpt import GPT

# Tokens of new prompts in one pass, or values of its widest activation, whichever allows more tokens: this limits the
# memory that a pass needs in addition to the cache. Small networks are faster with more tokens in fewer passes. A
# prompt of more than _PASS tokens is read in several.
_PASS, _VALUES = 1024, 1 << 20
# Slots: as many as this memory holds on a CPU (on a GPU a quarter of what is free), within bounds: with fewer, matrix
# products are slow; more gain nothing.
_MEMORY = 192 << 20
_FEWEST, _MOST = 16, {"cpu": 128, "cuda": 1024}


class SlotReading:
    """Prompts in the slots of a DecodingCache; see generation.Reading.

    batch_tokens: positions of all slots together, but always enough for one prompt. A search that needs more rows than
    expected gets more slots.
    """

    def __init__(self, model: GPT, prompts: Sequence[Prompt], *, batch_tokens: int):
        self._model, self._prompts = model, prompts
        self._batch_tokens = batch_tokens
        self._pass_tokens = min(batch_tokens, max(_PASS, _VALUES // model.config.d_ff))
        self._shared = shared_by_all(prompts)
        self._waiting = reading_order(prompts, shared=self._shared)[::-1]  # the next one is the last
        self._sizes: list[int] = []  # the most positions needed by any prompt that waits at least as long
        for place in self._waiting:
            size = len(prompts[place].tokens) + prompts[place].new_tokens - self._shared
            self._sizes.append(max(size, self._sizes[-1] if self._sizes else 0))
        size = self._sizes[-1] if prompts else 1
        self._cache = DecodingCache(
            model,
            shared=self._shared,
            longest=max((len(prompt.tokens) for prompt in prompts), default=0),
            slots=self._slots_for(size),
            positions=size,
        )
        self._before: Sequence[int] = ()  # the last prompt read
        self._slots: list[int] = []  # the slot of each row
        self._owners: list[int] = []  # the position of each row's prompt
        self._holds: dict[int, int] = {}  # slot -> the position of the prompt that it begins with

    def advance(self, rows: list[int], tokens: list[int]) -> tuple[list[int], Tensor]:
        """Continue rows and let waiting prompts enter; see generation.Reading."""
        self._continue(rows)
        in_slots = [token for _, token in sorted(zip(self._slots, tokens, strict=True))]
        entered, entries = self._enter()
        if not self._slots:
            return [], torch.empty(0, self._model.config.vocab_size)
        states_RD = read(self._model, self._cache, tokens=in_slots, entries=entries)
        padding = [0] * self._model.padding(len(self._slots))
        order = torch.tensor(self._slots + padding, device=states_RD.device)
        return entered, self._model.unembed(states_RD[order])[: len(self._slots)]

    def _slots_for(self, positions: int) -> int:
        device = self._model.tokens.weight.device
        memory = _MEMORY if device.type == "cpu" else torch.cuda.mem_get_info(device)[0] // 4
        fitting = memory // (positions * bytes_per_position(self._model))
        requested = sum(prompt.rows for prompt in self._prompts)
        limit = min(requested, max(_FEWEST, fitting), _MOST[device.type], self._batch_tokens // positions)
        return max(1, limit)

    def _continue(self, rows: list[int]) -> None:
        """Give every row a slot: the first row that continues a source takes its slot, each other row a copy."""
        sources = [self._slots[row] for row in rows]
        owners = [self._owners[row] for row in rows]
        untaken = set(sources)
        if len(rows) > len(self._cache.lengths):
            self._cache.resize(len(rows), self._cache.positions)
        free = iter(sorted(set(range(len(self._cache.lengths))) - untaken))
        self._slots, self._owners = [], owners
        for source, owner in zip(sources, owners, strict=True):
            if source in untaken:
                untaken.remove(source)
                self._slots.append(source)
            else:
                self._slots.append(self._copy(source, next(free), owner))
        # Rows must occupy the first slots.
        holes = iter(sorted(set(range(len(rows))).difference(self._slots)))
        for row, slot in enumerate(self._slots):
            if slot >= len(rows):
                self._slots[row] = self._copy(slot, next(holes), owners[row])

    def _copy(self, source: int, target: int, owner: int) -> int:
        """Copy a slot, without the prompt if both hold it; return the target."""
        prompt = len(self._prompts[owner].tokens) - self._shared
        self._cache.copy(source, target, start=prompt if self._holds.get(target) == owner else 0)
        self._holds[target] = owner
        return target

    def _enter(self) -> tuple[list[int], list[Entry]]:
        """Take waiting prompts while slots and the pass have room for them; at least one if no row is running."""
        running = Counter(self._owners)
        reserved = sum(max(count, self._prompts[owner].rows) for owner, count in running.items())
        self._lay_out(reserved)
        entered: list[int] = []
        entries: list[Entry] = []
        new = 0
        while self._waiting:
            prompt = self._prompts[self._waiting[-1]]
            # The last token is always read, since the model predicts what follows it.
            start = min(common_prefix(self._before, prompt.tokens), len(prompt.tokens) - 1)
            reserved += prompt.rows
            ahead = (len(prompt.tokens) - start - 1) // _PASS * _PASS
            new += len(prompt.tokens) - start - ahead
            crowded = reserved > len(self._cache.lengths) or new > self._pass_tokens or (ahead and entries)
            if self._slots and crowded:
                break
            place, slot = self._waiting.pop(), len(self._slots)
            self._sizes.pop()
            entered.append(place)
            for stop in range(start + _PASS, start + ahead + 1, _PASS):
                part = Entry(slot=slot, start=stop - _PASS, tokens=prompt.tokens[:stop])
                read(self._model, self._cache, tokens=[], entries=[part])
            entries.append(Entry(slot=slot, start=start + ahead, tokens=prompt.tokens))
            self._slots.append(slot)
            self._owners.append(place)
            self._holds[slot] = place
            self._before = prompt.tokens
        return entered, entries

    def _lay_out(self, reserved: int) -> None:
        """Lay out more and shorter slots once all long sequences have left."""
        if not self._waiting or reserved < len(self._cache.lengths):
            return
        running = [len(self._prompts[i].tokens) + self._prompts[i].new_tokens - self._shared for i in set(self._owners)]
        size = max(self._sizes[-1], *running)
        slots = self._slots_for(size)
        if slots >= 2 * len(self._cache.lengths):
            self._cache.resize(slots, size)
