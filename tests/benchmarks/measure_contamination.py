"""How time, memory and size of `evalkit contamination` grow with the text; run by hand, no test asserts a figure.

    python -m tests.benchmarks.measure_contamination books-00.jsonl.gz --tasks lambada,hellaswag --shares 0.25,0.5,1

Each row is a process of its own with one job, so that its peak of memory is its own. The last lines are straight lines
of time through the rows, taken on to 10 GB of text. Several files count as one.
"""

from __future__ import annotations

import argparse
import gzip
import json
import multiprocessing
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from evalkit.cli import main


def cut(paths: Sequence[Path], share: float, folder: Path) -> Path:
    """Write the first documents of JSONL files that make up this share of their text."""
    texts = []
    for path in paths:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            texts += [json.loads(line)["text"] for line in file]
    limit = share * sum(map(len, texts))
    part = folder / f"{share}.jsonl"
    with part.open("w", encoding="utf-8") as out:
        for text in texts:
            if limit <= 0:
                break
            out.write(json.dumps({"text": text}) + "\n")
            limit -= len(text)
    return part


def measure(words: list[str], results: multiprocessing.Queue[tuple[float, float]]) -> None:
    """Put the processor seconds of a command and its peak of memory in MiB."""
    start = time.process_time()
    assert main(words) == 0
    seconds = time.process_time() - start
    # Not ru_maxrss, which begins with what the parent held.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    results.put((seconds, int(status.partition("VmHWM:")[2].split()[0]) / 1024))


def measured(words: list[str]) -> tuple[float, float]:
    """Run a command in a new process."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    process = context.Process(target=measure, args=(words, results))
    process.start()
    row = results.get()
    process.join()
    return row


def program() -> None:
    """Measure both ways at each share, and print lines through the rows."""
    parser = argparse.ArgumentParser()
    parser.add_argument("books", nargs="+", type=Path)
    parser.add_argument("--tasks", default="lambada")
    parser.add_argument("--shares", default="0.25,0.5,1")
    arguments = parser.parse_args()
    rows: dict[str, list[tuple[float, float, float]]] = {"search": [], "index": [], "query": []}
    with tempfile.TemporaryDirectory() as name:
        for share in map(float, arguments.shares.split(",")):
            part = cut(arguments.books, share, Path(name))
            index = Path(name) / f"{share}.index"
            asked = ["--tasks", arguments.tasks, "--no-own", "--jobs", "1"]
            commands = {
                "search": [str(part), *asked],
                "index": [str(part), "--index", str(index), "--tasks", "copa", "--no-own", "--jobs", "1"],
                "query": [str(index), *asked],
            }
            for way, words in commands.items():
                seconds, peak = measured(["contamination", *words])
                size = part.stat().st_size / 1e6
                rows[way].append((size, seconds, peak))
                print(f"{way:7} {size:6.1f} MB  {seconds:6.1f} s  {peak:6.0f} MiB", flush=True)
            print(f"        index of {index.stat().st_size / 1e6:.1f} MB")
    for way, measurements in rows.items() if len(rows["search"]) > 1 else ():
        sizes, seconds, _ = np.array(measurements).T
        slope, start = np.polyfit(sizes, seconds, 1)
        minutes = (start + 1e4 * slope) / 60
        print(f"{way}: {start:.1f} s + {slope:.3f} s per MB; 10 GB in {minutes:.0f} min of one core")


if __name__ == "__main__":
    program()
