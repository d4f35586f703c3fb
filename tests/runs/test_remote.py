"""Runs at URLs: the bytes of a run in a folder, from any machine, whatever is killed; one writer at a time."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

import evalkit
from evalkit.cli import main
from evalkit.engine.fake import FakeEngine
from evalkit.errors import StoreError, UsageError
from evalkit.runs import remote
from evalkit.runs.remote import RemoteFolder, Url, fetch, place
from evalkit.types import Response

fsspec = pytest.importorskip("fsspec")
TASKS = "world_qa,world_pronouns"


@pytest.fixture(autouse=True)
def made_up(tmp_path, monkeypatch):
    """A model whose answers depend on the prompt alone, an empty folder, and stores that give signs of life often."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EVALKIT_CACHE", "off")
    monkeypatch.setattr(remote, "_SIGN", 0.02)
    monkeypatch.setattr(remote, "_SILENCE", 0.5)

    def answer(request):
        return Response(loglikelihood=-1.0 - len(request.context + request.continuation) % 7, tokens=1, text="no")

    evalkit.register_engine("remote-test", lambda text, **_: FakeEngine("x", answer))
    return tmp_path


@pytest.fixture(scope="module")
def bucket():
    """A bucket of an S3 server on this machine."""
    pytest.importorskip("s3fs", reason="s3fs is not installed (pip install 'evalkit[s3]')")
    if importlib.util.find_spec("moto") is None:
        pytest.skip("moto is not installed (pip install 'moto[s3]' flask flask-cors)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # In a process of its own: moto imports a module `responses`, which is another one in tests.
    server = subprocess.Popen([sys.executable, "-m", "moto.server", "-p", str(port)], stderr=-3, stdout=-3, cwd="/")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "made")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "up")
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            assert server.poll() is None
            time.sleep(0.1)
        fsspec.filesystem("s3").mkdir("runs")
        yield "s3://runs"
    server.terminate()
    server.wait()


@pytest.fixture(params=["file", "memory", "s3"])
def top(request, tmp_path):
    """The URL of an empty folder of each kind."""
    if request.param == "s3":
        return f"{request.getfixturevalue('bucket')}/{tmp_path.name}"
    return f"file://{tmp_path}/store" if request.param == "file" else f"memory://{tmp_path.name}"


def files(url):
    system, root = fsspec.core.url_to_fs(url)
    system.invalidate_cache()
    found = {}
    for path in system.find(root):
        with contextlib.suppress(FileNotFoundError):  # gone meanwhile
            found[path.rpartition("/")[2]] = system.cat_file(path)
    return found


def run(out, *, tasks=TASKS, limit=12, **options):
    return evalkit.evaluate("remote-test:x", tasks, shots=[0, 2], limit=limit, out=out, **options)


def test_a_run_at_a_url_has_the_bytes_of_one_in_a_folder(top):
    local, far = run("local"), run(f"{top}/far")
    kept = files(f"{top}/far")
    assert kept["results.json"] == Path("local/results.json").read_bytes()
    parts = sorted(name for name in kept if name.startswith("records-"))
    assert parts and set(kept) == {"manifest.json", "results.json", "scores.npz", *parts}
    lines = b"".join(kept[name] for name in parts).splitlines()
    assert sorted(lines) == sorted(Path("local/records.jsonl").read_bytes().splitlines())
    assert far.url == f"{top}/far" and not local.url
    assert len(list(far.records())) == len(list(local.records())) == len(lines)


def test_a_run_goes_on_from_its_parts(top):
    """The parts of a killed run: some lines are missing, one is torn, one is damaged; the results are those of all."""
    whole = run("whole")
    lines = Path("whole/records.jsonl").read_bytes().splitlines(keepends=True)
    files_of = remote._Files(Url(f"{top}/far"))
    files_of.write("manifest.json", Path("whole/manifest.json").read_bytes())
    files_of.write("records-00001.jsonl", b"".join(lines[:5]))
    files_of.write("records-00002.jsonl", lines[7].replace(b"world", b"WORLD", 1) + lines[8][:40])
    run(f"{top}/far")
    kept = files(f"{top}/far")
    assert kept["results.json"] == (whole.folder / "results.json").read_bytes()
    parts = [content for name, content in sorted(kept.items()) if name.startswith("records-")]
    assert sorted(b"".join(parts).splitlines(keepends=True)) == sorted(lines)
    assert "records-00001.jsonl" not in kept  # replaced by an intact part
    run(f"{top}/far")
    assert files(f"{top}/far").keys() == kept.keys()  # nothing new: no further part


def test_other_settings_are_refused_by_the_name_of_the_url(top):
    run(f"{top}/far")
    with pytest.raises(StoreError, match=f"^{top}/far holds a run with other settings"):
        run(f"{top}/far", limit=13)
    assert "writer.json" not in files(f"{top}/far")


def test_one_command_at_a_time(top):
    url = Url(f"{top}/far")
    with RemoteFolder(url) as first:
        (first.folder / "manifest.json").write_text("{}")
        (first.folder / "results.json").write_text("{}")
        first.follow()
        with pytest.raises(StoreError, match="another command is writing to"), RemoteFolder(url):
            pass
    with RemoteFolder(url):
        pass


def test_a_command_whose_place_was_taken_ends_with_an_error(top):
    url = Url(f"{top}/far")
    with pytest.raises(StoreError, match="another command has taken over"), RemoteFolder(url) as paused:
        (paused.folder / "manifest.json").write_text("{}")
        paused.follow()
        remote._Files(url).write("writer.json", b'{"id": "another"}')
        time.sleep(0.5)
    assert json.loads(files(str(url))["writer.json"]) == {"id": "another"}  # its own


