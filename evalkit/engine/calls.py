"""Calls: requests that go to an engine together, and where they are answered: in this process, or by workers.

What is answered together may change the last bits, so a call is never divided or joined with another.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypedDict, runtime_checkable

from evalkit.engine.base import Engine, TextEncoder, ask
from evalkit.engine.compute import compute, set_threads
from evalkit.types import Request, RequestKind, Response


@dataclass(frozen=True, eq=False)
class Call:
    """Requests of one kind, at least one; a call equals itself only."""

    requests: Sequence[Request]

    @property
    def kind(self) -> RequestKind:
        """The kind of its requests."""
        return self.requests[0].kind


class Answer(NamedTuple):
    """The response to the request at this position of a call; or, with an error, that the call as a whole failed."""

    call: Call
    position: int
    response: Response
    error: Exception | None = None

    @classmethod
    def failure(cls, call: Call, error: Exception) -> Answer:
        """Return what stands for all the responses that are still missing."""
        return cls(call, -1, Response(error=str(error)), error)


class Description(TypedDict):
    """What a run needs to know about an engine before it sends requests."""

    tokenizer: TextEncoder
    context_length: int
    signature: Mapping[str, str]


def description(engine: Engine) -> Description:
    """Describe an engine that is loaded."""
    return {
        "tokenizer": engine.tokenizer,
        "context_length": engine.context_length,
        "signature": engine.signature(),
    }


@runtime_checkable
class Calls(Protocol):
    """Answers calls, perhaps several at once and in any order."""

    @property
    def room(self) -> bool:
        """Whether another call can be sent now."""
        ...

    @property
    def busy(self) -> bool:
        """Whether answers are still to come."""
        ...

    def send(self, call: Call) -> None:
        """Hand a call over; only while there is room."""
        ...

    def wait(self) -> None:
        """Wait until something has changed: an answer has come, or there is room."""
        ...

    def answers(self) -> Iterator[Answer]:
        """Yield the answers that have come; they must be read to the end."""
        ...


class Place(Calls, Protocol):
    """Where an engine is loaded and answers: this process, or workers."""

    def describe(self) -> Description:
        """Describe the engine, which is loaded for it."""
        ...

    def compute(self) -> Mapping[str, str]:
        """Return what decides the last bits beside the engine's signature, where it was chosen."""
        ...

    def close(self) -> None:
        """Let the engine go."""
        ...


class Placing(Protocol):
    """Decides where engines answer: in this process, or in workers of a cluster."""

    def __call__(self, make: Callable[[], Engine], /, *, device: str) -> Place:
        """Return the place that loads an engine with `make`, once or in each of its workers."""
        ...


def ask_all(engine: Engine | Calls, calls: Iterable[Call]) -> Iterator[Answer]:
    """Answer calls, which are drawn only when there is room for another; what failed is an answer, never raised.

    A call is sent before the answers that made room for it are yielded, so that nobody idles while those are used.
    """
    place = engine if isinstance(engine, Calls) else Here(lambda: engine)
    for call in calls:
        while not place.room:
            place.wait()
            if not place.room:
                yield from place.answers()
        place.send(call)
        yield from place.answers()
    while place.busy:
        place.wait()
        yield from place.answers()


class Here:
    """Answers calls in this process, each when its answers are read.

    make: called for the engine at the first call. threads: of its matrix products; None leaves them as they are.
    """

    def __init__(self, make: Callable[[], Engine], *, device: str = "cpu", threads: int | None = None):
        self._make, self._device, self._threads = make, device, threads
        self._engine: Engine | None = None
        self._sent: deque[Call] = deque()
        self._before: int | None = None

    @property
    def room(self) -> bool:
        """Whether no call is left."""
        return not self._sent

    @property
    def busy(self) -> bool:
        """Whether a call is left."""
        return bool(self._sent)

    def send(self, call: Call) -> None:
        """Keep a call until its answers are read."""
        self._sent.append(call)

    def wait(self) -> None:
        """Return at once: nothing happens by itself."""

    def answers(self) -> Iterator[Answer]:
        """Compute the answers, and yield each as soon as it is known."""
        while self._sent:
            call = self._sent.popleft()
            try:
                for position, response in ask(self._loaded(), call.kind, call.requests):
                    yield Answer(call, position, response)
            except Exception as error:
                yield Answer.failure(call, error)

    def _loaded(self) -> Engine:
        if self._threads and self._before is None:
            self._before = set_threads(self._threads)
        self._engine = self._engine or self._make()
        return self._engine

    def describe(self) -> Description:
        """Describe the engine, which is loaded for it."""
        return description(self._loaded())

    def compute(self) -> Mapping[str, str]:
        """Return how this process computes if the threads were chosen; else whatever torch's environment says."""
        return compute(self._device, self._threads) if self._threads else {}

    def close(self) -> None:
        """Give the process its number of threads back."""
        if self._before is not None:
            set_threads(self._before)
            self._before = None
