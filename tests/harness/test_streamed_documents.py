"""Documents are read one by one: a limit bounds what is held, and chooses what it always chose."""

from __future__ import annotations

import errno
import gc
import hashlib
import json
import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import evalkit
from evalkit.data.sources import DataPaths
from evalkit.errors import DataError, DiskError
from evalkit.files import canonical_json, digest, digest_of_list
from evalkit.harness.load import load
from evalkit.harness.run import cells
from evalkit.harness.settings import RunSettings
from evalkit.harness.spool import Gathered, Spooled
from evalkit.harness.tabletask import task_from_file, task_from_rows
from evalkit.types import Document, Example


def table(path, count, width=8):
    if path.suffix == ".csv":
        path.write_text("input,output\n" + "".join(f"{str(n) * width},{n % 7}\n" for n in range(count)))
    else:
        path.write_text("".join(json.dumps({"input": str(n) * width, "output": n % 7}) + "\n" for n in range(count)))
    return path


@pytest.mark.parametrize("name", ["t.jsonl", "t.csv"])
@pytest.mark.parametrize("shots", [0, 2])
def test_what_is_held_does_not_grow_with_the_table(tmp_path, name, shots, monkeypatch):
    monkeypatch.setattr("evalkit.harness.load.POOL_LIMIT", 20)
    peaks = []
    for count in (300, 3000):
        task = task_from_file(table(tmp_path / name, count, width=200))
        tracemalloc.start()
        loaded = load(task, RunSettings(shots=(shots,), seeds=(1,), limit=5), DataPaths())
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert len(loaded.documents) == 5
    assert peaks[1] - peaks[0] < 2700 * 100  # a document takes more than a kilobyte


def test_without_a_limit_documents_are_in_a_file_and_not_held(tmp_path, monkeypatch):
    monkeypatch.setattr("evalkit.harness.load.POOL_LIMIT", 20)
    monkeypatch.setattr("evalkit.harness.spool.HELD", 20)
    held = []
    for count in (300, 3000):
        task = task_from_file(table(tmp_path / "t.jsonl", count, width=200))
        tracemalloc.start()
        loaded = load(task, RunSettings(shots=(0, 2), seeds=(1,)), DataPaths())
        held.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert len(loaded.documents) == count
    assert held[1] - held[0] < 2700 * 150  # a document takes more than a kilobyte


@pytest.mark.parametrize("rows", [40, 10])
def test_documents_in_a_file_are_those_that_would_be_held(tmp_path, monkeypatch, rows):
    task = task_from_file(table(tmp_path / "t.jsonl", rows))
    settings = RunSettings(shots=(2,), seeds=(1,))
    held = load(task, settings, DataPaths())
    monkeypatch.setattr("evalkit.harness.spool.HELD", 20)
    loaded = load(task, settings, DataPaths())
    assert isinstance(loaded.documents, Spooled) == (rows == 40) and isinstance(held.documents, list)
    assert list(loaded.documents) == held.documents and loaded.data == held.data
    assert list(loaded.documents[3:7]) == held.documents[3:7] and loaded.documents[-1] == held.documents[-1]
    [cell] = cells(loaded, settings)
    for document, example in loaded.documents:
        assert loaded.rules.texts(loaded, document, example, cell) == held.rules.texts(held, document, example, cell)
    copy = pickle.loads(pickle.dumps(loaded.documents))
    assert list(copy) == held.documents, "a worker reads them too"


def spooled(count):
    every = Gathered()
    for number in range(count):
        every.add((Document(id=str(number), row={}), Example(task="", input=str(number), output="x")))
    return every.ordered(np.arange(count)[::-1])


