"""What the documents of a large benchmark take: seconds and peak memory of reading them and building their prompts.

    python tests/benchmarks/measure_documents.py [--documents 1000 --documents 1000000] [--shots 0,2] [--limit 500]

A made-up table of questions (JSONL, 180 bytes each) is loaded as `evalkit run --tasks FILE` does, and the texts of its
prompts are built block by block as a run does. Each size is a process of its own; the memory is its peak.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from evalkit.data.sources import DataPaths
from evalkit.harness.load import load
from evalkit.harness.run import cells
from evalkit.harness.settings import RunSettings
from evalkit.harness.tabletask import task_from_file

_WORDS = "the a of one river stone walks under light and never before seven houses stand open to rain".split()
_BLOCK = 2048


def write(path: Path, documents: int) -> None:
    """Write a table of questions."""
    rng = random.Random(0)
    with path.open("w") as file:
        for number in range(documents):
            question = f"{' '.join(rng.choices(_WORDS, k=25))} {number}?"
            file.write(json.dumps({"input": question, "output": rng.choice(_WORDS)}) + "\n")


def read(path: Path, shots: tuple[int, ...], limit: int | None) -> None:
    """Load a table and build the texts of its prompts; print what that took."""
    began = time.process_time()
    settings = RunSettings(shots=shots, seeds=(1,), limit=limit)
    loaded = load(task_from_file(path), settings, DataPaths())
    loading = time.process_time() - began
    characters = 0
    for cell in cells(loaded, settings):
        for start in range(0, len(loaded.documents), _BLOCK):
            for document, example in list(loaded.documents[start : start + _BLOCK]):
                texts = loaded.rules.texts(loaded, document, example, cell)
                characters += sum(len(text) for request in texts for text in request)
    print(json.dumps({
        "loading": loading, "prompts": time.process_time() - began - loading, "characters": characters,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }))  # fmt: skip


def main() -> None:
    """Measure each size; print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, action="append", help="(default: 1000, 100000 and 1000000)")
    parser.add_argument("--shots", default="0,2")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.read:
        read(arguments.read, tuple(map(int, arguments.shots.split(","))), arguments.limit)
        return
    print("| documents | reading (CPU) | prompts (CPU) | peak memory | more than the first |\n" + "| ---: " * 5 + "|")
    first = None
    for count in arguments.documents or [1_000, 100_000, 1_000_000]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "questions.jsonl"
            write(path, count)
            words = [sys.executable, __file__, "--read", str(path), "--shots", arguments.shots]
            words += ["--limit", str(arguments.limit)] if arguments.limit else []
            took = json.loads(subprocess.run(words, check=True, capture_output=True, env=os.environ).stdout)
        first = took["peak"] if first is None else first
        print(
            f"| {count:,} | {took['loading']:.1f} s | {took['prompts']:.1f} s | {took['peak']:.0f} MB | "
            f"{took['peak'] - first:.0f} MB |",
            flush=True,
        )


if __name__ == "__main__":
    main()
