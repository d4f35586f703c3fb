"""Single texts: one spelling, hashes of words, signatures, languages."""

from __future__ import annotations

import random
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.corpus import duplicates, filters, word_hashes
from evalkit.corpus.clean import clean
from evalkit.errors import UsageError

# Marks that compose, what stood between them and their letters, and whatever else there is.
TROUBLE = st.sampled_from(
    "e\u0301\u0323\u0300\u1100\u1161\u11a8\u0344\u212b\ufeff\x00\x07\x85\x0b\x0c\x1c\x1f\r\n\u2028\u2000 "
)
ANY_TEXT = st.text(st.characters(codec=None) | TROUBLE, max_size=60)


@settings(deadline=None, derandomize=True, max_examples=1000)
@given(ANY_TEXT)
def test_a_clean_text_stays_as_it_is(text):
    once = clean(text)
    assert clean(once) == once and unicodedata.is_normalized("NFC", once)
    once.encode()  # no lone surrogates
    assert not any(unicodedata.category(sign) == "Cc" and sign not in "\t\n" for sign in once)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("  a\r\nb\rc\u2028d  \n", "a\nb\nc\nd"),
        ("cafe\u0301", "caf\u00e9"),
        ("\ufeffa\x00b\x1b[0mc\x7f\x9d", "ab[0mc"),
        ("a\tb\n\n\nc", "a\tb\n\n\nc"),
        ("\ud800 lone", "\ufffd lone"),
        ("e\ufeff\u0301", "\u00e9"),
        ("e\x00\u0301", "\u00e9"),
        ("a\u0300\x07\u0323", "\u1ea1\u0300"),
        ("page\x0cpage\x0bline\x1crecord\x1funit", "page\npage\nline\nrecord unit"),
    ],
)
def test_one_spelling(text, cleaned):
    assert clean(text) == cleaned


def test_words_are_hashed_alike_in_any_dress():
    hasher = word_hashes.WordHasher()
    plain = hasher("do not go gentle 1914")
    assert len(set(plain.tolist())) == 5
    assert np.array_equal(plain, hasher("“Do NOT_go *Gentle*, 1914!”"))
    assert len(hasher(" ,;- ")) == 0


def test_grams_are_equal_where_their_words_are():
    hashed = word_hashes.WordHasher()("a b c a b c d")
    found = word_hashes.grams(hashed, n=3).tolist()
    assert len(found) == 5 and found[0] == found[3] and len(set(found)) == 4
    assert len(word_hashes.grams(hashed, n=8)) == 0


def test_the_memory_of_words_is_bounded(monkeypatch):
    monkeypatch.setattr(word_hashes, "_CACHED", 3)
    hasher = word_hashes.WordHasher()
    assert np.array_equal(hasher("a b c d e f a"), word_hashes.WordHasher()("a b c d e f a"))


def jaccard(one, other):
    first, second = (set(word_hashes.grams(text, n=duplicates.SHINGLE).tolist()) for text in (one, other))
    return len(first & second) / len(first | second)


def test_signatures_agree_by_the_likeness_of_their_texts():
    rng = np.random.default_rng(0)
    text = rng.integers(1 << 63, size=20_000, dtype=np.uint64)
    for share in (0.002, 0.02, 0.1):
        changed = np.where(rng.random(len(text)) < share, rng.integers(1 << 63, size=len(text), dtype=np.uint64), text)
        agreed = (duplicates.signature(text) == duplicates.signature(changed)).mean()
        assert agreed == pytest.approx(jaccard(text, changed), abs=0.12)
    assert duplicates.signature(text[:4]) is None


def test_a_long_text_has_the_signature_of_its_blocks_together(monkeypatch):
    text = np.random.default_rng(0).integers(1 << 63, size=3000, dtype=np.uint64)
    whole = duplicates.signature(text)
    monkeypatch.setattr(duplicates, "_BLOCK", 100)
    assert np.array_equal(whole, duplicates.signature(text))


def test_the_first_of_equal_keys_stays():
    keys = np.array([[1, 2], [3, 4], [1, 2], [1, 3], [3, 4], [1, 2]], dtype=np.uint64)
    assert duplicates.same(keys).tolist() == [False, False, True, False, True, True]
    assert duplicates.same(keys[:0]).tolist() == []


def test_alike_finds_what_comparing_all_pairs_finds():
    rng = np.random.default_rng(1)
    originals = [rng.integers(1 << 63, size=400, dtype=np.uint64) for _ in range(60)]
    documents = list(originals)
    for place, original in enumerate(originals[:30]):
        copy = original.copy()
        copy[: place % 3] = 7  # up to two words of 400 differ
        documents.append(copy)
    signatures = np.stack([duplicates.signature(text) for text in documents])
    found = duplicates.alike(signatures, threshold=0.8)
    assert found.tolist() == [False] * 60 + [True] * 30
    assert not duplicates.alike(signatures[:0], threshold=0.8).any()


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.8, 0.9, 0.99])
def test_bands_find_nearly_every_pair_at_the_threshold(threshold):
    rows = duplicates._rows(threshold)
    assert 1 - (1 - threshold**rows) ** (duplicates.PERMUTATIONS // rows) >= 0.95


def test_the_language_of_a_long_text_is_told_from_its_middle():
    french = "Le garçon est allé au marché et il a acheté du pain pour sa mère, qui était malade. " * 100
    assert filters.language_of("The usual licence in English. " * 20 + french) == "fr"
    with pytest.raises(UsageError, match=r"unknown language 'english' \(allowed: .*en, "):
        filters.check_languages(("en", "english"))
    filters.check_languages(())


def test_random_is_not_alike():
    rng = random.Random(0)
    texts = [" ".join(rng.choices("one two three four".split(), k=200)) for _ in range(20)]
    signatures = np.stack([duplicates.signature(word_hashes.WordHasher()(text)) for text in texts])
    assert not duplicates.alike(signatures, threshold=0.8).any()
