"""The cache of responses: what is kept, what misses, and everything that can go wrong with the file."""

from __future__ import annotations

import logging
import math
import multiprocessing
import os
import shutil
import sqlite3
import stat
from dataclasses import replace

import pytest

from evalkit.engine import cache as caches
from evalkit.engine.cache import FORMAT, ResponseCache
from evalkit.engine.cached import CachedEngine, Keys
from evalkit.engine.calls import Here
from evalkit.engine.fake import FakeEngine
from evalkit.errors import CheckpointError
from evalkit.types import Decoding, Request, Response

NO_NUMBERS = ("nan", "inf", "-inf")
REQUEST = Request(kind="loglikelihood", task="t", doc_id="1", context_ids=(1, 2), continuation_ids=(3,))
SIGNATURE = {"model": "m", "hash": "abc", "dtype": "float32", "context": "16", "stride": "16"}
FULL = Response(loglikelihood=-0.1 - 1e-17, is_greedy=True, tokens=7, text="né\n\ud800")


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


def many(count: int) -> dict[bytes, Response]:
    return {key(i): Response(loglikelihood=-float(i), tokens=i) for i in range(count)}


def cached(engine, cache, **changes):
    about = {"signature": engine.signature(), "device": "cpu", **changes}
    return CachedEngine(
        Here(lambda: engine), tokenizer=engine.tokenizer, context_length=engine.context_length, cache=cache, **about
    )


def counting(name="x"):
    return FakeEngine(name, lambda r: Response(loglikelihood=-float(sum(r.continuation_ids)), text=r.doc_id))


def test_what_is_put_is_got_by_the_next_process(tmp_path):
    first = ResponseCache(tmp_path)
    first.put({key(1): FULL, key(2): Response(loglikelihood=float("-inf"))})
    second = ResponseCache(tmp_path)  # both open, as in two processes
    assert second.get([key(1), key(2), key(3)]) == {key(1): FULL, key(2): Response(loglikelihood=float("-inf"))}
    second.put({key(1): Response(text="later"), key(3): Response(text="three")})
    assert first.get([key(1), key(3)]) == {key(1): FULL, key(3): Response(text="three")}
    assert ResponseCache(tmp_path).get(many(2000)) == {k: first.get([k])[k] for k in (key(1), key(2), key(3))}


@pytest.mark.parametrize(
    "change",
    [
        {"context_ids": (1,)}, {"context_ids": (1, 2, 3), "continuation_ids": ()}, {"continuation_ids": (4,)},
        {"kind": "loglikelihood_rolling"}, {"kind": "generate_until"},
    ],
)  # fmt: skip
def test_another_request_has_another_key(change):
    keys = Keys(SIGNATURE, "cpu")
    assert keys.of(REQUEST) != keys.of(replace(REQUEST, **change))
    assert keys.of(REQUEST) == Keys(dict(reversed(SIGNATURE.items())), "cpu").of(replace(REQUEST, doc_id="2"))


@pytest.mark.parametrize("name", ["hash", "dtype", "context", "stride"])
def test_another_engine_has_other_keys(name):
    assert Keys(SIGNATURE | {name: "other"}, "cpu").of(REQUEST) != Keys(SIGNATURE, "cpu").of(REQUEST)
    assert Keys(SIGNATURE, "cuda").of(REQUEST) != Keys(SIGNATURE, "cpu").of(REQUEST)
    assert Keys(SIGNATURE | {"model": "copy"}, "cpu").of(REQUEST) == Keys(SIGNATURE, "cpu").of(REQUEST)


def test_other_products_of_int8_have_other_keys(monkeypatch):
    plain, rounded = (Keys(SIGNATURE | {"dtype": dtype}, "cpu").of(REQUEST) for dtype in ("float32", "int8"))
    monkeypatch.setattr("evalkit.engine.cached.INT8_ARITHMETIC", 0)
    assert Keys(SIGNATURE | {"dtype": "float32"}, "cpu").of(REQUEST) == plain
    assert Keys(SIGNATURE | {"dtype": "int8"}, "cpu").of(REQUEST) != rounded


@pytest.mark.parametrize("change", [{"seed": 1}, {"until": ("x",)}, {"max_tokens": 2}, {"beams": 2}, {"avoid": ("a",)}])
def test_another_decoding_has_another_key_where_it_counts(change):
    keys = Keys(SIGNATURE, "cpu")
    generate = replace(REQUEST, kind="generate_until")
    other = Decoding(**change)
    assert keys.of(generate) != keys.of(replace(generate, decoding=other))
    assert keys.of(REQUEST) == keys.of(replace(REQUEST, decoding=other))


def test_only_what_is_not_known_is_asked_and_each_question_once(tmp_path):
    engine, cache = counting(), ResponseCache(tmp_path)
    asked = [replace(REQUEST, continuation_ids=(i % 3,), doc_id=str(i % 3)) for i in range(6)]
    front = cached(engine, cache)
    assert dict(front.loglikelihood(asked[:4])) == dict(enumerate(map(engine._answer, asked[:4])))
    assert len(engine.asked) == 3
    more = [*asked, replace(REQUEST, continuation_ids=(9,))]
    assert dict(front.loglikelihood(more)) == dict(enumerate(engine._answer(r) for r in more))
    assert len(engine.asked) == 4


