"""Task files that would hang, fill the memory or end the process: each is a line, and the others are checked."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evalkit.errors import DataError
from evalkit.lm_eval.tasks import check, files, index
from evalkit.lm_eval.tasks.data import first_rows
from tests.lm_eval.made import TASK, write

_LEVELS = "".join(f"  {b}: &{b} [{','.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcdefghi", "bcdefghij", strict=True))
_MERGED = "".join(
    f"{b}: &{b} {{<<: [{','.join([f'*{a}'] * 10)}]}}\n" for a, b in zip("abcdefg", "bcdefgh", strict=True)
)

HOSTILE = {
    "bomb": (f"metadata:\n  a: &a [x, x]\n{_LEVELS}", "more than 200,000 values, aliases counted"),
    "merge": (f"a: &a {{x: 1}}\n{_MERGED}", "more than 200,000 values, aliases counted"),
    "recursive": ("metadata: &m\n  a: *m\n", "an alias inside its own anchor"),
    "recursive_merge": ("metadata: &m\n  <<: *m\n", "an alias inside its own anchor"),
    "deep": ("a: " + "[" * 100_000 + "]" * 100_000, "nested more than 100 deep"),
    "blocks": ("- " * 60_000 + "a", "nested more than 100 deep"),
    "date": ("a: !!timestamp abc\n", "not valid YAML"),
    "number": ("a: !!int ''\n", "not valid YAML"),
    "long": ("a: " + "9" * 9999, "not valid YAML"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_graph_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    text, message = HOSTILE[name]
    (tmp_path / "t.yaml").write_text(text)
    with pytest.raises(DataError, match=message):
        files.read(tmp_path / "t.yaml")


def test_aliases_that_stay_small_are_read(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text("a: &a {x: 1}\nb: {<<: *a, y: 2}\nc: [*a, *a]\n")
    assert files.read(tmp_path / "t.yaml") == {"a": {"x": 1}, "b": {"x": 1, "y": 2}, "c": [{"x": 1}, {"x": 1}]}


def test_includes_do_not_multiply(tmp_path: Path) -> None:
    for level in range(9):
        (tmp_path / f"{level}.yaml").write_text(f"include: [{', '.join([f'{level + 1}.yaml'] * 9)}]\n")
    (tmp_path / "9.yaml").write_text("a: 1\n")
    with pytest.raises(DataError, match=r"0\.yaml: include: more than 500 files"):
        files.read(tmp_path / "0.yaml")
    index.index.cache_clear()
    assert index.index((tmp_path,)).names == []


def test_one_bad_file_never_ends_a_check(tmp_path: Path) -> None:
    write(tmp_path, "good.yaml")
    for name, (text, _) in HOSTILE.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    write(tmp_path, "name.yaml", f"include: {'x' * 5000}\n")
    write(tmp_path, "spaces.yaml", TASK, more=f"\ntag:{' ' * 100_000}x\n")
    os.mkfifo(tmp_path / "pipe.yaml")
    report = check.check_folder(tmp_path)
    assert report.tasks == 2 and sum(map(len, report.causes.values())) == len(HOSTILE) + 2


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_not_waited_for(make: Callable[[Path], None], tmp_path: Path) -> None:
    from evalkit.data.readers import read_jsonl
    from evalkit.errors import CheckpointError
    from evalkit.files import read_json

    make(tmp_path / "config.json")
    with pytest.raises(CheckpointError, match=r"config\.json is a (pipe|folder); expected a file"):
        read_json(tmp_path / "config.json", CheckpointError)
    with pytest.raises(DataError, match=r"is a (pipe|folder); expected a file"):
        list(read_jsonl([tmp_path / "config.json"]))


def test_rows_that_are_no_text_are_an_error_of_the_file(tmp_path: Path) -> None:
    class Rows(list[dict[str, str]]):
        def __getitem__(self, place: object) -> Any:
            raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")

    with pytest.raises(DataError, match=r"t\.yaml: its data holds a text that is not UTF-8"):
        first_rows(Rows([{}]), 1, path=tmp_path / "t.yaml")
