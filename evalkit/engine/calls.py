"""Calls: work for an engine, and where it is done: in this process, or by workers.

What is answered together may change the last bits, so a job is never divided or joined with another.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypedDict, runtime_checkable

from evalkit import costs
from evalkit.engine.base import Engine, TextEncoder, ask
from evalkit.engine.compute import compute, set_threads
from evalkit.errors import CheckpointError
from evalkit.progress import doing
from evalkit.types import Request, Response


class Job(Protocol):
    """What is done where an engine is, in this process or another: plain data, and how to go about it.

    task: what it belongs to, for messages. size: how many requests it stands for.
    """

    @property
    def task(self) -> str: ...  # noqa: D102

    @property
    def size(self) -> int: ...  # noqa: D102

    def run(self, engine: Callable[[], Engine], shared: Any) -> Iterator[Any]:
        """Yield what comes of it, piece by piece. engine: loads it if need be. shared: what Place.share was given."""
        ...


@dataclass(frozen=True)
class Requests:
    """Requests of one kind, at least one, that are answered together: (position, response) of each."""

    requests: Sequence[Request]

    @property
    def task(self) -> str:
        """The task of its requests."""
        return self.requests[0].task

    @property
    def size(self) -> int:
        """How many they are."""
        return len(self.requests)

    def run(self, engine: Callable[[], Engine], shared: Any) -> Iterator[tuple[int, Response]]:
        """Yield the responses by the positions of their requests."""
        return ask(engine(), self.requests[0].kind, self.requests)


@dataclass(eq=False)
class Call:
    """A job that a worker will do; a call equals itself only.

    choose: decides on the job when a worker takes the call, given the worker's number. job: what it has decided on.
    patient: whether it waits for a worker that has nothing to do, as the last calls should.
    """

    choose: Callable[[int], Job]
    job: Job | None = None
    patient: bool = False

    @classmethod
    def of(cls, job: Job) -> Call:
        """Return a call for a job that is known."""
        return cls(lambda _: job, job)

    def taken_by(self, worker: int) -> Job:
        """Return the job, which stays the same if another worker has to repeat it."""
        self.job = self.job or self.choose(worker)
        return self.job


class Answer(NamedTuple):
    """Something that has come of a call; or, with an error, that the rest of it failed."""

    call: Call
    value: Any
    error: Exception | None = None


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


def load(make: Callable[[], Engine], *, expected: Mapping[str, str] | None) -> Engine:
    """Load an engine. Raises CheckpointError if it has not the signature that is expected, where one is."""
    doing(f"loading {expected['model'] if expected else 'the model'}")
    engine = make()
    if expected is not None and dict(engine.signature()) != dict(expected):
        raise CheckpointError(f"the files of {expected['model']} have changed since the run began")
    return engine


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

    def expect(self, signature: Mapping[str, str]) -> None:
        """From now on, refuse to load an engine with another signature."""
        ...

    def compute(self) -> Mapping[str, str]:
        """Return what decides the last bits beside the engine's signature, where it was chosen."""
        ...

    def answered(self) -> Mapping[str, int]:
        """Return how many requests each device has answered; empty for a single one."""
        ...

    def put(self, value: Any) -> Callable[[], Any]:
        """Return how a job gets a large value where it runs."""
        ...

    def share(self, shared: Any) -> None:
        """Give what all jobs that are sent from now on need; where it is used, a copy of it may be."""
        ...

    def close(self) -> None:
        """Let the engine go."""
        ...


class Placing(Protocol):
    """Decides where engines answer: in this process, or in workers of a cluster."""

    def __call__(self, make: Callable[[], Engine], /, *, device: str, gpus: int = 1) -> Place:
        """Return the place that loads an engine with `make`, once or in each of its workers. gpus: of each."""
        ...


