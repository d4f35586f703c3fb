"""Units: documents whose requests go to the engine together, from prompts to records.

An evaluator does this where the engine is, in this process or in a worker: it builds the prompts of a block of
documents and groups them into units, and it computes and scores a unit. What the run keeps of a unit is small: lines of
the journal, and the numbers that aggregates need. Both kinds of work can be repeated by any other worker.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from evalkit.engine.base import Engine, ask
from evalkit.engine.cached import KEY_BYTES, Keys, Missing
from evalkit.engine.prefix_tree import common_prefix
from evalkit.harness.beside import Builder, Judge
from evalkit.harness.failures import explain
from evalkit.harness.item import Item
from evalkit.harness.loaded import Loaded
from evalkit.harness.prompt_cache import PromptCache
from evalkit.runs.store import Finished
from evalkit.types import Cell, Response

# Records of a unit that are stored together.
_TOGETHER = 32
# Blocks whose prompts are kept until their units are computed, and tasks whose data are.
_KEPT = 2


@dataclass(frozen=True)
class Block:
    """Documents of a task from `start` to `stop` in one cell, whose prompts are built together. place: of the task."""

    place: int
    cell: Cell
    start: int
    stop: int


@dataclass(frozen=True, kw_only=True)
class UnitPlan:
    """A unit: its documents by their numbers in the task, in order, and how many requests they have.

    keys: those of the requests in the cache, one after the other; empty without a cache.
    """

    documents: tuple[int, ...]
    requests: int
    keys: bytes = b""

    def each_key(self) -> list[bytes]:
        """Return the keys one by one."""
        return [self.keys[start : start + KEY_BYTES] for start in range(0, len(self.keys), KEY_BYTES)]


@dataclass(frozen=True, kw_only=True)
class BlockPlan:
    """The units of a block, and the records of documents that have none: their prompts do not fit."""

    units: Sequence[UnitPlan]
    failed: Finished


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """The job that plans a block: it yields a BlockPlan.

    skip: documents that are done. following: the block that is likely to be planned next; its prompts are built beside
    the units of this one.
    """

    block: Block
    skip: frozenset[int] = frozenset()
    following: Block | None = None
    size: int = 0

    @property
    def task(self) -> str:
        """The name of the task."""
        return self.block.cell.task

    def run(self, engine: Callable[[], Engine], shared: Evaluator) -> Iterator[BlockPlan]:
        """Yield the plan. Raises EvalkitError where the task's own code fails, or memory runs out."""
        try:
            yield shared.plan(engine, self)
        except Exception as error:
            raise explain(error, self.task) from error


@dataclass(frozen=True, kw_only=True)
class Scored:
    """Records of a unit, which may still be judged in a thread.

    last: whether no more come. computed: then, the responses for the cache, by their keys. tokens: of the requests that
    were answered since the records before, without those that a cache answered.
    """

    finished: Finished | Future[Finished]
    last: bool
    tokens: int = 0
    computed: Mapping[bytes, Response] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """The job that computes and scores a unit of a block, the one of this number: it yields Scored.

    cached: the responses that the cache holds, by their keys; None without a cache. skip: documents that are done, and
    only computed again because the unit is. failed: why nothing is computed; every item fails with it.
    """

    block: Block
    number: int
    unit: UnitPlan
    cached: Mapping[bytes, Response] | None = None
    skip: frozenset[int] = frozenset()
    failed: str = ""

    @property
    def task(self) -> str:
        """The name of the task."""
        return self.block.cell.task

    @property
    def size(self) -> int:
        """How many requests the unit has."""
        return self.unit.requests

    def run(self, engine: Callable[[], Engine], shared: Evaluator) -> Iterator[Scored]:
        """Yield records soon after they are complete. Raises as Preparation.run does."""
        try:
            yield from shared.score(engine, self)
        except Exception as error:
            raise explain(error, self.task) from error


class Nothing:
    """The job of a worker for which nothing is left."""

    task, size = "", 0

    def run(self, engine: Callable[[], Engine], shared: Any) -> Iterator[None]:
        """Yield None."""
        yield None


