"""What the journal and the cache cost: their share of a run's time, and how long a fully cached run takes.

    python -m tests.benchmarks.measure_overhead [--limit 100]

runs the bundled nano on the world suite at 0, 1 and 4 shots twice, with a new cache, and prints processor seconds: of
the whole command, and of what is spent in the journal, the cache (questions and answers) and its keys; apart from them
what it takes to write records as JSON, which any file of records needs. The second run is the fully cached one, in a
process of its own, imports included.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from evalkit.cli import main
from evalkit.engine.cache import ResponseCache
from evalkit.engine.cached import Keys
from evalkit.runs import store
from evalkit.runs.journal import Journal


def _timed(spent: Counter[str], name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    def timed(*words: Any) -> Any:
        began = time.process_time()
        try:
            return call(*words)
        finally:
            spent[name] += time.process_time() - began  # type: ignore[assignment]

    return timed


def measure(folder: Path, words: list[str]) -> None:
    """Print the figures."""
    spent: Counter[str] = Counter()
    for owner, name, label in (
        (Journal, "append", "journal"), (ResponseCache, "get", "cache"), (ResponseCache, "put", "cache"),
        (Keys, "of", "keys"), (store, "record_to_json", "JSON"), (store, "canonical_json", "JSON"),
    ):  # fmt: skip
        setattr(owner, name, _timed(spent, label, getattr(owner, name)))
    began = time.process_time()
    main([*words, "--out", str(folder / "first")])
    total = time.process_time() - began
    json = spent.pop("JSON")  # made while the journal takes it
    spent["journal"] -= json  # type: ignore[assignment]
    parts = ", ".join(f"{name} {seconds:.2f} s ({seconds / total:.1%})" for name, seconds in spent.items())
    print(f"first run: {total:.1f} s; {parts}; together {sum(spent.values()) / total:.1%}; JSON {json / total:.1%}")
    began = time.perf_counter()
    command = [sys.executable, "-m", "evalkit.cli", *words, "--out", str(folder / "second")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wall, usage = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"cached run: {wall:.1f} s by the clock, {usage.ru_utime + usage.ru_stime:.1f} s of processor time")
    first, second = ((folder / name / "results.json").read_bytes() for name in ("first", "second"))
    print("the same results.json" if first == second else "ANOTHER results.json")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--limit", help="documents per task (default: all)")
    limit = parser.parse_args().limit
    with tempfile.TemporaryDirectory() as made:
        os.environ["EVALKIT_CACHE"] = str(Path(made) / "cache")
        command = ["run", "--model", "nano", "--tasks", "world", "--shots", "0,1,4"]
        measure(Path(made), command + (["--limit", limit] if limit else []))
