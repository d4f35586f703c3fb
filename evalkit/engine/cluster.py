"""Workers of Ray: actors that load an engine each, on this machine or on a cluster, and answer calls.

Ray starts them where there is room, and starts again those that died. Which calls are lost then, and which one is to
blame, is decided here: an actor answers its calls in the order in which they were sent, so the first unanswered one is
the one that was being computed; Ray's own retries count those that merely waited behind it too.
"""

from __future__ import annotations

import logging
import pickle
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from evalkit.engine.base import Engine, ask
from evalkit.engine.calls import Answer, Call, Description, description
from evalkit.engine.compute import compute, set_threads
from evalkit.errors import ClusterError
from evalkit.types import Request, Response

log = logging.getLogger(__name__)

# Calls that a worker has at once: it computes one while the next is on its way.
_DEPTH = 2
# A call that killed its worker this many times is not tried again.
_DEATHS = 3
# How often a worker may die while it loads its engine.
_STARTS = 5
# Seconds without any worker after which the user is told.
_PATIENCE = 30.0


# The responses to a call by their positions, or what went wrong.
_Responses = list[tuple[int, Response]] | Exception


class Worker:
    """What an actor is: one engine, loaded from its description, and asked by the driver."""

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._warnings = _Warnings()
        logging.getLogger("evalkit").addHandler(self._warnings)

    def load(self, make: Callable[[], Engine], *, device: str, threads: int) -> Mapping[str, str] | Exception:
        """Load the engine; return how it computes."""
        try:
            set_threads(threads)
            self._engine = self._engine or make()
            return compute(device, threads)
        except Exception as error:
            return _sendable(error)

    def describe(self) -> Description:
        """Describe the engine, which is loaded."""
        assert self._engine
        return description(self._engine)

    def answer(self, requests: Sequence[Request]) -> tuple[_Responses, Sequence[str]] | None:
        """Return the responses to a call, or what went wrong, and warnings; None if Ray has started this one again."""
        if self._engine is None:
            return None
        try:
            responses: _Responses = list(ask(self._engine, requests[0].kind, requests))
        except Exception as error:
            responses = _sendable(error)
        return responses, self._warnings.taken()


class _Warnings(logging.Handler):
    """Keeps warnings until they are taken: a worker's own standard error is read by nobody."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a warning."""
        self._texts.append(record.getMessage())

    def taken(self) -> Sequence[str]:
        """Return the warnings since the last time."""
        texts, self._texts = self._texts, []
        return texts


