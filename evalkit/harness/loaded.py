"""A task with its data read, and the rules that build its prompts and judge its answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from evalkit import metrics
from evalkit.data.sources import DataPaths
from evalkit.engine.base import TextEncoder
from evalkit.harness import task as tasks
from evalkit.harness.prompts import Fitted, Pool, packed, unpacked
from evalkit.harness.requests import EmptyContext
from evalkit.harness.settings import RunSettings
from evalkit.harness.spool import Pair, Spooled
from evalkit.types import Cell, Document, Example, Response

if TYPE_CHECKING:
    from evalkit.harness.draw import Draw


class Judgement(NamedTuple):
    """A document's scores: Record.scores and Record.values."""

    scores: Mapping[str, Sequence[float]]
    values: Mapping[str, Any] = MappingProxyType({})


class Rules(Protocol):
    """How prompts are built and answers judged: by a task's protocol, or as the tool it was imported from does."""

    def texts(self, loaded: Loaded, document: Document, example: Example, cell: Cell) -> list[tuple[str, str]]:
        """Return (context, continuation) of each request, whether it fits or not."""
        ...

    def fit(
        self, loaded: Loaded, documents: Sequence[Pair], cell: Cell, *, encoder: TextEncoder, context: int
    ) -> list[Fitted]:
        """Build each document's prompt for the context; where none fits, it has an error."""
        ...

    def answer(self, loaded: Loaded, example: Example, responses: Sequence[Response]) -> str:
        """Return a document's answer in words."""
        ...

    def judge(self, loaded: Loaded, document: Document, example: Example, responses: Sequence[Response]) -> Judgement:
        """Score a document's responses."""
        ...


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A task with its data read: the documents to score, the pool of shots, the counts of shots and the wordings.

    name: of the protocol. documents: held, or read from a file where they are many (spool.py). data: a hash of what was
    read. scored: of the scored documents alone, on which values without shots depend; "" where all values depend on
    everything that was read. sampled: "KEPT of ALL" where the pool holds only a part of the documents. first: a limit
    takes the first documents, as the tool that the task is imported from does, not a pseudo-random subset. empty: what
    an empty context is. baselines: a cache of the baselines' scores by document.
    draw: how the documents were drawn, where values of all are estimated.
    """

    task: tasks.Task
    name: str
    protocol: tasks.Protocol
    documents: Sequence[Pair]
    pool: Pool
    data: str
    rules: Rules
    scored: str = ""
    metrics: Mapping[str, metrics.Metric] = field(default_factory=dict)
    shots: tuple[int, ...] = (0,)
    wordings: Mapping[str, tasks.Protocol] = field(default_factory=dict)
    sampled: str = ""
    baselines: dict[str, Mapping[str, Mapping[str, Sequence[float]]]] = field(default_factory=dict)
    first: bool = False
    empty: EmptyContext = "end"
    draw: Draw | None = None

    def __getstate__(self) -> dict[str, Any]:
        documents = self.documents if isinstance(self.documents, Spooled) else packed(self.documents)
        return self.__dict__ | {"documents": documents}

    def __setstate__(self, state: dict[str, Any]) -> None:
        documents = state["documents"]
        self.__dict__.update(state, documents=documents if isinstance(documents, Spooled) else unpacked(documents))

    def group(self, document: Document) -> str:
        """Return the group whose shots suit a document."""
        return self.task.shot_group(document) if self.task.shot_group else ""


@dataclass(frozen=True, kw_only=True)
class ImportedTask(tasks.Task, ABC):
    """A task of another tool, whose data, prompts and scores follow that tool."""

    @abstractmethod
    def load(self, settings: RunSettings, data: DataPaths) -> Loaded:
        """Read the data. Raises DataError, NoDataError and UsageError as harness.load.load does."""
