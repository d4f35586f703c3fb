"""Subsets of tasks: by number, within a time, the same ones again; and prompts that are built once."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from pathlib import Path

import pytest

from evalkit.data.sources import DataPaths
from evalkit.engine import fake
from evalkit.errors import UsageError
from evalkit.harness import affordable
from evalkit.harness.item import Item
from evalkit.harness.prompt_cache import PromptCache
from evalkit.harness.run import cells, describe, evaluate
from evalkit.harness.settings import RunSettings
from evalkit.harness.tabletask import task_from_rows
from evalkit.harness.taskset import TaskSet, read_tasks
from evalkit.runs.signature import Signature
from evalkit.runs.store import RunStore, open_run
from evalkit.types import Request, Response, Result


def tasks(count: int = 60, *, limit: int | None = None, limits: Mapping[str, int] | None = None) -> TaskSet:
    rows = [{"q": f"number {i}?", "a": "yes"} for i in range(count)]
    pair = [
        task_from_rows(name, rows, query="{q}", answer="a", choices=["yes", "no"], metrics=["acc"])
        for name in ("quick", "slow")
    ]
    return read_tasks(pair, RunSettings(limit=limit, limits=limits or {}), DataPaths())


class Clock:
    """A clock that goes on only while an engine answers, so that measurements do not depend on other work."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


CLOCK = Clock()


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(affordable, "time", CLOCK)


def engine(**seconds: float) -> fake.FakeEngine:
    """An engine that takes its time for a request, by task; the answer is right."""

    def answer(request: Request) -> Response:
        CLOCK.now += seconds.get(request.task, 0.0)
        return Response(loglikelihood=-1.0 - request.index, tokens=1)

    return fake.FakeEngine("timed", answer)


def run(chosen: TaskSet, folder: Path) -> list[Result]:
    asked = engine()
    with RunStore(folder, describe(asked, chosen.loaded, chosen.settings)) as store:
        return evaluate(asked, chosen.loaded, chosen.settings, store, prompts=chosen.prompts)


def ids(chosen: TaskSet) -> dict[str, list[str]]:
    return {one.task.name: [document.id for document, _ in one.documents] for one in chosen.loaded}


def test_a_limit_by_name_takes_the_documents_that_the_same_number_takes() -> None:
    by_name, by_number = ids(tasks(limits={"slow": 7})), ids(tasks(limit=7))
    assert by_name["slow"] == by_number["slow"] and len(by_name["quick"]) == 60
    assert set(ids(tasks(limits={"slow": 5}))["slow"]) < set(by_name["slow"])


def test_what_was_scored_is_in_settings_and_signatures_and_gives_the_same_documents_again(tmp_path: Path) -> None:
    results = run(tasks(limits={"slow": 7}), tmp_path / "a")
    settings = open_run(tmp_path / "a").settings
    assert settings["limit"] == {"slow": 7}
    assert {r.task: (r.n, Signature.parse(r.signature).fields["limit"]) for r in results} == {
        "quick": (60, "all"), "slow": (7, "7"),
    }  # fmt: skip
    run(tasks(limits=settings["limit"]), tmp_path / "b")
    assert (tmp_path / "a" / "results.json").read_bytes() == (tmp_path / "b" / "results.json").read_bytes()


def test_a_subset_of_limited_tasks_says_how_many_documents_each_has() -> None:
    chosen = tasks(limit=20).limited({"slow": 7}, seconds=3.0)
    assert dict(chosen.settings.limits) == {"quick": 20, "slow": 7} and chosen.settings.limit is None
    assert dict(chosen.limited({"quick": 9}).settings.limits) == {"quick": 9, "slow": 7}
    whole = tasks(limit=20).limited({"slow": 50})
    assert (whole.settings.limit, dict(whole.settings.limits)) == (20, {})


