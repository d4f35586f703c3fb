"""Some hundred damaged files, and hostile ones made by hand; `python -m tests.fuzz` tries as many as one likes."""

from __future__ import annotations

import gzip
import json
import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from evalkit.cli import main
from evalkit.corpus import formats, shards
from evalkit.data import readers
from evalkit.engine import hf
from evalkit.errors import CheckpointError, DataError, EvalkitError, StoreError
from evalkit.files import canonical_json, hash_files
from evalkit.lm_eval import samples
from evalkit.model import tensors
from evalkit.runs import store, stored
from evalkit.runs.journal import seal, unseal
from evalkit.tokenizer import Tokenizer
from tests.comparison.made import Made, binary, write_run
from tests.fuzz.kinds import KINDS, real
from tests.fuzz.trial import Kind, run


@pytest.fixture(autouse=True)
def _apart(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path_factory.mktemp("cache")))
    # A damaged name of a data set may be that of the working folder, which is then searched through.
    monkeypatch.chdir(tmp_path_factory.mktemp("empty"))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_damage_is_refused_in_one_line(kind: Kind, tmp_path: Path) -> None:
    tally = run(kind, tmp_path, inputs=15, seed=1)
    assert tally.inputs == tally.accepted + tally.refused == 15 and tally.crashes == {}


def test_damage_of_real_files(data_dir: Path, tmp_path: Path) -> None:
    for kind in real(data_dir):
        (tmp_path / kind.name).mkdir()
        tally = run(kind, tmp_path / kind.name, inputs=5, seed=1)
        assert tally.crashes == {}


@pytest.mark.parametrize("pack", [pickle.dumps, lambda value: pickle.dumps([value], protocol=0)])
def test_a_pickle_runs_nothing(pack: Callable[[object], bytes], tmp_path: Path) -> None:
    class Wicked:
        def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
            return os.system, (f"touch {tmp_path / 'ran'}",)

    (tmp_path / "pytorch_model.bin").write_bytes(pack(Wicked()))
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin"):
        tensors.Folder(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_a_small_file_that_expands_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(gzip.compress(b" " * (16 << 20)) * 64)  # a gigabyte in a megabyte, without a line's end
    with pytest.raises(DataError, match=r"rows\.jsonl\.gz: expands to more than 200 times its size"):
        list(readers.read_jsonl([path]))


def test_an_index_names_no_file_elsewhere(tmp_path: Path) -> None:
    texts = ["some words"] * 9
    shards.of_texts(texts, Tokenizer.train(texts, vocab_size=270), tmp_path / "corpus", name="made")
    index = tmp_path / "corpus" / "corpus.json"
    raw = json.loads(index.read_text())
    shard = raw["shards"]["train"][0]
    (tmp_path / "corpus" / shard["file"]).rename(tmp_path / "elsewhere.bin")
    shard["file"] = "../elsewhere.bin"
    index.write_text(json.dumps(raw))
    with pytest.raises(StoreError, match="must be a file's name in this folder"):
        shards.load(tmp_path / "corpus")


@pytest.fixture
def finished(tmp_path: Path) -> Iterator[Path]:
    yield write_run(tmp_path / "run", {"a": Made(scores=binary("0110"))})


def test_an_edited_figure_is_refused(finished: Path) -> None:
    path = finished / "results.json"
    path.write_text(path.read_text().replace('"value": 50.0', '"value": 60.0'))
    with pytest.raises(StoreError, match=r"results\.json is damaged or was edited"):
        store.read_results(finished)


def test_results_of_older_runs_have_no_checksum(finished: Path) -> None:
    path = finished / "results.json"
    known = store.read_results(finished)
    raw = json.loads(path.read_text())
    del raw["checksum"]
    path.write_text(json.dumps(raw))
    assert repr(store.read_results(finished)) == repr(known)


def test_a_damaged_file_on_the_command_line(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (finished / "manifest.json").write_text('{"a": "\x1b[2J\\u202e", "b": ' + "9" * 5000)
    assert main(["compare", str(finished), str(finished)]) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1 and "manifest.json" in said and "\x1b" not in said


def test_a_line_of_gigabytes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "_LONGEST_LINE", 1000)
    for name, pack in (("a.jsonl", bytes), ("a.jsonl.gz", gzip.compress)):
        (tmp_path / name).write_bytes(pack(b'{"text": 1}\n{"text": "' + b"x" * 2000 + b'"}\n'))
        with pytest.raises(DataError, match=f"{name} line 2: longer than"):
            list(readers.read_jsonl([tmp_path / name]))


def test_a_page_without_end_is_counted_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "_LONGEST_PAGE", 1000)
    path = tmp_path / "a.html"
    path.write_bytes(b"<p>" + b"x" * 2000)
    [page] = formats.read_page(path, path.open("rb"), formats.Naming(source="a", column="text"))
    assert (page.content, page.left_out) == ("", "page longer than 64 MiB")


@pytest.mark.parametrize(
    "read",
    [
        lambda path: hash_files(path),
        lambda path: list(readers.read_tables([path])),
        readers.count_rows,
        lambda path: list(samples.read_samples(path, "t")),
    ],
)
@pytest.mark.parametrize("ending", [".jsonl", ".parquet"])
def test_a_pipe_is_no_file(read: Callable[[Path], object], ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"rows{ending}"
    os.mkfifo(path)
    with pytest.raises(EvalkitError, match="is a pipe; expected a file"):
        read(path)


def test_a_model_folder_with_a_pipe_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    os.mkfifo(tmp_path / "tokenizer_config.json")
    with pytest.raises(CheckpointError, match=r"tokenizer_config\.json is a pipe"):
        hf.load(tmp_path, name="m")


def test_statistics_of_another_length_are_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", {"a": Made(scores=binary("0110"))})
    results = json.loads((run / "results.json").read_text())
    del results["records"], results["checksum"]
    (run / "results.json").write_text(json.dumps(results | {"checksum": stored.checksum(results)}))
    path = run / "records.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    raw = unseal(lines[2])
    for name in raw["scores"]:
        raw["scores"][name] = [1.0] * 7
    lines[2] = seal(canonical_json(raw), json.loads(lines[2])["check"].split("-")[2])
    path.write_bytes(b"".join(lines))
    with pytest.raises(StoreError, match=r"records\.jsonl line 3: 7 statistics of .*, where others have"):
        list(store.open_run(run).records())
