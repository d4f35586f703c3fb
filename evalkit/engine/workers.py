"""Workers: the place where the workers of a crew answer the calls to one engine."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping

from evalkit.engine.base import Engine
from evalkit.engine.calls import Answer, Call, Description
from evalkit.engine.cluster import PATIENCE, Crew
from evalkit.engine.worker import Responses

log = logging.getLogger(__name__)


class Workers:
    """Answers calls to one engine with a crew; see calls.Place. make: how each worker loads the engine."""

    def __init__(self, crew: Crew, make: Callable[[], Engine]):
        import ray

        self._crew = crew
        self.held = ray.put(make)  # for a worker whenever it loads the engine
        self.expected: Mapping[str, str] | None = None
        self.pending: deque[Call] = deque()
        self.closed = False
        self.error: Exception | None = None
        self._done: deque[tuple[Call, Responses]] = deque()
        self._answered: Counter[str] = Counter()
        crew.add(self)

    @property
    def room(self) -> bool:
        """Whether another call can be sent now; if no worker can load the engine, it fails at once."""
        return bool(self.error) or self._crew.room(self)

    @property
    def busy(self) -> bool:
        """Whether answers are still to come."""
        return bool(self._done or self.pending or self._crew.working(self))

    @property
    def starting(self) -> bool:
        """Whether some workers are still to come."""
        return self._crew.starting

    def send(self, call: Call) -> None:
        """Send a call to the worker that has the least to do."""
        self.pending.append(call)
        if self.error:
            self.fail(self.error)
        else:
            self._crew.distribute(self)

    def wait(self) -> None:
        """Wait until a call is answered or a worker is ready; start the workers at first."""
        if not self._done:
            self._crew.collect(timeout=PATIENCE)

    def answers(self) -> Iterator[Answer]:
        """Yield the answers that have come."""
        if self._crew.working(self):
            self._crew.collect(timeout=0)
        while self._done:
            call, responses = self._done.popleft()
            if isinstance(responses, Exception):
                yield Answer.failure(call, responses)
            else:
                yield from (Answer(call, position, response) for position, response in responses)

    def take(self, call: Call, responses: Responses, worker: str = "") -> None:
        """Take the responses to a call, which a worker has computed."""
        if not self.closed:
            self._done.append((call, responses))
            if worker:
                self._answered[worker] += len(call.requests)

    def fail(self, error: Exception) -> None:
        """Fail the calls that are pending, and those to come: no worker can load the engine."""
        self.error = error
        while self.pending:
            self.take(self.pending.popleft(), error)

    def describe(self) -> Description:
        """Describe the engine, which workers load for it."""
        return self._crew.describe(self)

    def expect(self, signature: Mapping[str, str]) -> None:
        """From now on, refuse to load an engine with another signature."""
        self.expected = signature

    def compute(self) -> Mapping[str, str]:
        """Return how the workers compute."""
        return self._crew.compute()

    def answered(self) -> Mapping[str, int]:
        """Return how many requests each worker has answered."""
        return self._answered

    def close(self) -> None:
        """Let the workers go on to other engines; say which share of the requests each of several has answered."""
        if self.closed:
            return
        self.closed = True
        self.pending.clear()
        self._done.clear()
        self._crew.release(self)
        if len(self._answered) > 1:
            total = self._answered.total()
            shares = ", ".join(f"{n / total:.0%}" for n in self._answered.values())
            log.info("%d workers answered %s requests: %s", len(self._answered), f"{total:,}", shares)
