"""The run folder: what is written can be read, goes on after a kill, and refuses another run."""

from __future__ import annotations

import errno
import gzip
import io
import json
import os
from dataclasses import replace

import pytest

from evalkit.errors import DiskError, StoreError
from evalkit.files import canonical_json
from evalkit.runs.journal import seal, unseal
from evalkit.runs.store import RunStore, read_records, read_results, record_to_json
from evalkit.types import Cell, Prompt, Record, Response, Result

SETTINGS = {"model": {"hash": "1"}, "shots": [0]}


def record(name: str) -> Record:
    return Record(
        cell=Cell(task="t", protocol="plain", shots=2, seed=1, variant="no_passage"),
        doc_id=name,
        cluster="c",
        level="head",
        prompt=Prompt(contexts=("a\n\u2028é", "b"), shots=1, dropped=1, cut=3),
        continuations=(" x", " y"),
        responses=(Response(loglikelihood=-0.1 - 1e-17, is_greedy=True, tokens=2), Response(text="zwei")),
        gold="x",
        prediction="y",
        scores={"acc": (0.0,)},
        baselines={"lead": {"acc": (1.0,)}},
        chance={"acc": 0.5},
    )


def test_a_record_survives_the_file(tmp_path):
    with RunStore(tmp_path / "run", SETTINGS) as store:
        store.append([record("1"), record("2")])
    again = list(read_records(tmp_path / "run"))
    assert [json.dumps(record_to_json(r)) for r in again] == [json.dumps(record_to_json(record(n))) for n in "12"]
    assert again[0].key == record("1").key


@pytest.mark.parametrize("lost", [1, 5, 100])
def test_a_torn_last_line_is_cut_off(tmp_path, lost):
    with RunStore(tmp_path, SETTINGS) as store:
        store.append([record("1"), record("2")])
    path = tmp_path / "records.jsonl"
    path.write_bytes(path.read_bytes()[:-lost])
    with RunStore(tmp_path, SETTINGS) as store:
        assert set(store.done) == {record("1").key}
        store.append([record("2")])
    assert [r.doc_id for r in read_records(tmp_path)] == ["1", "2"]


def test_other_settings_are_refused_with_what_changed(tmp_path):
    with RunStore(tmp_path, SETTINGS):
        pass
    changed = {"model": {"hash": "2"}, "shots": [4], "limit": 3}
    with pytest.raises(StoreError, match=r'limit: null -> 3; model\.hash: "1" -> "2"; shots: \[0\] -> \[4\]'):
        RunStore(tmp_path, changed).__enter__()


def test_a_folder_that_is_no_run_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(StoreError, match="holds no run"):
        RunStore(tmp_path, SETTINGS).__enter__()
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write to the folder"):
        RunStore(tmp_path / "file" / "run", SETTINGS).__enter__()


@pytest.mark.parametrize("line", [b'{"cell": 3}\n', b"[]\n", b"\xff\n", b"\n", b"[" * 100_000 + b"\n"])
def test_a_broken_line_in_the_middle_is_named_and_taken_out(tmp_path, line, caplog):
    with RunStore(tmp_path, SETTINGS) as store:
        store.append([record("1"), record("2")])
    path = tmp_path / "records.jsonl"
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + line + second)
    with pytest.raises(StoreError, match=r"records\.jsonl line 2: not a record"):
        list(read_records(tmp_path))
    with RunStore(tmp_path, SETTINGS) as store:
        assert [name for _, name in store.done] == ["1", "2"]
    assert "records.jsonl line 2 is left out" in caplog.text
    assert path.read_bytes() == first + second


def test_every_flipped_bit_of_a_line_is_found(tmp_path):
    line = seal(canonical_json(record_to_json(record("1"))))
    whole = unseal(line)
    unnoticed = 0
    for place in range(len(line) - 1):
        for bit in range(8):
            damaged = bytearray(line)
            damaged[place] ^= 1 << bit
            try:
                found = unseal(bytes(damaged))
            except ValueError:
                continue
            # In the name of the check itself: then a field too many, which no record has, or an equal object.
            unnoticed += found != whole and found.keys() == whole.keys()
    assert unnoticed == 0


def test_lines_of_older_runs_have_no_checksum_and_are_read(tmp_path):
    with RunStore(tmp_path, SETTINGS) as store:
        store.append([record("1")])
    path = tmp_path / "records.jsonl"
    path.write_text(canonical_json(record_to_json(record("1"))) + "\n")
    assert [r.doc_id for r in read_records(tmp_path)] == ["1"]
    with RunStore(tmp_path, SETTINGS) as store:
        assert set(store.done) == {record("1").key}


