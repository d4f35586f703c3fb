"""LAMBADA's last word and WikiText-2's pages."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from evalkit.data.sources import DataPaths
from evalkit.errors import DataError
from evalkit.harness import catalog
from evalkit.harness.prompts import pairs
from evalkit.harness.run import RunSettings, load
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


@pytest.mark.parametrize(("name", "words"), [("wikitext103", 245_569), ("ptb", 82_430)])
def test_words_are_those_that_papers_count(name: str, words: int, data_dir: Path) -> None:
    loaded = load(catalog.bundled()[name], RunSettings(), DataPaths(root=data_dir))
    assert sum(count_words(example.original) for _, example in loaded.documents) == words


def test_penn_treebank_is_the_same_from_file_and_hub(tmp_path: Path) -> None:
    task = catalog.bundled()["ptb"]
    sentences = [f"he did n't say {'so ' * i}<unk>" for i in range(300)]
    (tmp_path / "ptb.test.txt").write_text("".join(f" {sentence} \n" for sentence in sentences))
    (tmp_path / "test.jsonl").write_text("".join(json.dumps({"sentence": s}) + "\n" for s in sentences))
    by_file, by_hub = (
        sorted((d.id, e) for d, e in load(task, RunSettings(), DataPaths(named={"ptb": tmp_path / name})).documents)
        for name in ("ptb.test.txt", "test.jsonl")
    )
    assert by_file == by_hub and len(by_file) == 3
    assert "".join(example.original for _, example in by_file) == (tmp_path / "ptb.test.txt").read_text()
    assert by_file[0][1].input.startswith("he didn't say <unk>\nhe didn't say so <unk>\n")


def test_a_billion_words_are_counted_with_their_ends(made_data: DataPaths) -> None:
    loaded = load(catalog.bundled()["one_billion_words"], RunSettings(), made_data)
    example = {d.id: e for d, e in loaded.documents}["0"]
    assert example.input == "\"It's 0.5 percent,\" said Anna, who didn't smile.\n"
    assert count_words(example.original) == 15 + 1


@pytest.mark.parametrize(("name", "end"), [("enwik8", "\n"), ("text8", "")])
def test_stretches_are_the_end_of_the_text(name: str, end: str, made_data: DataPaths, tmp_path: Path) -> None:
    loaded = load(catalog.bundled()[name], RunSettings(), made_data)
    texts = [example.input for _, example in sorted(loaded.documents, key=lambda pair: int(pair[0].id))]
    assert len(texts) > 2
    assert min(map(len, texts[:-1])) >= 50_000
    assert all(text.endswith(end) for text in texts)
    long = {"enwik8": "é[[x]]\n", "text8": " word"}[name] * 1_000_000
    (tmp_path / "x.jsonl").write_text(json.dumps({"text": long}))
    loaded = load(catalog.bundled()[name], RunSettings(), DataPaths(named={name: tmp_path / "x.jsonl"}))
    kept = "".join(e.input for _, e in sorted(loaded.documents, key=lambda pair: int(pair[0].id)))
    assert long.endswith(kept)
    assert 5_000_000 - 3 <= len(kept.encode()) <= 5_000_000


@pytest.mark.parametrize(("name", "unit"), [("enwik8", "ab[[é]]\n"), ("text8", " words")])
def test_a_file_of_the_test_split_alone_gives_the_same_documents(name: str, unit: str, tmp_path: Path) -> None:
    whole = unit.encode() * (100_000_000 // len(unit.encode()))
    whole += b"x" * (100_000_000 - len(whole))
    part = whole[-5_000_000:]
    assert name == "text8" or part[:1] == "é".encode()[1:]  # the cut leaves half a character
    for folder, file, content in (("all", name, whole), ("part", "test.txt", part)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / file).write_bytes(content)
    every, last = (
        [e.input for _, e in load(catalog.bundled()[name], RunSettings(), DataPaths(named={name: path})).documents]
        for path in (tmp_path / "all", tmp_path / "part")
    )
    assert every == last and 80 < len(every) <= 100


@pytest.mark.parametrize("name", ["enwik8", "text8"])
def test_a_file_of_another_size_is_an_error(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("abc\n")
    with pytest.raises(DataError, match=rf"{name} has 4 bytes, expected 100,000,000, or the last 5,000,000; is"):
        load(catalog.bundled()[name], RunSettings(), DataPaths(named={name: tmp_path / name}))


def test_text8_has_27_signs(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text(json.dumps({"text": "a b C"}))
    with pytest.raises(DataError, match="expected the letters a to z and the space, found 'C'"):
        load(catalog.bundled()["text8"], RunSettings(), DataPaths(named={"text8": tmp_path / "x.jsonl"}))


CBT = catalog.bundled()["cbt_cn"]


def test_a_story_goes_on_with_a_word(made_data: DataPaths) -> None:
    loaded = load(CBT, RunSettings(), made_data)
    example = {d.id: e for d, e in loaded.documents}["3"]
    asked = pairs(loaded.protocol, example, [])
    assert len(asked) == 10 and example.output == "crow"
    context, target = asked[3]
    assert context.startswith('"I see number 1 of 3," said the crow (it didn\'t). "I see number 2')
    assert context.endswith("(it didn't). \"My dear") and target == ' crow," said they, "come in."'


def test_a_blank_at_the_beginning_is_parted_from_the_story() -> None:
    row = {"sentences": ["One ."] * 20, "question": "XXXXX came .", "answer": "fox", "options": ["fox", "hen"]}
    asked = pairs(CBT.protocols["gpt2"], CBT.to_example(Document(id="0", row=row)), [])
    assert asked[1] == (" ".join(["One."] * 20), " hen came.")


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (lambda text: text.replace("\n3 ", "\n4 "), "line 3: expected sentence 3 of a question"),
        (lambda text: text.replace("XXXXX", "cat"), "line 21: expected a question with XXXXX"),
        (lambda text: text.partition("21 ")[0], "ends within a question, after its sentence 20; is the file cut"),
    ],
    ids=["number", "blank", "cut"],
)
def test_a_broken_story_is_an_error(
    change: Callable[[str], str], wrong: str, made_data: DataPaths, tmp_path: Path
) -> None:
    assert made_data.root
    path = tmp_path / "cbtest_CN_valid_2000ex.txt"
    path.write_text(change((made_data.root / "CBTest/data/cbtest_CN_valid_2000ex.txt").read_text()))
    with pytest.raises(DataError, match=wrong):
        load(CBT, RunSettings(), DataPaths(named={"cbt_cn": path}))


def test_gpt3_fills_a_blank_after_examples() -> None:
    one, two = (LAMBADA.to_example(Document(id=t, row={"text": t})) for t in ("He sat down.", "She ran off."))
    context = "Fill in blank:\n\nHe sat ____. -> down.\n\nShe ran ____. ->"
    assert pairs(LAMBADA.protocols["gpt3"], two, [one]) == [(context, " off.")]
