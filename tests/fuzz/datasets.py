"""Data files: tables in every form, texts, and releases of benchmarks as their authors published them."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import shutil
from pathlib import Path
from typing import Any

import zstandard

from evalkit.corpus import sources as corpus_sources
from evalkit.data import readers
from evalkit.data.sources import DataPaths
from evalkit.harness import catalog
from evalkit.harness.load import load
from evalkit.harness.settings import RunSettings
from tests.tasks import made, made_texts

ROWS = [{"text": f"Row {i}, é", "label": i % 2, "options": ["a", "b"], "p": i / 7} for i in range(40)]
_PACK = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": zstandard.compress}
ENDINGS = (".jsonl", ".json", ".jsonl.gz", ".jsonl.bz2", ".jsonl.xz", ".jsonl.zst", ".parquet", ".csv", ".tsv.gz")
CHECKED = ("jsonl.gz", "jsonl.bz2", "jsonl.xz")  # forms with a checksum of their own

# A task, and a file of its release.
RELEASES = {
    "quac": "quac/*.json", "drop": "drop/*.json", "multirc": "superglue/MultiRC/*", "record": "superglue/ReCoRD/*",
    "wsc": "superglue/WSC/*", "cbt_cn": "CBTest/data/*CN*", "storycloze": "storycloze/*", "dprd": "dprd/*",
    "wmt16_de_en": "wmt16/deu-eng/*",
}  # fmt: skip

# Small files of benchmarks, where EVALKIT_DATA has them.
REAL = {
    "copa": "superglue/copa-validation.jsonl", "cb": "superglue/cb-validation.jsonl", "winograd": "wsc/wsc273.txt",
    "sst2": "glue/SST-2/stsa.binary.dev",
}  # fmt: skip


def write_table(folder: Path, *, ending: str) -> None:
    """Write the rows."""
    path = folder / f"rows{ending}"
    lines = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
    if ending == ".parquet":
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)
    elif ending in (".csv", ".tsv.gz"):
        text = io.StringIO()
        writer = csv.DictWriter(text, ROWS[0], delimiter="," if ending == ".csv" else "\t")
        writer.writeheader()
        writer.writerows(ROWS)
        path.write_bytes(_PACK.get(ending.rpartition(".")[2], bytes)(text.getvalue().encode()))
    elif ending == ".json":
        path.write_text(json.dumps(ROWS))
    else:
        path.write_bytes(_PACK.get(ending.rpartition(".")[2], bytes)(lines))


def read_table(folder: Path) -> Any:
    """Read the rows as a task does."""
    [path] = folder.iterdir()
    readers.count_rows(path)
    return list(readers.read_tables([path]))


def write_texts(folder: Path) -> None:
    """Write what a corpus may be made from."""
    (folder / "a.txt").write_text("Some text.\n\nAnd é more.\n" * 20, encoding="utf-8")
    for ending in (".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet"):
        write_table(folder, ending=ending)


def write_pages(folder: Path) -> None:
    """Write a page, and a web archive of pages and a text."""
    page = "<html><body><article><h1>A title</h1><p>Some text of a page, é.</p></article></body></html>".encode()
    (folder / "page.html").write_bytes(page)
    response = b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n" + page
    records = [("response", "application/http; msgtype=response", response)] * 3
    records.append(("conversion", "text/plain", b"Plain text."))
    archive = b""
    for number, (kind, content_type, body) in enumerate(records):
        head = (
            f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Record-ID: <urn:uuid:{number}>\r\n"
            f"WARC-Target-URI: http://a.example/{number}\r\nWARC-Date: 2026-01-01T00:00:00Z\r\n"
            f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        archive += gzip.compress(head.encode() + body + b"\r\n\r\n")
    (folder / "a.warc.gz").write_bytes(archive)


def read_texts(folder: Path) -> int:
    """Read the documents of all files of a folder."""
    found = corpus_sources.find([str(folder)], column="text", tokens=0, seed=0)
    return sum(1 for source in found for _ in source.documents())


def write_releases(folder: Path) -> None:
    """Write small files in the releases' forms."""
    made.write(folder)
    made_texts.write(folder)


def copy_release(data: Path, file: str, folder: Path) -> None:
    """Copy one file of the folder of real data to its place in another one."""
    (folder / file).parent.mkdir(parents=True)
    shutil.copyfile(data / file, folder / file)


def load_task(name: str, folder: Path) -> int:
    """Load a task with one shot."""
    task = catalog.bundled()[name]
    return len(load(task, RunSettings(shots=(1,)), DataPaths(root=folder)).documents)
