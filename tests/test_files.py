"""Texts that are kept across runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from evalkit import files
from evalkit.engine import cache as cache_module
from evalkit.errors import StoreError, UsageError
from evalkit.files import cached_text, write_atomic


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


def test_network_disks(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "/dev/vda / ext4 rw 0 0\nserver:/home /home nfs4 rw 0 0\n/dev/vdb /home/me/fast xfs rw 0 0\n"
        "tank /my\\040data lustre rw 0 0\ntorn\n"
    )
    kinds = {"/home/me/.cache": "nfs4", "/home/me/fast/x": "", "/my data/x": "lustre", "/tmp": "", "/homes": ""}
    assert {path: files.network_disk(Path(path), mounts) for path in kinds} == kinds
    assert files.network_disk(Path("/x"), tmp_path / "absent") == ""


def test_a_cache_at_a_url_or_on_a_network_disk(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setenv("EVALKIT_CACHE", "s3://bucket/cache")
    with pytest.raises(UsageError, match="the cache is a database"):
        files.cache_folder()
    monkeypatch.setenv("EVALKIT_CACHE", str(tmp_path))
    assert cache_module.response_cache() is not None
    monkeypatch.setattr(cache_module, "network_disk", lambda folder: "nfs4")
    assert cache_module.response_cache() is None and "network disk (nfs4)" in caplog.text


@pytest.mark.parametrize("kind", ["pipe", "link to a pipe", "standard output"])
def test_no_file_takes_the_place_of_a_pipe_or_a_device(tmp_path: Path, kind: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    if kind != "pipe":
        (tmp_path / "link").symlink_to("/proc/self/fd/1" if kind == "standard output" else tmp_path / "pipe")
    path = tmp_path / ("pipe" if kind == "pipe" else "link")
    before = path.lstat()
    with pytest.raises(StoreError, match=rf"cannot write {path}: it is a device or a pipe; give a file"):
        write_atomic(path, "x")
    assert path.lstat() == before and (tmp_path / "pipe").is_fifo()
