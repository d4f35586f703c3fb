"""Answers judged in a thread end as those judged at once do: the same journal, messages and counts, nothing lost."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from evalkit.data.sources import DataPaths
from evalkit.engine.fake import FakeEngine
from evalkit.errors import DiskError, TaskError
from evalkit.harness import beside, run
from evalkit.harness.beside import Judge
from evalkit.harness.item import Item
from evalkit.harness.loaded import ImportedTask, Loaded
from evalkit.harness.settings import RunSettings
from evalkit.harness.taskset import read_tasks
from evalkit.metrics import Metric
from evalkit.metrics.rouge import Rouge
from evalkit.progress import Note
from evalkit.runs.store import Finished, RunStore, read_records
from evalkit.types import Example, Record, Request, Response

SETTINGS = RunSettings(limit=200)


@pytest.fixture(scope="module")
def tasks() -> Sequence[Loaded]:
    return read_tasks(["world_qa", "world_pronouns"], SETTINGS, DataPaths()).loaded


@pytest.fixture(params=["beside", "at once"])
def judged(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whether answers are judged in a thread or where they come from."""
    if request.param == "at once":
        monkeypatch.setattr(beside, "_judged_by_us", lambda loaded: False)
    return str(request.param)


def respond(request: Request) -> Response:
    return Response(text=f"{request.doc_id} ", loglikelihood=-len(request.continuation), tokens=3)


class Counting:
    """A bar that counts."""

    def __init__(self) -> None:
        self.items = self.tokens = 0

    def advance(self, amount: int, *, note: Note = "", tokens: int = 0) -> None:
        self.items, self.tokens = self.items + amount, self.tokens + tokens

    def skip(self, amount: int) -> None:
        pass

    def doing(self, what: str) -> None:
        pass


def answered(
    folder: Path,
    tasks: Sequence[Loaded],
    answer: Callable[[Request], Response] = respond,
    *,
    strict: bool = True,
) -> tuple[Counting, Mapping[str, str]]:
    """Answer the tasks; return the bar and the tasks that failed."""
    engine, bar = FakeEngine("fake", answer), Counting()
    with RunStore(folder, run.describe(engine, tasks, SETTINGS)) as store:
        run.answer(engine, tasks, SETTINGS, store, bar=bar, strict=strict)
        return bar, store.failed


def patched(monkeypatch: pytest.MonkeyPatch, before: Callable[[Item], Any]) -> None:
    """Do something before each item is judged."""
    judge = Item.record

    def record(item: Item) -> Record:
        before(item)
        return judge(item)

    monkeypatch.setattr(Item, "record", record)


def journal(folder: Path) -> bytes:
    return (folder / "records.jsonl").read_bytes()


def test_records_their_order_and_the_count_are_the_same(tmp_path, tasks, monkeypatch):
    threads = set()
    patched(monkeypatch, lambda item: threads.add(threading.current_thread().name.partition("_")[0]))
    bar, _ = answered(tmp_path / "beside", tasks)
    assert threads == {"judging"}
    monkeypatch.setattr(beside, "_judged_by_us", lambda loaded: False)
    other, _ = answered(tmp_path / "at once", tasks)
    assert threads == {"judging", "MainThread"}
    assert journal(tmp_path / "beside") == journal(tmp_path / "at once")
    assert (bar.items, bar.tokens) == (other.items, other.tokens)
    assert bar.items == sum(len(loaded.documents) for loaded in tasks) == len(list(read_records(tmp_path / "beside")))


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_what_waits_for_its_judgement_is_stored_when_the_engine_ends(tmp_path, tasks, monkeypatch, error):
    ended = threading.Event()
    patched(monkeypatch, lambda item: ended.wait(10))  # nothing is judged before the engine has ended
    asked = []

    def answer(request: Request) -> Response:
        asked.append(request)
        if len(asked) > 150:
            ended.set()
            raise error
        return respond(request)

    with pytest.raises(KeyboardInterrupt if error is KeyboardInterrupt else TaskError):
        answered(tmp_path, tasks[:1], answer)
    kept = list(read_records(tmp_path))
    assert [record.doc_id for record in kept] == [request.doc_id for request in asked[:128]]  # four times 32
    answered(tmp_path, tasks[:1])
    assert len({record.key for record in read_records(tmp_path)}) == len(tasks[0].documents)


def scored(folder: Path, task: str) -> list[str]:
    return [record.doc_id for record in read_records(folder) if record.cell.task == task]


