"""CoQA: a story is many documents, whatever form it comes in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evalkit.data.sources import DataPaths
from evalkit.engine.fake import ByteEncoder
from evalkit.errors import DataError
from evalkit.harness import catalog
from evalkit.harness.prompts import fit, pairs
from evalkit.harness.run import RunSettings, load

COQA = catalog.bundled()["coqa"]
GPT2 = COQA.protocols["gpt2"]


def _story(name: str, **changes: Any) -> dict[str, Any]:
    def said(*texts: str) -> list[dict[str, Any]]:
        return [{"input_text": text, "turn_id": i} for i, text in enumerate(texts, start=1)]

    return {
        "id": name,
        "source": "mctest",
        "story": f" The cat of {name} is white. ",
        "questions": said("Who?", "What colour?"),
        "answers": said("a cat", "white "),
        "additional_answers": {"0": said("the cat", "White"), "1": said("it", "snow white")},
        **changes,
    }


def _write(folder: Path, *stories: dict[str, Any]) -> DataPaths:
    path = folder / "coqa-dev-v1.0.json"
    path.write_text(json.dumps({"version": "1.0", "data": stories}))
    return DataPaths(named={"coqa": path})


def test_a_story_becomes_one_document_per_question(tmp_path: Path) -> None:
    loaded = load(COQA, RunSettings(), _write(tmp_path, _story("s1"), _story("s2")))
    by_id = {document.id: (document, example) for document, example in loaded.documents}
    assert sorted(by_id) == ["s1_1", "s1_2", "s2_1", "s2_2"]
    document, example = by_id["s1_2"]
    assert (document.cluster, document.level) == ("s1", "mctest")
    assert example.answers == ("white", "White", "snow white")
    context = "The cat of s1 is white.\n\nQ: Who?\nA: a cat\nQ: What colour?\nA:"
    assert pairs(GPT2, example, []) == [(context, "")]


def test_the_control_takes_the_passage_alone_away(tmp_path: Path) -> None:
    loaded = load(COQA, RunSettings(), _write(tmp_path, _story("s1")))
    example = next(example for document, example in loaded.documents if document.id == "s1_2")
    bare = COQA.controls["no_passage"](example)
    assert pairs(GPT2, bare, []) == [("Q: Who?\nA: a cat\nQ: What colour?\nA:", "")]
    assert bare.answers == example.answers


def test_a_shot_never_comes_from_the_same_story(tmp_path: Path) -> None:
    """Its history would hold the gold answer."""
    loaded = load(COQA, RunSettings(shots=(2,)), _write(tmp_path, _story("s1"), _story("s2")))
    for document, example in loaded.documents:
        for seed in range(5):
            for shot in loaded.pool.draw(document, example, group="", count=2, seed=seed):
                assert document.cluster not in shot.input


def test_a_short_context_takes_the_passage_before_the_turns(tmp_path: Path) -> None:
    loaded = load(COQA, RunSettings(), _write(tmp_path, _story("s1")))
    example = next(example for document, example in loaded.documents if document.id == "s1_2")
    tail = "white.\n\nQ: Who?\nA: a cat\nQ: What colour?\nA:"
    fitted = fit(GPT2, example, [], encoder=ByteEncoder(), context=len(tail) + GPT2.decoding.max_tokens)
    assert fitted.prompt.contexts == (tail,)
    tail = "at\nQ: What colour?\nA:"
    fitted = fit(GPT2, example, [], encoder=ByteEncoder(), context=len(tail) + GPT2.decoding.max_tokens)
    assert fitted.prompt.contexts == (tail,)


def test_hub_rows_have_positions_for_ids_and_one_answer(tmp_path: Path) -> None:
    path = tmp_path / "validation.jsonl"
    row = {"source": "cnn", "story": "S.", "questions": ["q1", "q2"], "answers": {"input_text": ["a1", "a2"]}}
    path.write_text(json.dumps(row) + "\n")
    loaded = load(COQA, RunSettings(), DataPaths(named={"coqa": path}))
    assert {document.id: example.answers for document, example in loaded.documents} == {
        "0_1": ("a1",),
        "0_2": ("a2",),
    }


@pytest.mark.parametrize("key", ["id", "source", "story", "questions", "answers"])
def test_a_story_without_its_keys_is_an_error(key: str, tmp_path: Path) -> None:
    broken = _story("s2")
    del broken[key]
    with pytest.raises(DataError, match=rf"coqa-dev-v1\.0\.json story 2: expected id, .*'{key}'"):
        load(COQA, RunSettings(), _write(tmp_path, _story("s1"), broken))


def test_a_story_with_too_few_answers_is_an_error(tmp_path: Path) -> None:
    broken = _story("s1", answers=[{"input_text": "a cat"}])
    with pytest.raises(DataError, match=r"story 1: expected as many answers as questions, found \[1, 2\]"):
        load(COQA, RunSettings(), _write(tmp_path, broken))


@pytest.mark.parametrize("text", ["[]", "{}", '{"data": 3}'])
def test_another_json_is_an_error(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(DataError, match=r"x\.json: expected the official CoQA file"):
        load(COQA, RunSettings(), DataPaths(named={"coqa": tmp_path / "x.json"}))


def test_a_cut_json_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"data": [\n{"id": "s')
    with pytest.raises(DataError, match=r"x\.json line 2: not valid JSON .*is the file cut"):
        load(COQA, RunSettings(), DataPaths(named={"coqa": tmp_path / "x.json"}))


def test_the_real_file_has_500_stories(data_dir: Path) -> None:
    loaded = load(COQA, RunSettings(), DataPaths(root=data_dir))
    assert len({document.cluster for document, _ in loaded.documents}) == 500
    assert {len(example.answers) for _, example in loaded.documents} == {4}
    assert len({document.level for document, _ in loaded.documents}) == 5
