from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.text import normalize

QUICK = settings(deadline=None, derandomize=True, max_examples=150)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("The Denver Broncos", "denver broncos"),
        ("an apple, a pear and the  fig.", "apple pear and fig"),
        ("T.S. Eliot's", "ts eliots"),
        ("theatre another", "theatre another"),
        ("-5", "5"),
        ("1,234.5%", "12345"),
        ("“curly” – dash", "“curly” – dash"),
        ("A", ""),
        (" \t\n", ""),
        ("Café", "café"),
    ],
)
def test_squad(raw: str, expected: str) -> None:
    assert normalize.squad(raw) == expected


def test_nq_makes_composed_and_decomposed_letters_equal() -> None:
    composed, decomposed = "Beyonc\u00e9", "Beyonce\u0301"
    assert normalize.squad(composed) != normalize.squad(decomposed)
    assert normalize.nq(composed) == normalize.nq(decomposed) == "beyonce\u0301"


@QUICK
@given(st.text())
def test_squad_twice_is_squad_once(text: str) -> None:
    once = normalize.squad(text)
    assert normalize.squad(once) == once
    assert not set(once) & set(string.punctuation)


def test_first_sentences_keep_the_text_between() -> None:
    text = "  Mr. A came.  He saw\nand left! Why? Nobody knows. "
    assert normalize.first_sentence(text) == "Mr. A came."
    assert normalize.first_sentences(text, 3) == "Mr. A came.  He saw\nand left!"
    assert normalize.first_sentences(text, 99) == text.strip()
    assert normalize.first_sentences(" \n ", 3) == ""
