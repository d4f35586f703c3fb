"""Prompts that are built and encoded once for any number of evaluations, as during a training."""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.engine.base import Engine, TextEncoder
from evalkit.harness.item import Item
from evalkit.harness.loaded import Loaded
from evalkit.harness.prompts import Fitted
from evalkit.harness.spool import Pair
from evalkit.types import Cell, Request

# Token ids kept; with their texts they take up to about 50 bytes each.
_LIMIT = 2_000_000

_Built = tuple[Fitted, Sequence[Request]]


class PromptCache:
    """Keeps the prompts of one tokenizer and context length, those of another take their place.

    limit: how many token ids are kept; prompts beyond that are built again each time.
    """

    def __init__(self, *, limit: int = _LIMIT):
        self._limit = limit
        self._shelf = _Shelf(key=(), room=0)
        self._tokenizer: tuple[TextEncoder, object] | None = None

    def build(self, engine: Engine, loaded: Loaded, cell: Cell, documents: Sequence[Pair]) -> list[Item]:
        """Return the items of documents, as Item.build makes them."""
        if not self._limit:
            return Item.build(engine, loaded, cell, documents)
        shelf = self._shelf_of(engine)
        missing = [pair for pair in documents if (cell, pair[0].id) not in shelf.built]
        built = {item.document.id: item for item in Item.build(engine, loaded, cell, missing)}
        for item in built.values():
            shelf.put(item)
        return [
            built.get(document.id) or Item(loaded, cell, document, example, *shelf.built[cell, document.id])
            for document, example in documents
        ]

    def _shelf_of(self, engine: Engine) -> _Shelf:
        """Return the shelf of the engine's tokenizer and context; what other threads still use is left to them."""
        tokenizer = engine.tokenizer
        known = self._tokenizer
        if known is None or known[0] is not tokenizer:
            content = getattr(tokenizer, "content_hash", None)  # an engine of a user may have a tokenizer without it
            known = self._tokenizer = (tokenizer, content() if content else tokenizer)
        key = (known[1], tokenizer.end_of_text, engine.context_length)
        shelf = self._shelf
        if shelf.key != key:
            shelf = self._shelf = _Shelf(key=key, room=self._limit)
        return shelf


class _Shelf:
    """The prompts of one tokenizer and context length, up to `room` token ids."""

    def __init__(self, *, key: tuple[object, ...], room: int):
        self.key = key
        self.built: dict[tuple[Cell, str], _Built] = {}
        self._room = room

    def put(self, item: Item) -> None:
        """Keep an item's prompt if there is room."""
        tokens = sum(len(request.context_ids) + len(request.continuation_ids) for request in item.requests)
        if tokens <= self._room:
            self._room -= tokens
            self.built[item.cell, item.document.id] = item.fitted, item.requests
