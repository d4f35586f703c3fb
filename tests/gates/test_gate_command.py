"""evalkit gate as a user and CI meet it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from evalkit.cli import main
from tests.comparison.made import Made, write_run

TABLE = "input,output\n" + "".join(f"{i} plus {i} is,{2 * i}\n" for i in range(60))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    rng = np.random.default_rng(0)

    def bits(rate):
        return {f"doc-{i}": {"acc": (float(rng.random() < rate),)} for i in range(300)}

    kept, lost = bits(0.6), bits(0.9)
    write_run(tmp_path / "base", {"kept": Made(scores=kept), "lost": Made(scores=lost)}, model="old")
    write_run(tmp_path / "new", {"kept": Made(scores=kept), "lost": Made(scores=bits(0.3))}, model="new")
    (tmp_path / "sums.csv").write_text(TABLE)
    return tmp_path


def gate(*words):
    return main(["gate", *map(str, words)])


def test_a_regression_ends_with_1_and_is_told_everywhere(elsewhere, capsys):
    files = ["--markdown", "c.md", "--junit", "c.xml", "--json", "c.json"]
    assert gate("--base", "base", "--model", "new", "--margin", 10, *files) == 1
    printed = capsys.readouterr().out
    assert "regression: 1 worse, 1 same of 2 compared" in printed and "suite: worse; read " in printed
    assert "of 600 documents" in printed and "would have told soonest" in printed
    told = json.loads((elsewhere / "c.json").read_text())
    assert (told["suite"], told["total"], told["soonest"][0]["task"]) == ("worse", 600, "lost 0-shot")
    page = (elsewhere / "c.md").read_text()
    assert "❌ worse" in page and f"suite: worse; read {told['documents']} of 600" in page and "doc-" in page
    report = (elsewhere / "c.xml").read_text()
    assert '<failure type="worse"' in report and 'name="evalkit gate"' in report and "compare" not in report


def test_what_is_undecided_is_no_regression_unless_it_has_to_be_decided(capsys):
    words = ["--base", "base", "--model", "new", "--tasks", "kept", "--margin", 10, "--budget", 30]
    assert gate(*words) == 0
    assert "undecided (the budget is spent; about " in capsys.readouterr().out
    assert gate(*words, "--strict") == 1


def test_a_model_is_asked_and_the_folder_is_named(elsewhere, capsys):
    words = ["--base", "pico", "--model", "pico", "--tasks", "sums.csv", "--no-cache", "--out", "gate", "--margin", 30]
    assert gate(*words) == 0
    assert "stored in gate" in capsys.readouterr().out
    before = (elsewhere / "gate" / "gate.json").read_bytes()
    assert gate(*words, "--resume") == 0 and (elsewhere / "gate" / "gate.json").read_bytes() == before
    capsys.readouterr()
    assert main(["report", "gate/new", "--out", "page"]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--base", "base", "--model", "new", "--budget", "soon"], "--budget 'soon': expected documents"),
        (["--base", "base", "--model", "new", "--weight", "kept"], "--weight 'kept': expected TASK=NUMBER"),
        (["--base", "base", "--model", "new", "--weight", "kep=2"], "unknown task 'kep' in --weight"),
        (["--base", "base", "--model", "new", "--margin", "-1"], "--margin '-1'"),
        (["--base", "base", "--model", "new", "--alpha", "2"], "--alpha must be between 0 and 1"),
        (["--base", "base", "--model", "new", "--tasks", "kep"], "unknown task 'kep' of both runs"),
        (["--base", "base", "--model", "nothing-like-it"], "nothing-like-it"),
        (["--base", "base", "--model", "pico"], "unknown task"),
        (["--base", "sums.csv", "--model", "pico"], "sums.csv"),
    ],
)
def test_wrong_input_is_one_line_and_2(words, message, caplog, elsewhere):
    assert gate(*words, "--markdown", "c.md") == 2
    assert message in caplog.text
    assert (elsewhere / "c.md").read_text().startswith("### evalkit: not compared")
