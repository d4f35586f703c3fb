"""Shards: read as one array, and refused where they are not what was written."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import processors

from evalkit import corpus
from evalkit.corpus.page import page_of
from evalkit.corpus.prepare import prepare
from evalkit.errors import DataError, StoreError, UsageError
from evalkit.tokenizer import Tokenizer

TEXTS = [" ".join(random.Random(i).choices("one two three four five six".split(), k=30)) for i in range(300)]


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train(TEXTS, vocab_size=300)


@pytest.fixture
def folder(tokenizer, tmp_path):
    corpus.of_texts(TEXTS, tokenizer, tmp_path / "corpus", name="texts", validation=0.05)
    return tmp_path / "corpus"


def test_texts_go_in_and_come_out(folder, tokenizer):
    found = corpus.load(folder)
    ids = [*found.train, *found.validation]
    assert sorted(tokenizer.decode(ids)) == sorted("".join(TEXTS))
    assert ids.count(tokenizer.end_of_text) == len(TEXTS) == found.info.documents
    assert len(found.train) + len(found.validation) == found.info.tokens
    assert 0 < len(found.validation) < 0.1 * found.info.tokens
    assert "300 documents" in page_of(folder)


@settings(deadline=None, derandomize=True)
@given(
    st.lists(st.integers(0, 5), min_size=0, max_size=5),
    st.one_of(st.none(), st.integers(-20, 20)),
    st.one_of(st.none(), st.integers(-20, 20)),
)
def test_a_stream_over_files_is_read_as_one_array(lengths, start, stop):
    whole = np.arange(sum(lengths), dtype=np.uint16)
    stream = corpus.Tokens(np.split(whole, np.cumsum(lengths)[:-1]) if lengths else [], whole.dtype)
    assert len(stream) == len(whole) and list(stream) == list(whole)
    assert np.array_equal(stream[start:stop], whole[start:stop]) and stream[start:stop].dtype == whole.dtype
    for index in range(-len(whole), len(whole)):
        assert stream[index] == whole[index]
    with pytest.raises(IndexError):
        stream[len(whole)]


def test_large_vocabularies_take_four_bytes(tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr(Tokenizer, "size", property(lambda _: 70_000))
    wide = corpus.of_texts(TEXTS, tokenizer, tmp_path, name="wide")
    assert wide.train.dtype == np.uint32 and wide.train[:3].tolist() == tokenizer.encode(TEXTS[0])[:3]


def test_a_corpus_of_one_array_a_part_is_read(folder, tokenizer):
    index = json.loads((folder / "corpus.json").read_text())
    for part in ("train", "validation"):
        (folder / f"{part}-00000.bin").rename(folder / f"{part}.bin")
    for name in ("shards", "vocabulary", "tokenizer", "plan"):
        del index[name]
    (folder / "corpus.json").write_text(json.dumps(index))
    assert len(corpus.load(folder).train) == index["tokens"] - index["validation_tokens"]
    assert corpus.load_tokenizer(folder).size == tokenizer.size


def test_files_that_are_not_what_was_written(folder):
    path = folder / "train-00000.bin"
    whole = path.read_bytes()
    path.write_bytes(whole[:-7])
    with pytest.raises(StoreError, match=r"train-00000\.bin: expected \d+ bytes, found \d+; is the file cut\?"):
        corpus.load(folder)
    path.unlink()
    with pytest.raises(StoreError, match=r"train-00000\.bin is missing"):
        corpus.load(folder)
    path.write_bytes(b"\x05" + whole[1:] if whole[0] != 5 else b"\x06" + whole[1:])
    corpus.load(folder)
    with pytest.raises(StoreError, match=r"train-00000\.bin: its content has changed"):
        corpus.verify(folder)
    path.write_bytes(whole)
    corpus.verify(folder)


def test_an_index_that_is_none(folder):
    index = json.loads((folder / "corpus.json").read_text())
    for broken, message in [
        ("{", "not valid JSON"),
        ("[]", "not a corpus index"),
        (json.dumps({**index, "width": "wide"}), "not a corpus index"),
        (json.dumps({**index, "tokens": 5}), "the shards' numbers do not add up to that"),
    ]:
        (folder / "corpus.json").write_text(broken)
        with pytest.raises(StoreError, match=message):
            corpus.load(folder)
    (folder / "corpus.json").unlink()
    with pytest.raises(StoreError, match="no corpus here"):
        corpus.load(folder)


def test_another_tokenizer_is_refused(folder, tmp_path):
    own, other = corpus.load_tokenizer(folder), Tokenizer.train(TEXTS, vocab_size=270)

    def prepared(**options):
        plain = {"vocab_size": None, "tokenizer": None, "tokens": 1, "seed": 0, "reuse": False}
        return prepare([str(folder)], tmp_path / "out", **{**plain, **options})

    assert prepared(vocab_size=own.size)[1].info.documents == 300
    with pytest.raises(UsageError, match="was made with another tokenizer"):
        prepared(tokenizer=other)
    with pytest.raises(UsageError, match=f"has a vocabulary of {own.size}, not 500; omit --vocab"):
        prepared(vocab_size=500)
    other.save(folder, context=0)
    with pytest.raises(StoreError, match=r"its tokenizer\.json is not the one"):
        prepared()


def test_an_unfinished_corpus_is_not_trained_on(folder, tmp_path):
    (folder / "corpus.json").unlink()
    (folder / "unfinished").mkdir()
    with pytest.raises(StoreError, match="the build of this corpus is unfinished; give the same command again"):
        prepare([str(folder)], tmp_path / "out", tokens=1, vocab_size=None, tokenizer=None, seed=0, reuse=False)


def test_raw_sources_are_built_once(tmp_path, monkeypatch):
    monkeypatch.delenv("EVALKIT_DATA", raising=False)
    (tmp_path / "text.txt").write_text("\n".join(TEXTS))
    options = {"tokens": 1, "vocab_size": 300, "tokenizer": None, "seed": 0}
    first = prepare([str(tmp_path / "text.txt")], tmp_path / "out", reuse=False, **options)[1]
    made = (tmp_path / "out" / "corpus.json").stat().st_mtime_ns
    again = prepare([str(tmp_path / "text.txt")], tmp_path / "out", reuse=False, **options)[1]
    assert again.info == first.info and (tmp_path / "out" / "corpus.json").stat().st_mtime_ns == made
    with pytest.raises(UsageError, match="already holds a corpus"):
        prepare([str(tmp_path / "text.txt")], tmp_path / "out", reuse=False, **{**options, "vocab_size": 290})
    (tmp_path / "text.txt").unlink()
    assert prepare(["text.txt"], tmp_path / "out", reuse=True, **options)[1].info == first.info


def test_no_text_is_no_corpus(tokenizer, tmp_path):
    with pytest.raises(DataError, match="holds no text"):
        corpus.of_texts([], tokenizer, tmp_path, name="none")


def test_documents_begin_as_the_tokenizer_s_texts_do(make, tmp_path):
    (tmp_path / "rows.jsonl").write_text("".join(f'{{"text": "the {n} lines of a text"}}\n' for n in range(300)))
    backend = Tokenizer.train(["the lines of a text"], vocab_size=270)._backend
    backend.add_special_tokens(["<s>"])
    special = [("<s>", backend.token_to_id("<s>"))]
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=special)
    tokenizer = Tokenizer(backend, begin="<s>")
    built = make([tmp_path / "rows.jsonl"], tmp_path / "built", tokenizer=tokenizer)
    texts = [f"the {n} lines of a text" for n in range(300)]
    plain = corpus.of_texts(texts, tokenizer, tmp_path / "plain", name="plain")
    for made in (corpus.load(tmp_path / "built"), plain):
        ids = made.train[:].tolist()
        begins = [place for place, index in enumerate(ids) if index == tokenizer.begin]
        assert begins == [0, *(place + 1 for place, index in enumerate(ids[:-1]) if index == tokenizer.end_of_text)]
        assert len(begins) > 250
    assert built.total.tokens == plain.info.tokens
    assert corpus.load_tokenizer(tmp_path / "built").begin == tokenizer.begin
