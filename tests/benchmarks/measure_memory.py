"""The peak memory of runs that score made-up questions with four choices each, by the number of questions.

    python tests/benchmarks/measure_memory.py [--model nano] [--documents 5000 --documents 20000] [--words 25]

Each run is a process of its own with one thread and no cache; the first line is a process that only imports torch.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

_WORDS = "the a of one river stone walks under light and never before seven houses stand open to rain".split()


def write(path: Path, documents: int, *, words: int) -> None:
    """Write a table of questions of so many words, and their choices."""
    rng = random.Random(0)
    with path.open("w") as file:
        for number in range(documents):
            choices = {name: f"{' '.join(rng.choices(_WORDS, k=5))} {name}" for name in "abcd"}
            question = f"{' '.join(rng.choices(_WORDS, k=words))} {number}?"
            file.write(json.dumps({"input": question, "output": choices["a"], **choices}) + "\n")


def peak(words: Sequence[str]) -> tuple[float, float]:
    """Run a Python process; return its peak memory in megabytes (2**20 bytes), and its processor seconds."""
    process = subprocess.Popen(
        [sys.executable, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert not process.returncode, words
    return usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime


def main() -> None:
    """Measure each size; print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--documents", type=int, action="append", help="(default: 5000 and 20000)")
    parser.add_argument("--words", type=int, default=25)
    arguments = parser.parse_args()
    print("| documents | peak memory | processor time |\n| ---: | ---: | ---: |")
    print("| torch | {:.0f} MB | {:.1f} s |".format(*peak(["-c", "import torch"])), flush=True)
    for count in arguments.documents or [5_000, 20_000]:
        with tempfile.TemporaryDirectory() as folder:
            table = Path(folder) / "questions.jsonl"
            write(table, count, words=arguments.words)
            words = ["-m", "evalkit", "run", "--model", arguments.model, "--tasks", str(table), "--choices", "a,b,c,d"]
            words += ["--shots", "0", "--no-cache", "--threads", "1", "--out", f"{folder}/run"]
            print("| {:,} | {:.0f} MB | {:.1f} s |".format(count, *peak(words)), flush=True)


if __name__ == "__main__":
    main()