def test_lines_stay_json_with_the_record_and_its_check(tmp_path):
    with RunStore(tmp_path, SETTINGS) as store:
        store.append([record("1")])
    raw = json.loads((tmp_path / "records.jsonl").read_text())
    assert raw.pop("check").partition("-")[0] == str(len(canonical_json(raw).encode()))
    assert raw == json.loads(json.dumps(record_to_json(record("1"))))


def test_half_a_surrogate_pair_survives_and_the_file_stays_utf8(tmp_path):
    odd = replace(record("1"), prediction="\ud800é")
    with RunStore(tmp_path, SETTINGS) as store:
        store.append([odd])
    assert [r.prediction for r in read_records(tmp_path)] == ["\ud800é"]
    assert "é" in (tmp_path / "records.jsonl").read_text(encoding="utf-8")


def test_one_process_at_a_time_writes(tmp_path):
    with RunStore(tmp_path, SETTINGS), pytest.raises(StoreError, match="another process is writing"):
        RunStore(tmp_path, SETTINGS).__enter__()
    with RunStore(tmp_path, SETTINGS):
        pass


def test_of_two_that_begin_at_once_one_says_what_runs(tmp_path):
    first, second = RunStore(tmp_path / "run", SETTINGS), RunStore(tmp_path / "run", {"model": {"hash": "2"}})
    with first:
        with pytest.raises(StoreError, match="another process is writing"):
            second.__enter__()
        first.append([record("1")])
    with pytest.raises(StoreError, match="other settings"):
        second.__enter__()
    with RunStore(tmp_path / "run", SETTINGS) as again:
        assert set(again.done) == {record("1").key}


@pytest.mark.parametrize("change", [gzip.compress, lambda content: b"\0" * 10 + b"\n"])
def test_a_file_that_is_no_journal_is_left_alone(tmp_path, change):
    with RunStore(tmp_path, SETTINGS) as store:
        store.append([record(str(number)) for number in range(20)])
    path = tmp_path / "records.jsonl"
    path.write_bytes(change(path.read_bytes()))
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"records\.jsonl holds no records .*; move it away"):
        RunStore(tmp_path, SETTINGS).__enter__()
    assert path.read_bytes() == before


def test_a_torn_end_is_cut_off_without_a_copy(tmp_path, monkeypatch):
    with RunStore(tmp_path, SETTINGS) as store:
        store.append([record("1"), record("2")])
    path = tmp_path / "records.jsonl"
    before = path.read_bytes()
    path.write_bytes(before + b"damaged\n" + before[:50])
    monkeypatch.setattr("evalkit.runs.journal.replacing", lambda path: pytest.fail("the file was copied"))
    with RunStore(tmp_path, SETTINGS) as store:
        assert len(store.done) == 2 and path.read_bytes() == before
        store.append([record("3")])
    assert [r.doc_id for r in read_records(tmp_path)] == ["1", "2", "3"]


def test_what_a_killed_process_left_half_written_is_no_obstacle(tmp_path):
    (tmp_path / ".manifest.json.x7").write_text('{"sett')
    with RunStore(tmp_path, SETTINGS) as store:
        store.append([record("1")])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["manifest.json", "records.jsonl"]


def test_a_full_disk_leaves_no_half_of_a_batch(tmp_path, monkeypatch):
    """The device is full after 700 bytes of the second batch; an unbuffered file reports what it could still write."""
    with RunStore(tmp_path, SETTINGS) as store:
        store.append([record("1")])
        room = 700

        class Full(io.FileIO):
            def write(self, data):
                nonlocal room
                if not room:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                written = super().write(bytes(data[:room]))
                room -= written
                return written

        store._journal._file.close()
        store._journal._file = Full(store._journal.path, "ab")
        with pytest.raises(DiskError, match=r"No space left on device; finished items are kept") as caught:
            store.append([record("2"), record("3")])
        assert caught.value.exit_code == 3 and room == 0 and len(store.done) == 1
    assert [r.doc_id for r in read_records(tmp_path)] == ["1"]


def test_results_keep_missing_intervals(tmp_path):
    fields = {"value": 1.5, "low": float("nan"), "high": float("nan"), "n": 1, "failed": 0, "truncated": 0, "shots": 0}
    names = ("model", "task", "family", "protocol", "metric", "source", "level", "signature")
    result = Result(**{name: name for name in names}, **fields, chance=None)
    with RunStore(tmp_path, SETTINGS) as store:
        store.finish([result], {"seconds": 1})
    [again] = read_results(tmp_path)
    assert (again.value, again.low != again.low, again.chance) == (1.5, True, None)
    assert json.loads((tmp_path / "results.json").read_text())["results"][0]["low"] is None


def test_a_line_that_another_program_wrote_again_is_refused(tmp_path):
    line = json.loads(seal('{"a":1}'))
    with pytest.raises(ValueError, match="checksum"):
        unseal(json.dumps(line | {"a": 2}).encode())