def _sendable(error: Exception) -> Exception:
    """Return an error that another process can read."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


@dataclass(eq=False)
class _Member:
    """An actor. calls: what it has to answer, in order, by Ray's reference. ready: whether it can be sent to.

    starts: how often it has been started since it was last ready. answered: requests.
    """

    actor: Any
    calls: dict[Any, Call] = field(default_factory=dict)
    ready: bool = False
    starts: int = 0
    answered: int = 0


class Workers:
    """Answers calls with several actors; see calls.Place.

    make: how each loads its engine. device: cpu, or cuda for one GPU each. number, threads: of actors, and of each.
    """

    def __init__(self, make: Callable[[], Engine], *, device: str, number: int, threads: int):
        self._make, self._device, self._number, self._threads = make, device, number, threads
        self._members: list[_Member] = []
        self._starting: dict[Any, _Member] = {}
        self._again: deque[Call] = deque()
        self._done: deque[tuple[Call, _Responses]] = deque()
        self._deaths: Counter[Call] = Counter()
        self._compute: Mapping[str, str] = {}
        self._held: Any = None  # Ray's copy of `make`, which a worker needs whenever it starts again

    @property
    def room(self) -> bool:
        """Whether a worker can take another call."""
        return not self._again and any(m.ready and len(m.calls) < _DEPTH for m in self._members)

    @property
    def busy(self) -> bool:
        """Whether answers are still to come."""
        return bool(self._done or self._again or any(m.calls for m in self._members))

    @property
    def starting(self) -> bool:
        """Whether some workers are still to come."""
        return bool(self._starting)

    def send(self, call: Call) -> None:
        """Send a call to the worker that has the least to do."""
        member = min((m for m in self._members if m.ready), key=lambda m: len(m.calls))
        member.calls[member.actor.answer.remote(call.requests)] = call

    def wait(self) -> None:
        """Wait until a call is answered or a worker is ready; start the workers at first."""
        self._start(self._number)
        if not self._done:
            self._collect(timeout=_PATIENCE)

    def answers(self) -> Iterator[Answer]:
        """Yield the answers that have come."""
        if any(m.calls for m in self._members):
            self._collect(timeout=0)
        while self._done:
            call, responses = self._done.popleft()
            if isinstance(responses, Exception):
                yield Answer.failure(call, responses)
            else:
                yield from (Answer(call, position, response) for position, response in responses)

    def describe(self) -> Description:
        """Describe the engine, which one worker loads for it."""
        import ray

        self._start(1)
        member = self._first()
        about: Description = ray.get(member.actor.describe.remote())
        self.close()
        return about

    def compute(self) -> Mapping[str, str]:
        """Return how the workers compute, as the first that is ready says; others that differ are left out."""
        self._start(self._number)
        self._first()
        return self._compute

    def close(self) -> None:
        """End the workers; say which share of the requests each of several has answered."""
        import ray

        total = sum(m.answered for m in self._members)
        if total and len(self._members) > 1:
            shares = ", ".join(f"{m.answered / total:.0%}" for m in self._members)
            log.info("%d workers answered %s requests: %s", len(self._members), f"{total:,}", shares)
        for member in self._members:
            ray.kill(member.actor)
        self._members, self._starting = [], {}

    def _first(self) -> _Member:
        while not any(m.ready for m in self._members):
            self._collect(timeout=_PATIENCE)
        return next(m for m in self._members if m.ready)

    def _start(self, number: int) -> None:
        if self._members:
            return
        import ray

        on_gpu = self._device.partition(":")[0] == "cuda"
        resources = {"num_cpus": 1 if on_gpu else self._threads, "num_gpus": int(on_gpu)}
        self._held = ray.put(self._make)
        kind = ray.remote(Worker).options(max_restarts=-1, **resources)
        for _ in range(number):
            member = _Member(kind.remote())
            self._members.append(member)
            self._expect(member)

    def _expect(self, member: _Member) -> None:
        """Let a worker load its engine, again if it dies while it does."""
        member.ready = False
        member.starts += 1
        loaded = member.actor.load.remote(self._held, device=self._device, threads=self._threads)
        self._starting[loaded] = member

    def _collect(self, *, timeout: float) -> None:
        """Take what has come within a time: answers, and news of workers."""
        import ray

        coming = [*self._starting, *(ref for m in self._members for ref in m.calls)]
        if not coming:
            return
        came, _ = ray.wait(coming, num_returns=len(coming), timeout=0)
        if not came and timeout:
            came, _ = ray.wait(coming, num_returns=1, timeout=timeout)
        if not came and timeout and not any(m.ready for m in self._members):
            log.warning("waiting for workers: Ray has no room for them (%s)", _room(ray))
        for ref in came:
            if ref in self._starting:
                self._started(ref, self._starting.pop(ref))
        for member in list(self._members):
            if not member.calls.keys().isdisjoint(came):
                self._finished(member)
        self._send_again()

    def _started(self, ref: Any, member: _Member) -> None:
        """Use a worker that is ready. One that is not as the others are is left out, with a warning."""
        import ray

        try:
            report = ray.get(ref)
        except ray.exceptions.RayError as error:
            if member.starts < _STARTS:
                self._expect(member)
                return
            report = ClusterError(f"a worker died {_STARTS} times while it loaded the model: {type(error).__name__}")
        if not isinstance(report, Exception) and self._compute in ({}, report):
            self._compute, member.ready, member.starts = report, True, 0
            return
        self._members.remove(member)
        with suppress(ray.exceptions.RayError):
            ray.kill(member.actor)
        if not isinstance(report, Exception):
            report = ClusterError(f"it computes with {_named(report)}, the others with {_named(self._compute)}")
        if not self._members:
            raise report
        log.warning("continuing without a worker: %s", report)

    def _finished(self, member: _Member) -> None:
        """Take a worker's answers in order, up to the first that is still to come, or up to its death."""
        import ray

        while member.calls:
            ref, call = next(iter(member.calls.items()))
            if not ray.wait([ref], timeout=0)[0]:
                return
            try:
                came = ray.get(ref)
            except ray.exceptions.RayError as error:
                task = call.requests[0].task
                log.warning("a worker died at %s (%s); what it was computing is repeated", task, type(error).__name__)
                self._deaths[call] += 1
                came = None
            if came is None:
                self._died(member)
                return
            responses, warnings = came
            for text in dict.fromkeys(warnings):
                log.warning("a worker: %s", text)
            self._done.append((call, responses))
            member.answered += len(call.requests)
            del member.calls[ref]
            self._deaths.pop(call, None)

    def _died(self, member: _Member) -> None:
        """Send a dead worker's calls to others, unless the one that it was computing has killed too many."""
        first, *others = member.calls.values()
        member.calls.clear()
        if self._deaths[first] < _DEATHS:
            self._again.append(first)
        else:
            reason = f"the worker that computed it died, {_DEATHS} times"
            self._done.append((first, [(i, Response(error=reason)) for i in range(len(first.requests))]))
        self._again.extend(others)
        self._expect(member)

    def _send_again(self) -> None:
        while self._again and any(m.ready and len(m.calls) < _DEPTH for m in self._members):
            self.send(self._again.popleft())


def _named(report: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in report.items())


def _room(ray: Any) -> str:
    total, free = ray.cluster_resources(), ray.available_resources()
    return ", ".join(f"{free.get(name, 0):g} of {total.get(name, 0):g} {name}s are free" for name in ("CPU", "GPU"))
