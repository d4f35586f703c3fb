"""What workers cost and gain: one and two beside a run in one process, and 64 that sleep instead of computing.

    python tests/benchmarks/measure_workers.py speed --model micro
    python tests/benchmarks/measure_workers.py scale --actors 64 --requests 10M
    python tests/benchmarks/measure_workers.py plan --documents 20000

`speed` runs the same documents in this process, with one worker and with two, in turns, all loaded before the clock
starts, and prints the ratios of the medians; on a machine that is busy, the processor's time tells more than the clock.
`scale` hands units that take a fixed time to actors, stores what a real unit would give, and aggregates: only the
actors' prompts, network and scores are made up. It prints the efficiency, the time that they slept of the time that
they could have slept, and what the process that gives out the work takes of a core and of memory.
`plan` answers at once in this process, and prints what a request costs beside its answer: what workers take over.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import evalkit
from evalkit.engine import cluster
from evalkit.engine.cached import CachedEngine
from evalkit.engine.calls import load
from evalkit.engine.fake import FakeEngine
from evalkit.engine.placing import placing
from evalkit.engine.worker import Report, Worker
from evalkit.engine.workers import Workers
from evalkit.errors import program
from evalkit.harness import run as run_module
from evalkit.harness.taskset import TaskSet
from evalkit.harness.units import BlockPlan, Scored, UnitPlan
from evalkit.progress import progress, silent
from evalkit.runs.columns import Documents
from evalkit.runs.scores import Scores
from evalkit.runs.store import Finished, RunStore, read_records
from evalkit.types import Record, Response

_CHOICES = ("one", "two", "three", "four")


class Sleeper(Worker):
    """A worker that needs no torch, which takes seconds to import."""

    def start(self, **options) -> Report:
        """Say nothing of how it computes."""
        return Report({}, "made up")

    def load(self, make, shared, *, expected, **options):
        """Make the engine."""
        self._engine, self._shared = load(make, expected=expected), shared
        return self.start()

    def unload(self) -> None:
        """Let it go."""
        self._engine = self._shared = None


class MadeUp:
    """An evaluator whose units take a fixed time. records: of one cell, what a real unit gives."""

    def __init__(self, records: Sequence[Record], *, requests: int, seconds: float):
        self._records, self._requests, self._seconds = records, requests, seconds
        self._lines = Finished.of(records, run="made-up").lines.splitlines(keepends=True)
        self._held: dict[int, Any] = {}

    def plan(self, engine, job):
        """Cut a block into units of as many documents."""
        size = len(self._records)
        starts = range(job.block.start, job.block.stop, size)
        documents = [tuple(range(start, min(start + size, job.block.stop))) for start in starts]
        units = [UnitPlan(documents=each, requests=len(each) * self._requests // size) for each in documents]
        return BlockPlan(units=units, failed=Finished(lines=b"", scores=Scores()))

    def score(self, engine, job):
        """Sleep, and give the records the names of these documents."""
        began = time.monotonic()
        numbers, cell = job.unit.documents, job.block.cell
        lines = b"".join(
            line.replace(b'"doc_id":"', b'"doc_id":"%d-' % number)
            for number, line in zip(numbers, self._lines, strict=False)
        )
        if len(numbers) not in self._held:
            [self._held[len(numbers)]] = Scores(self._records[: len(numbers)]).columns.values()
        scores = Scores()
        documents = scores.documents[cell.task] = Documents()
        for number in numbers:
            documents.number(str(number), "", "")
        scores.columns[cell] = self._held[len(numbers)]
        time.sleep(max(0.0, self._seconds - (time.monotonic() - began)))
        yield Scored(finished=Finished(lines=lines, scores=scores), last=True)


def questions(documents: int, *, shots: Sequence[int] = (0,), seeds: Sequence[int] = (1,)) -> TaskSet:
    """Return made-up questions with four short choices each."""
    rows = [
        {"question": f"What is question {i} about this thing, and which of the four is right?", "choices": _CHOICES,
         "answer": i % 4}
        for i in range(documents)
    ]  # fmt: skip
    task = evalkit.task_from_rows("made_up", rows, query="Q: {question}\nA:", choices="choices", answer="answer")
    return evalkit.load_tasks([task], shots=shots, seeds=seeds)


class Immediate(FakeEngine):
    """An engine that answers at once, and forgets what it was asked."""

    def _respond(self, requests):
        return ((i, self._answer(request)) for i, request in enumerate(requests))


def immediate(text: str = "", **options: object) -> FakeEngine:
    """Make one."""
    return Immediate("made-up", lambda _: Response(loglikelihood=-1.0, tokens=1))


def measure_plan(*, documents: int) -> None:
    """Print what a request of a four-way choice costs beside its answer, and the memory."""
    evalkit.register_engine("immediate", immediate)
    loaded = questions(documents)
    with tempfile.TemporaryDirectory() as folder:
        before = _resident()
        processor, began = time.process_time(), time.monotonic()
        run = evalkit.evaluate("immediate:x", loaded, out=Path(folder) / "run", cache=False)
        processor, seconds = time.process_time() - processor, time.monotonic() - began
    assert run.results[0].n == documents
    print(
        f"{4 * documents:,} requests in {seconds:.1f} s: {1e6 * processor / documents / 4:.0f} microseconds of a core "
        f"each; {before >> 10} MiB with the documents, {_resident() >> 10} MiB at most"
    )


def sample_of(tasks: TaskSet, documents: int) -> Sequence[Record]:
    """Return the records of the first documents in one cell."""
    evalkit.register_engine("immediate", immediate)
    with tempfile.TemporaryDirectory() as folder:
        few = tasks.limited({"made_up": documents})
        run = evalkit.evaluate("immediate:x", few, out=Path(folder) / "run", cache=False)
        records = list(read_records(run.folder))
    return [record for record in records if record.cell == records[0].cell]


def measure_scale(*, actors: int, requests: str, per_unit: int, milliseconds: float, documents: int) -> None:
    """Print the efficiency of sleeping actors, and what the driver needs for them."""
    total = int(float(requests.removesuffix("M")) * (1e6 if requests.endswith("M") else 1))
    cells = max(1, round(total / documents / 4))
    tasks = questions(min(documents, total // 4), shots=(1,), seeds=tuple(range(1, cells + 1)))
    made_up = MadeUp(sample_of(tasks, per_unit // 4), requests=per_unit, seconds=milliseconds / 1000)
    cluster.Worker = Sleeper
    run_module.Evaluator = lambda *args, **options: made_up
    with placing(workers=actors) as place, tempfile.TemporaryDirectory() as folder:
        workers = place(immediate, device="cpu")
        began = time.monotonic()
        engine = CachedEngine(workers, device="cpu", cache=None, **workers.describe())
        while workers.starting:
            workers.wait()
        print(f"{actors} actors started in {time.monotonic() - began:.0f} s", flush=True)
        with RunStore(Path(folder) / "run", run_module.describe(engine, tasks.loaded, tasks.settings)) as store:
            _scale(engine, workers, tasks, store, actors=actors, per_unit=per_unit, seconds=milliseconds / 1000)
            engine.close()


def _scale(engine, workers, tasks, store, *, actors: int, per_unit: int, seconds: float) -> None:
    """Hand everything out, print the figures, and aggregate."""
    began, before = time.monotonic(), _resident()
    processors = _processors(workers)
    [loaded] = tasks.loaded
    documents = len(loaded.documents) * len(list(run_module.cells(loaded, tasks.settings)))
    bar = _Slope(documents)
    run_module.answer(engine, tasks.loaded, tasks.settings, store, bar=bar)
    wall = time.monotonic() - began
    processor, *others = (after - one for after, one in zip(_processors(workers), processors, strict=True))
    units = -(-4 * documents // per_unit)
    print(
        f"{4 * documents:,} requests in {units:,} units of {seconds * 1000:g} ms: {wall:.1f} s, {units / wall:.0f} "
        f"units/s, {4 * documents / wall:,.0f} requests/s, efficiency {units * seconds / actors / wall:.1%}"
    )
    print(
        f"driver: {processor / wall:.0%} of a core, {1e6 * processor / units:.0f} microseconds a unit, "
        f"{_resident() >> 10} MiB at most, {before >> 10} MiB before; {bar}"
    )
    print(f"actors: {sum(others) / wall:.0%} of a core together, {1e6 * sum(others) / units:.0f} microseconds a unit")
    began, processor = time.monotonic(), time.process_time()
    results = run_module.conclude(tasks.loaded, store)
    store.finish(results, {})
    print(
        f"aggregated: {time.monotonic() - began:.1f} s, {time.process_time() - processor:.1f} s of a core, "
        f"{_resident() >> 10} MiB at most; {results[0].n:,} documents"
    )


class _Slope:
    """Notes the memory as documents are done."""

    def __init__(self, total: int):
        self._total, self._done, self._notes = total, 0, list[str]()

    def doing(self, what: str) -> None:
        pass

    def advance(self, amount: int, *, note: str = "") -> None:
        """Note it at each quarter."""
        quarter = 4 * self._done // self._total
        self._done += amount
        if 4 * self._done // self._total > quarter:
            self._notes.append(f"{_resident() >> 10} MiB at {self._done / self._total:.0%}")

    def __str__(self) -> str:
        return ", ".join(self._notes)


def measure_speed(*, model: str, tasks: str, shots: str, limit: int, rounds: int) -> None:
    """Print the seconds of the same documents in this process, with one worker and with two, in turns."""
    seconds: dict[str, list[float]] = {}
    spent: dict[str, list[float]] = {}
    written = set()
    for number in range(rounds):
        for name, workers in (("in this process", None), ("one worker", 1), ("two workers", 2)):
            loaded = evalkit.load_tasks(tasks, shots=[int(k) for k in shots.split(",")], limit=limit)
            began = time.monotonic()
            with _placed(model, workers) as (engine, processors):
                few = loaded.limited({task.task.name: 10 for task in loaded.loaded})
                for _ in range(1 + (workers or 0)):  # what is imported and allocated at first is start-up
                    _answered(engine, few)
                before, start = processors(), time.monotonic()
                results = _answered(engine, loaded)
                taken = time.monotonic() - start
                each = [after - one for after, one in zip(processors(), before, strict=True)]
            written.add(results)
            seconds.setdefault(name, []).append(taken)
            spent.setdefault(name, []).append(sum(each))
            shares = ", ".join(f"{one:.2f}" for one in each)
            print(
                f"{number + 1}: {name}: {taken:.2f} s; processor {shares} s; start-up {start - began:.1f} s", flush=True
            )
    assert len(written) == 1, "the results differ"
    plain, one, two = (statistics.median(each) for each in seconds.values())
    cpu_plain, cpu_one, cpu_two = (statistics.median(each) for each in spent.values())
    print(f"medians: {plain:.2f} s in this process, {one:.2f} s with one worker, {two:.2f} s with two")
    print(
        f"one worker: {one / plain - 1:+.1%} time, {cpu_one / cpu_plain - 1:+.1%} processor time than in this process"
    )
    print(f"two workers: {one / two:.2f} times as fast as one, {cpu_two / cpu_one - 1:+.1%} processor time")


def _answered(engine: CachedEngine, tasks: TaskSet) -> str:
    """Score the documents of tasks; return the results."""
    with tempfile.TemporaryDirectory() as folder:
        about = run_module.describe(engine, tasks.loaded, tasks.settings)
        with RunStore(Path(folder) / "run", about) as store, silent(), progress("", total=0, unit="") as bar:
            run_module.answer(engine, tasks.loaded, tasks.settings, store, bar=bar)
            return repr(run_module.conclude(tasks.loaded, store))


@contextmanager
def _placed(model: str, workers: int | None) -> Iterator[tuple[CachedEngine, Callable[[], list[float]]]]:
    """Load an engine; give it, and a function for the processor seconds of each process, this one first."""
    places: list[Any] = []
    with placing(workers=workers, threads=1) as place:

        def noted(make, /, **options):
            places.append(place(make, **options))
            return places[0]

        engine = evalkit.open_model(model).engine(None, noted)
        places[0].describe()
        while workers and places[0].starting:
            places[0].wait()

        yield engine, partial(_processors, places[0])
        engine.close()


def _processors(place: Any) -> list[float]:
    """Return the processor seconds of this process, and of each worker."""
    import ray

    members = place._crew._members if isinstance(place, Workers) else []
    return [time.process_time(), *(ray.get(m.actor.__ray_call__.remote(_processor)) for m in members)]


def _processor(actor: object) -> float:
    return time.process_time()


def _resident() -> int:
    """Return the most KiB that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@program
def main() -> None:
    """Measure what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_subparsers(required=True, dest="what")
    speed = what.add_parser("speed")
    speed.add_argument("--model", default="micro")
    speed.add_argument("--tasks", default="world")
    speed.add_argument("--shots", default="0,2")
    speed.add_argument("--limit", type=int, default=600)
    speed.add_argument("--rounds", type=int, default=5)
    scale = what.add_parser("scale")
    scale.add_argument("--actors", type=int, default=64)
    scale.add_argument("--requests", default="10M", help="such as 500000 or 10M")
    scale.add_argument("--per-unit", type=int, default=300)
    scale.add_argument("--milliseconds", type=float, default=100)
    scale.add_argument("--documents", type=int, default=100_000, help="of the task; they are repeated in several cells")
    plan = what.add_parser("plan")
    plan.add_argument("--documents", type=int, default=20_000)
    words = vars(parser.parse_args())
    measure = {"speed": measure_speed, "scale": measure_scale, "plan": measure_plan}
    measure[words.pop("what")](**words)


if __name__ == "__main__":
    raise SystemExit(main())
