"""The report at an address: only to its own name, only the page, new whenever its runs change."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
from pathlib import Path

import pytest

import evalkit
from evalkit.cli import main
from evalkit.errors import DataError, StoreError, UsageError
from evalkit.report import measurements, serving
from evalkit.report.pages import assemble
from evalkit.report.selection import select
from evalkit.runs.store import read_records
from tests.report.conftest import SIZES, make_run


class StoppedError(Exception):
    """Ends a loop that only an interruption would end."""


def answer(server: serving.ReportServer, path: str = "/", *, method: str = "GET", **headers: str):
    """The response to a request, with its body read."""
    connection = http.client.HTTPConnection(serving.LOOPBACK, server.server_port, timeout=10)
    connection.request(method, path, headers=headers)
    response = connection.getresponse()
    response.text = response.read().decode()
    connection.close()
    return response


@pytest.fixture
def server():
    with serving.serving(serving.LOOPBACK, 0) as server:
        server.page = serving.Page(b"<p>the page</p>", "v1")
        yield server


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "runs" / "atto", "atto", SIZES["atto"])


def test_the_page_and_its_version(server):
    page = answer(server)
    assert (page.status, page.text) == (200, "<p>the page</p>")
    assert page.headers["Cache-Control"] == "no-store" and "nosniff" in page.headers["X-Content-Type-Options"]
    assert json.loads(answer(server, "/version").text) == {"version": "v1", "problem": ""}
    head = answer(server, method="HEAD")
    assert head.headers["Content-Length"] == "15" and head.text == ""


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "/../../etc/passwd", "//etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/manifest.json", "/x?/"]
)
def test_nothing_else_is_served(server, path):
    assert answer(server, path).status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_is_taken(server, method):
    assert answer(server, method=method).status == 501


def test_only_its_own_address_is_answered(server):
    port = server.server_port
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", f"127.0.0.1:{port + 1}", ""):
        refused = answer(server, Host=host)
        assert refused.status == 403 and "the page" not in refused.text
    for host in (f"127.0.0.1:{port}", f"localhost:{port}"):
        assert answer(server, Host=host).status == 200
    assert answer(server, "/version", Host="evil.example").status == 403


def test_it_listens_on_the_loopback_alone(server):
    assert server.server_address[0] == "127.0.0.1" and server.url == f"http://127.0.0.1:{server.server_port}/"


def test_a_port_in_use_is_named(server):
    with pytest.raises(UsageError, match=f"port {server.server_port} of 127.0.0.1 is in use; choose another"):
        serving.ReportServer(port=server.server_port)
    with pytest.raises(UsageError, match=r"cannot serve at 127\.0\.0\.1, port 99999"):
        serving.ReportServer(port=99999)


def test_a_broken_request_does_no_harm(server, capfd):
    for sent in (b"GET", b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nHost: " + b"x" * 70_000 + b"\r\n\r\n"):
        with socket.create_connection((serving.LOOPBACK, server.server_port), timeout=10) as connection:
            connection.sendall(sent)
    assert answer(server).status == 200
    assert capfd.readouterr().err == ""


def test_the_page_is_new_when_a_run_has_changed(server, run, monkeypatch):
    """Each pause of the loop stands for some time, in which something happens to the run."""
    built: list[str] = []
    seen: list[tuple[bytes, str]] = []

    def build(version: str) -> str:
        built.append(version)
        if len(built) == 3:
            raise DataError("one file is being written")
        return f"page {len(built)}"

    def touch() -> None:
        with (run / "records.jsonl").open("a") as file:
            file.write("\n")

    happens = iter([lambda: None, touch, touch, lambda: None, touch])

    def sleep(seconds: float) -> None:
        assert seconds >= 1
        seen.append((server.page.html, server.page.problem))
        event = next(happens, None)
        if event is None:
            raise StoppedError
        event()

    serving.first_page(server, build, [run.parent])
    monkeypatch.setattr(serving.time, "sleep", sleep)
    with pytest.raises(StoppedError):
        serving.follow(server, build, [run.parent], every=1)
    problem = "one file is being written"
    assert seen == [(b"page 1", ""), (b"page 1", ""), (b"page 2", ""), (b"page 2", problem), (b"page 2", problem),
                    (b"page 4", "")]  # fmt: skip
    assert len(set(built)) == 4, "each state of the files is a version"
    assert server.page.version == built[-1]


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory) -> Path:
    """A run of a bundled model, whose records can be aggregated again."""
    return evalkit.evaluate(
        "nano", "world_qa", limit=12, cache=False, out=tmp_path_factory.mktemp("run") / "nano"
    ).folder


def values(folder: Path, *, unfinished: bool) -> dict[tuple[str, str, str], tuple[float, int]]:
    measured, _ = measurements.read([folder], unfinished=unfinished)
    return {(m.metric, m.source, m.level): (m.value, m.n) for m in measured}


def test_a_run_that_goes_on_counts_with_its_records_so_far(evaluated, tmp_path):
    folder = tmp_path / "nano"
    shutil.copytree(evaluated, folder)
    (folder / "results.json").unlink()
    assert values(folder, unfinished=True) == values(evaluated, unfinished=False), "all records: as at the end"
    [problem] = measurements.read([folder])[1]
    assert "half-written" in problem.reason, "files are written of finished runs"
    lines = (folder / "records.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "records.jsonl").write_bytes(b"".join(lines[:5]) + lines[5][:40])  # a line that is being written
    assert values(folder, unfinished=True)["exact_match", "model", ""][1] == 5
    with pytest.raises(StoreError, match=r"line 6: not a record of this run \(it is torn\)"):
        list(read_records(folder))
    selection = select(measurements.read([folder], unfinished=True)[0])
    content = assemble.content(selection, [], title="t", command="c")
    assert content.warnings[0] == "Not finished, shown with the documents scored so far: nano."
    assert sum(group["documents"] for group in content.samples.groups) == 5
    (folder / "records.jsonl").unlink()
    [problem] = measurements.read([folder], unfinished=True)[1]
    assert problem.reason.endswith("has scored nothing yet")


def test_the_command_serves_until_it_is_interrupted(run, monkeypatch, capsys):
    pages: list[str] = []

    def follow(server: serving.ReportServer, build: object, places: object) -> None:
        pages.append(answer(server).text)
        raise KeyboardInterrupt

    monkeypatch.setattr(serving, "follow", follow)
    assert main(["report", str(run), "--serve", "--port", "0", "--title", "Mine"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("serving the report at http://127.0.0.1:") and out.endswith("stopped\n")
    assert "<title>Mine</title>" in pages[0] and "data-live=" in pages[0] and "connect-src" in pages[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "give --out FOLDER, where the report goes, or --serve"),
        (["--out", "x", "--port", "1"], "--port is for --serve"),
        (["--serve", "--out", "x"], "--serve writes no files"),
        (["--serve", "--port", "0", "--family", "none"], "unknown family 'none'"),
    ],
)
def test_options_that_do_not_go_together(run, capsys, options, message):
    assert main(["report", str(run), *options]) == 2
    assert message in capsys.readouterr().err
