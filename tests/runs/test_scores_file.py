"""The columns beside the journal: nothing depends on whether they are there, and no wrong ones are believed."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import zipfile
from copy import copy
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.comparison.evidence import read_run
from evalkit.errors import StoreError
from evalkit.harness.aggregate import aggregate
from evalkit.runs import store
from evalkit.runs.journal import SCORES
from evalkit.runs.record_lines import digest_of_records
from evalkit.runs.scores import Scores
from evalkit.runs.scores_file import find, load
from evalkit.runs.store import Finished, RunStore, open_run, read_records
from evalkit.runs.stored import run_digest
from evalkit.types import Cell, Prompt, Record, Response

SETTINGS = {
    "evalkit": "0", "model": {"model": "m", "hash": "h", "dtype": "float32"},
    "tasks": {
        name: {"version": 1, "family": "qa", "protocol": "p", "metrics": ["acc", "ppl"], "data": "d", "documents": 40}
        for name in ("a", "b")
    },
    "shots": [0], "seeds": [1, 2], "limit": None,
}  # fmt: skip
RUN = run_digest(SETTINGS)


def record(number, *, task="a", seed=1, failed=False):
    rng = random.Random(f"{number} {task} {seed}")
    plain = Record(
        cell=Cell(task=task, protocol="p", shots=0, seed=seed), doc_id=f"é\n{number}",
        cluster=f"story {number // 3}" if task == "b" else "", level=("", "hard")[number % 2],
        prompt=Prompt(contexts=("a\u2028",), cut=number % 3), continuations=(" x",),
        responses=(Response(loglikelihood=-rng.random(), text=f"said {number}"),), gold="x", prediction="y",
        scores={"acc": (float(rng.random() < 0.5),), "ppl": (rng.random(), 2.0)},
        baselines={"first": {"acc": (1.0,), "ppl": (0.5, 1.0)}}, chance={"acc": 0.25},
        values={"list": [number, "\ud800"]},
    )  # fmt: skip
    gone = {"scores": {}, "baselines": {}, "chance": {}, "values": {}, "error": "too long"}
    return replace(plain, **gone) if failed else plain


def records(count=24):
    return [
        record(n, task=task, seed=seed, failed=n == 5) for task in ("a", "b") for seed in (1, 2) for n in range(count)
    ]


def facts(scores):
    """Return all that scores say, as plain values."""
    said = {}
    for task in scores.documents:
        sample = scores.sample(task, sorted((c for c in scores.cells if c.task == task), key=lambda cell: cell.seed))
        places, table = sample.statistics("acc")
        said[task] = [
            sample.numbers.tolist(), sample.seeds.tolist(), places.tolist(), table.tolist(), sample.units(places),
            sample.statistics("ppl")[1].tolist(), sample.statistics("acc", baseline="first")[1].tolist(),
            sample.chances("acc")[1].tolist(), sample.values("list", places), sample.failed.tolist(),
            sample.truncated.tolist(), sample.levels, sample.metrics, sample.baselines,
        ]  # fmt: skip
    columns = {
        cell: (held.offsets.tolist(), held.answers.tolist(), held.unlikely, held.errors)
        for cell, held in scores.columns.items()
    }
    return said, columns, set(scores)


def finish(run):
    run.finish(aggregate(run.done, SETTINGS), {})


@pytest.fixture
def folder(tmp_path):
    with RunStore(tmp_path / "run", SETTINGS) as run:
        for start in range(0, 96, 10):
            run.append(records()[start : start + 10])
        finish(run)
    return tmp_path / "run"


def from_journal(folder):
    """Return the scores that the journal alone gives."""
    kept = (folder / SCORES).read_bytes()
    (folder / SCORES).unlink()
    scores = open_run(folder, unfinished=True).scores()
    (folder / SCORES).write_bytes(kept)
    return scores


def test_they_say_what_the_journal_says(folder):
    scores, saved = load(folder, run=RUN)
    assert saved.content.size == (folder / "records.jsonl").stat().st_size
    assert saved.records == json.loads((folder / "results.json").read_text())["records"] == digest_of_records(folder)
    assert facts(scores) == facts(from_journal(folder)) == facts(open_run(folder).scores())
    lines = (folder / "records.jsonl").read_bytes()
    for cell, held in scores.columns.items():
        for number, offset in zip(held.documents, held.offsets, strict=True):
            raw = json.loads(lines[offset : lines.index(b"\n", offset)])
            assert raw["doc_id"] == scores.documents[cell.task].ids[number] and Cell(**raw["cell"]) == cell
    assert [r.key for r in open_run(folder).records()] == [r.key for r in read_records(folder)]


def test_results_and_comparisons_are_the_same_without_them(folder):
    before, evidence = (folder / "results.json").read_bytes(), read_run(folder)
    (folder / SCORES).unlink()
    assert read_run(folder).digest == evidence.digest
    assert [s.answers for s in read_run(folder).sheets.values()] == [s.answers for s in evidence.sheets.values()]
    with RunStore(folder, SETTINGS) as run:
        finish(run)
    assert (folder / "results.json").read_bytes() == before and load(folder, run=RUN)
    with RunStore(folder, SETTINGS) as run:
        finish(run)
    assert (folder / "results.json").read_bytes() == before


def test_a_finished_run_that_is_opened_again_parses_no_line(folder, monkeypatch):
    monkeypatch.setattr("evalkit.runs.journal.unseal", lambda *words: pytest.fail("a line was parsed"))
    with RunStore(folder, SETTINGS) as run:
        assert len(run.done) == 96 and record(3).key in run.done
    assert len(read_run(folder).sheets) == 2


def test_only_the_lines_that_came_later_are_read(folder):
    more = [record(30, task="b"), record(31, task="b")]
    (folder / "results.json").unlink()
    with RunStore(folder, SETTINGS) as run:
        run.append(more)
    assert find(folder, run=RUN).content.size < (folder / "records.jsonl").stat().st_size
    with (folder / "records.jsonl").open("ab") as file:
        file.write(b'{"cell":{"task":"a"')  # torn
    assert len(open_run(folder, unfinished=True).scores()) == 98
    with RunStore(folder, SETTINGS) as run:
        assert {r.key for r in more} <= set(run.done) and len(run.done) == 98
        finish(run)
    assert facts(load(folder, run=RUN)[0]) == facts(from_journal(folder))


def test_a_second_record_of_a_document_that_is_saved(folder, caplog):
    (folder / "results.json").unlink()
    with (folder / "records.jsonl").open("ab") as file:
        file.write(Finished.of([record(3)], run=RUN).lines)
    with pytest.raises(StoreError, match="line 97: a second record of document"):
        open_run(folder, unfinished=True).scores()
    with RunStore(folder, SETTINGS) as run:
        assert len(run.done) == 96
    assert "line 97 is left out (a second record" in caplog.text


@pytest.mark.parametrize(
    "change", ["edited", "shorter", "another run", "damaged", "cut", "compressed", "gone", "folder"]
)
def test_stale_and_damaged_ones_are_not_used(folder, change):
    journal, path = folder / "records.jsonl", folder / SCORES
    (folder / "results.json").unlink()
    lines = journal.read_bytes().splitlines(keepends=True)
    if change == "edited":
        journal.write_bytes(b"".join([*lines[:-2], lines[-1], lines[-2]]))
    elif change == "shorter":
        journal.write_bytes(b"".join(lines[:-1]))
    elif change == "damaged":
        content = path.read_bytes()
        path.write_bytes(content.replace(np.float64(2.0).tobytes(), np.float64(3.0).tobytes()))
    elif change == "cut":
        path.write_bytes(path.read_bytes()[:-9])
    elif change == "compressed":
        np.savez_compressed(path, **np.load(path))
    else:
        path.unlink()
        if change == "folder":
            path.mkdir()
    assert load(folder, run="0" * 16 if change == "another run" else RUN) is None
    count = 95 if change == "shorter" else 96
    assert len(open_run(folder, unfinished=True).scores()) == count


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_flipped_bit_gives_other_scores(shared, data):
    folder, content, right = shared
    place = data.draw(st.integers(0, len(content) - 1))
    flipped = bytearray(content)
    flipped[place] ^= 1 << data.draw(st.integers(0, 7))
    (folder / SCORES).write_bytes(flipped)
    saved = load(folder, run=RUN)
    assert saved is None or facts(saved[0]) == right


def written_again(folder, change, **arrays):
    """Write the file with another header, as somebody might who knows the journal."""
    held = {**np.load(folder / SCORES), **arrays}
    header = json.loads(held["header"].tobytes())
    change(header)
    np.savez(folder / SCORES, **{**held, "header": np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)})


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("size",), "1"), (("records",), None), (("cells", 0, "cell", "seed"), "1"), (("cells", 0, "cell"), {}),
        (("cells", 0, "cell", "variant"), 1.5), (("cells", 0, "statistics", 0, 1), None),
        (("cells", 0, "statistics", 0), ["", "acc", "x"]), (("cells", 0, "errors"), {"-1": "lost"}),
        (("cells", 0, "errors"), {"24": "lost"}), (("cells", 0, "errors"), {"0": 1}),
        (("cells", 0, "values", "list"), {"-100": 1}), (("cells", 0, "chance"), [3]), (("tasks",), ["a", "c"]),
        (("cells", 0, "unlikely"), 1), (("cells", 0, "errors"), {"9" * 40: "lost"}),
    ],
)  # fmt: skip
def test_a_header_that_says_something_impossible_is_not_used(folder, place, value):
    def change(header):
        for step in place[:-1]:
            header = header[step]
        header[place[-1]] = value

    written_again(folder, lambda header: None)
    assert load(folder, run=RUN)
    written_again(folder, change)
    assert load(folder, run=RUN) is None and len(open_run(folder).scores()) == 96


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("cell0/documents", np.full(24, 40, dtype="u4")), ("cell0/offsets", np.zeros(24, dtype="i4")),
        ("cell0/statistics0/rows", np.full(23, 24, dtype="u4")), ("cell0/chance0/numbers", np.zeros((23, 2))),
        ("cell0/statistics0/numbers", np.zeros((23, 1), dtype="f4")), ("cell0/truncated", np.zeros((2, 2), dtype="u4")),
        ("cell0/answers", np.array([None] * 24)), ("cell0/statistics0/numbers", np.zeros((23, 7))),
    ],
)  # fmt: skip
def test_an_array_of_another_type_or_size_is_not_used(folder, name, array):
    written_again(folder, lambda header: None, **{name: array})
    assert load(folder, run=RUN) is None and len(open_run(folder).scores()) == 96


def test_no_array_is_read_more_often_than_the_file_has_it(folder):
    """Two entries of a zip may be the same bytes, thousands of times."""
    with zipfile.ZipFile(folder / SCORES, "a") as archive:
        first = max(archive.infolist(), key=lambda entry: entry.file_size)
        for number in range(2000):
            again = copy(first)
            again.filename = f"cell{number}/again.npy"
            archive.filelist.append(again)
            archive.NameToInfo[again.filename] = again
        archive._didModify = True
    assert len(np.load(folder / SCORES).files) > 2000
    assert load(folder, run=RUN) is None and len(open_run(folder).scores()) == 96


def test_a_file_that_seems_to_be_encrypted_is_not_used(folder):
    content = bytearray((folder / SCORES).read_bytes())
    content[content.rindex(b"PK\x01\x02") + 8] |= 1  # the flags of its last entry
    (folder / SCORES).write_bytes(content)
    assert load(folder, run=RUN) is None and len(open_run(folder).scores()) == 96


def test_a_file_that_is_written_again_while_it_is_read(folder):
    saved = find(folder, run=RUN)
    (folder / "results.json").unlink()
    with RunStore(folder, SETTINGS) as run:
        run.append([record(30)])
        run._save()
    assert saved.scores() is None and len(find(folder, run=RUN).scores()) == 97


def test_statistics_of_one_metric_have_one_length_with_and_without_the_file(tmp_path):
    odd = replace(record(1, seed=2), scores={"acc": (1.0, 2.0), "ppl": (1.0, 2.0)})
    with RunStore(tmp_path, SETTINGS) as run:
        run.append([record(1)])
        with pytest.raises(ValueError, match="2 statistics of 'acc', where others have 1"):
            run.append([odd])
        assert len(run.done) == 1
    assert len((tmp_path / "records.jsonl").read_bytes().splitlines()) == 1
    with (tmp_path / "records.jsonl").open("ab") as file:
        file.write(Finished.of([odd], run=RUN).lines)
    with pytest.raises(StoreError, match="line 2: 2 statistics of 'acc', where others have 1"):
        open_run(tmp_path, unfinished=True).scores()


def test_the_same_records_give_the_same_file_however_they_came(tmp_path):
    odd = replace(record(1), values={"list": {"b": 1, "a": [2]}})
    for name in ("written", "read"):
        with RunStore(tmp_path / name, SETTINGS) as run:
            run.append([odd])
            if name == "written":
                finish(run)
    with RunStore(tmp_path / "read", SETTINGS) as run:
        finish(run)
    assert (tmp_path / "read" / SCORES).read_bytes() == (tmp_path / "written" / SCORES).read_bytes()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shared") / "run"
    with RunStore(folder, SETTINGS) as run:
        run.append(records(6))
        finish(run)
    return folder, (folder / SCORES).read_bytes(), facts(load(folder, run=RUN)[0])


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 39), st.sampled_from("ab"), st.sampled_from([1, 2]), st.booleans())), st.data()
)
def test_any_records_in_any_batches_survive(tmp_path_factory, drawn, data):
    folder = tmp_path_factory.mktemp("any") / "run"
    chosen = {(n, task, seed): record(n, task=task, seed=seed, failed=failed) for n, task, seed, failed in drawn}
    left = list(chosen.values())
    with RunStore(folder, SETTINGS) as run:
        while left:
            size = data.draw(st.integers(1, len(left)))
            run.append(left[:size])
            left = left[size:]
        run._save()
        if chosen:
            expected, stored = facts(Scores(chosen.values()))[0], facts(load(folder, run=RUN)[0])[0]
            assert expected == stored


def test_a_killed_run_goes_on_from_what_it_saved(folder, tmp_path, monkeypatch):
    killed = tmp_path / "killed"
    script = (
        "import sys; from pathlib import Path; from tests.runs import test_scores_file as t\n"
        "t.store._LEAST = 2000\n"
        f"with t.RunStore(Path({str(killed)!r}), t.SETTINGS) as run:\n"
        "    for each in t.records()[:70]: run.append([each])\n"
        "    print('ready', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGKILL)
    saved = load(killed, run=RUN)
    assert saved and 0 < len(saved[0]) < 70 and not saved[1].records
    with (killed / "records.jsonl").open("ab") as file:
        file.write(b"torn")
    with RunStore(killed, SETTINGS) as run:
        assert len(run.done) == 70
        run.append(records()[70:])
        finish(run)
    for name in ("records.jsonl", "results.json", SCORES):
        assert (killed / name).read_bytes() == (folder / name).read_bytes()


def test_a_disk_that_is_full_costs_no_results(folder, monkeypatch, caplog):
    def full(*words, **options):
        raise StoreError("no space")

    monkeypatch.setattr(store, "save", full)
    (folder / SCORES).unlink()
    before = (folder / "results.json").read_bytes()
    with RunStore(folder, SETTINGS) as run:
        finish(run)
    assert (folder / "results.json").read_bytes() == before and "complete without it" in caplog.text
