"""Baselines over time: the committed versions of a file, what is drawn of them, and the badge."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

from evalkit.cli import main
from evalkit.comparison import history, versions
from evalkit.comparison.badge import COLOURS, Badge
from evalkit.comparison.baseline import read, save
from evalkit.errors import StoreError
from tests.comparison.made import Made, binary, write_run

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")

BITS = ("1100" * 15, "1110" * 15, "1111" * 15, "0000" * 15)


def git(folder: Path, *words: str, day: int = 1) -> str:
    moment = f"2026-11-{day:02}T10:00:00+00:00"
    about = {"GIT_AUTHOR_DATE": moment, "GIT_COMMITTER_DATE": moment, "HOME": str(folder), "PATH": "/usr/bin:/bin"}
    command = ["git", "-c", "user.name=n", "-c", "user.email=n@example.org", *words]
    return subprocess.run(command, cwd=folder, env=about, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository whose baseline was renewed on four days."""
    git(tmp_path, "init", "--quiet")
    for day, bits in enumerate(BITS, start=1):
        tasks = {"a": Made(scores=binary(bits)), "b": Made(scores=binary("10" * 30))}
        run = write_run(tmp_path / "runs" / str(day), tasks, model=f"m{day}")
        save(read(run), tmp_path / "baselines" / "main.json")
        git(tmp_path, "add", "baselines")
        git(tmp_path, "commit", "--quiet", "-m", f"day {day}", day=day)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def values(history):
    return [next(iter(evidence.sheets.values())).values["acc"].value for evidence in history]


def test_the_history_of_one_file_is_its_commits(repository):
    path = Path("baselines/main.json")
    found = versions.follow([path], last=10)
    assert values(found) == [50, 75, 100, 0]
    assert [evidence.date for evidence in found] == [f"2026-11-0{day}" for day in (1, 2, 3, 4)]
    commits = git(repository, "log", "--reverse", "--format=%H").splitlines()
    assert [evidence.commit for evidence in found] == commits
    assert versions.names(found) == [commit[:7] for commit in commits]
    assert values(versions.follow([path], last=2)) == [100, 0]
    save(read(repository / "runs" / "2"), path)  # changed since, and not committed
    found = versions.follow([path], last=10)
    assert values(found) == [50, 75, 100, 0, 75] and versions.names(found)[-1] == "now"


def test_a_version_that_cannot_be_read_is_left_out(repository, caplog):
    path = Path("baselines/main.json")
    good = path.read_bytes()
    path.write_text("{}")
    git(repository, "commit", "--quiet", "-am", "broken", day=5)
    path.write_bytes(good)
    git(repository, "commit", "--quiet", "-am", "mended", day=6)
    assert values(versions.follow([path], last=10)) == [50, 75, 100, 0, 0]
    assert "left out commit" in caplog.text and "neither a run folder nor a baseline file" in caplog.text
    with pytest.raises(StoreError, match="gone"):
        versions.follow([Path("gone.json")], last=3)


def test_a_shallow_clone_says_that_there_was_more(repository, tmp_path, caplog):
    git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{repository}", "shallow")
    assert values(versions.follow([tmp_path / "shallow" / "baselines" / "main.json"], last=10)) == [0]
    assert "this clone is shallow" in caplog.text


def test_several_files_are_sorted_by_their_days(repository, tmp_path):
    """What the file records wins over git; without days the given order stays."""
    for name, run, day in (("c", 1, "2026-11-20"), ("a", 2, "2026-11-09"), ("b", 3, "")):
        words = ["--commit", "0123456789", "--date", day] if day else []
        assert main(["baseline", "save", f"runs/{run}", f"{name}.json", *words]) == 0
    assert versions.names(versions.follow([Path("c.json"), Path("a.json")], last=9)) == ["a", "c"]
    found = versions.follow([Path("c.json"), Path("b.json"), Path("a.json")], last=9)
    assert versions.names(found) == ["c", "b", "a"]
    assert [evidence.commit for evidence in found] == ["0123456789", "", "0123456789"]
    assert values(versions.follow([Path("runs/3"), Path("runs/1")], last=9)) == [100, 50]
    git(repository, "add", "b.json")
    git(repository, "commit", "--quiet", "-m", "b", day=12)
    found = versions.follow([Path("c.json"), Path("b.json"), Path("a.json")], last=9)
    assert versions.names(found) == ["a", "b", "c"]


