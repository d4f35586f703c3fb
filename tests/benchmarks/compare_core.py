"""CORE item by item against nanochat's own function, with the time of both.

    python -m tests.benchmarks.compare_core --nanochat FOLDER --bundle FOLDER --model nano [--items 20]
        [--max-per-task N] [--tasks arc_easy,...] [--store FILE]

FOLDER of nanochat holds core_eval.py (nanochat/core_eval.py of its repository), which is imported; the bundle's holds
core.yaml. Compared are the first items of each task; shots come from all of its documents, or from the first N as with
nanochat's --max-per-task. A row for each file: items whose token ids differ, items that are right for one and wrong for
the other, and the seconds of both. --store writes nanochat's answers, which tests/dclm reads.
"""

from __future__ import annotations

import argparse
import importlib
import json
import random
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch

import evalkit
from evalkit.data.sources import DataPaths
from evalkit.dclm.bundle import Entry, entry
from evalkit.dclm.task import TASKS, choose
from evalkit.engine.base import Engine, ask
from evalkit.engine.open import native
from evalkit.errors import NoDataError, program
from evalkit.files import digest
from evalkit.harness.item import Item
from evalkit.harness.load import load
from evalkit.harness.loaded import Loaded
from evalkit.harness.requests import with_empty_context
from evalkit.harness.run import cells
from evalkit.harness.settings import RunSettings
from evalkit.harness.units import units
from evalkit.model import resolve, weights

ROW = "{:34} {:6} {:11} {:16} {:12.2f} {:11.2f}"


class Outcome(NamedTuple):
    """A document's sequences of token ids, and whether it was answered rightly."""

    ids: list[list[int]]
    right: bool


class NanochatTokenizer:
    """A tokenizer as nanochat calls it, around ours."""

    def __init__(self, encoder: Any):
        self._encoder = encoder

    def get_bos_token_id(self) -> int:
        """Return the token before every prompt."""
        begin = getattr(self._encoder, "begin", None)
        return int(self._encoder.end_of_text if begin is None else begin)

    def __call__(self, texts: Sequence[str], prepend: int) -> list[list[int]]:
        """Encode texts behind one token."""
        return [[prepend, *ids] for ids in self._encoder.encode_batch(list(texts))]