@dataclass(eq=False)
class Asking:
    """The calls to one engine, and where they are answered; None among them: no other before an answer has come.

    error: what ended it early, if anything did. left: whether there may be more calls. paused: whether an answer has
    to come first. stopped: whether the answers that are still to come are ignored.
    """

    place: Calls
    calls: Iterator[Call | None]
    error: Exception | None = field(default=None, init=False)
    left: bool = field(default=True, init=False)
    paused: bool = field(default=False, init=False)
    stopped: bool = field(default=False, init=False)

    @property
    def ready(self) -> bool:
        """Whether another call can be sent now, if there is one."""
        return self.left and not self.paused and self.place.room

    def send_next(self) -> None:
        """Draw a call and send it."""
        try:
            call = next(self.calls)
        except StopIteration:
            self.left = False
        except Exception as error:
            self.stop(error)
        else:
            self.paused = call is None
            if call is not None:
                self.place.send(call)

    def stop(self, error: Exception) -> None:
        """Ask nothing more, because of an error."""
        self.error, self.left, self.stopped = error, False, True


def ask_in_turn(askings: Iterable[Asking]) -> Iterator[tuple[Asking, Answer | None]]:
    """Answer the calls to several engines, those of the first engine first; None stands for the end of one's answers.

    The next engine is drawn when no call is left for those before it, though they may not have answered all: workers
    that have nothing more to do for one engine begin with the next. Calls are drawn only when there is room for
    another. What failed is an answer, never raised. A call is sent before the answers that made room for it are
    yielded, so that nobody idles while those are used.
    """
    waiting, active = iter(askings), list[Asking]()
    while True:
        ready = next((a for a in active if a.ready), None)
        if ready:
            ready.send_next()
        elif (following := None if any(a.left for a in active) else next(waiting, None)) is not None:
            active.append(following)
        elif active:
            active[0].place.wait()
            if any(a.ready for a in active):
                continue
        else:
            return
        for asking in list(active):
            for answer in () if asking.stopped else asking.place.answers():
                asking.paused = False
                yield asking, answer
                if asking.stopped:
                    break
            if asking.stopped or not (asking.left or asking.place.busy):
                active.remove(asking)
                yield asking, None


def ask_all(engine: Engine | Calls, calls: Iterable[Call | None]) -> Iterator[Answer]:
    """Answer calls to one engine, as ask_in_turn does."""
    place = engine if isinstance(engine, Calls) else Here(lambda: engine)
    asking = Asking(place, iter(calls))
    for _, answer in ask_in_turn([asking]):
        if answer:
            yield answer
    if asking.error:
        raise asking.error


class Here:
    """Answers calls in this process, each when its answers are read.

    make: called for the engine at the first call. gpus: an engine sees all of this process. threads: of its matrix
    products; None leaves them as they are.
    """

    def __init__(self, make: Callable[[], Engine], *, device: str = "cpu", gpus: int = 1, threads: int | None = None):
        self._make, self._device, self._threads = make, device, threads
        costs.use(device, count=gpus)
        self._engine: Engine | None = None
        self._sent: deque[Call] = deque()
        self._before: int | None = None
        self._expected: Mapping[str, str] | None = None
        self._shared: Any = None

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
                for value in call.taken_by(0).run(self._loaded, self._shared):
                    yield Answer(call, value)
            except Exception as error:
                yield Answer(call, None, error)

    def _loaded(self) -> Engine:
        if self._threads and self._before is None:
            self._before = set_threads(self._threads)
        self._engine = self._engine or load(self._make, expected=self._expected)
        return self._engine

    def describe(self) -> Description:
        """Describe the engine, which is loaded for it."""
        return description(self._loaded())

    def expect(self, signature: Mapping[str, str]) -> None:
        """From now on, refuse to load an engine with another signature."""
        self._expected = signature

    def answered(self) -> Mapping[str, int]:
        """Return nothing: there is one device."""
        return {}

    def compute(self) -> Mapping[str, str]:
        """Return how this process computes if the threads were chosen; else whatever torch's environment says."""
        return compute(self._device, self._threads) if self._threads else {}

    def put(self, value: Any) -> Callable[[], Any]:
        """Return how a job gets a value: it is the same object."""
        return lambda: value

    def share(self, shared: Any) -> None:
        """Give what all jobs need."""
        self._shared = shared

    def close(self) -> None:
        """Let the engine go, and give the process its number of threads back."""
        self._engine, self._make, self._shared = None, _closed, None
        if self._before is not None:
            set_threads(self._before)
            self._before = None


def _closed() -> Engine:
    raise RuntimeError("the engine has been let go")
