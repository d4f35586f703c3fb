"""Crew: actors of Ray that hold an engine each, on this machine or on a cluster, and answer calls.

Ray starts them where there is room, and starts again those that died. Which calls are lost then, and which one is to
blame, is decided here: an actor answers its calls in the order in which they were sent, so the first unanswered one is
the one that was being computed; Ray's own retries count those that merely waited behind it too.

They serve several engines in turn: one that has no call of its engine left loads the next engine that is
asked, after letting the one before go.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Set
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.engine.calls import Call, Description
from evalkit.engine.worker import Report, Worker
from evalkit.errors import ClusterError, WorkerDiedError

if TYPE_CHECKING:
    from evalkit.engine.workers import Workers

log = logging.getLogger(__name__)

# Calls that a worker has at once: it computes one while the next is on its way.
_DEPTH = 2
# A call that killed its worker this many times is not tried again.
_DEATHS = 3
# How often a worker that dies for want of memory begins again with batches of half the size.
_HALVINGS = 8
# How often a worker may die while it starts, or loads an engine.
_STARTS = 5
# Seconds without any worker after which the user is told.
PATIENCE = 30.0


@dataclass(eq=False)
class _Member:
    """An actor. number: from 0. name: for people. up: whether it has said how it computes.

    engine: what it holds, or is loading. ready: whether that is loaded. calls: what it has to answer, in order, by
    Ray's reference. refused: engines that it could not load. starts: how often it has been started since it was last
    ready. report: what it has last said of itself. halvings: of its batches, for want of memory.
    """

    actor: Any
    number: int
    name: str
    up: bool = False
    engine: Workers | None = None
    ready: bool = False
    calls: dict[Any, Call] = field(default_factory=dict)
    refused: set[Workers] = field(default_factory=set)
    starts: int = 0
    report: Report | None = None
    halvings: int = 0

    def holds(self, engine: Workers) -> bool:
        """Whether it can be asked for this engine."""
        return self.engine is engine and self.ready

    def loads(self, engine: Workers) -> bool:
        """Whether it will be able to."""
        return self.engine is engine and not self.ready

    def may_load(self, engine: Workers) -> bool:
        """Whether it has nothing to do, and could load this engine."""
        settled = self.engine is None or self.ready
        return self.up and settled and not self.calls and self.engine is not engine and engine not in self.refused


class Crew:
    """Actors of one kind of device.

    device: cpu, or cuda for GPUs of their own. number, threads, gpus: of actors, and of each. answered: how many
    requests each has answered, in the order in which they were started.
    """

    def __init__(self, *, device: str, number: int, threads: int, gpus: int = 1):
        self.device, self._number, self._threads, self._gpus = device, number, threads, gpus
        self._members: list[_Member] = []
        self._coming: dict[Any, _Member] = {}
        self._engines: list[Workers] = []
        self._deaths: Counter[Call] = Counter()
        self.answered: Counter[str] = Counter()
        self._compute: Mapping[str, str] = {}
        self._sharing = 1  # workers of a machine

    @property
    def starting(self) -> bool:
        """Whether some workers are starting, or loading an engine."""
        return bool(self._coming)

    def add(self, engine: Workers) -> None:
        """Serve an engine, after those that were added before."""
        self._engines.append(engine)

    def room(self, engine: Workers) -> bool:
        """Whether a worker can take another call, or load the engine for one."""
        self._start()
        if any(call.patient for call in engine.pending):
            return False
        return any(m.may_load(engine) or (m.holds(engine) and len(m.calls) < _DEPTH) for m in self._members)

    def working(self, engine: Workers) -> bool:
        """Whether a worker has calls to answer."""
        return any(m.calls for m in self._members if m.engine is engine)

    def distribute(self, engine: Workers) -> None:
        """Send an engine's calls to workers that hold it; let another load it where these are not enough."""
        loading = sum(m.loads(engine) for m in self._members)
        unoccupied = sum(m.holds(engine) and not m.calls for m in self._members)
        wanted = max(0, len(engine.pending) - loading - unoccupied)
        for idle in [m for m in self._members if m.may_load(engine)][:wanted]:
            self._assign(idle, engine)
            loading += 1
        while engine.pending:
            holding = [m for m in self._members if m.holds(engine) and len(m.calls) < _DEPTH]
            member = min(holding, key=lambda m: len(m.calls)) if holding else None
            # One call for each worker that is loading waits for it, rather than behind another call.
            if not member or (member.calls and (len(engine.pending) <= loading or engine.pending[0].patient)):
                return
            call = engine.pending.popleft()
            member.calls[member.actor.answer.remote(call.taken_by(member.number))] = call

    def collect(self, *, timeout: float) -> None:
        """Take what has come within a time: answers, and news of workers."""
        import ray

        self._start()
        coming = [*self._coming, *(ref for m in self._members for ref in m.calls)]
        if not coming:
            return
        came, _ = ray.wait(coming, num_returns=len(coming), timeout=0)
        if not came and timeout:
            came, _ = ray.wait(coming, num_returns=1, timeout=timeout)
        if not came and timeout and not any(m.up for m in self._members):
            log.warning("waiting for workers: Ray has no room for them (%s)", _room(ray))
        came = set(came)
        for ref in self._coming.keys() & came:
            self._started(ref, self._coming.pop(ref))
        for member in list(self._members):
            self._finished(member, came)
        for engine in self._engines:
            self.distribute(engine)

    def describe(self, engine: Workers) -> Description:
        """Describe an engine, which all workers that are idle load: calls will follow."""
        import ray

        while True:
            if engine.error:
                raise engine.error
            if member := next((m for m in self._members if m.holds(engine)), None):
                try:
                    about: Description = ray.get(member.actor.describe.remote())
                    return about
                except ray.exceptions.RayError:
                    self._expect(member)
            for member in [m for m in self._members if m.may_load(engine)]:
                self._assign(member, engine)
            self.collect(timeout=PATIENCE)

    def share(self, engine: Workers) -> None:
        """Send what an engine's jobs need to the workers that hold it already, or are loading it."""
        for member in self._members:
            if member.engine is engine:
                member.actor.share.remote(engine.shared)

    def compute(self) -> Mapping[str, str]:
        """Return how the workers compute, as the first that is up says; others that differ are left out."""
        while not any(m.up for m in self._members):
            self.collect(timeout=PATIENCE)
        return self._compute

    def release(self, engine: Workers) -> None:
        """Serve an engine no more."""
        self._engines.remove(engine)
        for member in self._members:
            if member.engine is engine:
                self._unload(member)
            member.refused.discard(engine)

    def close(self) -> None:
        """End the workers; say which share of the requests each of several has answered."""
        import ray

        if (total := self.answered.total()) and len(self.answered) > 1:
            each = ", ".join(f"{name} {n / total:.0%}" for name, n in self.answered.items())
            log.info("the workers answered %s requests: %s", f"{total:,}", each)
        for member in self._members:
            ray.kill(member.actor)
        self._members, self._coming = [], {}

    def _start(self) -> None:
        if self._members:
            return
        import ray

        on_gpu = self.device.partition(":")[0] == "cuda"
        resources = {"num_cpus": 1 if on_gpu else self._threads, "num_gpus": self._gpus if on_gpu else 0}
        self._sharing = -(-self._number // (sum(node["Alive"] for node in ray.nodes()) or 1))
        kind = ray.remote(Worker).options(max_restarts=-1, **resources)
        for number in range(self._number):
            member = _Member(kind.remote(), number, str(number + 1))
            self._members.append(member)
            self._expect(member)

    def _assign(self, member: _Member, engine: Workers) -> None:
        member.engine, member.starts, member.halvings = engine, 0, 0
        self._expect(member)

    def _expect(self, member: _Member, *, died: Report | None = None) -> None:
        """Let a worker load its engine, or start; again if it dies while it does. died: what it was before it died."""
        member.ready = False
        member.starts += 1
        options: dict[str, Any] = {
            "device": self.device, "threads": self._threads, "folder": str(Path.cwd()), "sharing": self._sharing
        }  # fmt: skip
        if engine := member.engine:
            options |= {"expected": engine.expected, "halvings": member.halvings, "died": died}
            ref = member.actor.load.remote(engine.held, engine.shared, **options)
        else:
            ref = member.actor.start.remote(**options)
        self._coming[ref] = member

    def _unload(self, member: _Member) -> None:
        """Let a worker forget its engine as soon as it has nothing else to do."""
        if member.ready and not member.calls:
            member.engine, member.ready = None, False
            member.actor.unload.remote()

    def _started(self, ref: Any, member: _Member) -> None:
        """Use a worker that is ready. One that is not as the others are is left out, with a warning."""
        import ray

        try:
            report = ray.get(ref)
        except ray.exceptions.RayError as error:
            if member.starts < _STARTS:
                self._expect(member)
                return
            what = "loaded the model" if member.engine else "started"
            report = ClusterError(f"a worker died {_STARTS} times while it {what}: {type(error).__name__}")
        if isinstance(report, Report):
            if self._compute in ({}, report.compute):
                self._compute, member.up, member.ready, member.starts = report.compute, True, bool(member.engine), 0
                member.report, member.halvings = report, report.halvings
                self._name(member, report.device)
                if member.engine and member.engine.closed:
                    self._unload(member)
                return
            difference = f"it computes with {_named(report.compute)}, the others with {_named(self._compute)}"
            report = ClusterError(difference)
        elif member.engine and member.up:
            self._refused(member, report)
            return
        self._members.remove(member)
        with suppress(ray.exceptions.RayError):
            ray.kill(member.actor)
        if not self._members:
            raise report
        log.warning("continuing without a worker: %s", report)

    def _name(self, member: _Member, device: str) -> None:
        """Name a worker after its number and device, which may change when Ray starts it again."""
        before, member.name = member.name, f"{member.name.partition(' ')[0]} on {device}"
        self.answered[member.name] += self.answered.pop(before, 0)

    def _refused(self, member: _Member, error: Exception) -> None:
        """Do without a worker for the engine that it cannot load; the engine fails where no worker can."""
        engine, member.engine = member.engine, None
        assert engine
        if engine.closed:
            return
        member.refused.add(engine)
        if all(engine in m.refused for m in self._members):
            engine.fail(error)
        else:
            log.warning("continuing without a worker: %s", error)

    def _finished(self, member: _Member, came: Set[Any]) -> None:
        """Take a worker's answers that have come in order, up to the first that has not, or up to its death."""
        import ray

        while member.calls:
            ref, call = next(iter(member.calls.items()))
            if ref not in came:
                return
            engine = member.engine
            assert engine
            try:
                answer = ray.get(ref)
            except ray.exceptions.RayError as error:
                task = call.taken_by(member.number).task
                log.warning("a worker died at %s (%s); what it was computing is repeated", task, type(error).__name__)
                answer = None
                self._blame(member, call)
            if answer is None:
                self._died(member, engine)
                return
            values, warnings = answer
            for text in dict.fromkeys(warnings):
                log.warning("a worker: %s", text)
            engine.take(call, values)
            self.answered[member.name] += call.job.size if call.job else 0
            del member.calls[ref]
            self._deaths.pop(call, None)
            if engine.closed:
                self._unload(member)

    def _blame(self, member: _Member, call: Call) -> None:
        """Count a death against the call that was being computed, unless smaller batches may prevent the next."""
        if member.halvings < _HALVINGS and member.report and killed_for_memory(member.report.process):
            member.halvings += 1
        else:
            self._deaths[call] += 1

    def _died(self, member: _Member, engine: Workers) -> None:
        """Send a dead worker's calls to others, unless the one that it was computing has killed too many."""
        first, *others = member.calls.values()
        member.calls.clear()
        if self._deaths[first] < _DEATHS:
            engine.pending.append(first)
        else:
            engine.take(first, WorkerDiedError(f"the worker that computed it died, {_DEATHS} times"))
        engine.pending.extend(others)
        if engine.closed:
            engine.pending.clear()
            member.engine = None
        self._expect(member, died=member.report)


def killed_for_memory(process: str) -> bool:
    """Whether Ray ended a process because its machine was running out of memory. process: Ray's name of it."""
    from ray._private.state import state
    from ray.core.generated import common_pb2, gcs_pb2

    try:
        rows = map(gcs_pb2.WorkerTableData.FromString, state._connect_and_get_accessor().get_worker_table())
        ended = next(row for row in rows if row.worker_address.worker_id.hex() == process)
        return bool(ended.exit_type == common_pb2.WorkerExitType.NODE_OUT_OF_MEMORY)
    except Exception:  # Ray's own tables, which another version may keep elsewhere
        return False


def _named(report: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in report.items())


def _room(ray: Any) -> str:
    total, free = ray.cluster_resources(), ray.available_resources()
    return ", ".join(f"{free.get(name, 0):g} of {total.get(name, 0):g} {name}s are free" for name in ("CPU", "GPU"))
