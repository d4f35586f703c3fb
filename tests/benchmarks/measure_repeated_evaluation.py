"""What an evaluation costs inside a training: the first call and the next ones, with other weights each time.

    OMP_NUM_THREADS=1 python tests/benchmarks/measure_repeated_evaluation.py [--model nano] [--shots 0] [--limit 50]
        [--tasks world-quick] [--calls 4] [--plain]

Prints processor seconds. The module is transformers' model of the checkpoint; --plain: called like any other module,
without its cache of keys and values.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

import evalkit
from evalkit.errors import program
from evalkit.model import resolve


@program
def main() -> None:
    """Read the options, evaluate, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="nano")
    parser.add_argument("--tasks", default="world-quick")
    parser.add_argument("--shots", default="0")
    parser.add_argument("--limit", type=int, default=50)
    parser.add_argument("--calls", type=int, default=4)
    parser.add_argument("--plain", action="store_true")
    arguments = parser.parse_args()
    module = AutoModelForCausalLM.from_pretrained(resolve.path_of(arguments.model), dtype=torch.float32)
    logits = (lambda module, tokens: module(tokens).logits) if arguments.plain else None
    model = evalkit.open_model(module, tokenizer=arguments.model, name="module", logits=logits)
    began = time.process_time()
    tasks = evalkit.load_tasks(arguments.tasks, shots=map(int, arguments.shots.split(",")), limit=arguments.limit)
    print(f"loading the tasks: {time.process_time() - began:.2f} s")
    with tempfile.TemporaryDirectory() as folder:
        for call in range(1, arguments.calls + 1):
            with torch.no_grad():
                next(module.parameters()).mul_(1.0001)
            began = time.process_time()
            run = evalkit.evaluate(model, tasks, out=Path(folder) / str(call), cache=False)
            spent = time.process_time() - began
            print(f"call {call}: {spent:.2f} s, {sum(1 for _ in run.records()):,} items")


if __name__ == "__main__":
    raise SystemExit(main())
