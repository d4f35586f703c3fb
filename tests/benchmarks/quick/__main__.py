"""One table of all areas, in about five minutes: `make bench-quick`.

    python -m tests.benchmarks.quick [--lm-eval PYTHON] [--rounds 3] [--only AREA,...] [--out reports/bench]

A line is the same work done by evalkit and by a peer, and its limit: the part that no program can leave out, done
alone. Seconds are medians of --rounds, taken in turn. "times" is the peer's seconds divided by ours, "of limit" the
limit's divided by ours. lm-eval is measured if --lm-eval names a Python that has it. --out stores the figures as
DATE-COMMIT.json, for `make bench-history`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from statistics import median
from typing import Any

import torch

from evalkit.errors import check_whole, program, unknown
from evalkit.files import write_atomic
from tests.benchmarks.engine_peer.measure import processor
from tests.benchmarks.quick.engines import engines
from tests.benchmarks.quick.lines import AREAS, Line, lines

_ROW = "{:<12} {:<67} {:>8} {:>8} {:>6} {:>8} {:>8}"


@program
def main() -> None:
    """Measure and print every line; store them in --out. Raises UsageError for an area that there is not."""
    arguments = _arguments()
    only = set(filter(None, arguments.only.split(",")))
    for area in only - {*AREAS}:
        raise unknown("area", area, AREAS, where="in --only")
    check_whole("--rounds", arguments.rounds)
    print(_ROW.format("area", "work", "ours s", "peer s", "times", "limit s", "of limit"))
    measured = []
    for line in _measured(arguments, only):
        measured.append(line)
        print(_printed(line), flush=True)
    for kind in ("peer", "limit"):
        names = dict.fromkeys(f"{line['area']}: {line[f'{kind}_name']}" for line in measured if line[f"{kind}_name"])
        print(f"{kind}: " + "; ".join(names))
    if arguments.out:
        commit = _git("rev-parse", "HEAD") + (
            "-changed" if _git("status", "--porcelain", "--untracked-files=no") else ""
        )
        when = datetime.fromisoformat(_git("log", "-1", "--format=%cI")).astimezone(timezone.utc)
        machine = {"processor": processor(), "cores": os.cpu_count(), "isa": torch.backends.cpu.get_cpu_capability()}
        versions = {"python": platform.python_version(), "torch": torch.__version__}
        content = {"version": 1, "commit": commit, "date": when.isoformat(), **machine, **versions, "lines": measured}
        path = arguments.out / f"{when:%Y%m%d-%H%M%S}-{commit[:12]}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps(content, indent=1) + "\n")
        print(f"stored in {path}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lm-eval", metavar="PYTHON", help="the Python that has lm_eval")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help=f"areas, separated by commas: {', '.join(AREAS)}")
    parser.add_argument("--out", type=Path, help="the folder of the history")
    return parser.parse_args()


def _measured(arguments: argparse.Namespace, only: set[str]) -> Iterator[dict[str, Any]]:
    if not only or "engine" in only:
        yield from engines(arguments.lm_eval, rounds=arguments.rounds)
    with tempfile.TemporaryDirectory() as folder:
        for line in lines(Path(folder)):
            if not only or line.area in only:
                yield _in_turn(line, arguments.rounds)


def _in_turn(line: Line, rounds: int) -> dict[str, Any]:
    """Do each work once to warm up, then in turn; return medians."""
    works: dict[str, Callable[[], Any]] = {
        name: work for name in ("ours", "peer", "limit") if (work := getattr(line, name)) is not None
    }
    for work in works.values():
        work()
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            began = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - began)
    medians = {name: median(seconds[name]) if name in works else None for name in ("ours", "peer", "limit")}
    names = {"peer_name": line.peer_name, "limit_name": line.limit_name}
    return {"area": line.area, "work": line.work, **medians, **names}


def _printed(line: dict[str, Any]) -> str:
    ours, peer, limit = line["ours"], line["peer"], line["limit"]
    return _ROW.format(
        line["area"], line["work"][:67], f"{ours:.3g}", f"{peer:.3g}" if peer else "",
        f"{peer / ours:.1f}" if peer else "", f"{limit:.3g}" if limit else "", f"{limit / ours:.0%}" if limit else "",
    )  # fmt: skip


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