class Evaluator:
    """What Preparation and Scoring need where they run; a copy of it in another process begins without prompts.

    tasks: how to get each. run: the digest that records carry. tokens: of a unit, beyond what all of a cell share.
    keys: of the cache, if there is one. reader: what prompts are encoded with, if not the engine; then threads build
    prompts and judge answers beside it. prompts: where they are kept for later evaluations.
    """

    def __init__(
        self,
        tasks: Sequence[Callable[[], Loaded]],
        *,
        run: str,
        tokens: int,
        keys: Keys | None = None,
        reader: Engine | None = None,
        prompts: PromptCache | None = None,
    ):
        self._tasks, self._run, self._tokens, self._keys = tasks, run, tokens, keys
        self._reader, self._builder = reader, Builder(prompts or PromptCache(limit=0))
        self._judge = Judge(run=run, beside=reader is not None)
        self._loaded: OrderedDict[int, Loaded] = OrderedDict()
        self._built: OrderedDict[Block, dict[int, Item]] = OrderedDict()

    def __reduce__(self) -> tuple[Callable[..., Evaluator], tuple[Any, ...]]:
        return _copied, (self._tasks, self._run, self._tokens, self._keys)

    def plan(self, engine: Callable[[], Engine], job: Preparation) -> BlockPlan:
        """Build a block's prompts, and group them into units."""
        block = job.block
        built = self._builder.take(block) or self._build(engine, block, range(block.start, block.stop))
        items = dict(enumerate(built, start=block.start))
        if job.following and self._reader:
            self._begin(job.following, self._reader)
        failed = [item.record() for n, item in items.items() if item.fitted.error and n not in job.skip]
        numbers = {item.document.id: n for n, item in items.items()}
        planned = []
        for unit in units([item for item in items.values() if not item.fitted.error], tokens=self._tokens):
            requests = [request for item in unit for request in item.requests]
            keys = b"".join(map(self._keys.of, requests)) if self._keys else b""
            documents = tuple(numbers[item.document.id] for item in unit)
            planned.append(UnitPlan(documents=documents, requests=len(requests), keys=keys))
        self._built[block] = items
        while len(self._built) > _KEPT:
            self._built.popitem(last=False)
        return BlockPlan(units=planned, failed=Finished.of(failed, run=self._run))

    def score(self, engine: Callable[[], Engine], job: Scoring) -> Iterator[Scored]:
        """Compute a unit's responses, and score them."""
        unit = Unit(self._items(engine, job))
        skipped = {unit.items[i].document.id for i, number in enumerate(job.unit.documents) if number in job.skip}
        missing = None
        if job.failed:
            responses: Iterator[tuple[int, Response]] = (
                (position, Response(error=job.failed)) for position in range(len(unit.requests))
            )
        elif job.cached is None or self._keys is None:
            responses = ask(engine(), unit.requests[0].kind, unit.requests)
        else:
            missing = Missing([self._keys.of(request) for request in unit.requests], job.cached)
            responses = _through(missing, unit, engine)
        loaded = unit.items[0].loaded
        ready: list[Item] = []
        known = {position for position, _ in missing.known} if missing else set()
        tokens = 0
        for position, response in responses:
            if not job.failed and position not in known:
                tokens += unit.tokens(position, response)
            item = unit.take(position, response)
            if item and item.document.id not in skipped:
                ready.append(item)
            if len(ready) == _TOGETHER:
                yield Scored(finished=self._judge.judge(loaded, ready), last=False, tokens=tokens)
                ready, tokens = [], 0
        computed = missing.computed if missing else {}
        yield Scored(finished=self._judge.judge(loaded, ready), last=True, tokens=tokens, computed=computed)

    def _items(self, engine: Callable[[], Engine], job: Scoring) -> list[Item]:
        """Return a unit's items with their prompts, which are built unless this evaluator has planned the block."""
        built = self._built.get(job.block, {})
        numbers = [number for number in job.unit.documents if number not in built]
        others = dict(zip(numbers, self._build(engine, job.block, numbers), strict=True)) if numbers else {}
        return [others[number] if number in others else built.pop(number) for number in job.unit.documents]

    def _build(self, engine: Callable[[], Engine], block: Block, numbers: Sequence[int]) -> list[Item]:
        loaded = self._task(block.place)
        reader = self._reader or engine()
        return self._builder.build(reader, loaded, block.cell, [loaded.documents[number] for number in numbers])

    def _begin(self, block: Block, reader: Engine) -> None:
        loaded = self._task(block.place)
        documents = list(loaded.documents[block.start : block.stop])
        self._builder.begin(block, reader, loaded, block.cell, documents)

    def _task(self, place: int) -> Loaded:
        if place not in self._loaded:
            self._loaded[place] = self._tasks[place]()
            if len(self._loaded) > _KEPT:
                self._loaded.popitem(last=False)
        return self._loaded[place]


def _copied(tasks: Sequence[Callable[[], Loaded]], run: str, tokens: int, keys: Keys | None) -> Evaluator:
    return Evaluator(tasks, run=run, tokens=tokens, keys=keys)


def _through(missing: Missing, unit: Unit, engine: Callable[[], Engine]) -> Iterator[tuple[int, Response]]:
    """Yield the responses that are known, and those of the engine to the others."""
    yield from missing.known
    if missing.positions:
        requests = [unit.requests[position] for position in missing.positions]
        yield from missing.answered(ask(engine(), requests[0].kind, requests))


class Unit:
    """Items whose requests go to the engine together; `requests` are those of all."""

    def __init__(self, items: Sequence[Item]):
        self.items = items
        self._positions = [(item, i) for item in items for i in range(len(item.requests))]
        self.requests = [item.requests[i] for item, i in self._positions]

    def tokens(self, position: int, response: Response) -> int:
        """Return the tokens of a request: those of its prompt, and those that were scored or generated."""
        request = self.requests[position]
        return len(request.context_ids) + (len(request.continuation_ids) or response.tokens)

    def take(self, position: int, response: Response) -> Item | None:
        """Add a response to its item; return the item if that was the last one."""
        item, i = self._positions[position]
        item.responses[i] = response
        return item if len(item.responses) == len(item.requests) else None


def units(items: Sequence[Item], *, tokens: int) -> Iterator[list[Item]]:
    """Group items into units: the longest first, so that batches need little padding, one passage's together."""
    contexts = [request.context_ids for item in items for request in item.requests]
    shared = common_prefix(min(contexts), max(contexts)) if contexts else 0  # read once per unit of any size
    sized = [(item.tokens_beyond(shared), item) for item in items]
    longest: dict[str, int] = defaultdict(int)
    for length, item in sized:
        longest[item.group] = max(longest[item.group], length)
    unit: list[Item] = []
    room = tokens
    for length, item in sorted(sized, key=lambda s: (-longest[s[1].group], s[1].group, -s[0], s[1].document.id)):
        if unit and length > room:
            yield unit
            unit, room = [], tokens
        unit.append(item)
        room -= length
    if unit:
        yield unit