def test_an_engine_is_made_when_something_is_not_known(tmp_path):
    cache, engine = ResponseCache(tmp_path), counting()
    assert len(list(cached(engine, cache).generate_until([REQUEST]))) == 1
    about = {"signature": engine.signature(), "device": "cpu", "cache": cache}
    idle = CachedEngine(Here(lambda: 1 / 0), tokenizer=engine.tokenizer, context_length=8, **about)
    assert dict(idle.generate_until([REQUEST])) == {0: engine._answer(REQUEST)}
    with pytest.raises(ZeroDivisionError):
        list(idle.generate_until([replace(REQUEST, context_ids=(5,))]))
    changed = cached(engine, None, signature={**engine.signature(), "hash": "y"})
    with pytest.raises(CheckpointError, match="have changed since the run began"):
        list(changed.loglikelihood([REQUEST]))


@pytest.mark.parametrize("answer", [Response(error="broken"), *(Response(loglikelihood=float(x)) for x in NO_NUMBERS)])
def test_failures_are_not_kept_nor_is_half_a_call(tmp_path, answer):
    cache = ResponseCache(tmp_path)
    engine = FakeEngine("x", lambda _: answer)
    for _ in range(2):
        [(_, response)] = cached(engine, cache).loglikelihood([REQUEST])
        assert response.error
        assert math.isfinite(response.loglikelihood)
    assert len(engine.asked) == 2
    front = cached(counting(), cache)
    next(iter(front.loglikelihood([REQUEST, replace(REQUEST, continuation_ids=(5,))])))
    assert cache.get([front.keys.of(REQUEST)]) == {}


def test_the_least_recently_used_goes_first(tmp_path):
    clock = [0.0]
    cache = ResponseCache(tmp_path, limit=200_000, now=lambda: clock[0])
    everything = many(9000)
    for start in range(0, 9000, 500):
        clock[0] += 3600
        cache.put({key(i): everything[key(i)] for i in range(start, start + 500)})
        assert len(cache.get([key(i) for i in range(20)])) == 20  # in use all the time
    left = sorted(int.from_bytes(k, "big") for k in cache.get(everything))
    assert left[:20] == list(range(20)) and left[20] > 2000 and left[-1] == 8999
    assert cache.path.stat().st_size < 220_000
    assert all(cache.get([k])[k] == everything[k] for k in map(key, left[:40]))


def damage(path, how):
    data = path.read_bytes()
    if how == "text":
        path.write_text("no database at all, but long enough to be taken for one\n" * 100)
    elif how == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif how == "zeros":
        path.write_bytes(data[:4096] + b"\0" * (len(data) - 4096))
    elif how == "another":
        path.unlink()
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE other (x)")
            db.execute(f"PRAGMA user_version = {FORMAT}")
        db.close()
    else:  # a number that SQLite cannot know to be wrong
        place = data.index(many(100)[key(77)].tokens.to_bytes(4, "little"), 4096)
        path.write_bytes(data[:place] + b"\x01" + data[place + 1 :])


@pytest.mark.parametrize("how", ["text", "cut", "zeros", "another", "value"])
def test_a_corrupt_file_is_set_aside_with_one_warning(tmp_path, how, caplog):
    first = ResponseCache(tmp_path)
    first.put(many(3000))
    first.close()
    damage(first.path, how)
    cache = ResponseCache(tmp_path)
    found = cache.get(many(3000))
    assert all(many(3000)[k] == response for k, response in found.items())
    cache.put(many(10))
    assert cache.get(many(10)) == many(10)
    assert [r.levelname for r in caplog.records] == ["WARNING"] and "is corrupt" in caplog.text
    assert len(list(tmp_path.glob("*.corrupt-*"))) == 1


def test_flipped_bits_never_change_a_number(tmp_path, caplog):
    made = tmp_path / "made"
    first = ResponseCache(made)
    first.put(many(60))
    first.close()
    data = first.path.read_bytes()
    caplog.set_level(logging.CRITICAL)
    for place in range(50, len(data), 997):
        folder = tmp_path / "flipped"
        folder.mkdir()
        damaged = bytearray(data)
        damaged[place] ^= 1 << place // 997 % 8
        (folder / "responses.sqlite").write_bytes(damaged)
        shutil.copy(secret_of(made), folder)
        cache = ResponseCache(folder)
        assert all(many(60)[k] == response for k, response in cache.get(many(60)).items())
        cache.put(many(70))
        assert all(many(70)[k] == response for k, response in cache.get(many(70)).items())
        cache.close()
        shutil.rmtree(folder)


def secret_of(folder):
    [path] = folder.glob("responses-*.key")
    return path


def test_nobody_else_may_enter_the_folder_or_read_the_secret(tmp_path):
    ResponseCache(tmp_path / "own" / "cache").put(many(2))
    folder = tmp_path / "own" / "cache"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(secret_of(folder).stat().st_mode) == 0o600
    assert not list(folder.glob(".*"))  # nothing of its making is left


