"""An index of 8-grams: never a false "not seen", "seen" falsely within its bound, the same bytes however it is made."""

from __future__ import annotations

import json

import numpy as np
import pytest

from evalkit.cli import main
from evalkit.contamination import corpora, documents, index, search, verdicts
from evalkit.contamination.documents import OVERLAP_N
from evalkit.corpus import sources
from evalkit.corpus.word_hashes import WordHasher, grams
from evalkit.errors import StoreError, UsageError
from evalkit.harness import catalog


def build(corpus, path, *, jobs=1):
    return index.build(corpora.open_training([str(corpus)]), path, jobs=jobs)


def all_runs(corpus):
    hasher = WordHasher()
    lines = [line for path in sorted(corpus.iterdir()) for line in path.read_text().splitlines()]
    return np.unique(np.concatenate([grams(hasher(json.loads(line)["text"]), n=OVERLAP_N) for line in lines]))


def test_every_run_of_the_corpus_is_seen_and_of_a_million_others_none(planted, tmp_path):
    _, corpus, _ = planted
    made = build(corpus, tmp_path / "books.index")
    runs = all_runs(corpus)
    assert (made.sightings({OVERLAP_N: runs}).first[OVERLAP_N] == 0).all()
    others = np.unique(np.random.default_rng(0).integers(0, 2**64, 1_000_000, dtype=np.uint64))  # as in GPT-2's test
    assert (made.sightings({OVERLAP_N: others}).first[OVERLAP_N] == -1).all()
    assert made.about.runs == len(runs) and 0 < made.about.bound <= 1e-8


def test_false_positives_are_as_many_as_the_field_says(planted, tmp_path, monkeypatch):
    monkeypatch.setattr(index, "HASHES", 7)
    monkeypatch.setattr(index, "_LEAST", 1 << 10)
    monkeypatch.setattr(index, "_BITS_PER_RUN", 7 / np.log(2))
    _, corpus, _ = planted
    made = build(corpus, tmp_path / "books.index")
    others = np.unique(np.random.default_rng(1).integers(0, 2**64, 1_000_000, dtype=np.uint64))
    seen = int((made.sightings({OVERLAP_N: others}).first[OVERLAP_N] == 0).sum())
    assert made.about.bound == pytest.approx(2**-7, rel=0.05)
    assert abs(seen - 1e6 * made.about.bound) < 5 * 1e3 * made.about.bound**0.5


def test_partitions_hold_what_one_field_holds(planted, tmp_path, monkeypatch):
    _, corpus, _ = planted
    monkeypatch.setattr(index, "_PARTITION", 1 << 18)
    monkeypatch.setattr(index, "_LEAST", 1 << 10)
    made = build(corpus, tmp_path / "books.index")
    assert len(made.about.bits) == 16
    runs = all_runs(corpus)
    assert (made.sightings({OVERLAP_N: runs}).first[OVERLAP_N] == 0).all()
    others = np.unique(np.random.default_rng(2).integers(0, 2**64, 100_000, dtype=np.uint64))
    assert (made.sightings({OVERLAP_N: others}).first[OVERLAP_N] == -1).all()


def test_the_same_bytes_for_any_number_of_processes_and_after_an_interruption(planted, tmp_path, monkeypatch):
    _, corpus, _ = planted
    monkeypatch.setattr(sources, "PART", 100_000)
    one = build(corpus, tmp_path / "one.index")
    two = build(corpus, tmp_path / "two.index", jobs=2)
    assert one.path.read_bytes() == two.path.read_bytes()

    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(index, "_fill", stop)
        with pytest.raises(KeyboardInterrupt):
            build(corpus, tmp_path / "three.index")
    with monkeypatch.context() as patch:
        patch.setattr(search, "hasher", stop)  # no chunk is hashed again
        three = build(corpus, tmp_path / "three.index")
    assert one.path.read_bytes() == three.path.read_bytes()
    assert sorted(path.name for path in tmp_path.glob("*three*")) == ["three.index"]


def test_the_verdicts_of_an_index_are_those_of_a_search(planted, tmp_path):
    data, corpus, ids = planted
    texts = documents.read(catalog.select(["lambada"]), data)
    training = corpora.open_training([str(corpus)])
    exact = verdicts.judge(texts[0], search.search(training, documents.sought(texts), tmp_path / "work", jobs=1))
    made = build(corpus, tmp_path / "books.index")
    overlap = verdicts.judge(texts[0], made.sightings(documents.sought(texts)))
    assert {v.document for v in overlap.verdicts if v.dirty} == ids
    counts = [[(v.seen, v.runs, v.overlap_seen, v.passage) for v in o.verdicts] for o in (exact, overlap)]
    assert counts[0] == counts[1]
    assert not overlap.verdicts[0].source


def test_runs_seen_in_different_places_make_a_longer_one(planted, tmp_path):
    data, corpus, _ = planted
    words = json.loads((tmp_path / "lambada.jsonl").read_text().splitlines()[1])["text"].split()
    pieces = [" ".join(words[i : i + 8]) for i in range(6)]
    (corpus / "z.jsonl").write_text("".join(json.dumps({"text": piece}) + "\n" for piece in pieces))
    texts = documents.read(catalog.select(["lambada"]), data)
    overlap = verdicts.judge(texts[0], build(corpus, tmp_path / "i").sightings(documents.sought(texts)))
    assert (overlap.verdicts[1].seen, overlap.verdicts[1].overlap_seen) == (1, 6)


def test_tasks_of_shorter_runs_are_left_out_with_a_word(planted):
    data, _, _ = planted
    [task] = documents.read(catalog.select(["lambada"]), data)
    short = documents.TaskText(**{**vars(task), "name": "scramble", "n": 2})
    texts, notes = documents.findable([task, short])
    assert texts == [task] and "shorter runs: scramble (N = 2)." in notes[1]
    with pytest.raises(UsageError, match="give the corpus itself"):
        documents.findable([short])


@pytest.mark.parametrize("damage", [lambda raw: raw[:-1], lambda raw: b"{}\n" + raw, lambda raw: b""])
def test_a_damaged_index_is_refused(planted, tmp_path, damage):
    _, corpus, _ = planted
    path = build(corpus, tmp_path / "books.index").path
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(StoreError, match=r"books\.index"):
        index.open_index(path)


def test_a_flipped_bit_is_noticed(planted, tmp_path):
    _, corpus, _ = planted
    path = build(corpus, tmp_path / "books.index").path
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    with pytest.raises(StoreError, match="its checksum does not fit"):
        index.open_index(path).sightings({OVERLAP_N: all_runs(corpus)})


def test_the_command_makes_an_index_once_and_asks_it_without_the_corpus(planted, tmp_path, capsys, caplog):
    _, corpus, _ = planted
    asked = ["--tasks", "lambada", "--data", f"lambada={tmp_path / 'lambada.jsonl'}"]
    path = tmp_path / "books.index"
    assert main(["contamination", str(corpus), "--index", str(path), "--jobs", "1", *asked]) == 0
    first = capsys.readouterr().out
    assert main(["contamination", str(path), *asked]) == 0
    second = capsys.readouterr().out
    assert first.startswith(f"wrote {path}") and first.endswith(second) and "33.33%" in second
    assert main(["contamination", str(corpus / "0.jsonl"), "--index", str(path), *asked]) == 2
    assert "is the index of another corpus" in caplog.text
