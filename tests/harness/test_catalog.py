"""Suites follow from what tasks define, and bring their paper's protocol."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import pytest

from evalkit.data.sources import BenchmarkSource, Hub, WorldSource
from evalkit.errors import UsageError
from evalkit.harness import catalog
from evalkit.harness.task import Protocol, Task
from evalkit.types import Example

PLAIN = Protocol(kind="generate", query="{input}", metrics=("f1",))


def _task(name: str, family: str, *protocols: str) -> Task:
    return Task(
        name=name,
        family=family,
        title="toy",
        source=BenchmarkSource(name=name, hub=Hub(id=f"nobody/{name}", splits={"test": "test"})),
        to_example=lambda document: Example(task="t", input="i", output="o"),
        protocols=dict.fromkeys(protocols, PLAIN),
    )


@pytest.fixture(autouse=True)
def tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five tasks instead of the bundled ones."""
    found = [
        _task("coqa", "reading", "gpt2", "gpt3"),
        _task("boolq", "reading", "gpt3", "lm-eval"),
        _task("cola", "classification", "gpt1"),
        replace(_task("world_qa", "qa", "plain", "gpt2"), source=WorldSource("qa")),
        _task("another", "qa", "gpt2"),
    ]
    monkeypatch.setattr(catalog, "bundled", lambda: MappingProxyType({task.name: task for task in found}))


def _chosen(*words: str) -> list[tuple[str, str | None]]:
    return [(task.name, protocol) for task, protocol in catalog.choose(words)]


def test_a_papers_suite_holds_the_tasks_of_the_paper_that_define_its_protocol() -> None:
    assert _chosen("gpt2-paper") == [("coqa", "gpt2")]
    assert _chosen("gpt3-paper") == [("coqa", "gpt3"), ("boolq", "gpt3")]
    assert _chosen("gpt1-zero-shot") == [("cola", "gpt1")]


def test_other_suites_leave_the_protocol_open() -> None:
    assert _chosen("superglue") == [("boolq", None)]
    assert _chosen("reading") == _chosen("coqa", "bo*") == [("coqa", None), ("boolq", None)]
    assert _chosen("all", "coqa") == [(name, None) for name in ("coqa", "boolq", "cola", "world_qa", "another")]


def test_a_suites_protocol_stays_with_a_task_named_again() -> None:
    assert _chosen("gpt3-paper", "c*") == [("coqa", "gpt3"), ("boolq", "gpt3"), ("cola", None)]
    assert _chosen("coqa", "gpt2-paper") == [("coqa", "gpt2")]


def test_two_papers_ask_one_task_differently() -> None:
    with pytest.raises(UsageError, match=r"coqa is chosen under two protocols \(gpt2, gpt3\); run one at a time"):
        catalog.choose(["gpt2-paper", "gpt3-paper"])


def test_a_suite_without_tasks_is_not_offered() -> None:
    assert {"gpt1-zero-shot", "superglue", "world", "all", "reading"} < catalog.suites().keys()
    assert "translation" not in catalog.suites()
    with pytest.raises(UsageError, match=r"unknown task 'translation'"):
        catalog.choose(["translation"])


def test_a_template_that_nobody_has() -> None:
    worded = replace(PLAIN, templates={"short": {"query": "{input}?"}})
    catalog.check_templates(["all", "short"], [PLAIN, worded])
    with pytest.raises(UsageError, match="unknown template 'shot'; did you mean 'short'"):
        catalog.check_templates(["shot"], [PLAIN, worded])


def test_a_suite_may_count_some_levels_only(monkeypatch: pytest.MonkeyPatch) -> None:
    task = replace(_task("world_qa", "qa", "plain"), suites={"quick": ("head",), "whole": ()})
    monkeypatch.setattr(catalog, "bundled", lambda: MappingProxyType({"world_qa": task}))
    assert [t.levels for t in catalog.select(["quick"])] == [("head",)]
    for words in (["whole"], ["world"], ["quick", "world_qa"]):  # the last word counts
        assert [t.levels for t in catalog.select(words)] == [()]
