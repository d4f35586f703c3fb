"""Every kind of source gives its documents; what is wrong with one is said in one line."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import sys
from collections import Counter

import pytest

from evalkit import corpus as corpora
from evalkit.corpus import formats, sources
from evalkit.errors import DataError, EvalkitError, UsageError

ARTICLE = "<p>" + "The old mill by the river was sold to a young family from the city. " * 8 + "</p>"
HTML = (
    f"<html><head><title>The mill</title></head><body><nav>Home Login</nav><article>{ARTICLE}</article></body></html>"
)


def read_all(*words, column="text", skip_bad=False):
    found = sources.find([str(word) for word in words], column=column, skip_bad=skip_bad, tokens=20_000, seed=0)
    return [raw for source in found for raw, _ in source.documents()]


def read(*words, column="text"):
    return [raw for raw in read_all(*words, column=column) if not raw.left_out]


def left_out(*words, **options):
    return Counter(raw.left_out for raw in read_all(*words, **options) if raw.left_out)


@pytest.fixture
def zstd():
    return pytest.importorskip("zstandard").ZstdCompressor().compress


def test_a_text_file_is_a_document_and_a_line_of_jsonl_is_one(tmp_path, zstd):
    rows = "".join(json.dumps({"text": f"row {i} é"}) + "\n" for i in range(3)).encode()
    compressed = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstd}
    for ending, compress in compressed.items():
        (tmp_path / f"rows.jsonl{ending}").write_bytes(compress(rows))
        (tmp_path / f"text.txt{ending}").write_bytes(compress("one\r\ntwo é".encode()))
        assert [raw.content for raw in read(tmp_path / f"rows.jsonl{ending}")] == ["row 0 é", "row 1 é", "row 2 é"]
        assert [raw.content for raw in read(tmp_path / f"text.txt{ending}")] == ["one\r\ntwo é"]
    everything = read(tmp_path)
    assert len(everything) == 4 * len(compressed)
    assert [raw.source for raw in everything] == sorted(raw.source for raw in everything)


def test_a_long_text_file_is_cut_at_lines(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "LONGEST", 64)
    lines = "".join(f"line {i} é\n" for i in range(50))
    (tmp_path / "a.txt").write_text(lines, encoding="utf-8")
    (tmp_path / "b.txt").write_text("é" * 100, encoding="utf-8")
    cut = [raw.content for raw in read(tmp_path / "a.txt")]
    assert "".join(cut) == lines and len(cut) > 5 and all(text.endswith("\n") for text in cut)
    assert "".join(raw.content for raw in read(tmp_path / "b.txt")) == "é" * 100


def test_how_far_the_reading_is(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"text": "x" * 1000}) + "\n" for _ in range(500)))
    [source] = sources.find([str(path)], column="text", tokens=1, seed=0)
    places = [place for _, place in source.documents()]
    assert places == sorted(places) and places[0] < source.size / 2 and places[-1] == source.size


def test_parquet(tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table({"body": ["one", "two"], "n": [1, 2]}), tmp_path / "a.parquet")
    assert [raw.content for raw in read(tmp_path / "a.parquet", column="body")] == ["one", "two"]
    with pytest.raises(DataError, match=r"the column 'text' is missing \(columns: body, n\); choose one with --column"):
        read(tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"row 1: the column 'n' holds int, not text"):
        read(tmp_path / "a.parquet", column="n")
    whole = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"cut\.parquet: not a readable parquet file"):
        read(tmp_path / "cut.parquet")


def test_datasets(tmp_path):
    import datasets

    saved = datasets.Dataset.from_dict({"text": ["one", "two"], "n": [1, 2]})
    saved.save_to_disk(tmp_path / "saved")
    assert [raw.content for raw in read(f"hf:{tmp_path / 'saved'}")] == ["one", "two"]
    saved.to_parquet(tmp_path / "hub" / "data" / "train-00000-of-00001.parquet")
    assert [raw.content for raw in read(f"hf:{tmp_path / 'hub'}")] == ["one", "two"]
    with pytest.raises(DataError, match=r"the column 'body' is missing \(columns: text, n\)"):
        read(f"hf:{tmp_path / 'saved'}", column="body")
    with pytest.raises(DataError, match=r"hf:.*absent: cannot be read"):
        read(f"hf:{tmp_path / 'absent'}")
    with pytest.raises(UsageError, match="expected hf:ID"):
        read("hf:")


def test_pages_give_their_main_text(tmp_path, make):
    pytest.importorskip("trafilatura")
    (tmp_path / "a.html").write_text(HTML)
    (tmp_path / "b.html").write_text("<html><body></body></html>")
    made = make([tmp_path / "a.html", tmp_path / "b.html"], tmp_path / "out")
    assert {reason: out.documents for reason, out in made.removed.items()} == {"page without main text": 1}
    assert abs(made.total.characters - len(ARTICLE)) < 20  # neither the menu nor the markup


def archived(what, kind, content):
    """Return a WARC record."""
    head = [
        "WARC/1.0",
        f"WARC-Type: {what}",
        "WARC-Target-URI: http://a.org/",
        "WARC-Date: 2024-01-01T00:00:00Z",
        "WARC-Record-ID: <urn:uuid:12345678-1234-1234-1234-123456789012>",
        *([f"Content-Type: {kind}"] if kind else []),
        f"Content-Length: {len(content)}",
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + content + b"\r\n\r\n"


def record(status, kind, page=HTML):
    """Return a WARC record of an answer of a web server."""
    said = f"Content-Type: {kind}\r\n" if kind else ""
    answer = f"HTTP/1.1 {status}\r\n{said}Content-Length: {len(page)}\r\n\r\n{page}".encode()
    return archived("response", "application/http; msgtype=response", answer)


def test_an_archive_gives_every_page_and_text_and_counts_the_rest(tmp_path, make):
    pytest.importorskip("warcio")
    pytest.importorskip("trafilatura")
    pages = [HTML.replace("mill", name) for name in ("lower", "upper", "xhtml", "silent", "stored")]
    records = [
        record("200 OK", "text/html; charset=utf-8", pages[0]),
        record("200 OK", "Text/HTML", pages[1]),
        record("200 OK", "application/xhtml+xml", pages[2]),
        record("200 OK", "", pages[3]),
        archived("resource", "TEXT/HTML", pages[4].encode()),
        archived("conversion", "text/plain", "Text of a page, naïve".encode()),
        record("200 OK", "", '{"text": "no page"}'),
        record("200 OK", "image/png"),
        record("404 Not Found", "text/html"),
        archived("revisit", "application/http", b"HTTP/1.1 304 Not Modified\r\n\r\n"),
        archived("conversion", "application/json", b"{}"),
        archived("request", "application/http", b"GET / HTTP/1.1\r\n\r\n"),
        archived("warcinfo", "application/warc-fields", b"software: a\r\n"),
    ]
    path = tmp_path / "crawl.warc"
    path.write_bytes(b"".join(records))
    (tmp_path / "crawl.warc.wet.gz").write_bytes(gzip.compress(records[5]))
    assert [raw.content for raw in read(path)] == [*(page.encode() for page in pages), "Text of a page, naïve"]
    assert [raw.content for raw in read(tmp_path / "crawl.warc.wet.gz")] == ["Text of a page, naïve"]
    counted = {
        "archived: no page and no text": 3,
        "archived: another status than 200": 1,
        "archived: not fetched again": 1,
    }
    assert left_out(path) == counted
    made = make([path], tmp_path / "out", near_duplicates=0.0)
    assert {reason: out.documents for reason, out in made.removed.items()} == counted
    assert made.read == 11 and made.total.documents == 6


@pytest.mark.parametrize(
    "page", ["<!DOCTYPE html><p>a", " \n<HTML lang=en>", "<!-- a -->", "\ufeff<body>", "<a href=b>"]
)
def test_a_page_of_no_type_is_known_by_its_beginning(page, tmp_path):
    pytest.importorskip("warcio")
    pytest.importorskip("trafilatura")
    archive = archived("response", "", b"HTTP/1.1 200 OK\r\n\r\n" + page.encode())
    (tmp_path / "a.warc").write_bytes(archive)
    assert [raw.content for raw in read(tmp_path / "a.warc")] == [page.encode()]
    for other in (b"<article>", b"plain <html>", b"%PDF-1.4", b"<bold>"):
        (tmp_path / "a.warc").write_bytes(archived("response", "", b"HTTP/1.1 200 OK\r\n\r\n" + other))
        assert not read(tmp_path / "a.warc")


def test_what_a_folder_holds_beside_text_is_counted_and_shown(tmp_path, make):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.txt").write_text("a text of a few words")
    for name in ("b.pdf", "c.PDF", "README", "odd.a|b", "meta.json", "lines.json.gz"):
        (folder / name).write_bytes(b"{}")
    (folder / "lines.json.gz").write_bytes(gzip.compress(b'{"text": "one"}\n{"text": "two"}\n'))
    made = make([folder], tmp_path / "out")
    assert {reason: out.documents for reason, out in made.removed.items()} == {
        "file of another kind (.pdf)": 2,
        "file of another kind (no ending)": 1,
        "file of another kind (another ending)": 1,
        "JSON that is no list of rows": 1,
    }
    page = (tmp_path / "out" / "stats.md").read_text()
    assert "| file of another kind (.pdf) | 2 | 0 |" in page and "a|b" not in page
    assert made.total.documents == 3


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ('[{"text": "a"}, {"text": "b"}]', ["a", "b"]),
        ('\n[\n {"text": "a"},\n {"text": "b"}\n]\n', ["a", "b"]),
        ('{"text": "a"}\n\n{"text": "b"}\n', ["a", "b"]),
        ('{"text": "a"}', ["a"]),
        ('{\n  "text": "a"\n}', ["a"]),
        ('{"name": "a"}', []),
        ("[]", []),
        ("3", []),
    ],
)
def test_json_is_lines_or_one_list(content, texts, ending, tmp_path):
    data = content.encode()
    (tmp_path / f"a.json{ending}").write_bytes(gzip.compress(data) if ending else data)
    assert [raw.content for raw in read(tmp_path / f"a.json{ending}")] == texts


BAD = [
    ("a.jsonl", '{"text": "a"}\n{"text": null}\nno json\n[1]\n{"text": 7}\n', 4, "line 2: the column 'text' is null"),
    ("a.json", '[{"text": "a"}, {"text": null}, 3]', 2, "item 2: the column 'text' is null"),
    ("b.json", '[3, {"text": "a"}]', 1, "item 1: expected a JSON object, found int"),
    ("c.json", '{"text": "a"}\n{"text": null}\n', 1, "line 2: the column 'text' is null"),
    ("d.json", '{"text": "a"}\n{"tex', 1, "line 2: not valid JSON"),
    ("e.jsonl", b'{"text": "a"}\n{"text": "caf\xe9"}\n\xff\n', 2, "line 2: not UTF-8 text"),
]


@pytest.mark.parametrize(("name", "content", "bad", "message"), BAD)
def test_a_bad_row_is_named_or_left_out_and_counted(name, content, bad, message, tmp_path):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=rf"{name} {message}") as caught:
        read(path)
    assert ("--skip-bad" in str(caught.value)) == (message[:4] == "line" or "column" in message)
    assert [raw.content for raw in read_all(path, skip_bad=True) if not raw.left_out] == ["a"]
    assert left_out(path, skip_bad=True).total() == bad


def test_a_null_text_of_parquet_is_named_or_left_out(tmp_path, make):
    import pyarrow as pa
    from pyarrow import parquet

    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"text": ["one", None, "two"]}), path)
    with pytest.raises(DataError, match=r"a\.parquet row 2: the column 'text' is null .*--skip-bad"):
        read(path)
    made = make([path], tmp_path / "out", skip_bad=True)
    assert {reason: out.documents for reason, out in made.removed.items()} == {"row without text": 1}
    assert made.total.documents == 2
    assert made.skipped == 1
    assert corpora.load(tmp_path / "out").info.skipped == 1


def test_web_archives_give_the_pages_that_were_answered(tmp_path):
    pytest.importorskip("warcio")
    answers = [("200 OK", "text/html; charset=utf-8"), ("404 Not Found", "text/html"), ("200 OK", "image/png")]
    records = [record(status, kind) for status, kind in answers]
    path = tmp_path / "crawl.warc.gz"
    path.write_bytes(b"".join(map(gzip.compress, records)))
    assert [raw.content for raw in read(path)] == [HTML.encode()]
    (tmp_path / "cut.warc.gz").write_bytes(path.read_bytes()[:-9])
    (tmp_path / "cut.warc").write_bytes(records[0][:-100])
    for cut in ("cut.warc.gz", "cut.warc"):
        with pytest.raises(DataError, match=rf"{cut}: cannot be read .*; is the file cut\?"):
            read(tmp_path / cut)
    (tmp_path / "no.warc").write_bytes(b"this is no archive\r\n")
    with pytest.raises(DataError, match=r"no\.warc: cannot be read"):
        read(tmp_path / "no.warc")


def test_what_is_missing_is_said_with_how_to_get_it(tmp_path, monkeypatch):
    (tmp_path / "a.html").write_text(HTML)
    monkeypatch.setitem(sys.modules, "trafilatura", None)
    with pytest.raises(UsageError, match=r"HTML pages need the package trafilatura: pip install 'evalkit\[corpus\]'"):
        read(tmp_path / "a.html")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"\xff\xfe\x00", r"a\.txt: not text \(a zero byte at 2\)"),
        ("a.txt", b"caf\xe9 noir", r"a\.txt: not UTF-8 text \(.* at byte 3\)"),
        ("a.txt.gz", gzip.compress(b"text " * 9000, mtime=0)[:-20], r"a\.txt\.gz: cannot be read .*is the file cut\?"),
        ("a.jsonl.gz", b"no gzip at all", r"a\.jsonl\.gz after line 0: cannot be read"),
        ("a.jsonl.xz", lzma.compress(b'{"text": "a"}\n' * 900)[:-9], r"a\.jsonl\.xz after line"),
        ("a.jsonl", b'{"text": "a"}\n{"text": "b\n', r"a\.jsonl line 2: not valid JSON"),
        ("a.jsonl", b'["text"]\n', r"a\.jsonl line 1: expected a JSON object, found list"),
        ("a.jsonl", b'{"body": "a", "n": 1}\n', r"a\.jsonl line 1: the column 'text' is missing \(columns: body, n\)"),
        ("a.jsonl", b'{"text": 7}\n', r"a\.jsonl line 1: the column 'text' holds int, not text"),
        ("a.jsonl", b"", r"a\.jsonl is empty"),
        ("a.parquet", b"PAR1 but no more", r"a\.parquet: not a readable parquet file"),
        ("a.png", b"\x89PNG", r"a\.png: not a text file; expected one that ends in \.txt"),
    ],
)
def test_broken_files(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read(tmp_path / name)


def test_a_cut_zstandard_file(tmp_path, zstd):
    (tmp_path / "a.jsonl.zst").write_bytes(zstd(b'{"text": "abc"}\n' * 900)[:-6])
    with pytest.raises(DataError, match=r"a\.jsonl\.zst after line \d+: cannot be read"):
        read(tmp_path / "a.jsonl.zst")


def test_names_that_are_no_source(tmp_path):
    with pytest.raises(DataError, match="no such file or folder"):
        read(tmp_path / "absent.txt")
    with pytest.raises(DataError, match="no text in this folder"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"vocab_size": 100}, "need at least 257"),
        ({"validation": 1.0}, "validation must be at least 0 and below 1"),
        ({"near_duplicates": 0.2}, "near_duplicates must be 0 or from 0.5"),
        ({"min_characters": 9, "max_characters": 8}, "max_characters 8 is below min_characters 9"),
        ({"shard_tokens": 0}, "shard_tokens must be at least 1"),
    ],
)
def test_recipes_that_mean_nothing(tmp_path, make, recipe, message):
    (tmp_path / "a.txt").write_text("some text")
    with pytest.raises(EvalkitError, match=message):
        make([tmp_path / "a.txt"], tmp_path / "out", **recipe)
