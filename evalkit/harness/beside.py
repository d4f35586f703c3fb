"""What is done in threads while the engine computes: the next prompts are built, and the last answers judged.

A tokenizer or a metric of a user, and the code of a task of another tool, may rely on being called from one thread, and
are not called from these.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from threading import Lock

from evalkit.engine.base import Engine
from evalkit.harness.item import Item
from evalkit.harness.loaded import ImportedTask, Loaded
from evalkit.harness.prompt_cache import PromptCache
from evalkit.harness.spool import Pair
from evalkit.runs.store import Finished
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
        """Build items beside what follows, to be taken by this name, where that may be done in a thread."""
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


class Judge:
    """Judges items and makes their records, in the order in which they come.

    run: the digest that records carry. beside: whether this may be done in a thread.
    """

    def __init__(self, *, run: str, beside: bool):
        self._run, self._beside = run, beside
        self._threads: ThreadPoolExecutor | None = None
        self._prepared: set[str] = set()

    def judge(self, loaded: Loaded, items: Sequence[Item]) -> Finished | Future[Finished]:
        """Return the records of a task's items, or what will hold them where they may be judged in a thread."""
        if not self._beside or not _judged_by_us(loaded):
            return self._records(items)
        if loaded.task.name not in self._prepared:
            for metric in loaded.metrics.values():
                metric.prepare()
            self._prepared.add(loaded.task.name)
        self._threads = self._threads or ThreadPoolExecutor(
            1, thread_name_prefix="judging", initializer=_import_for_intervals
        )
        return self._threads.submit(self._records, items)

    def _records(self, items: Sequence[Item]) -> Finished:
        return Finished.of((item.record() for item in items), run=self._run)


def _import_for_intervals() -> None:
    """Import what the intervals at the end of a run need, which takes a fifth of a second, beside the engine."""
    with suppress(ImportError):  # another thread may hide modules meanwhile, as metrics/rouge.py does
        import_module("scipy.special")


def _judged_by_us(loaded: Loaded) -> bool:
    packages = {type(metric).__module__.partition(".")[0] for metric in loaded.metrics.values()}
    return not isinstance(loaded.task, ImportedTask) and packages == {"evalkit"}
