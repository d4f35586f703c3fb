"""Formats that several benchmarks share: what is read, and the line at which a file is wrong."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evalkit.data.formats import (
    last_bytes,
    read_column,
    read_parallel,
    read_problems,
    read_records,
    read_sections,
    read_table,
    read_whole,
)
from evalkit.data.sources import Row
from evalkit.errors import DataError


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_columns_and_parallel_lines(tmp_path: Path) -> None:
    one, two, three = (_write(tmp_path / name, f"{name}1\n{name}2\n") for name in "abc")
    assert list(read_column("text")([one, two])) == [{"text": t} for t in ("a1", "a2", "b1", "b2")]
    rows = list(read_parallel("en", "de", "fr")([one, two, three]))
    assert rows[1] == {"translation": {"en": "a2", "de": "b2", "fr": "c2"}}


def test_the_shortest_of_parallel_files_is_named(tmp_path: Path) -> None:
    paths = [_write(tmp_path / name, "x\n" * count) for name, count in (("a", 3), ("b", 2), ("c", 3))]
    with pytest.raises(DataError, match=r"b ends before its line 3"):
        list(read_parallel("en", "de", "fr")(paths))


def test_problems_need_no_empty_line_at_the_end(tmp_path: Path) -> None:
    path = _write(tmp_path / "p.txt", "Ann saw Eve when she left.\nshe\nAnn , Eve\nEve\n\nA b.\nb\nc,d\nc")
    rows = list(read_problems([path]))
    assert [(row["candidates"], row["label"], row["line"]) for row in rows] == [
        (["Ann", "Eve"], 1, 1),
        (["c", "d"], 0, 6),
    ]


def test_tables_with_and_without_a_header(tmp_path: Path) -> None:
    path = _write(tmp_path / "t.csv", '\ufeffA,B,C\n1,"x, ""y""",3\n')
    assert list(read_table({"B": "text", "A": "id"}, delimiter=",", quoted=True)([path])) == [
        {"text": 'x, "y"', "id": "1"}
    ]
    path = _write(tmp_path / "t.tsv", '1\tsay "so\n')
    assert list(read_table(("id", "text"), delimiter="\t")([path])) == [{"id": "1", "text": 'say "so'}]


def test_a_cut_quotation_is_an_error(tmp_path: Path) -> None:
    path = _write(tmp_path / "t.csv", 'A,B\n1,"x\n')
    with pytest.raises(DataError, match=r"t\.csv line 2: not a table .*is the file cut"):
        list(read_table({"A": "a"}, delimiter=",", quoted=True)([path]))


def test_a_whole_file_of_the_right_size(tmp_path: Path) -> None:
    whole = "aé\n".encode()
    path = tmp_path / "w.gz"
    path.write_bytes(gzip.compress(whole[:2]))
    assert list(read_whole(size=2, part=1)([path])) == [{"text": "a"}]  # half of é is left out
    assert list(read_whole(size=9, part=2)([path])) == [{"text": "a"}]  # the last part alone
    with pytest.raises(DataError, match=r"w\.gz has 2 bytes, expected 9, or the last 1"):
        list(read_whole(size=9, part=1)([path]))
    (tmp_path / "w").write_bytes(b"a\xff\xffb")
    with pytest.raises(DataError, match=r"w byte 1: not UTF-8 text"):
        list(read_whole(size=4, part=1)([tmp_path / "w"]))


@pytest.mark.parametrize(("count", "wanted"), [(1, "b"), (2, "b"), (3, "éb"), (9, "aéb")])
def test_the_last_bytes_are_whole_characters(count: int, wanted: str) -> None:
    assert last_bytes("aéb", count) == wanted


def _rows(section: Any) -> Iterator[Row]:
    if not section["ids"]:
        raise ValueError("expected ids, found none")
    yield from ({"id": key} for key in section["ids"])


def test_sections_of_one_json_become_rows(tmp_path: Path) -> None:
    sections = [{"ids": [1, 2]}, {"ids": [3]}]
    path = _write(tmp_path / "s.json", json.dumps({"data": sections}))
    read = read_sections("Test", _rows, unit="page", expected="ids")
    assert list(read([path])) == [{"id": 1}, {"id": 2}, {"id": 3}]
    plain = _write(tmp_path / "p.json", json.dumps(sections))
    assert list(read_sections("Test", _rows, key="", unit="page", expected="ids")([plain])) == list(read([path]))
    with pytest.raises(DataError, match=r"p\.json: expected the official Test file, an object with a list 'data'"):
        list(read([plain]))


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"id": 1}, r"expected ids \(KeyError: 'ids'\)"),
        ({"ids": 3}, r"expected ids \(TypeError: .*not iterable"),
        ({"ids": []}, r"expected ids, found none$"),
    ],
)
def test_a_wrong_section_or_record_is_named(section: Any, message: str, tmp_path: Path) -> None:
    path = _write(tmp_path / "s.json", json.dumps({"data": [{"ids": [1]}, section]}))
    with pytest.raises(DataError, match=rf"s\.json page 2: {message}"):
        list(read_sections("Test", _rows, unit="page", expected="ids")([path]))
    path = _write(tmp_path / "r.jsonl", json.dumps({"ids": [1]}) + "\n" + json.dumps(section) + "\n")
    with pytest.raises(DataError, match=rf"r\.jsonl row 2: {message}"):
        list(read_records(_rows, expected="ids")([path]))
