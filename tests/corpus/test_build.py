"""The build as a whole: what goes in comes out, in any number of processes, however often it was stopped."""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from evalkit import corpus, world
from evalkit.corpus import build as builder
from evalkit.corpus import decisions, encoding, parts, shards, sources
from evalkit.corpus.pool import run_in_order
from evalkit.errors import DataError, EvalkitError, StoreError, UsageError
from evalkit.tokenizer import Tokenizer


def write_jsonl(path, texts):
    with gzip.open(path, "wt", encoding="utf-8") if path.suffix == ".gz" else path.open("w") as file:
        file.writelines(json.dumps({"text": text, "number": i}) + "\n" for i, text in enumerate(texts))
    return path


def texts_of(folder):
    """Return the documents of a corpus, those for training first."""
    tokenizer = corpus.load_tokenizer(folder)
    found = []
    for stream in (corpus.load(folder).train, corpus.load(folder).validation):
        ids = stream[:]
        ends = np.flatnonzero(ids == tokenizer.end_of_text)
        found += [tokenizer.decode(part[:-1].tolist()) for part in np.split(ids, ends + 1)[:-1]]
        assert not len(ids) or ids[-1] == tokenizer.end_of_text
    return found


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_every_document_comes_out_once_and_in_order(tmp_path, page, make):
    pages = [page(i) for i in range(300)]
    write_jsonl(tmp_path / "b.jsonl.gz", pages[:299])
    (tmp_path / "c.txt").write_text(pages[299])
    made = make([tmp_path / "b.jsonl.gz", tmp_path / "c.txt"], tmp_path / "out", validation=0.1)
    found = texts_of(tmp_path / "out")
    assert sorted(found) == sorted(pages)
    held_out = set(found[-made.validation_documents :])
    assert found == [p for p in pages if p not in held_out] + [p for p in pages if p in held_out]
    assert 15 <= made.validation_documents <= 45
    info = corpus.load(tmp_path / "out").info
    assert (info.documents, info.characters) == (300, sum(map(len, pages)))
    assert list(made.sources) == ["b.jsonl.gz", "c.txt"] and made.sources["c.txt"].characters == len(pages[299])
    assert made.total.bytes == sum(len(p.encode()) for p in pages) and made.total.tokens == info.tokens
    assert made.read == 300 and not made.removed and not made.cut


def test_the_same_documents_are_held_out_whatever_stands_around_them(tmp_path, page, make):
    pages = [page(i) for i in range(100)]
    some = write_jsonl(tmp_path / "some.jsonl", pages[40:])
    every = write_jsonl(tmp_path / "every.jsonl", pages)
    few = make([some], tmp_path / "few", validation=0.2)
    more = make([every], tmp_path / "more", validation=0.2)
    of_few = set(texts_of(tmp_path / "few")[-few.validation_documents :])
    of_more = set(texts_of(tmp_path / "more")[-more.validation_documents :])
    assert of_few and of_few <= of_more and of_more - of_few <= set(pages[:41])


def test_any_number_of_processes_gives_the_same_files(tmp_path, page, make, monkeypatch):
    source = write_jsonl(tmp_path / "a.jsonl", [page(i % 90) for i in range(100)])
    monkeypatch.setattr(sources, "PART", 4000)
    monkeypatch.setattr(builder, "_SMALL", 0)
    for jobs in (1, 2):
        make([source], tmp_path / str(jobs), jobs=jobs, shard_tokens=3000)
    assert files_of(tmp_path / "1") == files_of(tmp_path / "2")
    assert sum(name.startswith("train-") for name in files_of(tmp_path / "1")) > 1


def test_parts_and_shards_of_any_size_hold_the_same_tokens(tmp_path, page, make, monkeypatch):
    source = write_jsonl(tmp_path / "a.jsonl", [page(i) for i in range(60)])
    tokenizer = Tokenizer.train([page(i) for i in range(60)], vocab_size=300)
    make([source], tmp_path / "one", tokenizer=tokenizer)
    monkeypatch.setattr(sources, "PART", 1000)
    make([source], tmp_path / "many", tokenizer=tokenizer, shard_tokens=700)
    one, many = (corpus.load(tmp_path / name) for name in ("one", "many"))
    assert one.info == many.info
    assert np.array_equal(one.train[:], many.train[:]) and np.array_equal(one.validation[:], many.validation[:])


