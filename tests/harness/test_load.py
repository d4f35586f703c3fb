"""What a run of a task consists of: counts of shots, wordings, metrics, and a pool that stays small."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from evalkit.data.sources import DataPaths, Split
from evalkit.engine.fake import constant
from evalkit.errors import TaskError, UsageError
from evalkit.harness import load as loading
from evalkit.harness.load import count_documents, load
from evalkit.harness.run import describe
from evalkit.harness.settings import RunSettings
from evalkit.harness.task import Protocol, Task
from evalkit.metrics.choice import Accuracy
from evalkit.types import Document, Example, Response

NONE = DataPaths()


@dataclass(frozen=True)
class Rows:
    """Ten documents to score and many to draw shots from."""

    pool: int = 50
    backwards: bool = False

    def rows(self, split: Split, data: DataPaths) -> Iterator[Mapping[str, Any]]:
        order = range(10 if split == "test" else self.pool)
        yield from ({"id": str(i), "text": f"{split} {i}"} for i in (order[::-1] if self.backwards else order))

    def fingerprint(self, split: Split, data: DataPaths) -> str:
        return split

    def at_hand(self, data: DataPaths) -> str:
        return "memory"


def _example(document: Document) -> Example:
    return Example(task="t", input=document.row["text"], output="a", choices=("a", "b"), gold=0)


PLAIN = Protocol(kind="choice", query="{input}", target=" {choice}", metrics=("acc_per_char",))
TASK = Task(name="t", family="qa", title="toy", source=Rows(), to_example=_example, protocols={"plain": PLAIN})


def _with(**changes: Any) -> Task:
    return replace(TASK, protocols={"plain": replace(PLAIN, **changes)})


class TestShots:
    def test_the_papers_number_is_one_of_several(self) -> None:
        settings = RunSettings(shots=(0, 1), paper_shots=True)
        assert load(_with(paper_shots=3), settings, NONE).shots == (0, 1, 3)
        assert load(_with(paper_shots=1), settings, NONE).shots == (0, 1)
        assert load(_with(paper_shots=0), RunSettings(shots=(), paper_shots=True), NONE).shots == (0,)
        assert load(_with(paper_shots=3), RunSettings(), NONE).shots == (0,)

    def test_a_paper_that_does_not_say(self) -> None:
        assert load(TASK, RunSettings(shots=(2,), paper_shots=True), NONE).shots == (2,)
        with pytest.raises(UsageError, match=r"for t under protocol plain the paper states no number .* 0,paper"):
            load(TASK, RunSettings(shots=(), paper_shots=True), NONE)

    def test_perplexity_has_no_shots(self) -> None:
        rolling = replace(TASK, protocols={"plain": Protocol(kind="rolling", query="{input}", metrics=("ppl_word",))})
        assert load(rolling, RunSettings(shots=(), paper_shots=True), NONE).shots == (0,)

    def test_none_at_all(self) -> None:
        with pytest.raises(UsageError, match="--shots: expected whole numbers from 0 up, or paper"):
            RunSettings(shots=())


class TestWordings:
    TASK = _with(templates={"b": {"query": "B {input}"}, "c": {"separator": "\n"}})

    @pytest.mark.parametrize(
        ("asked", "names"), [((), [""]), (("c",), ["", "c"]), (("all",), ["", "b", "c"]), (("d",), [""])]
    )
    def test_the_own_one_comes_first(self, asked: tuple[str, ...], names: list[str]) -> None:
        wordings = load(self.TASK, RunSettings(templates=asked), NONE).wordings
        assert list(wordings) == names and wordings[""] == self.TASK.protocols["plain"]

    def test_a_wording_replaces_what_it_names(self) -> None:
        found = self.TASK.protocols["plain"].wording("b")
        assert (found.query, found.target) == ("B {input}", " {choice}")


class TestMetrics:
    def test_every_normalisation_that_applies_is_reported_after_the_own_ones(self) -> None:
        assert list(load(TASK, RunSettings(), NONE).metrics) == ["acc_per_char", "acc", "acc_per_token", "acc_per_byte"]

    def test_an_answer_context_decides_what_comes_first(self) -> None:
        alone = replace(PLAIN, answer_context="A:")
        assert alone.reported[:2] == ("acc_unconditional", "acc_per_char")
        assert replace(alone, metrics=("acc", "acc_unconditional")).reported[:2] == ("acc", "acc_unconditional")

    def test_options_in_the_context_have_nothing_to_normalise(self) -> None:
        assert replace(PLAIN, query="{input} {choice}", metrics=("acc",)).reported == ("acc",)

    def test_others_are_left_alone(self) -> None:
        assert replace(PLAIN, kind="generate", metrics=("f1",)).reported == ("f1",)
        assert replace(PLAIN, metrics=("f1",)).reported == ("f1",)


class TestPool:
    SHOTS = RunSettings(shots=(3,))

    def _drawn(self, task: Task) -> dict[str, list[str]]:
        loaded = load(task, self.SHOTS, NONE)
        return {
            document.id: [s.input for s in loaded.pool.draw(document, example, group="", count=3, seed=1)]
            for document, example in loaded.documents
        }

    def test_a_small_pool_is_kept_whole_and_in_order(self) -> None:
        loaded = load(TASK, self.SHOTS, NONE)
        assert [example.input for _, example in loaded.pool.groups[""]] == [f"shots {i}" for i in range(50)]
        assert loaded.sampled == "" and "pool" not in describe(constant(), [loaded], self.SHOTS)["tasks"]["t"]

    def test_of_a_large_pool_a_fixed_part_is_kept_and_said(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(loading, "POOL_LIMIT", 20)
        loaded = load(TASK, self.SHOTS, NONE)
        kept = [int(document.id.removeprefix("shots/")) for document, _ in loaded.pool.groups[""]]
        assert len(kept) == 20 and kept == sorted(kept) and kept != list(range(20))
        assert loaded.sampled == "20 of 50"
        assert describe(constant(), [loaded], self.SHOTS)["tasks"]["t"]["pool"] == "20 of 50"
        backwards = load(replace(TASK, source=Rows(backwards=True)), self.SHOTS, NONE)
        assert {d.id for d, _ in backwards.pool.groups[""]} == {d.id for d, _ in loaded.pool.groups[""]}
        assert self._drawn(TASK) == self._drawn(TASK)

    def test_examples_are_made_of_the_kept_part_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(loading, "POOL_LIMIT", 20)
        made = []

        def to_example(document: Document) -> Example:
            made.append(document.row["text"])
            return _example(document)

        load(replace(TASK, to_example=to_example, source=Rows(pool=500)), self.SHOTS, NONE)
        assert sum(text.startswith("shots") for text in made) == 20

    def test_each_group_has_its_own_part(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(loading, "POOL_LIMIT", 10)
        task = replace(TASK, shot_group=lambda document: "even" if int(document.id) % 2 == 0 else "odd")
        loaded = load(task, self.SHOTS, NONE)
        assert {name: len(pairs) for name, pairs in loaded.pool.groups.items()} == {"even": 10, "odd": 10}
        assert loaded.sampled == "20 of 50"


def test_documents_are_counted_where_that_is_quick() -> None:
    assert count_documents(TASK, NONE) == 10
    twice = replace(TASK, documents=lambda row, i: (Document(id=f"{i}{half}", row=row) for half in "ab"))
    assert count_documents(twice, NONE) == 20


def test_golds_that_normalise_to_nothing_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    def to_example(document: Document) -> Example:
        text = "The" if document.id in ("2", "5") else "cat"
        return Example(task="t", input=document.row["text"], output=text)

    protocol = Protocol(kind="generate", query="{input}", metrics=("exact_match", "f1", "rouge1"))
    load(replace(TASK, to_example=to_example, protocols={"plain": protocol}), RunSettings(), NONE)
    assert [record.getMessage() for record in caplog.records] == [
        "t: 2 of 10 documents have an answer that normalises to nothing: an empty text is right (exact_match, f1)"
    ]


@pytest.mark.parametrize("number", [True, np.bool_(True), np.float32(1), np.float64(1), 1])
def test_statistics_of_any_kind_of_number_are_stored_as_floats(number: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """JSON's true would be refused when the run is read, and NumPy's numbers could not be written."""
    loaded = load(TASK, RunSettings(), NONE)
    document, example = loaded.documents[0]
    monkeypatch.setattr(Accuracy, "statistics", lambda self, example, responses: (number,))
    scores = loaded.rules.judge(loaded, document, example, [Response(), Response()]).scores
    assert scores["acc"] == (1.0,) and {type(value) for (value,) in scores.values()} == {float}


@pytest.mark.parametrize("statistics", [(None,), 1.0, ("x",), (10**400,)])
def test_statistics_that_are_no_numbers_name_the_metric(statistics: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load(TASK, RunSettings(), NONE)
    document, example = loaded.documents[0]
    monkeypatch.setattr(Accuracy, "statistics", lambda self, example, responses: statistics)
    with pytest.raises(TaskError, match=r"t: the statistics of 'acc_per_char' are .*, not numbers"):
        loaded.rules.judge(loaded, document, example, [Response(), Response()])
