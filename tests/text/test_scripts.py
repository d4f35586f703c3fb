"""Words of any script."""

from __future__ import annotations

import pytest

from evalkit.text.words import mostly_outside_latin, split_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("U.S. cats' self-made_2", ["u", "s", "cats", "self", "made", "2"]),
        ("Ёлка, cafés", ["ёлка", "cafés"]),
        ("cafe\u0301", ["café"]),
        ("東京 ２０２４年", ["東", "京", "2024", "年"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("ที่", ["ที่"]),
        ("GPT東京x", ["gpt", "東", "京", "x"]),
        ("\u0301a \u0301\u0301b", ["a", "b"]),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert split_words(text) == words


def test_scripts() -> None:
    for text in ("", "cat", "ça déjà vu", "ab γ", "123 456", "…!"):
        assert not mostly_outside_latin(text)
    for text in ("αβ c", "東京 2024", "Привет", "مرحبا"):
        assert mostly_outside_latin(text)
