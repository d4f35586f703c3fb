"""Output that nobody reads any more: the exit code stays the verdict's, and the work is done."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from evalkit import progress, streams
from tests.comparison.made import Made, binary, write_run

EVALKIT = f"{sys.executable} -m evalkit.cli"


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    write_run(folder / "good", {"a": Made(scores=binary("1" * 60))})
    write_run(folder / "bad", {"a": Made(scores=binary("0" * 60))})
    return folder


@pytest.mark.parametrize(("new", "code"), [("good", 0), ("bad", 1), ("nowhere", 2)])
@pytest.mark.parametrize("out", ["| true", ">&-", "2>&-", ">&- 2>&-", "2>&1 | true", "<&- | head -1"])
def test_a_lost_stream_keeps_the_verdict(runs: Path, new: str, code: int, out: str) -> None:
    after = "exit ${PIPESTATUS[0]}" if "|" in out else "exit $?"
    done = shell(f"{EVALKIT} compare good {new} --resamples 100 --json found.json {out}; {after}", runs)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr


@pytest.mark.parametrize(("new", "code"), [("good", 3), ("bad", 1)])
def test_a_full_disk_is_no_success(runs: Path, new: str, code: int) -> None:
    done = shell(f"{EVALKIT} compare good {new} --resamples 100 > /dev/full", runs)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert new == "bad" or "cannot write standard output: No space left on device" in done.stderr


@pytest.mark.parametrize("lost", ["2>&1 | true", "2>&-", "2> /dev/full", "--log-json /dev/full", "| true"])
def test_a_run_goes_on_without_its_messages(tmp_path: Path, lost: str) -> None:
    command = f"{EVALKIT} run --model nano --tasks world_qa --limit 3 --no-cache --out out {lost}"
    done = shell(f"{command}; exit ${{PIPESTATUS[0]}}", tmp_path)
    assert done.returncode == 0 and "Traceback" not in done.stderr
    assert json.loads((tmp_path / "out" / "results.json").read_text())["results"]


def test_help_into_nothing(tmp_path: Path) -> None:
    assert shell(f"{EVALKIT} run --help | true; exit ${{PIPESTATUS[0]}}", tmp_path).returncode == 0


def test_a_wrong_argument_moves_no_cursor(tmp_path: Path) -> None:
    done = shell(f"{EVALKIT} models $'\\e[31mx' $'\\e]0;t\\a'; {EVALKIT} run --tasks $'\\e[2J\\u202e'", tmp_path)
    assert "error" in done.stderr and not {"\x1b", "\x07", "\u202e"} & {*done.stderr}


def test_tables_and_bars_show_names_without_their_sequences(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.table import Table
    from rich.text import Text

    with streams.lasting():
        table = Table("\x1b[31mname")
        table.add_row(Text("a\x1b]0;t\x07b"))
        streams.console(width=80).print(table)
        print("c\x9bd")
    said = capsys.readouterr().out
    assert "[31mname" in said and "a]0;tb" in said and "c�d" in said and "\x1b" not in said


def in_terminal(words: list[str], environment: dict[str, str], folder: Path) -> str:
    """Return what a command prints on a terminal of 80 columns, standard error included."""
    pty = pytest.importorskip("pty", reason="needs pseudo-terminals")
    outer, inner = pty.openpty()
    surroundings = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    surroundings |= {"COLUMNS": "80", "TERM": "xterm-256color", **environment}
    program = [sys.executable, "-m", "evalkit.cli", *words]
    with subprocess.Popen(program, stdout=inner, stderr=inner, stdin=inner, cwd=folder, env=surroundings) as child:
        os.close(inner)
        out = b""
        with contextlib.suppress(OSError):  # how Linux says that the other end is closed
            while block := os.read(outer, 65536):
                out += block
    os.close(outer)
    assert child.returncode == 0, out
    return out.decode()


@pytest.mark.parametrize(
    ("environment", "styled"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False), ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False)],
)
def test_styles_are_for_terminals_that_want_them(runs: Path, environment: dict[str, str], styled: bool) -> None:
    shown = in_terminal(["compare", "good", "good", "--resamples", "100"], environment, runs)
    assert ("\x1b[" in shown) == styled and "no regression found" in shown


@pytest.mark.parametrize(("variable", "styled"), [("A=1", False), ("FORCE_COLOR=1", True), ("LANG=C", False)])
def test_a_pipe_has_no_styles_unless_they_are_forced(runs: Path, variable: str, styled: bool) -> None:
    done = shell(f"unset NO_COLOR; {variable} {EVALKIT} compare good good --resamples 100 | cat", runs)
    assert ("\x1b[" in done.stdout) == styled


def test_a_dumb_terminal_gets_lines_instead_of_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    for term, kind in (("xterm", progress._Bar), ("dumb", progress._Lines)):
        monkeypatch.setenv("TERM", term)
        with progress.progress("evaluate", total=1, unit="items") as bar:
            assert isinstance(bar, kind)


def test_our_own_characters_have_a_form_in_ascii() -> None:
    inner = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    streams.Lasting(inner).write("33.6 ± 0.2, 4 × 2 → “8”, père")
    inner.flush()
    assert inner.buffer.getvalue() == b'33.6 +/- 0.2, 4 x 2 -> "8", p\\xe8re'  # type: ignore[attr-defined]