class NanochatModel:
    """A network as nanochat calls it: token ids (B, T) -> logits (B, T, V)."""

    def __init__(self, name: str, context: int):
        self.max_seq_len = context
        path = resolve.path_of(name)
        checkpoint, _ = native(name, path)
        if checkpoint is not None:
            self._logits = weights.build(checkpoint)[0]
            return
        transformers = importlib.import_module("transformers")
        network = transformers.AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
        self._logits = lambda ids: network(ids).logits

    def __call__(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        with torch.inference_mode():
            logits: torch.Tensor = self._logits(ids)
        return logits


def by_nanochat(
    core_eval: ModuleType,
    model: NanochatModel,
    tokenizer: NanochatTokenizer,
    *,
    rows: list[Any],
    bundled: Entry,
    items: int,
) -> Iterator[Outcome]:
    """Yield the outcome of the first documents, in their order; without token ids where the function stops."""
    about = {
        "task_type": bundled.kind,
        "num_fewshot": bundled.shots,
        "continuation_delimiter": bundled.delimiter,
    }
    stacked: list[list[list[int]]] = []
    stack = core_eval.stack_sequences

    def watched(tokens: list[list[int]], pad: int) -> torch.Tensor:
        stacked.append(tokens)
        return stack(tokens, pad)

    core_eval.stack_sequences = watched
    try:
        for index in range(items):
            try:
                answer = core_eval.evaluate_example(index, model, tokenizer, rows, "cpu", about)
            except AssertionError:  # the options alone are too long, or a token spans prompt and answer
                yield Outcome([], False)
                continue
            yield Outcome(stacked[-1], bool(answer[0] if isinstance(answer, tuple) else answer))
    finally:
        core_eval.stack_sequences = stack


def rows_of(bundled: Entry, most: int | None) -> list[Any]:
    """Read a task's documents as nanochat's scripts/base_eval.py does."""
    with bundled.path.open(encoding="utf-8") as file:
        rows = [json.loads(line.strip()) for line in file]
    random.Random(1337).shuffle(rows)
    return rows[:most]


def by_evalkit(engine: Engine, loaded: Loaded, settings: RunSettings) -> list[Outcome]:
    """Return the outcome of each document, in its order."""
    [cell] = cells(loaded, settings)
    items = Item.build(engine, loaded, cell, loaded.documents)
    for unit in units([item for item in items if not item.fitted.error], tokens=32768):
        places = [(item, i) for item in unit for i in range(len(item.requests))]
        for place, response in ask(engine, "loglikelihood", [item.requests[i] for item, i in places]):
            item, i = places[place]
            item.responses[i] = response
    outcomes = []
    for item in items:
        ids = [[*request.context_ids, *request.continuation_ids] for request in item.requests]
        outcomes.append(Outcome(ids, bool(item.record().scores.get("acc", (0.0,))[0])))
    return outcomes


def first_of(loaded: Loaded, items: int) -> Loaded:
    """Return a task with only its first documents to score; shots still come from all."""
    return replace(loaded, documents=loaded.documents[:items])


def compare(theirs: Sequence[Outcome], ours: Sequence[Outcome]) -> tuple[int, int]:
    """Return how many items have other token ids, and how many another outcome."""
    pairs = list(zip(theirs, ours, strict=True))
    return sum(a.ids != b.ids for a, b in pairs), sum(a.right != b.right for a, b in pairs)


def stored(outcomes: Sequence[Outcome]) -> dict[str, str]:
    """Return what a test compares: a digest of the token ids, and a digit for each document."""
    ids = digest(json.dumps([outcome.ids for outcome in outcomes]))
    return {"ids": ids, "right": "".join(str(int(outcome.right)) for outcome in outcomes)}


class Both(NamedTuple):
    """A task's outcomes by nanochat and by evalkit, and the seconds of each."""

    theirs: list[Outcome]
    ours: list[Outcome]
    seconds: tuple[float, float]

    def row(self) -> list[float]:
        """Return the figures of the table."""
        return [len(self.ours), *compare(self.theirs, self.ours), *self.seconds]


def both(
    core_eval: ModuleType, model: NanochatModel, engine: Engine, *, label: str, data: DataPaths, items: int,
    most: int | None,
) -> Both:  # fmt: skip
    """Score a task's first items both ways. most: nanochat's --max-per-task. Raises NoDataError without its file."""
    settings = RunSettings(limit=most, default_shots=True)
    [task] = choose(f"core_{label}")
    loaded = first_of(load(task, settings, data), items)
    bundled, count = entry(label, data), len(loaded.documents)
    tokenizer = NanochatTokenizer(with_empty_context(engine.tokenizer, "begin"))
    rows = rows_of(bundled, most)
    began = time.perf_counter()
    theirs = list(by_nanochat(core_eval, model, tokenizer, rows=rows, bundled=bundled, items=count))
    between = time.perf_counter()
    ours = by_evalkit(engine, loaded, settings)
    return Both(theirs, ours, (between - began, time.perf_counter() - between))


@program
def main() -> None:
    """Compare every file, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nanochat", type=Path, required=True)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--items", type=int, default=20)
    parser.add_argument("--max-per-task", type=int, metavar="N")
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--store", type=Path)
    arguments = parser.parse_args()
    sys.path.insert(0, str(arguments.nanochat))
    core_eval = importlib.import_module("core_eval")
    data = DataPaths(named={"core": arguments.bundle})
    answers, rows = {}, []
    print(f"{'file':34} {'items':>6} {'ids differ':>11} {'outcomes differ':>16} {'nanochat, s':>12} {'evalkit, s':>11}")
    with closing(evalkit.open_model(arguments.model, dtype="fp32").engine(None)) as engine:
        model = NanochatModel(arguments.model, engine.context_length)
        for label in arguments.tasks.split(","):
            try:
                scored = both(
                    core_eval, model, engine, label=label, data=data, items=arguments.items, most=arguments.max_per_task
                )
            except NoDataError as error:
                print(f"{label:34} {error}")
                continue
            answers[label] = stored(scored.theirs)
            rows.append(scored.row())
            print(ROW.format(label, *rows[-1]), flush=True)
    print(ROW.format("all", *map(sum, zip(*rows, strict=True))))
    if arguments.store:
        about = {"model": arguments.model, "items": arguments.items, "answers": answers}
        arguments.store.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
