"""Texts that are kept across runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalkit.files import cached_text


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EVALKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def _made(text: str = "text\nof two lines") -> tuple[list[str], str]:
    """Return what was made by a call, and what it gave."""
    made: list[str] = []

    def make() -> str:
        made.append(text)
        return text

    return made, cached_text("a.txt", "key", make)


def test_a_text_is_made_once(cache: Path) -> None:
    assert _made() == (["text\nof two lines"], "text\nof two lines")
    assert _made("another") == ([], "text\nof two lines")


def test_another_key_makes_it_again_in_the_same_file(cache: Path) -> None:
    _made()
    assert cached_text("a.txt", "another key", lambda: "new") == "new"
    assert _made("old") == (["old"], "old")
    assert [path.name for path in cache.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("damage", [b"", b"key 0\ntext", b"\xff\xfe", None])
def test_a_damaged_text_counts_for_nothing(cache: Path, damage: bytes | None) -> None:
    _made()
    path = cache / "a.txt"
    path.write_bytes(path.read_bytes()[:-1] if damage is None else damage)
    assert _made("new") == (["new"], "new")
    assert _made() == ([], "new")


def test_where_nothing_can_be_kept_it_is_made(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.write_text("no folder")
    assert _made("one") == (["one"], "one")
    monkeypatch.setenv("EVALKIT_CACHE", "off")
    assert _made("two") == (["two"], "two")
