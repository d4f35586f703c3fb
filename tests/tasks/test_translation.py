"""WMT: two files make pairs, in either direction."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalkit import metrics
from evalkit.data.sources import DataPaths
from evalkit.errors import DataError
from evalkit.harness import catalog
from evalkit.harness.prompts import pairs
from evalkit.harness.run import RunSettings, load
from evalkit.types import Document

FR_EN, EN_FR = catalog.bundled()["wmt14_fr_en"], catalog.bundled()["wmt14_en_fr"]


def _write(folder: Path, year: int, english: str, french: str) -> None:
    (folder / f"newstest{year}.eng").write_text(english, encoding="utf-8")
    (folder / f"newstest{year}.fra").write_text(french, encoding="utf-8")


def test_both_directions_and_the_older_year_as_shots(tmp_path: Path) -> None:
    _write(tmp_path, 2014, "A cat.\n", "Un chat.\n")
    _write(tmp_path, 2013, "A dog.\nA cow.\n", "Un chien.\nUne vache.\n")
    data = DataPaths(named={"wmt14": tmp_path})
    for task, wanted in (
        (FR_EN, "Un chien. = A dog.\nUn chat. ="),
        (EN_FR, "A dog. = Un chien.\nA cat. ="),
    ):
        loaded = load(task, RunSettings(shots=(1,)), data)
        (document, example) = loaded.documents[0]
        seen = set()
        for seed in range(20):
            shots = loaded.pool.draw(document, example, group="", count=1, seed=seed)
            seen.add(pairs(loaded.protocol, example, shots)[0][0])
        assert wanted in seen and len(seen) == 2


def test_the_source_is_the_copy_baseline(tmp_path: Path) -> None:
    _write(tmp_path, 2014, "A cat.\n", "Un chat.\n")
    (_, example) = load(FR_EN, RunSettings(), DataPaths(named={"wmt14": tmp_path})).documents[0]
    assert FR_EN.baselines["copy"](example, []) == "Un chat."
    assert example.output == "A cat."


@pytest.mark.parametrize(("english", "french", "short"), [("a\nb\n", "x\n", "fra"), ("a\n", "x\ny\n", "eng")])
def test_uneven_files_are_an_error(english: str, french: str, short: str, tmp_path: Path) -> None:
    _write(tmp_path, 2014, english, french)
    with pytest.raises(DataError, match=rf"newstest2014\.{short} ends before its line 2"):
        load(FR_EN, RunSettings(), DataPaths(named={"wmt14": tmp_path}))


def test_a_missing_half_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "newstest2014.eng").write_text("a\n")
    with pytest.raises(
        DataError, match=r"newstest2014\.fra is missing: wmt14 needs it together with newstest2014\.eng"
    ):
        load(FR_EN, RunSettings(), DataPaths(named={"wmt14": tmp_path}))


def test_one_of_two_files_is_not_enough(tmp_path: Path) -> None:
    path = tmp_path / "newstest2014.eng"
    path.write_text("a\n")
    with pytest.raises(DataError, match=r"newstest2014\.eng: wmt14 needs 2 files; give the folder"):
        load(FR_EN, RunSettings(), DataPaths(named={"wmt14": path}))


def test_the_first_generated_sentence_counts() -> None:
    assert EN_FR.protocols["gpt2"].cleanup(" Un chat dort. Un chien court.") == "Un chat dort."


@pytest.mark.parametrize("name", ["wmt14_en_fr", "multi30k_en_fr"])
def test_the_papers_forms(name: str, tmp_path: Path) -> None:
    task = catalog.bundled()[name]
    example = task.to_example(Document(id="0", row={"translation": {"en": "A cat.", "fr": "Un chat."}}))
    asked = {protocol: pairs(form, example, [example])[0][0] for protocol, form in task.protocols.items()}
    assert asked == {
        "gpt2": "A cat. = Un chat.\nA cat. =",
        "gpt3": "A cat. = Un chat.\n\nA cat. =",
        "gpt3-zero": "Q: What is the French translation of A cat. A: Un chat.\n\n"
        "Q: What is the French translation of A cat. A:",
        "lm-eval": "English phrase: A cat.\nFrench phrase: Un chat.\n\nEnglish phrase: A cat.\nFrench phrase:",
    }


def test_every_direction_reads_its_own_files(made_data: DataPaths) -> None:
    for year, other, ending in ((14, "de", "deu"), (16, "de", "deu"), (16, "ro", "ron")):
        for name, source in ((f"wmt{year}_{other}_en", ending), (f"wmt{year}_en_{other}", "eng")):
            loaded = load(catalog.bundled()[name], RunSettings(shots=(1,)), made_data)
            assert len(loaded.documents) == 12
            assert {d.id: e for d, e in loaded.documents}["0"].input == f"newstest20{year} {source}: Anna, 0."
            assert len(loaded.pool.groups[""]) == 6


def test_multi30k_takes_the_hubs_columns(tmp_path: Path) -> None:
    path = tmp_path / "test.jsonl"
    path.write_text('{"en": "A cat.", "fr": "Un chat.", "de": "Eine Katze."}\n')
    (_, example) = load(
        catalog.bundled()["multi30k_fr_en"], RunSettings(), DataPaths(named={"multi30k": path})
    ).documents[0]
    assert (example.input, example.output) == ("Un chat.", "A cat.")


def test_bleu_says_how_it_was_computed() -> None:
    signature = metrics.get("bleu_intl").signature()
    assert "tok:intl" in signature and "smooth:exp" in signature and "version:" in signature
