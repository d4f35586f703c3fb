"""LAMBADA's last word and WikiText-2's pages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evalkit.errors import DataError
from evalkit.harness import catalog
from evalkit.harness.prompts import pairs
from evalkit.harness.run import RunSettings, load
from evalkit.harness.sources import DataPaths
from evalkit.text.units import count_words
from evalkit.types import Document

LAMBADA = catalog.bundled()["lambada"]
WIKITEXT = catalog.bundled()["wikitext2"]


def test_the_last_word_keeps_its_signs_and_lines() -> None:
    example = LAMBADA.to_example(Document(id="0", row={"text": 'He asked.\n\n"Why not "now?"'}))
    assert pairs(LAMBADA.protocols["gpt2"], example, []) == [('He asked.\n\n"Why not', ' "now?"')]


@pytest.mark.parametrize("text", ["word", "ends with a blank ", ""])
def test_a_text_without_a_last_word_is_an_error(text: str, tmp_path: Path) -> None:
    path = tmp_path / "lambada_test.jsonl"
    path.write_text(json.dumps({"text": "a b"}) + "\n" + json.dumps({"text": text}) + "\n")
    with pytest.raises(DataError, match=r"lambada: row 2 of its test data .*two words"):
        load(LAMBADA, RunSettings(), DataPaths(named={"lambada": path}))


def test_pages_start_at_titles_alone(tmp_path: Path) -> None:
    text = " \n = One = \n \n Text = more = text . \n \n = = Part = = \n \n = = = Piece = = = \n \n = Two = = = \n"
    path = tmp_path / "test.txt"
    path.write_text(text)
    pages = [row["page"] for row in WIKITEXT.source.rows("test", DataPaths(named={"wikitext2": path}))]
    assert pages == [text]
    path.write_text(text + " = Two = \n \n end . \n")
    pages = [row["page"] for row in WIKITEXT.source.rows("test", DataPaths(named={"wikitext2": path}))]
    assert pages == [text, " = Two = \n \n end . \n"]


def test_wikitext_words_are_those_of_the_paper(data_dir: Path) -> None:
    loaded = load(WIKITEXT, RunSettings(), DataPaths(root=data_dir))
    examples = [example for _, example in sorted(loaded.documents, key=lambda pair: int(pair[0].id))]
    assert sum(count_words(example.original) for example in examples) == 245_569
    assert "".join(example.original for example in examples) == (data_dir / "wikitext-2/test.txt").read_text("utf-8")
    assert "guest-starring role" in examples[0].input