def test_a_build_stopped_at_any_step_goes_on_to_the_same_files(tmp_path, page, make, monkeypatch):
    source = write_jsonl(tmp_path / "a.jsonl", [page(i) for i in range(40)])
    monkeypatch.setattr(sources, "PART", 3000)
    make([source], tmp_path / "whole")
    steps = [(parts, "write"), (decisions, "decide"), (encoding, "sample"), (encoding, "encode")]
    steps += [(shards.ShardWriter, "write"), (shards.ShardWriter, "write_index")]
    for number, (owner, name) in enumerate(steps):
        folder = tmp_path / f"stopped-{number}"
        with monkeypatch.context() as patch:
            stop_at_the_second(patch, owner, name)
            with pytest.raises(KeyboardInterrupt):
                make([source], folder)
                make([source], folder)  # what is called once in a build is stopped in the first one
        with pytest.raises(StoreError, match="unfinished"):
            corpus.load(folder)
        make([source], folder)
        assert files_of(folder) == files_of(tmp_path / "whole")


def stop_at_the_second(patch, owner, name):
    once = name in ("decide", "write_index")
    calls, real = [], getattr(owner, name)

    def stopping(*arguments, **options):
        calls.append(name)
        if once or len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    patch.setattr(owner, name, stopping)


def test_finished_parts_are_not_made_again(tmp_path, page, make, monkeypatch):
    source = write_jsonl(tmp_path / "a.jsonl", [page(i) for i in range(60)])
    monkeypatch.setattr(sources, "PART", 3000)
    written = []
    real = parts.write

    def write(path, *rest):
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(path.name)
        real(path, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(parts, "write", write)
        with pytest.raises(KeyboardInterrupt):
            make([source], tmp_path / "out")
        del written[:2]  # two more may be written
        with pytest.raises(KeyboardInterrupt):
            make([source], tmp_path / "out")
    assert written == ["part-000002.parquet", "part-000003.parquet", "part-000004.parquet"]


def test_another_build_does_not_mix_in(tmp_path, page, make, monkeypatch):
    source = write_jsonl(tmp_path / "a.jsonl", [page(i) for i in range(20)])
    with monkeypatch.context() as patch:
        patch.setattr(decisions, "decide", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            make([source], tmp_path / "out")
    with pytest.raises(UsageError, match="unfinished corpus of other sources or settings"):
        make([source], tmp_path / "out", min_characters=5)
    make([source], tmp_path / "out")
    with pytest.raises(UsageError, match="already holds a corpus"):
        make([source], tmp_path / "out")


def test_a_corpus_may_lie_within_its_source(tmp_path, page, make, monkeypatch):
    write_jsonl(tmp_path / "a.jsonl", [page(i) for i in range(20)])
    with monkeypatch.context() as patch:
        patch.setattr(decisions, "decide", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            make([tmp_path], tmp_path / "out")
    assert list(make([tmp_path], tmp_path / "out").sources) == ["a.jsonl"]


def test_a_process_that_dies_ends_the_build_with_one_line(tmp_path):
    with pytest.raises(EvalkitError, match="a process of the build died"):
        list(run_in_order(os_exit, [(3,)], jobs=2))


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc to find the processes")
def test_processes_end_with_a_parent_that_was_killed(tmp_path):
    code = "import time; from evalkit.corpus.pool import run_in_order\n"
    code += "if __name__ == '__main__': list(run_in_order(time.sleep, [(0,), (0,), (0,), (600,), (600,)], jobs=2))"
    (tmp_path / "script.py").write_text(code)
    parent = subprocess.Popen([sys.executable, str(tmp_path / "script.py")])
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
    wait_until(lambda: len(workers_of(children)) == 2)
    found = workers_of(children)
    parent.kill()
    parent.wait()
    wait_until(lambda: not any(Path(f"/proc/{pid}/cmdline").exists() and is_worker(pid) for pid in found))


def workers_of(children):
    return [pid for pid in children.read_text().split() if is_worker(pid)]


def is_worker(pid):
    return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()


def wait_until(done):
    end = time.monotonic() + 120
    while not done():
        assert time.monotonic() < end
        time.sleep(0.05)


def os_exit(code):
    os._exit(code)


def test_documents_are_left_out_by_reason(tmp_path, page, make):
    texts = ["", "short", page(1), page(1), page(2), "  " + page(2).replace("\n", "\r\n"), page(3) + " x" * 2000]
    made = make([write_jsonl(tmp_path / "a.jsonl", texts)], tmp_path / "out", min_characters=10, max_characters=3000)
    assert {reason: out.documents for reason, out in made.removed.items()} == {
        "empty": 1, "too short": 1, "too long": 1, "duplicate": 2,
    }  # fmt: skip
    assert made.removed["too short"].characters == 5
    assert sorted(texts_of(tmp_path / "out")) == [page(1), page(2)]


def test_near_duplicates_leave_and_the_first_stays(tmp_path, page, make):
    original = page(7, words=400)
    changed = original.replace("Page 7.", "Seite sieben!").upper()
    source = write_jsonl(tmp_path / "a.jsonl", [page(1), original, page(2), changed])
    made = make([source], tmp_path / "out")
    assert {reason: out.documents for reason, out in made.removed.items()} == {"near-duplicate": 1}
    assert original in texts_of(tmp_path / "out")
    assert not make([source], tmp_path / "all", near_duplicates=0.0).removed


def test_only_the_languages_asked_for_stay(tmp_path, make):
    english = "The boy went to the market and bought a loaf of bread for his mother, who was ill."
    french = "Le garçon est allé au marché et il a acheté du pain pour sa mère, qui était malade."
    source = write_jsonl(tmp_path / "a.jsonl", [english, french])
    made = make([source], tmp_path / "out", languages=("en",))
    assert texts_of(tmp_path / "out") == [english] and made.removed["other language"].documents == 1


def test_the_world_stays_as_it_is(tmp_path, make):
    made = make(["world"], tmp_path / "out", tasks=None)
    assert sorted(texts_of(tmp_path / "out")) == sorted(world.corpus(seed=0, documents=20_000 // 120))
    assert not made.tasks


def test_a_corpus_without_text_says_what_became_of_it(tmp_path, make):
    (tmp_path / "a.jsonl").write_text('{"text": ""}\n{"text": " \\n"}\n{"text": "ab"}\n')
    with pytest.raises(DataError, match=r"holds no text: none of 3 documents is left \(empty: 2, too short: 1\)"):
        make([tmp_path / "a.jsonl"], tmp_path / "out", min_characters=3)


def test_the_page_says_what_was_made_and_left_out(tmp_path, page, make):
    make([write_jsonl(tmp_path / "a.jsonl", [page(1), page(1), page(2)])], tmp_path / "out")
    text = (tmp_path / "out" / "stats.md").read_text()
    assert "| duplicate | 1 | " in text and "of 3 documents read" in text and "bytes of UTF-8 per token" in text
    stats = json.loads((tmp_path / "out" / "stats.json").read_text())
    assert stats["removed"]["duplicate"]["documents"] == 1 and stats["total"]["documents"] == 2


def prose(words, *, seed=0):
    rng = random.Random(seed)
    names = ["".join(rng.choices("abcdefghij", k=rng.randint(2, 9))) for _ in range(500)]
    return " ".join(rng.choices(names, k=words))


def test_of_one_long_document_stretches_are_held_out(tmp_path, make, monkeypatch, caplog):
    monkeypatch.setattr(builder, "_SMALL", 1)
    text = prose(60_000)
    (tmp_path / "book.txt").write_text(text)
    made = make([tmp_path / "book.txt"], tmp_path / "out", validation=0.05, jobs=1)
    make([tmp_path / "book.txt"], tmp_path / "two", validation=0.05, jobs=2)
    one, two = files_of(tmp_path / "out"), files_of(tmp_path / "two")
    assert one == two
    info = corpus.load(tmp_path / "out").info
    assert 0.04 < info.validation_tokens / info.tokens < 0.06
    assert made.split and (made.total.documents, made.validation_documents) == (7, 3)
    assert "3 stretches of long ones are held out" in caplog.text
    assert "3 stretches of long ones are held out" in (tmp_path / "out" / "stats.md").read_text()
    pieces = texts_of(tmp_path / "out")
    assert all(text.count(piece) == 1 for piece in pieces) and len(pieces) == 7
    assert " ".join(sorted(pieces, key=text.index)) == text  # every word in one of them, and whole
    places = [text.index(piece) / len(text) for piece in pieces[4:]]
    assert places == pytest.approx([1 / 6, 3 / 6, 5 / 6], abs=0.02)


def test_where_nothing_can_be_held_out_it_is_said(tmp_path, make, caplog):
    (tmp_path / "a.txt").write_text("a few words")
    made = make([tmp_path / "a.txt"], tmp_path / "out")
    assert made.split and not made.validation_documents
    assert "Nothing is held out for validation" in caplog.text
    assert "Nothing is held out for validation" in (tmp_path / "out" / "stats.md").read_text()
    caplog.clear()
    make([tmp_path / "a.txt"], tmp_path / "none", validation=0.0)
    assert not caplog.text
