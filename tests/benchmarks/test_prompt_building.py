"""Speed of reading a benchmark and building its prompts, without tokens.

`EVALKIT_DATA=... pytest tests/benchmarks/test_prompt_building.py --benchmark-only -s` prints the prompts per second;
--benchmark-json keeps them among the extra information.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evalkit.data.sources import BenchmarkSource, DataPaths, Hub
from evalkit.harness import catalog
from evalkit.harness.load import load
from evalkit.harness.prompts import pairs
from evalkit.harness.settings import RunSettings
from evalkit.harness.task import Protocol, Task
from evalkit.types import Document, Example

Benchmark = Callable[..., Any]


def _choices(document: Document) -> Example:
    row = document.row
    return Example(
        task="t", input=row["text"], output=row["ends"][row["gold"]], choices=tuple(row["ends"]), gold=row["gold"]
    )


MADE = Task(
    name="made",
    family="commonsense",
    title="made-up endings",
    source=BenchmarkSource(name="made", hub=Hub(id="nobody/made", splits={"test": "test", "shots": "train"})),
    to_example=_choices,
    protocols={"plain": Protocol(kind="choice", query="{input}", target=" {choice}", metrics=("acc",))},
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> DataPaths:
    """10,000 documents of the size of HellaSwag's, and a training split of 100,000."""
    folder, rng = tmp_path_factory.mktemp("made"), random.Random(0)
    words = [f"word{i}" for i in range(2000)]
    for split, count in (("test", 10_000), ("train", 100_000)):
        with (folder / f"{split}.jsonl").open("w") as file:
            for _ in range(count):
                ends = [" ".join(rng.choices(words, k=12)) for _ in range(4)]
                row = {"text": " ".join(rng.choices(words, k=40)), "ends": ends, "gold": rng.randrange(4)}
                file.write(json.dumps(row) + "\n")
    return DataPaths(named={"made": folder})


def _build(task: Task, data: DataPaths, shots: int) -> int:
    """Load a task and render every prompt; return how many."""
    loaded = load(task, RunSettings(shots=(shots,)), data)
    for document, example in loaded.documents:
        drawn = loaded.pool.draw(document, example, group=loaded.group(document), count=shots, seed=1)
        assert pairs(loaded.protocol, example, drawn)
    return len(loaded.documents)


def _measure(benchmark: Any, task: Task, data: DataPaths, shots: int) -> None:
    prompts = benchmark.pedantic(_build, args=(task, data, shots), rounds=3, warmup_rounds=1)
    began = time.process_time()
    _build(task, data, shots)
    rate = prompts / (time.process_time() - began)
    benchmark.extra_info["prompts_per_second"] = round(rate)
    print(f"\n{task.name} with {shots} shots: {prompts:,} prompts, {rate:,.0f} a second of one core")


@pytest.mark.parametrize("shots", [0, 1, 8])
@pytest.mark.parametrize("name", ["lambada", "nq_open"])
def test_real(benchmark: Any, data_dir: Path, name: str, shots: int) -> None:
    data = DataPaths(root=data_dir)
    if not catalog.bundled()[name].source.at_hand(data):
        pytest.skip(f"the data folder has no files of {name}")
    _measure(benchmark, catalog.bundled()[name], data, shots)


@pytest.mark.parametrize("shots", [0, 8])
def test_made(benchmark: Any, made: DataPaths, shots: int) -> None:
    _measure(benchmark, MADE, made, shots)
