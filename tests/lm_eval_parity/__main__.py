"""Compare with lm-evaluation-harness; see the package. Exit code 1 where anything differs."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from tests.lm_eval_parity import squad_metrics
from tests.lm_eval_parity.compare import Setup, compare

TASKS = (
    "hellaswag arc_easy arc_challenge piqa boolq winogrande lambada_openai wikitext coqa nq_open triviaqa webqs "
    "wmt14-fr-en arithmetic_1dc arithmetic_2da arithmetic_3ds anagrams1 reversed_words openbookqa copa cb sglue_rte "
    "wsc273 race sciq mmlu"
).split()


def main() -> int:
    """Write the copies, ask both programs, print a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.lm_eval_parity", description=__doc__)
    parser.add_argument("--lm-eval-python", type=Path, required=True, help="a Python that has lm_eval 0.4.13")
    parser.add_argument("--data", type=Path, default=os.environ.get("EVALKIT_DATA"), help="benchmark files")
    parser.add_argument("--copies", type=Path, help="keep the copies of the data sets here")
    parser.add_argument("--shots", default="0,5")
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("tasks", nargs="*", help="lm-eval's names (default: 25 tasks, and MMLU with its groups)")
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("--data or EVALKIT_DATA: where are the benchmark files?")
    failed = 0
    with tempfile.TemporaryDirectory() as temporary:
        setup = Setup(
            python=arguments.lm_eval_python, root=arguments.copies or Path(temporary) / "data", limit=arguments.limit
        )
        setup.write_copies(Path(arguments.data))
        squad_metrics.install()
        print("task                                shots requests metrics differences")
        for shots in map(int, arguments.shots.split(",")):
            names = arguments.tasks or TASKS
            theirs = setup.theirs(names, shots=shots)
            for one in compare(theirs, names, shots=shots, root=setup.root, limit=setup.limit):
                found = "; ".join(one.differences) or "none"
                print(f"{one.task:35} {one.shots:5} {one.requests:8,} {one.metrics:7} {found}", flush=True)
                failed += bool(one.differences)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
