"""What large runs cost to read: a table of each command's CPU seconds, time and peak memory, by the number of records.

    python tests/benchmarks/measure_records.py --records 100000 --records 1000000 [--folder /tmp/runs] [--only compare]

Two runs of the same documents are written through the real store (once: a folder that has them is used again): five
tasks of different kinds (multiple choice, questions about passages, translation, the last word, whole texts), each
without shots and with five from two seeds. Every step is a process of its own; what it took is read when it ends.

resume     the finished run is opened, aggregated and finished again
rebuild    the same, of a run that lacks its columns, as one that an older version wrote
compare    evalkit compare of the two runs
report     evalkit report of one run
records    evalkit records of one task, to CSV

`nothing` is what a process takes that only imports the code. A run of a million records takes 1.2 GB of disk and 38 s
of CPU to write, one of 10 million ten times as much.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from evalkit.harness.aggregate import aggregate
from evalkit.harness.groups import group_results
from evalkit.runs.journal import SCORES
from evalkit.runs.store import RunStore, read_manifest
from evalkit.types import Cell, Prompt, Record, Response

# task -> metrics, with the number of statistics of each
TASKS = {
    "arc": {"acc": 1, "acc_per_char": 1}, "coqa": {"f1": 1, "exact_match": 1}, "wmt": {"bleu": 10},
    "lambada": {"acc": 1, "ppl": 2}, "wikitext": {"ppl_word": 2},
}  # fmt: skip
SHOTS = ((0, 1), (5, 1), (5, 2))  # with the seed
_WORDS = "the a of one river stone walks under light and never before seven houses stand open to rain".split()
_BATCH = 2000


def settings(documents: int, model: str) -> dict[str, Any]:
    """Return what a run says of itself."""
    about = {"version": 1, "family": "qa", "protocol": "plain", "data": "d0", "documents": documents}
    return {
        "evalkit": "0", "model": {"model": model, "hash": model, "dtype": "float32", "parameters": 1000},
        "tasks": {name: {**about, "metrics": list(metrics)} for name, metrics in TASKS.items()},
        "shots": [0, 5], "seeds": [1, 2], "limit": None,
    }  # fmt: skip


def records(documents: int, seed: int) -> Iterator[Record]:
    """Yield a run's records, in about 1 KB of text each."""
    rng = random.Random(seed)
    texts = [" ".join(rng.choices(_WORDS, k=120)) for _ in range(200)]
    for task in TASKS:
        for shots, of in SHOTS:
            cell = Cell(task=task, protocol="plain", shots=shots, seed=of)
            for number in range(documents):
                yield _record(cell, number, texts[number % len(texts)], rng)


def _record(cell: Cell, number: int, text: str, rng: random.Random) -> Record:
    task, right = cell.task, float(rng.random() < 0.4)
    options = (
        (" river", " stone", " light", " rain") if task == "arc" else ("" if task in ("coqa", "wmt") else " rain",)
    )
    scores: dict[str, tuple[float, ...]] = {
        "arc": {"acc": (right,), "acc_per_char": (float(rng.random() < 0.4),)},
        "coqa": {"f1": (rng.randint(0, 8) / 8,), "exact_match": (right,)},
        "wmt": {"bleu": (24.0, 23.0, 12.0, 23.0, 7.0, 22.0, 4.0, 21.0, float(rng.randint(0, 3)), 20.0)},
        "lambada": {"acc": (right,), "ppl": (rng.uniform(0.1, 9.0), 1.0)},
        "wikitext": {"ppl_word": (rng.uniform(100, 300), 80.0)},
    }[task]
    return Record(
        cell=cell, doc_id=f"{task}/{number}", cluster=f"story {number // 12}" if task == "coqa" else "", level="",
        prompt=Prompt(contexts=(f"{text}\n{number}\nAnswer:",), shots=cell.shots), continuations=options,
        responses=tuple(
            Response(loglikelihood=-rng.uniform(1, 40), tokens=3, text="" if each else text[:40]) for each in options
        ),
        gold="rain", prediction="river", scores=scores,
        chance={"acc": 0.25, "acc_per_char": 0.25} if task == "arc" else {},
    )  # fmt: skip


def write(folder: Path, documents: int, seed: int) -> None:
    """Write and finish a run."""
    stream = records(documents, seed)
    with RunStore(folder, settings(documents, f"model{seed}")) as store:
        while batch := list(islice(stream, _BATCH)):
            store.append(batch)
        conclude(store)


def conclude(store: RunStore) -> None:
    """Aggregate and finish, as harness.run does."""
    results = aggregate(store.done, store.settings)
    store.finish(results + group_results(store.done, store.settings, results=results, own={}), {})


def resume(folder: Path) -> None:
    """Open a finished run and finish it again."""
    with RunStore(folder, read_manifest(folder)["settings"]) as store:
        conclude(store)


def measure(name: str, words: list[str], *, records: int) -> None:
    """Run a command; print what it took, as a row of the table."""
    began = time.monotonic()
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    failure = "" if status in (0, 256) else f" exit {status}"
    print(
        f"| {records:,} | {name}{failure} | {usage.ru_utime + usage.ru_stime:.1f} s | "
        f"{time.monotonic() - began:.1f} s | {usage.ru_maxrss / 1024:.0f} MB |",
        flush=True,
    )


def main() -> None:
    """Write what is missing, and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, action="append", help="records of a run (default: 100000)")
    parser.add_argument("--folder", type=Path, help="keep the runs here")
    parser.add_argument("--only", nargs="+", default=["resume", "rebuild", "compare", "report", "records"])
    parser.add_argument("--step", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        name, folder, *numbers = arguments.step
        resume(Path(folder)) if name == "resume" else write(Path(folder), *map(int, numbers))
        return
    print("| records | command | CPU | time | peak memory |\n| ---: | --- | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as temporary:
        for count in arguments.records or [100_000]:
            _measure_all((arguments.folder or Path(temporary)) / str(count), count, arguments.only)


def _measure_all(folder: Path, count: int, only: list[str]) -> None:
    runs = [folder / name for name in ("base", "new")]
    for seed, run in enumerate(runs):
        if not (run / "results.json").exists():
            shutil.rmtree(run, ignore_errors=True)
            documents = count // len(TASKS) // len(SHOTS)
            step = ["--step", "write", str(run), str(documents), str(seed)]
            measure("write", [sys.executable, __file__, *step], records=count)
    python, base = [sys.executable], str(runs[0])
    again = [*python, __file__, "--step", "resume", base]
    command = [*python, "-m", "evalkit"]
    steps = {
        "nothing": [*python, "-c", "from evalkit.harness import aggregate; from evalkit.runs import store"],
        "resume": again,
        "rebuild": again,
        "compare": [*command, "compare", *map(str, runs)],
        "report": [*command, "report", base, "--out", str(folder / "report")],
        "records": [*command, "records", base, "--where", "task=arc", "--to", "csv", "--out", str(folder / "arc.csv")],
    }  # fmt: skip
    for name in ["nothing", *only]:
        if name == "rebuild":
            (runs[0] / SCORES).unlink(missing_ok=True)
        measure(name, steps[name], records=count)


if __name__ == "__main__":
    main()