def test_the_file_has_no_name_and_goes_with_the_documents(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("evalkit.harness.spool.HELD", 5)
    documents = spooled(12)
    assert [example.input for _, example in documents] == [str(number) for number in range(11, -1, -1)]
    assert isinstance(documents, Spooled) and not list(tmp_path.iterdir()), "a killed process leaves nothing behind"
    part, file = documents[:2], documents._file._file
    del documents
    gc.collect()
    assert [document.id for document, _ in part] == ["11", "10"]
    del part
    gc.collect()
    assert file.closed


@pytest.mark.parametrize("fails", ["TemporaryFile", "write"])
def test_a_disk_without_room_is_one_line(monkeypatch, fails):
    def full(*words, **options):
        if fails == "TemporaryFile":
            raise OSError(errno.ENOSPC, "No space left on device")
        return Path("/dev/full").open("w+b")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    monkeypatch.setattr("evalkit.harness.spool.HELD", 5)
    with pytest.raises(DiskError, match=r"cannot write a temporary file \(TMPDIR .*: No space left on device"):
        spooled(5000)


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("odd", [3, 9])
@pytest.mark.parametrize("value", [lambda: 1, nested(900)])
def test_rows_that_cannot_be_written_are_held(monkeypatch, odd, value):
    monkeypatch.setattr("evalkit.harness.spool.HELD", 5)
    every = Gathered()
    for number in range(12):
        row = {"value": value if number == odd else 1}
        every.add((Document(id=str(number), row=row), Example(task="", input="", output="x")))
    documents = every.ordered(np.arange(12))
    assert isinstance(documents, list) and [document.id for document, _ in documents] == [str(n) for n in range(12)]


@pytest.mark.parametrize("limit", [1, 7, 40, 100, None])
def test_the_limit_chooses_the_ids_that_hash_lowest_in_their_order(tmp_path, limit):
    rows = [{"id": f"é {n}" + "\ud800" * (n % 9 == 0), "input": str(n), "output": "x"} for n in range(40)]
    task = task_from_rows("t", rows, query="{input}", answer="output")
    loaded = load(task, RunSettings(shots=(0,), seeds=(1,), limit=limit), DataPaths())
    order = sorted(
        (row["id"] for row in rows), key=lambda name: hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    )
    assert [document.id for document, _ in loaded.documents] == order[:limit]


def test_a_file_and_its_rows_make_the_same_task(tmp_path):
    path = table(tmp_path / "t.jsonl", 30)
    settings = RunSettings(shots=(2,), seeds=(1,), limit=4)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    filled = [{**row, "output": row["output"], "input": row["input"]} for row in rows]
    by_rows = load(task_from_rows("t", filled, query="Q: {input}\nA:", answer="output"), settings, DataPaths())
    by_file = load(task_from_file(path), settings, DataPaths())
    assert by_file.documents == by_rows.documents and by_file.data == by_rows.data == digest(
        2 * digest(canonical_json(filled))
    )
    assert by_file.pool.groups == by_rows.pool.groups


@pytest.mark.parametrize("limit", [1, None])
def test_two_documents_of_one_id_are_refused_whatever_the_limit(limit):
    rows = [{"id": name, "input": name, "output": "x"} for name in "abcdb"]
    task = task_from_rows("t", rows, query="{input}", answer="output")
    with pytest.raises(DataError, match="5 documents with 4 different ids"):
        load(task, RunSettings(shots=(0,), seeds=(1,), limit=limit), DataPaths())


@pytest.mark.parametrize("values", [[], [1], [{"b": 1, "a": "é"}, "\ud800", None]])
def test_the_digest_of_a_list_is_that_of_its_json(values):
    assert digest_of_list(iter(values)) == digest(canonical_json(values))


def test_ids_and_texts_may_hold_half_of_a_surrogate_pair(tmp_path):
    rows = [{"id": f"{n}\ud800", "input": f"{n}" + "\ud800" * (n == 3), "output": "x"} for n in range(6)]
    task = task_from_rows("t", rows, query="{input}", answer="output")
    run = evalkit.evaluate("pico", [task], shots=[0, 1], out=tmp_path / "run")
    assert (run.results[0].n, run.results[0].failed) == (5, 1)
    assert {record.doc_id for record in run.records()} == {row["id"] for row in rows}
    assert set(evalkit.compare(run, run).verdicts.values()) == {"same"}


@pytest.mark.parametrize(
    ("name", "rows", "message"),
    [
        ("t.csv", "id,input,output\n1,a,b\n1,c,d\n", r"2 documents with 1 different ids in .*t\.csv; expected unique"),
        ("t.csv", "input,output\na,b\n,\n", r"row 2 of its test data is not as expected .*; it is in .*t\.csv line 3"),
        ("t.jsonl", '\n{"input":"a","output":"b"}\n\n{}\n', r"row 2 of its test data .*; it is in .*t\.jsonl line 4"),
    ],
)
def test_what_is_wrong_with_a_table_of_ones_own_names_its_file(tmp_path, name, rows, message):
    (tmp_path / name).write_text(rows)
    with pytest.raises(DataError, match=message):
        load(task_from_file(tmp_path / name), RunSettings(shots=(0,), seeds=(1,)), DataPaths())


def test_a_field_of_a_table_may_be_long(tmp_path):
    (tmp_path / "t.csv").write_text(f"input,output\n{'x' * 200_000},1\n")
    loaded = load(task_from_file(tmp_path / "t.csv"), RunSettings(shots=(0,), seeds=(1,)), DataPaths())
    assert len(loaded.documents[0][1].input) > 200_000
