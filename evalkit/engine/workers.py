"""Workers: the place where the workers of a crew answer the calls to one engine."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from evalkit.engine.base import Engine
from evalkit.engine.calls import Answer, Call, Description
from evalkit.engine.cluster import PATIENCE, Crew
from evalkit.engine.worker import Values
from evalkit.plugins import FILE_MODULES


class Workers:
    """Answers calls to one engine with a crew; see calls.Place. make: how each worker loads the engine."""

    def __init__(self, crew: Crew, make: Callable[[], Engine]):
        import ray

        self._crew = crew
        self.held = ray.put(make)  # for a worker whenever it loads the engine
        self.shared: Any = None  # Ray's reference to what all jobs need
        self.expected: Mapping[str, str] | None = None
        self.pending: deque[Call] = deque()
        self.closed = False
        self.error: Exception | None = None
        self._done: deque[tuple[Call, Values]] = deque()
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
            call, values = self._done.popleft()
            if isinstance(values, Exception):
                yield Answer(call, None, values)
            else:
                yield from (Answer(call, value) for value in values)

    def take(self, call: Call, values: Values) -> None:
        """Take what has come of a call."""
        if not self.closed:
            self._done.append((call, values))

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

    def put(self, value: Any) -> Callable[[], Any]:
        """Put a value where workers get it from, when they need it."""
        import ray

        for module in FILE_MODULES:
            ray.cloudpickle.register_pickle_by_value(module)
        return _Put(ray.put(value))

    def share(self, shared: Any) -> None:
        """Send what all jobs need to the workers that hold the engine, and to others with the engine."""
        import ray

        self.shared = ray.put(shared)
        self._crew.share(self)

    def compute(self) -> Mapping[str, str]:
        """Return how the workers compute."""
        return self._crew.compute()

    def answered(self) -> Mapping[str, int]:
        """Return how many requests each worker has answered, of all engines."""
        return self._crew.answered

    def close(self) -> None:
        """Let the workers go on to other engines."""
        self.closed = True
        self.pending.clear()
        self._done.clear()
        self._crew.release(self)


class _Put:
    """Gets a value from Ray's store. reference: Ray's."""

    def __init__(self, reference: Any):
        self._reference = reference

    def __call__(self) -> Any:
        """Return the value."""
        import ray

        return ray.get(self._reference)
