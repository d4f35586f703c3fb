"""Parquet files of a few kilobytes that would fill the memory."""

from __future__ import annotations

import errno
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from evalkit.data.readers import read_tables
from evalkit.errors import DataError, cannot


@pytest.mark.parametrize("texts", [["x" * 4_000_000] * 40, ["x" * 90_000_000]], ids=["dictionary", "page"])
def test_a_bomb_is_refused(texts: list[str], tmp_path: Path) -> None:
    path = tmp_path / "test.parquet"
    parquet.write_table(pa.table({"text": texts}), path, compression="zstd")
    assert path.stat().st_size < 100_000
    with pytest.raises(DataError, match=r"test\.parquet: expands to more than 200 times its size"):
        list(read_tables([path]))


def test_plain_tables_are_read(tmp_path: Path) -> None:
    rows = [{"text": f"row {i}", "label": i % 2} for i in range(3000)]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "test.parquet")
    assert list(read_tables([tmp_path / "test.parquet"])) == rows


@pytest.mark.parametrize(("what", "code"), [("read", 2), ("write", 3)])
def test_no_permission_to_read_is_a_wrong_input(what: str, code: int, tmp_path: Path) -> None:
    assert cannot(what, tmp_path, PermissionError(errno.EACCES, "Permission denied")).exit_code == code


def test_text_that_is_not_utf8_is_an_error_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    texts = pa.array([b"\xb2\xff"], pa.binary()).view(pa.string())
    parquet.write_table(pa.table({"text": texts}), path)
    with pytest.raises(DataError, match=r"rows\.parquet: not a readable parquet file"):
        list(read_tables([path]))