def test_a_dead_command_is_followed_after_silence_or_at_once_where_its_death_can_be_seen(top, caplog):
    url = Url(f"{top}/far")
    files_of = remote._Files(url)
    files_of.write("writer.json", json.dumps({"id": "dead", "machine": "another", "process": 1}).encode())
    began = time.monotonic()
    with RemoteFolder(url):
        assert time.monotonic() - began >= 0.5 and "waiting for a sign of life" in caplog.text
    if not Path("/proc/self/ns/pid").exists():
        return
    files_of.write("writer.json", json.dumps({"id": "dead", "machine": remote._machine(), "process": 2**30}).encode())
    caplog.clear()
    with RemoteFolder(url):
        assert "waiting" not in caplog.text


def test_what_cannot_be_sent_is_kept_here(top, monkeypatch):
    write = remote._Files.write

    def refuse(self, name, content, **options):
        if name.startswith("records-"):
            raise StoreError(f"cannot write {self._url}: no space")
        write(self, name, content, **options)

    monkeypatch.setattr(remote._Files, "write", refuse)
    with pytest.raises(StoreError, match="no space; the run is kept in ") as error:
        run(f"{top}/far")
    folder = Path(str(error.value).rpartition(" ")[2])
    assert (folder / "results.json").exists() and folder not in remote._COPIES


@pytest.mark.parametrize(
    ("url", "words"),
    [("nothing://x/y", "nothing"), ("s3://", ""), ("file:///proc/none/run", "cannot write file:///proc/none/run")],
)
def test_urls_that_cannot_be_used_are_one_line(url, words, capsys):
    assert main(["run", "--model", "remote-test:x", "--tasks", "world_qa", "--limit", "2", "--out", url]) in (2, 3)
    told = capsys.readouterr().err.strip().splitlines()
    assert words in told[-1] and "Traceback" not in "".join(told)


def test_runs_at_urls_are_read_like_folders(top, capsys):
    run(f"{top}/runs/base")
    run(f"{top}/runs/new")
    assert main(["compare", f"{top}/runs/base", f"{top}/runs/new"]) == 0
    assert evalkit.compare(f"{top}/runs/base", f"{top}/runs/new").findings
    assert main(["report", f"{top}/runs", "--out", "page"]) == 0
    assert "world_qa" in Path("page/report.md").read_text()
    with pytest.raises(StoreError, match="holds no run"):
        fetch(Url(f"{top}/nowhere"))
    capsys.readouterr()


def test_the_name_of_an_object_leads_to_no_other_folder(made_up, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(made_up))
    fsspec.filesystem("memory").pipe_file(f"/{made_up.name}/top/../../evil/manifest.json", b"{}")
    with pytest.raises(StoreError, match=r"holds '\.\./\.\./evil/manifest\.json', which leads out of it"):
        fetch(Url(f"memory://{made_up.name}/top"))
    assert not (made_up / "evil").exists()
    with pytest.raises(StoreError, match="holds no run"):
        fetch(Url(f"memory://{made_up.name}/none/.."))


def test_a_command_that_cannot_get_the_run_does_not_hold_it(top, monkeypatch):
    run(f"{top}/run")

    def unreachable(*words, **more):
        raise StoreError("no network")

    with monkeypatch.context() as patch:
        patch.setattr(remote, "_download", unreachable)
        with pytest.raises(StoreError, match="no network"):
            run(f"{top}/run")
    assert "writer.json" not in files(f"{top}/run")


def test_places():
    assert place("a/b") == Path("a/b") and place(Path("a")) == Path("a")
    assert str(place("s3://bucket/runs/") / "x") == "s3://bucket/runs/x"
    with pytest.raises(UsageError, match="nothing"):
        RemoteFolder(Url("nothing://x"))


DRIVER = """
import sys, time
import evalkit
from evalkit.cli import main
from evalkit.engine.fake import FakeEngine
from evalkit.harness import run
from evalkit.runs import remote
from evalkit.types import Response

run.UNIT_TOKENS = 200
remote._SIGN, remote._SILENCE = 0.05, 0.5

def answer(request):
    time.sleep(0.005)
    return Response(loglikelihood=-1.0 - len(request.context + request.continuation) % 7, tokens=1, text="no")

evalkit.register_engine("slow", lambda text, **_: FakeEngine("x", answer))
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["file", "s3"])
def test_a_killed_driver_goes_on_from_the_url_alone(kind, tmp_path, request):
    top = request.getfixturevalue("bucket") if kind == "s3" else f"file://{tmp_path}/store"
    Path("driver.py").write_text(DRIVER)
    words = [sys.executable, "driver.py", "run", "--model", "slow:x", "--tasks", TASKS, "--limit", "40", "--out"]
    environment = {**os.environ, "PYTHONPATH": str(Path(evalkit.__file__).parents[1])}
    assert subprocess.run([*words, "whole"], env=environment, capture_output=True).returncode == 0
    url = f"{top}/killed-{tmp_path.name}"
    process = subprocess.Popen([*words, url], env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while not any(name.startswith("records-") for name in files(url)):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = files(url)
    assert "results.json" not in kept and "writer.json" in kept
    done = subprocess.run([*words, url], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert files(url)["results.json"] == Path("whole/results.json").read_bytes()