def planted(folder, elsewhere, rows):
    """Write rows into a folder's file with the secret of another folder, as another user would."""
    other = ResponseCache(elsewhere)
    other.put(rows)
    other.close()
    with sqlite3.connect(folder / "responses.sqlite") as db, sqlite3.connect(other.path) as source:
        db.executemany("INSERT OR REPLACE INTO responses VALUES (?, ?, ?)", source.execute("SELECT * FROM responses"))


def test_what_another_user_planted_counts_for_nothing(tmp_path, caplog):
    mine = ResponseCache(tmp_path / "mine")
    mine.put(many(2))
    better = {key(i): Response(loglikelihood=0.0, is_greedy=True) for i in (1, 2, 3)}
    planted(tmp_path / "mine", tmp_path / "theirs", better)
    assert mine.get(many(4)) == {key(0): many(1)[key(0)]}
    mine.put(many(4))  # what was planted gives way
    assert ResponseCache(tmp_path / "mine").get(many(4)) == many(4)
    assert not caplog.records


@pytest.mark.parametrize("how", ["cut", "readable", "gone"])
def test_a_secret_that_is_none_is_made_anew_and_old_rows_are_asked_again(how, tmp_path, caplog):
    first = ResponseCache(tmp_path)
    first.put(many(3))
    first.close()
    secret = secret_of(tmp_path)
    before = secret.read_bytes()
    if how == "cut":
        secret.write_bytes(before[:9])
    elif how == "readable":
        secret.chmod(0o644)
    else:
        secret.unlink()
    again = ResponseCache(tmp_path)
    assert again.get(many(3)) == {} and secret_of(tmp_path).read_bytes() != before
    again.put(many(3))
    assert ResponseCache(tmp_path).get(many(3)) == many(3)
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600 and not caplog.records


@pytest.mark.parametrize("how", ["another user's", "pipe", "link"])
def test_a_planted_secret_costs_the_cache_and_one_warning(how, tmp_path, monkeypatch, caplog):
    ResponseCache(tmp_path).put(many(3))
    secret = secret_of(tmp_path)
    if how == "another user's":
        owner = os.getuid() + 1
        monkeypatch.setattr(caches, "_ME", owner)
        secret.rename(tmp_path / f"responses-{owner}.key")
    else:
        known = secret.rename(tmp_path / "known")
        os.mkfifo(secret) if how == "pipe" else secret.symlink_to(known)
    cache = ResponseCache(tmp_path)
    cache.put(many(5))
    assert cache.get(many(5)) == {}
    assert len(caplog.records) == 1 and "continuing without the cache" in caplog.text


def test_a_cache_of_before_is_begun_anew(tmp_path, caplog):
    cache = ResponseCache(tmp_path)
    cache.put(many(3))
    cache.close()
    with sqlite3.connect(cache.path) as db:
        db.execute("PRAGMA user_version = 1")
    assert ResponseCache(tmp_path).get(many(3)) == {} and not caplog.records


def _secret_in(folder, queue):
    queue.put(caches._secret(folder))


def test_processes_make_one_secret(tmp_path):
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    makers = [context.Process(target=_secret_in, args=(tmp_path, queue)) for _ in range(8)]
    for maker in makers:
        maker.start()
    found = {queue.get(timeout=30) for _ in makers}
    for maker in makers:
        maker.join()
    assert found == {secret_of(tmp_path).read_bytes()} and len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_cannot_be_written_costs_one_warning(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    cache = ResponseCache(tmp_path / "file")
    cache.put(many(2))
    assert cache.get(many(2)) == {}
    assert len(caplog.records) == 1 and "continuing without the cache" in caplog.text


@pytest.mark.parametrize(
    "message", ["database or disk is full", "attempt to write a readonly database", "disk I/O error"]
)
def test_a_full_disk_costs_one_warning(tmp_path, caplog, message):
    cache = ResponseCache(tmp_path)
    cache.put(many(2))

    def full(*_):
        raise sqlite3.OperationalError(message)

    cache._write = full
    cache.put(many(3))
    cache.put(many(4))
    assert cache.get(many(3)) == {}
    assert len(caplog.records) == 1 and message in caplog.text and not list(tmp_path.glob("*.corrupt-*"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_file_is_done_without(tmp_path, caplog):
    cache = ResponseCache(tmp_path)
    cache.close()
    cache.path.chmod(stat.S_IREAD)
    tmp_path.chmod(stat.S_IREAD | stat.S_IEXEC)
    ResponseCache(tmp_path).put(many(2))
    assert len(caplog.records) == 1


def _write_some(folder, begin):
    cache = ResponseCache(folder)
    for start in range(begin, begin + 1000, 200):
        cache.put({k: many(2000)[k] for k in map(key, range(start, start + 200))})
        assert len(cache.get(map(key, range(start, start + 200)))) == 200


def test_processes_share_a_new_file(tmp_path):
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write_some, args=(tmp_path, begin)) for begin in (0, 500, 1000)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * 3
    assert ResponseCache(tmp_path).get(many(2000)) == many(2000)
