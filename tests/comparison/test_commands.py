"""evalkit compare, baseline and power as a user and CI meet them."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from lxml import etree
from markdown_it import MarkdownIt

from evalkit.cli import main
from tests.comparison.made import Made, binary, unbind, write_run

SCHEMA = etree.XMLSchema(file=str(Path(__file__).with_name("jenkins-junit.xsd")))
TASKS = {
    "falls": Made(scores=binary("1101" * 30)),
    "stays": Made(scores=binary("1010" * 30)),
    "wavers": Made(scores=binary("10" * 60)),
}
WORSE = {**TASKS, "falls": Made(scores=binary("1000" * 30)), "wavers": Made(scores=binary("10" * 59 + "11"))}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    write_run(tmp_path / "base", TASKS, model="old")
    write_run(tmp_path / "new", WORSE, model="new")
    return tmp_path


def run(*words):
    return main([str(word) for word in words])


def junit(path):
    document = etree.parse(str(path))
    SCHEMA.assertValid(document)
    return document.getroot()


def test_a_regression_ends_with_1_and_is_told_everywhere(elsewhere, capsys):
    written = ["--markdown", "out/c.md", "--junit", "out/c.xml", "--json", "out/c.json"]
    assert run("compare", "base", "new", *written) == 1
    printed = capsys.readouterr().out
    for words in ("old@old-hash", "falls", "-50.00", "regression: 1 worse, 1 undecided, 1 same of 3 compared"):
        assert words in printed
    suite = junit("out/c.xml")[0]
    assert dict(suite.attrib) | {"name": ""} == {
        "name": "",
        "tests": "3",
        "failures": "1",
        "errors": "0",
        "skipped": "1",
    }
    assert [case.get("name") for case in suite.iter("testcase") if case.find("failure") is not None] == [
        "falls 0-shot acc"
    ]
    found = json.loads((elsewhere / "out" / "c.json").read_text())
    assert found["failing"] == ["falls 0-shot acc"] and found["findings"][0]["change"] == -50.0
    assert "regression" in (elsewhere / "out" / "c.md").read_text()


def test_markdown_is_rendered_as_tables_and_nothing_in_it_is_markup(elsewhere):
    run("compare", "base", "new", "--markdown", "c.md", "--flips", 7)
    page = MarkdownIt("gfm-like", {"linkify": False}).render((elsewhere / "c.md").read_text())
    assert page.count("<table>") == 2 and page.count("<details>") == page.count("</details>") == 1
    head, flipped = page.split("<table>")[1:]
    assert head.count("<tr>") == 1 + 3 and flipped.count("<tr>") == 1 + 7
    for row in flipped.split("<tr>")[2:]:
        assert row.count("<td") == 7 and "<code>gold | `of` &lt;b&gt;</code>" in row and "<em>" not in row
    assert "❌ worse" in head and "95% interval" in head


def test_changed_answers_are_spread_over_the_tasks_that_fail(elsewhere):
    """Three got worse and share the places, in the order of the table; one that only wavers gets what is left."""
    tasks = {name: Made(scores=binary("1" * 60)) for name in ("a", "b", "c")} | {"d": Made(scores=binary("10" * 30))}
    worse = {
        name: Made(scores=binary("0" * lost + "1" * (60 - lost))) for name, lost in (("a", 20), ("b", 3), ("c", 30))
    }
    write_run(elsewhere / "x", tasks)
    write_run(elsewhere / "y", worse | {"d": Made(scores=binary("10" * 29 + "01"))})

    def listed(count, new="y"):
        run("compare", "x", new, "--markdown", "c.md", "--flips", count)
        folded = (elsewhere / "c.md").read_text().partition("<details>")[2].splitlines()[4:-2]
        return [row.split(" | ")[0].removeprefix("| ") for row in folded if row]

    assert listed(7) == ["c"] * 4 + ["a"] * 3
    assert listed(40) == ["c"] * 10 + ["a"] * 10
    write_run(elsewhere / "z", {**tasks, "b": worse["b"], "d": Made(scores=binary("10" * 29 + "01"))})
    assert listed(12, "z") == ["b"] * 3 + ["d"] * 2


def test_the_page_has_60_lines_whatever_is_compared(elsewhere):
    """What has no room is counted, and a column in which nothing stands is left out."""
    falls, stays = binary("1" * 40), binary("0" * 20 + "1" * 20)
    names = [f"t{i:02}" for i in range(70)]
    write_run(elsewhere / "x", {name: Made(scores=falls) for name in names})
    write_run(
        elsewhere / "y", {name: Made(scores=stays if i % 2 else falls, data=f"d{i}") for i, name in enumerate(names)}
    )
    run("baseline", "save", "x", "x.json"), run("baseline", "save", "y", "y.json")
    for base, new, columns in (("x", "y", 7), ("x.json", "y.json", 4)):
        assert run("compare", base, new, "--allow", "data", "--markdown", "c.md", "--flips", 50) == 1
        lines = (elsewhere / "c.md").read_text().splitlines()
        assert len(lines) <= 60
        assert sum("worse" in line for line in lines[10:]) >= 10 and lines[8].startswith("- 65 more differences")
        [more] = [line for line in lines if line.startswith("and ")]
        shown = sum(line.startswith("| t") and " acc " in line for line in lines)
        assert more == f"and {70 - shown} more: {35 - shown} worse, 35 same"
        [header] = [line for line in lines if " document " in line]
        assert header.count(" | ") == columns - 1
    run("compare", "x", "y", "--allow", "data", "--markdown", "c.md", "--flips", 0)
    assert "Changed" not in (elsewhere / "c.md").read_text()


def test_the_summary_of_the_job_is_appended_to(elsewhere, monkeypatch):
    summary = elsewhere / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    assert run("compare", "base", "base") == 0
    assert summary.read_text().startswith("before\n### evalkit: no regression found: 3 same of 3 compared")


def test_what_cannot_be_compared_ends_with_2_and_is_written(elsewhere, capsys):
    lines = (elsewhere / "new" / "records.jsonl").read_text().splitlines(keepends=True)
    (elsewhere / "new" / "records.jsonl").write_text("".join(line for i, line in enumerate(lines) if i % 100))
    assert run("compare", "base", "new") == 2
    assert "records.jsonl was changed: its records are not those" in capsys.readouterr().err
    unbind(elsewhere / "new")
    assert run("compare", "base", "new", "--markdown", "c.md", "--junit", "c.xml") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "(documents differ)" in error
    assert "falls at 0 shots: NEW holds 118 of its 120 documents" in error
    assert junit("c.xml").find("testsuite/testcase/error").get("type") == "CompareError"
    assert "not compared" in (elsewhere / "c.md").read_text()
    assert run("compare", "base", "new", "--allow", "documents") == 1
    assert "allowed: falls at 0 shots" in capsys.readouterr().out


def test_strict_and_margins(elsewhere, capsys):
    write_run(elsewhere / "near", {**TASKS, "wavers": WORSE["wavers"]})
    assert run("compare", "base", "near") == 0
    assert run("compare", "base", "near", "--strict", "--junit", "c.xml") == 1
    assert "not decided (--strict)" in capsys.readouterr().out
    assert [f.get("type") for f in junit("c.xml").iter("failure")] == ["undecided"]
    assert run("compare", "base", "near", "--strict", "--margin", "wavers=7") == 0
    assert "same (within 7)" in capsys.readouterr().out


@pytest.mark.parametrize("width", [60, 80, 160])
def test_nothing_is_cut_on_any_terminal(elsewhere, width):
    from rich.console import Console

    from evalkit.comparison import display
    from evalkit.comparison.baseline import read
    from evalkit.comparison.comparison import Settings, compare

    console = Console(width=width, record=True, file=io.StringIO())
    display.show(compare(read(elsewhere / "base"), read(elsewhere / "new"), Settings())[0], console)
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= width and any("falls" in line for line in lines)
    text = " ".join(" ".join(lines).split())
    assert (
        "-50.00" in text
        and "1 differing document, it takes at least 6 to reach p 0.05 after Holm's correction over 3" in text
    )


WRONG = {
    "margin": (["--margin", "x"], "--margin 'x'"),
    "margin task": (["--margin", "fals=1"], "did you mean 'falls'?"),
    "alpha": (["--alpha", "0"], "--alpha must be between 0 and 1"),
    "flips": (["--flips", "-1"], "--flips must be at least 0, not -1"),
    "resamples": (["--resamples", "9"], "--resamples must be at least 100"),
    "field": (["--allow", "documens"], "did you mean 'documents'?"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_options(name, capsys):
    words, message = WRONG[name]
    assert run("compare", "base", "new", *words) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_a_folder_that_is_no_run(elsewhere, capsys):
    (elsewhere / "empty").mkdir()
    for path, message in (
        ("empty", "empty is no run folder: manifest.json is missing"),
        ("nowhere", "there is no run folder nowhere"),
    ):
        assert run("compare", path, "new") == 2
        assert message in capsys.readouterr().err
    (elsewhere / "new" / "records.jsonl").write_text('{"cell": {"variant": ""}}\n')
    unbind(elsewhere / "new")
    assert run("compare", "base", "new") == 2
    assert "line 1: not a record of this run (cell: no field 'task')" in capsys.readouterr().err
    (elsewhere / "new" / "records.jsonl").unlink()
    assert run("compare", "base", "new") == 2
    assert "cannot read new" in capsys.readouterr().err


def test_baselines_are_saved_compared_and_followed(elsewhere, capsys):
    assert run("baseline", "save", "base", "kept/1.json") == 0
    assert run("baseline", "save", "new", "kept/2.json") == 0
    assert "as kept/2.json" in capsys.readouterr().out
    assert run("compare", "kept/1.json", "kept/2.json", "--markdown", "c.md") == 1
    assert run("compare", "kept/1.json", "base") == 0
    capsys.readouterr()
    assert run("baseline", "history", "kept/1.json", "kept/2.json", "--csv", "trend.csv") == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("falls"))
    assert row.split() == ["falls", "0", "acc", "75.00", "25.00", "-50.00"]
    assert len((elsewhere / "trend.csv").read_text().splitlines()) == 1 + 3 * 2


def test_power_from_runs_and_from_a_rate(capsys):
    assert run("power", "--task", "falls", "--effect", "1pp", "--run", "base", "--run", "new") == 0
    assert (
        "50.0% of documents right in one system only (in the 120 documents of the two runs)" in capsys.readouterr().out
    )
    assert run("power", "--task", "wavers", "--effect", "1pp", "--run", "base", "--run", "new") == 0
    assert "1.0% of documents right in one system only (the effect itself; 0.8% in the 120" in capsys.readouterr().out
    assert run("power", "--task", "world_qa", "--effect", "2", "--discordance", "0.1", "--tests", "10") == 0
    ten = capsys.readouterr().out
    assert "10.0% of documents right in one system only (--discordance)" in ten and "shared by 10 tests" in ten
    assert run("power", "--task", "world_qa", "--effect", "2pp") == 0
    assert "a guess" in capsys.readouterr().out


WRONG_POWER = {
    "effect": (["--effect", "-1"], "--effect '-1'"),
    "bleu": (["--task", "world_en_fr"], "metric 'bleu' is not right or wrong: give two stored runs"),
    "task": (["--task", "world_qq"], "did you mean 'world_qa'?"),
    "rate": (["--discordance", "0.005"], "more than the 0.5% of documents"),
    "one run": (["--run", "base"], "give --run twice"),
    "task of runs": (["--run", "base", "--run", "new"], "unknown task 'world_qa' in the runs"),
    "shots": (["--run", "base", "--run", "new", "--task", "falls", "--shots", "4"], "--shots 4: the runs have 0"),
}


@pytest.mark.parametrize("name", WRONG_POWER)
def test_wrong_plans(name, capsys):
    words, message = WRONG_POWER[name]
    assert run("power", "--task", "world_qa", "--effect", "1", *words) == 2
    assert message in capsys.readouterr().err
