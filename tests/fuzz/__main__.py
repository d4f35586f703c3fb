"""python -m tests.fuzz [--inputs 20000] [--seed 0] [--kinds NAME,...]: damage files, read them, count what became."""

from __future__ import annotations

import argparse
import logging
import os
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz import kinds
from tests.fuzz.trial import Tally, run

_MEMORY = 12 << 30  # bytes of addresses; who asks for more crashes
_ROW = "{:<22} {:>8} {:>9} {:>8} {:>8} {:>9}"


def main() -> int:
    """Print a line per kind, then the crashes, each once; return 1 if there were any."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=20_000, help="in all, split evenly over the kinds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", default="", help="only these, with commas")
    arguments = parser.parse_args()
    os.environ |= {"HF_HUB_OFFLINE": "1", "EVALKIT_CACHE": "off"}
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    signal.signal(signal.SIGALRM, _hang)
    logging.disable(logging.WARNING)
    wanted = [name for name in arguments.kinds.split(",") if name]
    data = os.environ.get("EVALKIT_DATA")
    known = (*kinds.KINDS, *(kinds.real(Path(data)) if data else ()))
    chosen = [kind for kind in known if not wanted or kind.name in wanted]
    tallies = []
    print(_ROW.format("kind of input", "inputs", "accepted", "refused", "crashes", "slowest"))
    began = time.perf_counter()
    for kind in chosen:
        with tempfile.TemporaryDirectory() as folder:
            tally = run(kind, Path(folder), inputs=-(-arguments.inputs // len(chosen)), seed=arguments.seed)
        _show(tally)
        tallies.append(tally)
    total = Tally(kind="all", **{name: sum(getattr(t, name) for t in tallies) for name in _COUNTS})
    total.slowest = max(tally.slowest for tally in tallies)
    _show(total)
    print(f"seed {arguments.seed}, {time.perf_counter() - began:.0f} s")
    for tally in tallies:
        for report in tally.crashes.values():
            print(f"{tally.kind}: {report}")
    return 1 if total.crashed else 0


def _hang(*_: object) -> None:
    raise TimeoutError("a hang")


_COUNTS = ("inputs", "accepted", "refused", "crashed")


def _show(tally: Tally) -> None:
    counts = [f"{getattr(tally, name):,}" for name in _COUNTS]
    print(_ROW.format(tally.kind, *counts, f"{tally.slowest:.2f} s"), flush=True)


if __name__ == "__main__":
    sys.exit(main())
