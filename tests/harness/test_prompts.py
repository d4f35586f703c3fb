"""Shots are drawn fairly and stably; a prompt that is too long loses shots, then input, and never the question."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from evalkit.data.sources import DataPaths, Split
from evalkit.engine.fake import ByteEncoder, constant
from evalkit.errors import PromptTooLongError, UsageError
from evalkit.harness.prompts import Fitted, Pool, fit, packed, pairs, shot_text, unpacked
from evalkit.harness.run import Item, RunSettings, cells, load
from evalkit.harness.task import Protocol, Task
from evalkit.tokenizer import Tokenizer
from evalkit.types import Decoding, Document, Example


def _document(name: str, **more: Any) -> Document:
    return Document(id=name, row={}, **more)


def _example(text: str) -> Example:
    return Example(task="t", input=text, output=text.upper())


def _pool(size: int) -> Pool:
    return Pool("t", {"": [(_document(str(i)), _example(f"input {i}")) for i in range(size)]})


class TestDraw:
    def _draw(self, pool: Pool, name: str, count: int, *, seed: int = 1, text: str = "new") -> list[str]:
        drawn = pool.draw(_document(name), _example(text), group="", count=count, seed=seed)
        return [shot.input for shot in drawn]

    def test_the_seed_and_the_document_decide(self) -> None:
        pool = _pool(50)
        assert self._draw(pool, "a", 5) == self._draw(pool, "a", 5)
        assert self._draw(pool, "a", 5) != self._draw(pool, "a", 5, seed=2)
        assert self._draw(pool, "a", 5) != self._draw(pool, "b", 5)

    def test_shots_differ_from_each_other(self) -> None:
        assert sorted(self._draw(_pool(50), "a", 50)) == sorted(f"input {i}" for i in range(50))

    @pytest.mark.parametrize("size", [30, 100, 300])
    def test_fewer_shots_are_the_last_of_more(self, size: int) -> None:
        pool = _pool(size)
        for name in "abc":
            many = self._draw(pool, name, size)
            for count in (0, 1, 2, 5, 13, 25):
                assert self._draw(pool, name, count) == many[len(many) - count :]

    def test_every_example_is_drawn_equally_often(self) -> None:
        pool = _pool(10)
        drawn = [shot for i in range(2000) for shot in self._draw(pool, f"doc {i}", 3)]
        for i in range(10):  # 600 each are expected, with a standard deviation of about 20
            assert 500 < drawn.count(f"input {i}") < 700

    def test_never_the_document_itself_nor_its_input(self) -> None:
        pool = _pool(6)
        for seed in range(50):
            assert "input 3" not in self._draw(pool, "3", 5, seed=seed)
            assert "input 4" not in self._draw(pool, "new", 5, seed=seed, text="input 4")

    def test_never_one_of_the_same_cluster(self) -> None:
        shots = [(_document(str(i), cluster=f"story {i // 2}"), _example(f"input {i}")) for i in range(6)]
        pool = Pool("t", {"": shots})
        for seed in range(20):
            drawn = pool.draw(*shots[2], group="", count=4, seed=seed)
            assert sorted(shot.input for shot in drawn) == ["input 0", "input 1", "input 4", "input 5"]

    def test_no_cluster_is_not_a_cluster(self) -> None:
        assert len(self._draw(_pool(4), "0", 3)) == 3

    def test_only_from_its_group(self) -> None:
        pool = Pool("t", {g: [(_document(f"{g}{i}"), _example(f"{g} {i}")) for i in range(3)] for g in "ab"})
        drawn = pool.draw(_document("x"), _example("new"), group="b", count=3, seed=1)
        assert sorted(shot.input for shot in drawn) == ["b 0", "b 1", "b 2"]

    @pytest.mark.parametrize(("name", "available"), [("new", 6), ("3", 5)])
    def test_more_than_there_are_is_an_error(self, name: str, available: int) -> None:
        with pytest.raises(UsageError, match=rf"--shots 7: t has only {available} other examples to draw from"):
            self._draw(_pool(6), name, 7)

    def test_the_error_names_the_group(self) -> None:
        with pytest.raises(UsageError, match=r"--shots 1: t has only 0 other examples of the group 'g' to draw from"):
            _pool(6).draw(_document("x"), _example("new"), group="g", count=1, seed=1)


@dataclass(frozen=True)
class Rows:
    """Forty documents; the same split twice, as in a task without a pool of its own."""

    backwards: bool = False

    def rows(self, split: Split, data: DataPaths) -> Iterator[Mapping[str, Any]]:
        order = range(40)[::-1] if self.backwards and split == "test" else range(40)
        yield from ({"id": str(i), "text": f"input {i}"} for i in order)

    def fingerprint(self, split: Split, data: DataPaths) -> str:
        return "same"

    def at_hand(self, data: DataPaths) -> str:
        return "memory"


def _prompts(settings: RunSettings, *, backwards: bool = False) -> dict[str, tuple[str, ...]]:
    task = Task(
        name="t",
        family="qa",
        title="toy",
        source=Rows(backwards),
        to_example=lambda document: _example(document.row["text"]),
        protocols={"plain": Protocol(kind="generate", query="{input}:", metrics=("f1",))},
    )
    loaded, engine = load(task, settings, DataPaths()), constant()
    cell = next(c for c in cells(loaded, settings) if c.shots)
    items = Item.build(engine, loaded, cell, loaded.documents)
    return {item.document.id: item.fitted.prompt.contexts for item in items}


def test_no_limit_order_or_other_count_changes_a_prompt() -> None:
    whole = _prompts(RunSettings(shots=(3,)))
    assert _prompts(RunSettings(shots=(3,)), backwards=True) == whole
    assert _prompts(RunSettings(shots=(0, 3, 5))) == whole
    few = _prompts(RunSettings(shots=(3,), limit=7))
    assert len(few) == 7 and all(whole[name] == prompt for name, prompt in few.items())
    assert all(f"input {name}:" not in prompt[0][: prompt[0].rindex("input")] for name, prompt in whole.items())


def test_a_pool_that_is_too_small_is_found_before_anything_runs() -> None:
    with pytest.raises(UsageError, match="--shots 40: t has only 39 other examples"):
        _prompts(RunSettings(shots=(40,)))


PROTOCOL = Protocol(
    kind="generate",
    description="Answer.",
    query="{passage}\nQ: {question}\nA:",
    metrics=("f1",),
    decoding=Decoding(max_tokens=4),
)
PASSAGE = "one two three four five six seven eight nine ten"


def _asked(passage: str = PASSAGE, question: str = "who") -> Example:
    return Example(task="t", input=passage, output="me", parts={"passage": passage, "question": question})


def _fit(protocol: Protocol, room: int, shots: int = 0, encoder: Any = None) -> Fitted:
    drawn = [_asked(f"passage {i}", f"question {i}") for i in range(shots)]
    return fit(protocol, _asked(), drawn, encoder=encoder or ByteEncoder(), context=room + 4)


def _length(protocol: Protocol, shots: int) -> int:
    return len(_fit(protocol, 10_000, shots).prompt.contexts[0])


class TestFit:
    left = replace(PROTOCOL, shrink=("passage", "left"))
    right = replace(PROTOCOL, shrink=("passage", "right"))

    def test_what_fits_is_left_alone(self) -> None:
        fitted = _fit(self.left, _length(self.left, 2), shots=2)
        shot = "passage {0}\nQ: question {0}\nA: me"
        assert fitted.prompt.contexts == (f"Answer.\n\n{shot.format(0)}\n\n{shot.format(1)}\n\n{PASSAGE}\nQ: who\nA:",)
        assert (fitted.prompt.shots, fitted.prompt.dropped, fitted.prompt.cut) == (2, 0, 0)

    @pytest.mark.parametrize("missing", [1, 30])
    def test_whole_shots_go_first_and_the_earliest_before_the_others(self, missing: int) -> None:
        """One token too many costs a whole shot, and nothing of the passage."""
        fitted = _fit(self.left, _length(self.left, 3) - missing, shots=3)
        assert (fitted.prompt.shots, fitted.prompt.dropped, fitted.prompt.cut) == (2, 1, 0)
        (context,) = fitted.prompt.contexts
        assert "passage 0" not in context and "passage 1" in context and PASSAGE in context

    def test_as_many_shots_stay_as_fit(self) -> None:
        for kept in range(9):
            fitted = _fit(self.left, _length(self.left, kept), shots=8)
            assert (fitted.prompt.shots, fitted.prompt.dropped, fitted.prompt.cut) == (kept, 8 - kept, 0)

    def test_the_passage_is_cut_from_its_left(self) -> None:
        fitted = _fit(self.left, _length(self.left, 0) - 10, shots=2)
        assert fitted.prompt.contexts == (f"Answer.\n\n{PASSAGE[10:]}\nQ: who\nA:",)
        assert (fitted.prompt.shots, fitted.prompt.dropped, fitted.prompt.cut) == (0, 2, 10)

    def test_the_passage_is_cut_from_its_right(self) -> None:
        fitted = _fit(self.right, _length(self.right, 0) - 10)
        assert fitted.prompt.contexts == (f"Answer.\n\n{PASSAGE[:-10]}\nQ: who\nA:",)
        assert fitted.prompt.cut == 10

    def test_without_a_named_field_the_left_of_the_query_goes(self) -> None:
        fitted = _fit(PROTOCOL, _length(PROTOCOL, 0) - 10)
        assert fitted.prompt.contexts == (f"Answer.\n\n{PASSAGE[10:]}\nQ: who\nA:",)
        assert fitted.prompt.cut == 10

    @pytest.mark.parametrize("side", ["left", "right"])
    def test_tokens_of_several_characters_are_cut_whole(self, side: Any) -> None:
        tokenizer = Tokenizer.train([PASSAGE, "Answer. Q: A: who"], vocab_size=330)
        protocol = replace(PROTOCOL, shrink=("passage", side))
        for room in range(40, 12, -1):
            try:
                fitted = _fit(protocol, room, encoder=tokenizer)
            except PromptTooLongError:
                break
            (context,) = fitted.prompt.contexts
            assert context.startswith("Answer.\n\n") and context.endswith("\nQ: who\nA:")
            kept = context.removeprefix("Answer.\n\n").removesuffix("\nQ: who\nA:")
            assert PASSAGE.endswith(kept) if side == "left" else PASSAGE.startswith(kept)
            assert fitted.prompt.cut == len(PASSAGE) - len(kept)
            assert len(tokenizer.encode(context)) <= room
        assert room < 30  # something was cut before it became too long

    @pytest.mark.parametrize("protocol", [left, right, PROTOCOL], ids=["left", "right", "query"])
    def test_too_long_when_nothing_helps(self, protocol: Protocol) -> None:
        with pytest.raises(PromptTooLongError, match=r"the context allows 7$"):
            _fit(protocol, 7, shots=2)

    def test_options_are_scored_on_the_same_cut(self) -> None:
        protocol = Protocol(
            kind="choice", query="{passage} ->", target=" {choice}", metrics=("acc",), shrink=("passage", "left")
        )
        example = replace(_asked(), choices=("a", "a longer one"), gold=0, output="a")
        fitted = fit(protocol, example, [], encoder=ByteEncoder(), context=30)
        assert len(fitted.prompt.contexts) == 1 and len(fitted.encoded) == 2
        # The last token of an option is scored, but never fed.
        assert max(len(e.context) + len(e.continuation) - 1 for e in fitted.encoded) == 30

    def test_a_rolling_text_is_never_cut(self) -> None:
        protocol = Protocol(kind="rolling", query="{input}", target="", metrics=("ppl_token",))
        fitted = fit(protocol, _asked(), [], encoder=ByteEncoder(), context=8)
        assert (fitted.continuations, fitted.prompt.cut) == ((PASSAGE,), 0)


def test_partial_scoring_varies_the_context() -> None:
    protocol = Protocol(kind="choice", query="{input} {choice}", target=" is tall", metrics=("acc",))
    example = Example(task="t", input="He saw", output="Ann", choices=("Ann", "Bob"), gold=0)
    assert pairs(protocol, example, []) == [("He saw Ann", " is tall"), ("He saw Bob", " is tall")]
    assert shot_text(protocol, example) == "He saw Ann is tall"


def test_documents_and_pools_are_sent_as_they_are() -> None:
    pool = _pool(3)
    assert len(pool.examples[""]) == 3  # what is derived is not sent
    document = Document(id="1", row={"a": [1, None]}, cluster="c", level="l")
    example = Example(task="t", input="i", output="o", parts={"p": "q"}, choices=("x", "y"), gold=1, error="e")
    assert pickle.loads(pickle.dumps(pool)) == pool
    assert unpacked(pickle.loads(pickle.dumps(packed([(document, example)])))) == [(document, example)]