def test_history_writes_a_figure_a_table_and_a_badge(repository, capsys):
    assert main(["history", "baselines/main.json", "--out", "h"]) == 0
    row = next(line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("a "))
    assert row[:3] == ["a", "0", "acc"] and row[-1] == "-50.00"
    assert {path.name for path in Path("h").iterdir()} == {
        "badge.json", "badge.svg", "history.csv", "history.png", "history.svg"
    }  # fmt: skip
    assert json.loads(Path("h/badge.json").read_text()) == {
        "schemaVersion": 1, "label": "evalkit", "message": "1 of 2 worse", "color": "red"
    }  # fmt: skip
    svg = Path("h/history.svg").read_text()
    assert all(f">{text}</text>" in svg for text in ("a", "b", "0-shot", versions.names(
        versions.follow([Path("baselines/main.json")], last=9))[-1]))  # fmt: skip
    lines = Path("h/history.csv").read_text().splitlines()
    assert len(lines) == 1 + 2 * 4 and lines[1].endswith(",2026-11-01,plain,")
    before = {path.name: path.read_bytes() for path in Path("h").iterdir()}
    assert main(["history", "baselines/main.json", "--out", "h"]) == 0
    assert before == {path.name: path.read_bytes() for path in Path("h").iterdir()}


@pytest.mark.parametrize(
    ("runs", "words", "badge"),
    [
        (("1",), [], ("evalkit", "first baseline", "blue")),
        (("2", "2"), [], ("evalkit", "no regression in 2", "brightgreen")),
        (("4", "3"), [], ("evalkit", "1 of 2 better", "brightgreen")),
        (("1", "2"), ["--tasks", "b"], ("b acc", "50.00 [37.50, 62.50]", "blue")),
        (("3", "4"), ["--tasks", "a"], ("a acc", "0.00 [0.00, 4.87]", "red")),
        (("1", "other"), [], ("evalkit", "not comparable with the last", "lightgrey")),
    ],
)
def test_what_the_badge_says(runs, words, badge, repository):
    write_run(
        repository / "runs" / "other", {"a": Made(scores=binary("1" * 60), data="d9"), "b": Made(scores=binary("1"))}
    )
    assert main(["history", *(f"runs/{name}" for name in runs), "--out", "h", *words]) == 0
    said = json.loads(Path("h/badge.json").read_text())
    assert (said["label"], said["message"], said["color"]) == badge


def test_a_badge_is_xml_whatever_it_says():
    for colour in COLOURS:
        badge = Badge(label='<a & "b">', message="1 < 2\x00", colour=colour)
        root = ElementTree.fromstring(badge.svg())
        assert root.get("aria-label") == '<a & "b">: 1 < 2\N{REPLACEMENT CHARACTER}'
        assert next(text.text for text in root.iter("{http://www.w3.org/2000/svg}text")) == '<a & "b">'


def test_a_narrow_terminal_shows_the_last_versions(repository):
    past = versions.follow([Path(f"runs/{i}") for i in (1, 2, 3, 4, 1, 2)], last=9)
    for width, shown in ((100, 6), (60, 3), (20, 2)):
        file = io.StringIO()
        history.show(past, history.trends(past), Console(width=width, file=file))
        out = file.getvalue()
        assert (f"{6 - shown} older not shown" in out) == (shown < 6)
        if width > 20:
            values = ["50.00", "75.00", "100.00", "0.00", "50.00", "75.00"][-shown:]
            assert out.splitlines()[1].split() == ["a", "0", "acc", *values, "+25.00"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["history", "runs/1", "--tasks", "c"], "unknown task 'c' in the baselines"),
        (["history", "runs/1", "--last", "0"], "--last must be at least 1"),
        (["baseline", "save", "runs/1", "x.json", "--commit", "main"], "--commit 'main': expected 7 to 64"),
        (["baseline", "save", "runs/1", "x.json", "--date", "today"], "--date 'today': expected a day such as"),
    ],
)
def test_wrong_words(words, message, repository, capsys):
    assert main(words) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_a_record_that_is_none_is_a_damaged_file(repository):
    """A file of others may say anything there."""
    save(replace(read(repository / "runs" / "1"), commit="[red]0000000"), repository / "x.json")
    with pytest.raises(StoreError, match=r"x\.json is not a whole baseline file \(commit '\[red\]0000000': expected 7"):
        read(repository / "x.json")
