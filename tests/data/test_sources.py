"""Every place where a benchmark's rows may come from, and every way in which its files may be broken."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import zstandard

from evalkit.data import sources
from evalkit.data.sources import (
    BenchmarkSource,
    DataPaths,
    Hub,
    Release,
    Split,
    WorldSource,
    count,
    open_text,
    read_json,
    read_jsonl,
    read_lines,
    read_tables,
)
from evalkit.errors import DataError, UsageError
from evalkit.harness.run import RunSettings, load
from evalkit.harness.task import Protocol, Task
from evalkit.types import Example

ROWS = [{"text": "a b"}, {"text": "c é\u2028d"}, {"text": "e f"}]
SHOTS = [{"text": "x y"}]


def _jsonl(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def _parquet(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    import pyarrow
    from pyarrow import parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path)
    return path


def _read_plain(paths: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """A release in another format than the hub's."""
    for path in paths:
        yield from ({"text": line} for _, line in read_lines(path))


TOY = BenchmarkSource(
    name="toy",
    hub=Hub(id="nobody/toy", config="main", splits={"test": "validation", "shots": "train"}),
    releases={
        "test": Release(files=("toy/dev.txt",), read=_read_plain),
        "shots": Release(files=("toy/train.txt",), read=_read_plain),
    },
)
PAIR = BenchmarkSource(
    name="pair",
    hub=Hub(id="nobody/pair", splits={"test": "test"}),
    releases={"test": Release(files=("pair/a.txt", "pair/b.txt"), read=_read_plain)},
)


def _texts(source: BenchmarkSource, split: Split, data: DataPaths) -> list[str]:
    return [row["text"] for row in source.rows(split, data)]


class TestUserPaths:
    def test_names_and_root(self, tmp_path: Path) -> None:
        file = _jsonl(tmp_path / "x=1.jsonl", ROWS)
        data = DataPaths.from_user([f"toy={file}"], {"EVALKIT_DATA": str(tmp_path)})
        assert data == DataPaths(named={"toy": file}, root=tmp_path)
        assert DataPaths.from_user([], {}) == DataPaths()

    @pytest.mark.parametrize("pair", ["toy", "toy=", "=x", ""])
    def test_a_pair_needs_both_sides(self, pair: str) -> None:
        with pytest.raises(UsageError, match="expected NAME=PATH"):
            DataPaths.from_user([pair], {})

    def test_paths_must_exist(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"nowhere does not exist"):
            DataPaths.from_user([f"toy={tmp_path / 'nowhere'}"], {})
        with pytest.raises(UsageError, match=r"EVALKIT_DATA names .*nowhere, which is not a folder"):
            DataPaths.from_user([], {"EVALKIT_DATA": str(tmp_path / "nowhere")})