def test_an_error_of_a_judge_names_its_task_and_keeps_what_came_before(tmp_path, tasks, monkeypatch, judged):
    answered(tmp_path / "whole", tasks)
    order = scored(tmp_path / "whole", "world_qa")

    def fail(item: Item) -> None:
        if item.document.id == order[70]:
            raise ValueError("no such unit")

    patched(monkeypatch, fail)
    with pytest.raises(TaskError, match=r"^world_qa: ValueError: no such unit in .*test_judging.py line [0-9]+; --log"):
        answered(tmp_path / "strict", tasks)
    assert scored(tmp_path / "strict", "world_qa") == order[:64]
    bar, failed = answered(tmp_path / "lenient", tasks, strict=False)
    assert list(failed) == ["world_qa"] and failed["world_qa"].startswith("world_qa: ValueError: no such unit in ")
    assert scored(tmp_path / "lenient", "world_qa") == order[:64]
    assert bar.items == 64 + len(tasks[1].documents)


def test_an_error_of_the_last_judgement_is_not_lost(tmp_path, tasks, monkeypatch, judged):
    last = tasks[1].documents[0][0].id

    def fail(item: Item) -> None:
        if item.document.id == last:
            time.sleep(0.05)
            raise ValueError("late")

    patched(monkeypatch, fail)
    with pytest.raises(TaskError, match="late"):
        answered(tmp_path, tasks[1:])


def test_a_full_disk_ends_the_run_as_itself(tmp_path, tasks, monkeypatch, judged):
    write, written = RunStore.write, list[int]()

    def full(store: RunStore, finished: Finished) -> None:
        written.append(len(finished.scores))
        if len(written) > 2:
            raise DiskError("the disk is full")
        write(store, finished)

    monkeypatch.setattr(RunStore, "write", full)
    with pytest.raises(DiskError, match="the disk is full"):
        answered(tmp_path, tasks, strict=False)
    assert len(list(read_records(tmp_path))) == 64


def test_no_more_than_a_few_batches_wait(tmp_path, tasks, monkeypatch):
    monkeypatch.setattr(run, "_WAITING", 1)
    counts, most = {"asked": 0, "judged": 0}, [0]

    def slow(item: Item) -> None:
        time.sleep(0.001)
        counts["judged"] += 1

    def answer(request: Request) -> Response:
        counts["asked"] += 1
        most[0] = max(most[0], counts["asked"] - counts["judged"])
        return respond(request)

    patched(monkeypatch, slow)
    answered(tmp_path, tasks[:1], answer)
    assert 32 < most[0] <= 3 * 32  # one is collected, one being judged, one waits


class Own(Metric):
    """A metric of a user."""

    name = "own"

    def statistics(self, example: Example, responses: Sequence[Response]) -> tuple[float, ...]:
        return (1.0,)


class Foreign(ImportedTask):
    """A task of another tool."""

    def load(self, settings: RunSettings, data: DataPaths) -> Loaded:
        raise NotImplementedError


def test_code_of_others_stays_in_its_thread(tasks):
    judge = Judge(run="run", beside=True)
    assert isinstance(judge.judge(tasks[0], []), Future)
    assert isinstance(judge.judge(replace(tasks[0], metrics={**tasks[0].metrics, "own": Own()}), []), Finished)
    foreign = Foreign(**{each.name: getattr(tasks[0].task, each.name) for each in fields(tasks[0].task)})
    assert isinstance(judge.judge(replace(tasks[0], task=foreign), []), Finished)
    assert isinstance(Judge(run="run", beside=False).judge(tasks[0], []), Finished)  # as in a worker


def test_metrics_are_prepared_once_outside_the_thread(tasks, monkeypatch):
    threads: list[threading.Thread] = []
    monkeypatch.setattr(Rouge, "prepare", lambda metric: threads.append(threading.current_thread()))
    judge, loaded = Judge(run="run", beside=True), replace(tasks[0], metrics={"rouge1": Rouge("rouge1")})
    for _ in range(2):
        judge.judge(loaded, [])
    assert threads == [threading.main_thread()]


def test_a_prepared_metric_imports_nothing_when_it_scores():
    code = (
        "import sys\nfrom evalkit.metrics import get\nfrom evalkit.types import Example, Response\n"
        "example, responses = Example(task='t', input='', output='été two. Three'), [Response(text='two été')]\n"
        "for name in ('rouge1', 'rougeLsum', 'rouge2_unicode'):\n"
        "    metric = get(name)\n    metric.prepare()\n    before = set(sys.modules)\n"
        "    metric.statistics(example, responses)\n    assert set(sys.modules) == before, set(sys.modules) - before\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_cannot_be_imported_meanwhile_is_no_error(tasks, monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.special", None)
    judgement = Judge(run="run", beside=True).judge(tasks[0], [])
    assert isinstance(judgement, Future) and not judgement.result().scores
