"""What workers cost and gain: a run in one process beside one and two workers, and the queue with made-up engines.

    python tests/benchmarks/measure_workers.py run --model micro --limit 300 --workers 1,2
    python tests/benchmarks/measure_workers.py queue --workers 8 --milliseconds 100 --requests 300 --calls 800
    python tests/benchmarks/measure_workers.py plan --documents 20000

`run` prints, for each round, the seconds of the run without starting up, and the processor seconds of this process.
`queue` sends calls to actors that sleep: efficiency is the time that they slept of the time that they could have.
`plan` answers at once, and prints what is left: building prompts, scoring, storing.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

import evalkit
from evalkit.engine.calls import Call, ask_all
from evalkit.engine.fake import FakeEngine
from evalkit.engine.placing import placing
from evalkit.errors import program
from evalkit.types import Request, Response


def sleeping(milliseconds: float) -> FakeEngine:
    """An engine that sleeps before each call."""

    class Sleeping(FakeEngine):
        def _respond(self, requests):
            time.sleep(milliseconds / 1000)
            return ((i, Response(loglikelihood=-1.0, tokens=10)) for i in range(len(requests)))

    return Sleeping("sleeping", lambda _: Response())


def measure_queue(*, workers: int, milliseconds: float, requests: int, calls: int) -> None:
    """Print the efficiency of sleeping workers and what the driver needs for them."""
    context = tuple(range(1000, 1060))
    asked = [
        Request(kind="loglikelihood", task="t", doc_id=str(i), context="a question " * 20 + str(i),
                context_ids=(*context, i), continuation_ids=tuple(range(i, i + 10)))
        for i in range(requests)
    ]  # fmt: skip
    with placing(workers=workers) as place:
        actors = place(partial(sleeping, milliseconds), device="cpu")
        for _ in ask_all(actors, [Call(asked[:1]) for _ in range(10 * workers)]):  # until all have started
            pass
        while actors.starting:
            actors.wait()
        began, processor = time.monotonic(), time.process_time()
        count = sum(1 for _ in ask_all(actors, (Call(asked) for _ in range(calls))))
        seconds, processor = time.monotonic() - began, time.process_time() - processor
        actors.close()
    assert count == calls * requests
    print(
        f"{workers} workers, {calls} calls of {requests} requests and {milliseconds:g} ms: {seconds:.1f} s, efficiency "
        f"{calls * milliseconds / 1000 / workers / seconds:.1%}, {count / seconds:,.0f} requests/s; driver "
        f"{processor / seconds:.0%} of a core, {1000 * processor / calls:.2f} ms per call, "
        f"{_resident() >> 10} MiB"
    )


def measure_plan(*, documents: int) -> None:
    """Print what a request of a four-way choice costs beside its answer, and a document in memory."""
    rows = [
        {"question": f"What is question {i} about this thing, and which of the four is right?", "answer": i % 4}
        for i in range(documents)
    ]
    choices = ("one", "two", "three", "four")
    task = evalkit.task_from_rows(
        "made_up", [{**row, "choices": choices} for row in rows], query="Q: {question}\nA:", choices="choices",
        answer="answer",
    )  # fmt: skip
    evalkit.register_engine("immediate", lambda text, **options: sleeping(0))
    loaded = evalkit.load_tasks([task])
    with tempfile.TemporaryDirectory() as folder:
        before = _resident()
        processor, began = time.process_time(), time.monotonic()
        run = evalkit.evaluate("immediate:x", loaded, out=Path(folder) / "run", cache=False)
        processor, seconds = time.process_time() - processor, time.monotonic() - began
    assert run.results[0].n == documents
    print(
        f"{4 * documents:,} requests in {seconds:.1f} s: {1e6 * processor / documents / 4:.0f} microseconds of a core "
        f"each; {(_resident() - before) / documents:.1f} KiB per document"
    )


def _resident() -> int:
    """Return the most KiB that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measure_run(*, model: str, tasks: str, limit: int, workers: list[int], rounds: int) -> None:
    """Print the seconds of the same run in this process and with workers, in turns."""
    loaded = evalkit.load_tasks(tasks, shots=[0, 2], limit=limit)
    evalkit.evaluate(model, loaded, out=Path(tempfile.mkdtemp()) / "run", cache=False, threads=1)  # builds the prompts
    seconds: dict[str, list[float]] = {}
    for number in range(rounds):
        for name, options in {"plain": {"threads": 1}, **{f"{n} workers": {"workers": n} for n in workers}}.items():
            with tempfile.TemporaryDirectory() as folder:
                began = time.process_time()
                run = evalkit.evaluate(model, loaded, out=Path(folder) / "run", cache=False, **options)
                processor = time.process_time() - began
                taken = json.loads((run.folder / "manifest.json").read_text())["timing"]["seconds"]
                bytes_of = len((run.folder / "results.json").read_bytes())
            seconds.setdefault(name, []).append(taken)
            print(f"round {number}: {name}: {taken:.1f} s, driver {processor:.1f} s of processor, {bytes_of} bytes")
    for name, each in seconds.items():
        print(f"{name}: median {statistics.median(each):.1f} s, best {min(each):.1f} s")


@program
def main() -> None:
    """Measure what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_subparsers(required=True, dest="what")
    run = what.add_parser("run")
    run.add_argument("--model", default="micro")
    run.add_argument("--tasks", default="world-quick")
    run.add_argument("--limit", type=int, default=200)
    run.add_argument("--workers", default="1,2")
    run.add_argument("--rounds", type=int, default=3)
    queue = what.add_parser("queue")
    queue.add_argument("--workers", type=int, default=8)
    queue.add_argument("--milliseconds", type=float, default=100)
    queue.add_argument("--requests", type=int, default=300)
    queue.add_argument("--calls", type=int, default=800)
    plan = what.add_parser("plan")
    plan.add_argument("--documents", type=int, default=20_000)
    words = vars(parser.parse_args())
    if (chosen := words.pop("what")) == "queue":
        measure_queue(**words)
    elif chosen == "plan":
        measure_plan(**words)
    else:
        measure_run(**{**words, "workers": [int(n) for n in words["workers"].split(",")]})


if __name__ == "__main__":
    raise SystemExit(main())
