"""GPT-1's zero-shot heuristics: SST-2's "very", CoLA's threshold."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalkit.data.sources import DataPaths
from evalkit.errors import DataError
from evalkit.harness import catalog
from evalkit.harness.prompts import pairs
from evalkit.harness.run import RunSettings, load

SST2, COLA = catalog.bundled()["sst2"], catalog.bundled()["cola"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("dev.tsv", 'sentence\tlabel\nnot " bad \t1\ndull .\t0\n'),
        ("stsa.binary.dev", '1 not " bad \n0 dull .\n'),
    ],
)
def test_both_forms_of_sst2_are_read(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    loaded = load(SST2, RunSettings(), DataPaths(named={"sst2": tmp_path / name}))
    asked = {document.id: pairs(loaded.protocol, example, []) for document, example in loaded.documents}
    assert asked["0"] == [('not " bad very', " negative"), ('not " bad very', " positive")]
    assert {document.id: example.gold for document, example in loaded.documents} == {"0": 1, "1": 0}


@pytest.mark.parametrize(
    ("name", "text", "wrong"),
    [
        ("stsa.binary.dev", "1 good\n2 bad\n", r"stsa\.binary\.dev line 2: expected 0 or 1, a blank and a sentence"),
        ("dev.tsv", "sentence\tlabel\ngood\t1\nbad\n", r"dev\.tsv line 3: expected 2 fields, found 1"),
        ("dev.tsv", "good\t1\n", r"dev\.tsv line 1: expected a header with sentence, label"),
        ("dev.tsv", "", r"dev\.tsv is empty"),
        ("dev.tsv", "sentence\tlabel\ngood\t-1\n", r"sst2: row 1 of its test data, .*'-1' names none of its 2"),
    ],
)
def test_a_wrong_file_is_an_error(name: str, text: str, wrong: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=wrong):
        load(SST2, RunSettings(), DataPaths(named={"sst2": tmp_path / name}))


def test_cola_has_two_levels_and_both_labels(data_dir: Path) -> None:
    loaded = load(COLA, RunSettings(), DataPaths(root=data_dir))
    levels = [document.level for document, _ in loaded.documents]
    assert (levels.count("in domain"), levels.count("out of domain")) == (527, 516)
    assert sum(example.gold == 0 for _, example in loaded.documents) == 719