class TestPlaces:
    def test_release_files_in_the_data_folder(self, tmp_path: Path) -> None:
        (tmp_path / "toy").mkdir()
        (tmp_path / "toy/dev.txt").write_text("one\ntwo\n")
        (tmp_path / "toy/train.txt").write_text("three\n")
        data = DataPaths(root=tmp_path)
        assert _texts(TOY, "test", data) == ["one", "two"]
        assert _texts(TOY, "shots", data) == ["three"]
        assert TOY.at_hand(data) == str(tmp_path / "toy/dev.txt")
        assert TOY.fingerprint("test", data) != TOY.fingerprint("shots", data)

    @pytest.mark.parametrize(
        ("compress", "ending"), [(gzip.compress, ".gz"), (bz2.compress, ".bz2"), (zstandard.compress, ".zst")]
    )
    def test_compressed_release_files(self, compress: Any, ending: str, tmp_path: Path) -> None:
        (tmp_path / "toy").mkdir()
        path = tmp_path / f"toy/dev.txt{ending}"
        path.write_bytes(compress(b"one\ntwo\n"))
        for data in (DataPaths(root=tmp_path), DataPaths(named={"toy": path}), DataPaths(named={"toy": path.parent})):
            assert _texts(TOY, "test", data) == ["one", "two"]

    @pytest.mark.parametrize("text", ['[{"text": "a"},\n {"text": "b"}]', '{"text": "a"}\n{"text": "b"}\n'])
    def test_json_in_the_hubs_layout_is_a_list_or_lines(self, text: str, tmp_path: Path) -> None:
        (tmp_path / "validation.json").write_text(text)
        data = DataPaths(named={"toy": tmp_path})
        assert _texts(TOY, "test", data) == ["a", "b"] and count(TOY, data) is None
        (tmp_path / "validation.json").write_text('[{"text": "a"}, 3]')
        with pytest.raises(DataError, match=r"validation\.json item 2: expected a JSON object, found int"):
            _texts(TOY, "test", data)

    def test_a_benchmark_without_release_files(self, tmp_path: Path) -> None:
        source = BenchmarkSource(name="hub", hub=Hub(id="nobody/hub", splits={"test": "test"}))
        path = _jsonl(tmp_path / "test.jsonl", ROWS)
        for place in (path, tmp_path):
            assert len(_texts(source, "test", DataPaths(named={"hub": place}))) == 3
        (tmp_path / "x.txt").write_text("one")
        (tmp_path / "empty").mkdir()
        with pytest.raises(DataError, match=r"x\.txt: hub is read from JSONL, JSON, CSV, TSV or parquet with"):
            _texts(source, "test", DataPaths(named={"hub": tmp_path / "x.txt"}))
        with pytest.raises(DataError, match=r"empty: no data of hub; expected test\.jsonl/\.parquet"):
            _texts(source, "test", DataPaths(named={"hub": tmp_path / "empty"}))

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("mine.csv", 'text,n\n"a, ""b""\nc",1\nd,\n'),
            ("mine.csv", '\ufefftext,n\r\n"a, ""b""\nc",1\r\nd,\r\n\r\n'),
            ("mine.tsv", 'text\tn\n"a, ""b""\nc"\t1\nd\t\n'),
            ("mine.json", '[{"text": "a, \\"b\\"\\nc", "n": 1}, {"text": "d", "n": null}]'),
            ("mine.json", '{"text": "a, \\"b\\"\\nc", "n": 1}\n{"text": "d", "n": null}\n'),
        ],
    )
    @pytest.mark.parametrize("ending", ["", ".gz"])
    def test_a_named_sheet_or_list(self, name: str, content: str, ending: str, tmp_path: Path) -> None:
        path = tmp_path / f"{name}{ending}"
        path.write_bytes(gzip.compress(content.encode()) if ending else content.encode())
        rows = [{"text": 'a, "b"\nc', "n": 1}, {"text": "d", "n": None}]
        hub = BenchmarkSource(name="toy", hub=TOY.hub)
        for source in (TOY, hub):
            assert list(source.rows("test", DataPaths(named={"toy": path}))) == rows
        path.rename(tmp_path / path.name.replace("mine", "validation"))
        assert list(hub.rows("test", DataPaths(named={"toy": tmp_path}))) == rows
        _jsonl(tmp_path / "validation.jsonl", [{"text": "e"}])
        if "json" not in name:  # the same split in two forms is read once
            assert _texts(hub, "test", DataPaths(named={"toy": tmp_path})) == ["e"]

    def test_a_release_of_that_form_is_read_as_one(self, tmp_path: Path) -> None:
        source = replace(TOY, releases={"test": Release(files=("toy/dev.csv",), read=_read_plain)})
        (tmp_path / "mine.csv").write_text("text\none\n")
        assert _texts(source, "test", DataPaths(named={"toy": tmp_path / "mine.csv"})) == ["text", "one"]

    def test_columns_of_numbers_are_numbers(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_text("text,label,share,code,mixed\na,1,0.5,007,1\nb,-2,,010,x\n,3,2e3,1,\n")
        hub = BenchmarkSource(name="toy", hub=TOY.hub)
        assert list(hub.rows("test", DataPaths(named={"toy": tmp_path / "a.csv"}))) == [
            {"text": "a", "label": 1, "share": 0.5, "code": "007", "mixed": "1"},
            {"text": "b", "label": -2, "share": None, "code": "010", "mixed": "x"},
            {"text": None, "label": 3, "share": 2000.0, "code": "1", "mixed": None},
        ]

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("text,n\na,1\nb\n", r"a\.csv line 3: expected 2 fields, found 1"),
            ("text,n\na,1,2\n", r"a\.csv line 2: expected 2 fields, found 3"),
            ("text,text\na,1\n", r"a\.csv line 1: expected a header, each column once, found 'text, text'"),
            ('text,n\n"a,1\n', r"a\.csv line \d+: not a table"),
            ("", r"a\.csv is empty"),
        ],
    )
    def test_a_sheet_that_is_none(self, content: str, message: str, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_text(content)
        with pytest.raises(DataError, match=message):
            list(TOY.rows("test", DataPaths(named={"toy": tmp_path / "a.csv"})))

    def test_shots_fall_back_to_the_scored_split(self, tmp_path: Path) -> None:
        (tmp_path / "toy").mkdir()
        (tmp_path / "toy/dev.txt").write_text("one\n")
        for data in (DataPaths(root=tmp_path), DataPaths(named={"toy": tmp_path / "toy"})):
            assert _texts(TOY, "shots", data) == ["one"]
            assert TOY.fingerprint("test", data) == TOY.fingerprint("shots", data)

    def test_a_named_release_file_under_any_name(self, tmp_path: Path) -> None:
        path = tmp_path / "mine.txt"
        path.write_text("one\n")
        data = DataPaths(named={"toy": path})
        assert _texts(TOY, "test", data) == _texts(TOY, "shots", data) == ["one"]

    def test_a_named_file_wins_over_the_data_folder(self, tmp_path: Path) -> None:
        _jsonl(tmp_path / "toy/validation.jsonl", ROWS)
        data = DataPaths(named={"toy": _jsonl(tmp_path / "mine.jsonl", SHOTS)}, root=tmp_path)
        assert _texts(TOY, "test", data) == ["x y"]
        assert _texts(TOY, "test", DataPaths(root=tmp_path)) == [row["text"] for row in ROWS]

    @pytest.mark.parametrize("layout", ["toy", "."])
    def test_a_named_folder_of_release_files(self, layout: str, tmp_path: Path) -> None:
        (tmp_path / layout).mkdir(exist_ok=True)
        (tmp_path / layout / "dev.txt").write_text("one\n")
        (tmp_path / layout / "train.txt").write_text("two\n")
        data = DataPaths(named={"toy": tmp_path})
        assert (_texts(TOY, "test", data), _texts(TOY, "shots", data)) == (["one"], ["two"])

    @pytest.mark.parametrize(
        ("opener", "ending"),
        [(gzip.open, ".gz"), (bz2.open, ".bz2"), (lzma.open, ".xz"), (zstandard.open, ".zst")],
        ids=["gz", "bz2", "xz", "zst"],
    )
    def test_compressed_jsonl_with_the_hubs_columns(self, opener: Any, ending: str, tmp_path: Path) -> None:
        path = tmp_path / f"mine.jsonl{ending}"
        with opener(path, "wt", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in ROWS)
        assert list(TOY.rows("test", DataPaths(named={"toy": path}))) == ROWS
        with open_text(path) as text:
            assert json.loads(text.readline()) == ROWS[0]

    def test_compressed_release_files_are_found(self, tmp_path: Path) -> None:
        (tmp_path / "toy").mkdir()
        with gzip.open(tmp_path / "toy/dev.txt.gz", "wt") as file:
            file.write("one\n")
        assert _texts(TOY, "test", DataPaths(root=tmp_path)) == ["one"]
        assert _texts(TOY, "test", DataPaths(named={"toy": tmp_path / "toy/dev.txt.gz"})) == ["one"]

    @pytest.mark.parametrize(
        "names",
        [
            ("validation.jsonl", "train.jsonl"),
            ("validation.parquet", "train.parquet"),
            ("data/validation-00000-of-00001.parquet", "data/train-00000-of-00001.parquet"),
            ("main/validation/0000.parquet", "main/train/0000.parquet"),
        ],
    )
    def test_the_hubs_layout(self, names: tuple[str, str], tmp_path: Path) -> None:
        for name, rows in zip(names, (ROWS, SHOTS), strict=True):
            (_parquet if name.endswith("parquet") else _jsonl)(tmp_path / "toy" / name, rows)
        for data in (DataPaths(root=tmp_path), DataPaths(named={"toy": tmp_path / "toy"})):
            assert list(TOY.rows("test", data)) == ROWS
            assert list(TOY.rows("shots", data)) == SHOTS

    def test_shards_are_read_in_order_and_other_configs_are_left_out(self, tmp_path: Path) -> None:
        for i, row in enumerate(ROWS):
            _parquet(tmp_path / f"toy/main/validation-0000{i}-of-00003.parquet", [row])
        _parquet(tmp_path / "toy/other/validation-00000-of-00001.parquet", SHOTS)
        assert list(TOY.rows("test", DataPaths(root=tmp_path))) == ROWS

    def test_a_parquet_file_by_name(self, tmp_path: Path) -> None:
        data = DataPaths(named={"toy": _parquet(tmp_path / "x.parquet", ROWS)})
        assert list(TOY.rows("test", data)) == ROWS

    def test_equal_content_has_an_equal_fingerprint(self, tmp_path: Path) -> None:
        one, two = _jsonl(tmp_path / "1.jsonl", ROWS), _jsonl(tmp_path / "2.jsonl", ROWS)
        other = _jsonl(tmp_path / "3.jsonl", SHOTS)
        prints = [TOY.fingerprint("test", DataPaths(named={"toy": path})) for path in (one, two, other)]
        assert prints[0] == prints[1] != prints[2]
        assert all(len(text) == 16 for text in prints)

    def test_rows_are_streamed(self, tmp_path: Path) -> None:
        """The first row comes before the broken last line is read."""
        path = _jsonl(tmp_path / "x.jsonl", ROWS)
        path.write_text(path.read_text("utf-8") + "{", encoding="utf-8")
        assert next(iter(TOY.rows("test", DataPaths(named={"toy": path})))) == ROWS[0]

    def test_the_world_is_always_at_hand(self) -> None:
        source = WorldSource("qa")
        assert source.at_hand(DataPaths())
        assert next(iter(source.rows("test", DataPaths())))
        assert source.fingerprint("test", DataPaths()) != source.fingerprint("shots", DataPaths())

    def test_items_of_the_world_that_were_kept_are_those_that_are_made(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source, found = WorldSource("qa"), []
        for place in ("off", str(tmp_path), str(tmp_path)):
            monkeypatch.setenv("EVALKIT_CACHE", place)
            sources._world_items.cache_clear()
            found.append((list(source.rows("test", DataPaths())), source.fingerprint("test", DataPaths())))
        assert found[0] == found[1] == found[2]
        assert [path.name for path in tmp_path.iterdir()] == ["world-1-qa-test.json"]


class TestHub:
    def test_offline_the_error_says_what_to_do(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        for data in (DataPaths(), DataPaths(root=tmp_path)):
            assert TOY.at_hand(data) == ""
            for read in (lambda d=data: list(TOY.rows("test", d)), lambda d=data: TOY.fingerprint("test", d)):
                with pytest.raises(DataError) as caught:
                    read()
                message = str(caught.value)
                assert "\n" not in message
                for part in ("no data for toy", "nobody/toy", "--data toy=PATH", "EVALKIT_DATA=FOLDER", "toy/dev.txt"):
                    assert part in message

    def test_rows_come_from_the_right_config_and_split(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import datasets

        asked: list[tuple[Any, ...]] = []

        def load_dataset(name: str, config: str | None, *, split: str, revision: str | None) -> datasets.Dataset:
            asked.append((name, config, split, revision))
            return datasets.Dataset.from_list(ROWS if split != "train" else SHOTS)

        monkeypatch.setattr(datasets, "load_dataset", load_dataset)
        assert list(TOY.rows("test", DataPaths())) == ROWS
        assert list(TOY.rows("shots", DataPaths())) == SHOTS
        assert list(PAIR.rows("shots", DataPaths())) == ROWS  # it has no split for shots
        assert asked == [
            ("nobody/toy", "main", "validation", None),
            ("nobody/toy", "main", "train", None),
            ("nobody/pair", None, "test", None),
        ]
        assert TOY.fingerprint("test", DataPaths())


class TestBrokenFiles:
    def _error(self, path: Path, source: BenchmarkSource = TOY) -> str:
        with pytest.raises(DataError) as caught:
            list(source.rows("test", DataPaths(named={source.name: path})))
        assert "\n" not in str(caught.value)
        return str(caught.value)

    @pytest.mark.parametrize("name", ["x.jsonl", "dev.txt"])
    def test_empty(self, name: str, tmp_path: Path) -> None:
        (tmp_path / name).write_bytes(b"")
        assert self._error(tmp_path / name) == f"{tmp_path / name} is empty"

    def test_cut_json_line(self, tmp_path: Path) -> None:
        path = tmp_path / "x.jsonl"
        path.write_text('{"text": "a"}\n\n{"text": "b')
        assert "x.jsonl line 3: not valid JSON" in self._error(path)

    def test_a_line_that_is_no_object(self, tmp_path: Path) -> None:
        path = tmp_path / "x.jsonl"
        path.write_text('{"text": "a"}\n["b"]\n')
        assert self._error(path).endswith("x.jsonl line 2: expected a JSON object, found list")

    def test_not_json_at_all(self, tmp_path: Path) -> None:
        path = tmp_path / "x.jsonl"
        path.write_text("<html>\n")
        assert "x.jsonl line 1: not valid JSON" in self._error(path)

    def test_not_utf8_names_the_line(self, tmp_path: Path) -> None:
        path = tmp_path / "dev.txt"
        path.write_bytes(b"fine\nalso fine\ncaf\xe9\nfine\n")
        assert "dev.txt line 3: not UTF-8 text" in self._error(path)

    def test_a_byte_order_mark_is_no_text(self, tmp_path: Path) -> None:
        path = tmp_path / "x.jsonl"
        path.write_bytes(b'\xef\xbb\xbf{"text": "a"}\r\n{"text": "b"}\r\n')
        assert _texts(TOY, "test", DataPaths(named={"toy": path})) == ["a", "b"]

    def test_cut_gzip(self, tmp_path: Path) -> None:
        path = tmp_path / "x.jsonl.gz"
        whole = gzip.compress("".join(f'{{"text": "{i}"}}\n' for i in range(5000)).encode())
        path.write_bytes(whole[: len(whole) // 2])
        message = self._error(path)
        assert "x.jsonl.gz after line" in message and "is the file cut?" in message

    def test_cut_zstandard(self, tmp_path: Path) -> None:
        path = tmp_path / "x.jsonl.zst"
        whole = zstandard.compress("".join(f'{{"text": "{i * 7919}"}}\n' for i in range(50_000)).encode())
        path.write_bytes(whole[: len(whole) // 2])
        message = self._error(path)
        assert "x.jsonl.zst after line" in message and "is the file cut?" in message
        path.write_bytes(whole + whole)  # two frames are one file
        assert len(_texts(TOY, "test", DataPaths(named={"toy": path}))) == 100_000

    @pytest.mark.parametrize("name", ["x.jsonl.gz", "x.jsonl.xz", "x.jsonl.bz2", "x.jsonl.zst"])
    def test_not_compressed_at_all(self, name: str, tmp_path: Path) -> None:
        (tmp_path / name).write_text('{"text": "a"}\n')
        assert f"{name} after line 0: cannot be read" in self._error(tmp_path / name)

    def test_damaged_gzip(self, tmp_path: Path) -> None:
        path = tmp_path / "x.jsonl.gz"
        whole = bytearray(gzip.compress("".join(f'{{"text": "{i * 7919}"}}\n' for i in range(5000)).encode()))
        whole[len(whole) // 2 : len(whole) // 2 + 40] = bytes(range(40))
        path.write_bytes(whole)
        assert "x.jsonl.gz" in self._error(path)

    def test_cut_parquet(self, tmp_path: Path) -> None:
        path = _parquet(tmp_path / "x.parquet", ROWS)
        path.write_bytes(path.read_bytes()[:-20])
        assert "x.parquet: not a readable parquet file" in self._error(path)

    def test_a_file_that_vanished(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"x\.jsonl after line 0: cannot be read \(No such file"):
            list(read_jsonl([tmp_path / "x.jsonl"]))
        with pytest.raises(DataError, match=r"x\.parquet: not a readable parquet file"):
            list(read_tables([tmp_path / "x.parquet"]))

    def test_one_json_value(self, tmp_path: Path) -> None:
        path = tmp_path / "x.json"
        path.write_text('{"data":\n [1, 2]}\n')
        assert read_json(path) == {"data": [1, 2]}
        path.write_text('{"data":\n [1, 2')
        with pytest.raises(DataError, match=r"x\.json line 2: not valid JSON .*is the file cut"):
            read_json(path)
        path.write_text("[" * 200_000)
        with pytest.raises(DataError, match=r"x\.json"):
            read_json(path)

    def test_a_folder_without_the_data(self, tmp_path: Path) -> None:
        (tmp_path / "notes.md").write_text("hello")
        message = self._error(tmp_path)
        assert message == f"{tmp_path}: no data of toy; expected dev.txt, or validation.jsonl/.parquet"

    def test_half_of_the_files(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_text("one\n")
        assert self._error(tmp_path, PAIR) == f"{tmp_path / 'b.txt'} is missing: pair needs it together with a.txt"
        assert "pair needs 2 files; give the folder" in self._error(tmp_path / "a.txt", PAIR)


class TestRows:
    """Rows that a task cannot use: the error names the task, the split and the row."""

    def _load(self, tmp_path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
        self._load_file(_jsonl(tmp_path / "x.jsonl", rows))

    def _load_file(self, path: Path) -> None:
        task = Task(
            name="toy_task",
            family="qa",
            title="toy",
            source=TOY,
            to_example=lambda document: Example(task="t", input=document.row["text"].strip(), output="x"),
            protocols={"plain": Protocol(kind="generate", query="{input}", metrics=("f1",))},
        )
        load(task, RunSettings(), DataPaths(named={"toy": path}))

    def test_a_missing_column(self, tmp_path: Path) -> None:
        with pytest.raises(
            DataError, match=r"toy_task: row 2 of its test data is not as expected \(KeyError: 'text'\)"
        ):
            self._load(tmp_path, [{"text": "a"}, {"txt": "b"}])

    def test_the_error_names_file_and_line(self, tmp_path: Path) -> None:
        path = tmp_path / "x.jsonl"
        path.write_text('\n{"text": "a"}\n\n{"txt": "b"}\n')
        with pytest.raises(DataError, match=r"\(KeyError: 'text'\); it is in .*x\.jsonl line 4$"):
            self._load_file(path)
        (tmp_path / "x.csv").write_text('text,n\n"a\nb",1\n,2\n')
        with pytest.raises(DataError, match=r"row 2 .*; it is in .*x\.csv line 4$"):
            self._load_file(tmp_path / "x.csv")
        (tmp_path / "x.json").write_text('[{"text": "a"}, {"txt": "b"}]')
        with pytest.raises(DataError, match=r"row 2 .*; it is in .*x\.json item 2$"):
            self._load_file(tmp_path / "x.json")
        tables = [_parquet(tmp_path / f"hub/validation-0000{i}.parquet", [{"text": row}]) for i, row in enumerate("a5")]
        _parquet(tables[1], [{"text": 5}])
        with pytest.raises(DataError, match=r"row 2 of its test data .* is in .*validation-00001\.parquet row 1$"):
            self._load_file(tmp_path / "hub")

    def test_rows_are_counted_without_reading_them(self, tmp_path: Path) -> None:
        for path in (_jsonl(tmp_path / "x.jsonl", ROWS), _parquet(tmp_path / "x.parquet", ROWS)):
            assert count(TOY, DataPaths(named={"toy": path})) == 3
        (tmp_path / "dev.txt").write_text("one\n")
        assert count(TOY, DataPaths(named={"toy": tmp_path / "dev.txt"})) is None

    def test_a_column_of_another_type(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"toy_task: row 1 of its test data is not as expected"):
            self._load(tmp_path, [{"text": 3}])

    def test_the_same_id_twice(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"toy_task: 2 documents with 1 different ids"):
            self._load(tmp_path, [{"text": "a", "id": 1}, {"text": "b", "id": 1}])

    def test_no_rows(self, tmp_path: Path) -> None:
        path = tmp_path / "x.jsonl"
        path.write_text("\n")
        with pytest.raises(DataError, match="toy_task: its test data holds no documents"):
            self._load_file(path)


def _recipe(split: Split) -> Iterator[Mapping[str, Any]]:
    yield from ({"text": f"{split} {i}"} for i in range(3))


def test_a_recipe_stands_in_for_missing_files_and_never_for_the_users_own(tmp_path: Path) -> None:
    made = replace(TOY, make=_recipe)
    assert list(made.rows("shots", DataPaths())) == [{"text": f"shots {i}"} for i in range(3)]
    assert made.at_hand(DataPaths()) == "generated"
    assert made.fingerprint("test", DataPaths()) != made.fingerprint("shots", DataPaths())
    data = DataPaths(named={"toy": _jsonl(tmp_path / "validation.jsonl", ROWS)})
    assert list(made.rows("test", data)) == ROWS
    assert made.at_hand(data) == str(tmp_path / "validation.jsonl")


def test_rows_are_prepared_wherever_they_are_from(tmp_path: Path) -> None:
    source = replace(TOY, make=_recipe, prepare=lambda rows: iter([{"text": " ".join(row["text"] for row in rows)}]))
    assert list(source.rows("test", DataPaths())) == [{"text": "test 0 test 1 test 2"}]
    data = DataPaths(named={"toy": _jsonl(tmp_path / "validation.jsonl", ROWS)})
    assert list(source.rows("test", data)) == [{"text": " ".join(row["text"] for row in ROWS)}]
