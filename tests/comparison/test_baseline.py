"""Baseline files: small, whole, and as good as the run they come from."""

from __future__ import annotations

import json

import numpy as np
import pytest

from evalkit.comparison import history
from evalkit.comparison.baseline import read, save
from evalkit.comparison.comparison import Settings, compare
from evalkit.comparison.evidence import Evidence, Sheet, Value, hash_ids
from evalkit.comparison.flips import flips
from evalkit.errors import StoreError
from tests.comparison.made import Made, binary, write_run

rng = np.random.default_rng(0)
TASKS = {
    "bits": Made(scores=binary("110" * 40)),
    "graded": Made(
        scores={f"d{i}": {"f1": (float(x),), "ppl": (-float(x) * 3,)} for i, x in enumerate(rng.random(60))},
        metrics=("f1", "ppl"),
        clusters={f"d{i}": f"c{i // 4}" for i in range(40)},
    ),
    "seeds": Made(
        scores={f"d{i}": [{"acc": (1.0,)}, {"acc": (float(i % 2),)}] for i in range(9)}, seeds=(1, 2), shots=4
    ),
    "failed": Made(scores={"a": {"acc": (1.0,)}, "b": None, "c": {"acc": (0.0,)}}),
}


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run", TASKS)


@pytest.fixture
def file(run, tmp_path):
    save(read(run), tmp_path / "deep" / "main.json")
    return tmp_path / "deep" / "main.json"


def test_a_baseline_holds_what_a_comparison_uses(run, file):
    ours, theirs = read(run), read(file)
    assert theirs.sheets.keys() == ours.sheets.keys() and theirs.model == ours.model
    for key, sheet in ours.sheets.items():
        other = theirs.sheets[key]
        for name in ("ids", "clusters", "scored"):
            assert np.array_equal(getattr(sheet, name), getattr(other, name)), (key, name)
        for metric, values in sheet.statistics.items():
            assert np.array_equal(values, other.statistics[metric])
        assert (other.signature, other.rules, other.seeds) == (sheet.signature, sheet.rules, sheet.seeds)


def test_it_serves_on_both_sides(run, file, tmp_path):
    worse = write_run(tmp_path / "worse", {**TASKS, "bits": Made(scores=binary("010" * 40))})
    direct = compare(read(run), read(worse), Settings())[0]
    kept = compare(read(file), read(worse), Settings())[0]
    assert direct.to_json()["findings"] == kept.to_json()["findings"] and [f.task for f in kept.failing] == ["bits"]
    assert {f.verdict for f in compare(read(file), read(file), Settings())[0].findings} == {"same"}
    flipped = flips(read(file), read(worse))
    assert len(flipped) == 40 and flipped[0].document.startswith("doc-") and not flipped[0].base_prediction
    assert flips(read(worse), read(file))[0].new_prediction == ""


def test_saving_twice_gives_the_same_bytes(run, file, tmp_path):
    save(read(run), tmp_path / "again.json")
    save(read(file), tmp_path / "copy.json")
    assert (tmp_path / "again.json").read_bytes() == file.read_bytes() == (tmp_path / "copy.json").read_bytes()


def test_ten_thousand_documents_take_less_than_100_kilobytes(tmp_path):
    n = 10_000
    words = rng.integers(8, 45, size=n)
    totals = np.stack([words - order for order in range(4)], axis=1)
    bleu = np.column_stack([words, words + 1, rng.binomial(totals, [0.6, 0.35, 0.22, 0.14]), totals])
    for name, columns in {"acc": rng.random((n, 1)) < 0.6, "ppl": -rng.gamma(1, 3, (n, 1)), "bleu": bleu}.items():
        grid = columns.astype(np.float32).astype(float)[:, None]
        sheet = Sheet(
            task="t", family="qa", shots=0, seeds=(1,), signature={}, expected=n, clusters=np.arange(n),
            ids=np.sort(hash_ids([f"document {i}" for i in range(n)])), scored=np.ones((n, 1), dtype=bool),
            statistics={name: grid}, rules={name: ""}, values={name: Value(value=1.0, low=0.5, high=1.5)},
        )  # fmt: skip
        evidence = Evidence(
            path=tmp_path, model={"model": "m", "hash": "h", "dtype": "float32"}, evalkit="0", sheets={sheet.key: sheet}
        )
        assert save(evidence, tmp_path / "big.json") <= 100_000
        assert np.array_equal(read(tmp_path / "big.json").sheets[sheet.key].statistics[name], grid)


