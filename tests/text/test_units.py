from __future__ import annotations

from pathlib import Path

import pytest

from evalkit.text import units


@pytest.mark.parametrize(("name", "words"), [("test.txt", 245_569), ("valid.txt", 217_646)])
def test_wikitext_counts_are_the_published_ones(data_dir: Path, name: str, words: int) -> None:
    text = (data_dir / "wikitext-2" / name).read_text(encoding="utf-8")
    assert units.count_words(text) == words
    # Pieces that keep their newlines add up.
    assert sum(units.count_words(line) for line in text.splitlines(keepends=True)) == words


def test_small_counts() -> None:
    assert units.count_words("a b\n\nc") == 5
    assert units.count_words("") == 0
    assert units.count_gaps(" a b\n") == 4
    assert units.count_bytes("é–") == 5
