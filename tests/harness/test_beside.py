"""Prompts that are built in a thread are those that are built at once, and so is what building them raises."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from evalkit.data.sources import DataPaths
from evalkit.engine.base import Engine
from evalkit.engine.fake import FakeEngine
from evalkit.errors import UsageError
from evalkit.harness.beside import Builder
from evalkit.harness.item import Item
from evalkit.harness.load import load
from evalkit.harness.loaded import Loaded
from evalkit.harness.prompt_cache import PromptCache
from evalkit.harness.run import cells, describe, evaluate
from evalkit.harness.settings import RunSettings
from evalkit.harness.spool import Pair
from evalkit.harness.tabletask import task_from_rows
from evalkit.harness.taskset import read_tasks
from evalkit.runs.store import RunStore
from evalkit.tokenizer import Tokenizer
from evalkit.types import Cell, Request, Response


class Watched(PromptCache):
    """Notes the threads in which prompts are built."""

    def __init__(self) -> None:
        super().__init__(limit=0)
        self.threads: list[str] = []

    def build(self, engine: Engine, loaded: Loaded, cell: Cell, documents: Sequence[Pair]) -> list[Item]:
        self.threads.append(threading.current_thread().name.partition("_")[0])
        return super().build(engine, loaded, cell, documents)


@pytest.fixture(scope="module")
def loaded() -> Loaded:
    [loaded] = read_tasks(["world_qa"], RunSettings(shots=(2,), limit=12), DataPaths()).loaded
    return loaded


@pytest.fixture(scope="module")
def reader() -> Any:
    """What the harness encodes prompts with: no engine is loaded."""
    tokenizer = Tokenizer.train(["What is the job of Tom Holling?"], vocab_size=270)
    return SimpleNamespace(tokenizer=tokenizer, context_length=256)


def _cell(loaded: Loaded) -> Cell:
    return next(cells(loaded, RunSettings(shots=(2,))))


def test_the_same_items_come_of_a_thread(loaded: Loaded, reader: Any) -> None:
    prompts, cell = Watched(), _cell(loaded)
    builder = Builder(prompts)
    builder.begin("block", reader, loaded, cell, loaded.documents)
    beside = builder.take("block")
    assert beside and len(beside) == 12
    assert beside == builder.build(reader, loaded, cell, loaded.documents)
    assert prompts.threads == ["prompts", "MainThread"]
    assert builder.take("block") is None  # taken once


def test_what_was_begun_for_another_block_is_left(loaded: Loaded, reader: Any) -> None:
    builder = Builder(PromptCache(limit=0))
    builder.begin("dropped", reader, loaded, _cell(loaded), loaded.documents)
    assert builder.take("block") is None
    assert builder.take("dropped") is None


def test_what_a_template_raises_is_raised_when_the_block_is_planned(loaded: Loaded, reader: Any) -> None:
    wrong = {"": replace(loaded.protocol, query="{absent}")}
    builder = Builder(PromptCache(limit=0))
    builder.begin("block", reader, replace(loaded, wordings=wrong), _cell(loaded), loaded.documents)
    with pytest.raises(UsageError, match="absent"):
        builder.take("block")


def test_a_tokenizer_of_a_user_stays_in_its_thread(loaded: Loaded) -> None:
    class Own:
        """A tokenizer that may rely on being called from one thread."""

        end_of_text = 0

    reader: Any = SimpleNamespace(tokenizer=Own())
    builder = Builder(PromptCache(limit=0))
    builder.begin("block", reader, loaded, _cell(loaded), loaded.documents)
    assert builder.take("block") is None


@pytest.mark.parametrize("count", [64, 192])
def test_documents_in_hand_are_few_however_many_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr("evalkit.harness.run._CHUNK", 16)
    monkeypatch.setattr("evalkit.harness.run._WAITING", 1)
    monkeypatch.setattr("evalkit.harness.units._TOGETHER", 4)
    alive: list[object] = []
    counts: list[int] = []

    class Counted(Item):
        """An item that exists as long as its number is in the list."""

        def __init__(self, *fields: Any):
            super().__init__(*fields)
            number = object()
            alive.append(number)
            weakref.finalize(self, alive.remove, number)

    def answer(request: Request) -> Response:
        counts.append(len(alive))
        return Response(text="1")

    monkeypatch.setattr("evalkit.harness.prompt_cache.Item", Counted)
    engine: Any = FakeEngine("counting", answer)
    engine.tokenizer = Tokenizer.train(["0 1 2"], vocab_size=258)  # so its prompts are built in a thread
    rows = [{"question": str(number), "answer": "1"} for number in range(count)]
    task = task_from_rows("numbers", rows, query="{question}", answer="answer")
    settings = RunSettings()
    loaded = [load(task, settings, DataPaths())]
    with RunStore(tmp_path / "run", describe(engine, loaded, settings)) as store:
        [result, *_] = evaluate(engine, loaded, settings, store)
    assert result.n == count == len(counts)
    # Two blocks, the unit at hand, and answers that wait to be judged.
    assert 16 <= max(counts) <= 2 * 16 + 16