def edited(file, change):
    raw = json.loads(file.read_text())
    change(raw)
    file.write_text(json.dumps(raw))


BROKEN = {
    "cut": (lambda file: file.write_text(file.read_text()[:-500]), "is the file cut"),
    "edited": (lambda file: edited(file, lambda raw: raw["sheets"][0].update(expected=7)), "checksum does not fit"),
    "later": (lambda file: edited(file, lambda raw: raw.update(version=3)), "version 3, this evalkit reads version 2"),
    "other": (lambda file: file.write_text('{"results": []}'), "neither a run folder nor a baseline file"),
    "list": (lambda file: file.write_text("[]"), "neither a run folder nor a baseline file"),
    "binary": (lambda file: file.write_bytes(b"\xff\xfe\x00"), "not UTF-8"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_give_one_clear_line(file, name):
    change, message = BROKEN[name]
    change(file)
    with pytest.raises(StoreError, match=message) as error:
        read(file)
    assert str(file) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("key", ["sheets", "documents", "columns", "model", "evalkit"])
def test_a_whole_checksum_over_half_a_file_is_not_enough(file, key):
    from evalkit.files import canonical_json, digest

    raw = json.loads(file.read_text())
    del raw[key], raw["checksum"]
    file.write_text(json.dumps(raw | {"checksum": digest(canonical_json(raw))}))
    with pytest.raises(StoreError, match="not a whole baseline file"):
        read(file)


def test_a_baseline_without_a_digest_of_its_answers_cannot_show_that_they_are_identical(run, file):
    from evalkit.files import canonical_json, digest

    raw = json.loads(file.read_text())
    del raw["checksum"]
    for sheet in raw["sheets"]:
        del sheet["answers"]
    file.write_text(json.dumps(raw | {"checksum": digest(canonical_json(raw))}))
    found = compare(read(file), read(run), Settings())[0].findings
    assert {(f.verdict, f.method) for f in found if f.units > 2} == {("undecided", "no difference")}


@pytest.mark.parametrize("columns", [[[]], [[{}]], [[True]], [{}], [[-1]], [[99]], []])
def test_columns_that_are_none_are_refused(file, columns):
    from evalkit.files import canonical_json, digest

    raw = json.loads(file.read_text())
    del raw["checksum"]
    raw["sheets"][0]["metrics"][0]["columns"] = columns
    file.write_text(json.dumps(raw | {"checksum": digest(canonical_json(raw))}))
    with pytest.raises(StoreError, match="not a whole baseline file"):
        read(file)


def test_ids_that_meet_are_hashed_again(monkeypatch):
    monkeypatch.setattr("evalkit.comparison.evidence.ID_BITS", 8)
    names = [f"n{i}" for i in range(200)]
    assert len(set(hash_ids(names).tolist())) == 200
    assert hash_ids(names).tolist() == hash_ids(names).tolist()


def test_history_shows_a_trend_and_what_is_not_comparable(file, tmp_path):
    runs = [read(file)]
    for name, bits, data in (("better", "111" * 40, "d0"), ("moved", "111" * 40, "d0"), ("other", "1" * 50, "d9")):
        runs.append(read(write_run(tmp_path / name, {"bits": Made(scores=binary(bits), data=data)})))
    [bits, *_] = history.trends(runs[:3])
    assert bits.change == pytest.approx(100 / 3, abs=1e-6) and [point[1] for point in bits.points] == [True] * 3
    moved = next(t for t in history.trends(runs) if t.task == "bits")
    assert [point[1] for point in moved.points] == [False, False, False, True] and np.isnan(moved.change)
    lines = history.as_csv(runs[:3], history.trends(runs[:3])).splitlines()
    assert lines[1].startswith("main.json,m,m-hash,bits,0,acc,66.666") and len(lines) == 1 + 3 + 3
    assert len(history.trends(runs, all_metrics=True)) == len(history.trends(runs)) + 1