@pytest.mark.parametrize(
    ("limits", "message"),
    [({"quik": 7}, "unknown task 'quik' in limit; did you mean 'quick'"), ({"slow": 0}, "at least 1")],
)
def test_wrong_limits(limits: Mapping[str, int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        tasks(limits=limits)


def test_documents_are_shared_out_so_that_the_squared_errors_are_smallest() -> None:
    sizes = {"quick": 1000, "slow": 1000, "small": 8}
    chosen = affordable.share({"quick": 0.01, "slow": 0.04, "small": 0.01}, sizes, seconds=6.0)
    assert chosen["small"] == 8 and chosen["quick"] == pytest.approx(2 * chosen["slow"], abs=2)
    assert 5.8 < 0.01 * chosen["quick"] + 0.04 * chosen["slow"] + 0.08 <= 6.0
    assert affordable.share({"quick": 0.001}, {"quick": 50}, seconds=1.0) == {"quick": 50}
    assert affordable.share({"quick": 1.0}, {"quick": 50}, seconds=1.0) == {"quick": 5}
    assert affordable.share({"quick": 0.0, "slow": 1.0}, {"quick": 9, "slow": 9}, seconds=7.0) == {
        "quick": 9,
        "slow": 7,
    }


def test_a_slow_task_gets_fewer_documents_and_the_time_is_kept() -> None:
    chosen = affordable.within(engine(quick=0.0005, slow=0.004), tasks(400), seconds=1.5)
    counts = {name: len(documents) for name, documents in ids(chosen).items()}
    assert counts["quick"] == pytest.approx(8**0.5 * counts["slow"], abs=3)
    # Two requests a document; some of the time is left for storing.
    assert 1.2 < counts["quick"] * 0.001 + counts["slow"] * 0.008 < 1.3
    assert chosen.settings.seconds == 1.5 and describe(engine(), chosen.loaded, chosen.settings)["seconds"] == 1.5
    assert ids(chosen)["slow"] == ids(tasks(400, limits=chosen.settings.limits))["slow"]


def test_too_little_time_is_said_and_leaves_enough_for_an_interval(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        chosen = affordable.within(engine(slow=0.01, quick=0.01), tasks(), seconds=0.01)
    assert {len(documents) for documents in ids(chosen).values()} == {5}
    assert "even 5 documents of each task take about" in caplog.text


@pytest.mark.parametrize("seconds", [0, -1, math.inf, math.nan, True, "30"])
def test_a_time_that_is_none(seconds: object) -> None:
    with pytest.raises(UsageError, match="seconds must be a number above 0"):
        affordable.within(engine(), tasks(), seconds=seconds)  # type: ignore[arg-type]


class Counting(fake.ByteEncoder):
    """Counts the texts that it encodes."""

    def __init__(self) -> None:
        self.texts = 0

    def encode_batch(self, texts):  # type: ignore[no-untyped-def]
        self.texts += len(texts)
        return super().encode_batch(texts)


def built(cache: PromptCache, asked: fake.FakeEngine, count: int = 20) -> list[Item]:
    [loaded, _] = tasks().loaded
    [cell] = cells(loaded, RunSettings())
    return cache.build(asked, loaded, cell, loaded.documents[:count])


def test_prompts_are_encoded_once_for_a_tokenizer_and_a_context() -> None:
    asked, cache = engine(), PromptCache()
    asked.tokenizer = Counting()
    first = built(cache, asked, count=10)
    texts = asked.tokenizer.texts
    again = built(cache, asked, count=10)
    assert asked.tokenizer.texts == texts and [i.requests for i in again] == [i.requests for i in first]
    more = built(cache, asked)
    assert asked.tokenizer.texts == 2 * texts and [i.document.id for i in more[:10]] == [i.document.id for i in first]
    asked.context_length = 5
    shorter = built(cache, asked)
    assert asked.tokenizer.texts > 3 * texts and shorter[0].fitted.prompt.cut
    asked.tokenizer = fake.ByteEncoder()
    asked.context_length = 1 << 20
    assert [i.requests for i in built(cache, asked)] == [i.requests for i in more]


def test_answers_of_one_evaluation_are_not_those_of_the_next() -> None:
    cache = PromptCache()
    [item, *_] = built(cache, engine())
    item.responses[0] = Response()
    assert not built(cache, engine())[0].responses


def test_what_is_kept_is_bounded() -> None:
    asked = engine()
    asked.tokenizer = Counting()
    whole = PromptCache()
    needed = sum(len(r.context_ids) + len(r.continuation_ids) for i in built(whole, asked) for r in i.requests)
    texts = asked.tokenizer.texts
    half = PromptCache(limit=needed // 2)
    built(half, asked), built(half, asked)
    assert 2 * texts < asked.tokenizer.texts < 3 * texts
    built(PromptCache(limit=0), asked)
