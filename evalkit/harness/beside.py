"""Prompts that are built and encoded in a thread while the engine computes those of the block before."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock

from evalkit.engine.base import Engine
from evalkit.harness.item import Item
from evalkit.harness.loaded import ImportedTask, Loaded
from evalkit.harness.prompt_cache import PromptCache
from evalkit.harness.spool import Pair
from evalkit.tokenizer import Tokenizer
from evalkit.types import Cell


class Builder:
    """Builds the prompts of documents, at once or beside other work; of what is built beside, one batch is held.

    prompts: where prompts are kept for later evaluations.
    """

    def __init__(self, prompts: PromptCache):
        self._prompts = prompts
        self._lock = Lock()  # a tokenizer caches lines, and `prompts` what it has built
        self._threads: ThreadPoolExecutor | None = None
        self._ahead: tuple[object, Future[list[Item]]] | None = None

    def build(self, reader: Engine, loaded: Loaded, cell: Cell, documents: Sequence[Pair]) -> list[Item]:
        """Return the documents' items. reader: what prompts are encoded with."""
        with self._lock:
            return self._prompts.build(reader, loaded, cell, documents)

    def begin(self, name: object, reader: Engine, loaded: Loaded, cell: Cell, documents: Sequence[Pair]) -> None:
        """Build items beside what follows, to be taken by this name.

        Only where nothing but our own code runs in the thread: a tokenizer of a user, or the code of a task of another
        tool, may rely on being called from one.
        """
        if isinstance(reader.tokenizer, Tokenizer) and not isinstance(loaded.task, ImportedTask):
            self._threads = self._threads or ThreadPoolExecutor(1, thread_name_prefix="prompts")
            self._ahead = name, self._threads.submit(self.build, reader, loaded, cell, documents)

    def take(self, name: object) -> list[Item] | None:
        """Return the items that were built beside, if any by this name; raise what building them raised."""
        ahead, self._ahead = self._ahead, None
        if ahead is None:
            return None
        if ahead[0] == name:
            return ahead[1].result()
        ahead[1].cancel()
        return None
