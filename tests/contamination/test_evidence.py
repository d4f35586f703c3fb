"""evalkit contamination --model: its tables, its warnings, its files, and what it refuses."""

from __future__ import annotations

import csv
import json

import pytest

from evalkit import world
from evalkit.cli import main
from evalkit.contamination import documents

QUICK = ["contamination", "--model", "pico", "--shards", "4", "--permutations", "9"]


@pytest.fixture
def pages(tmp_path):
    """Twenty pages of another world."""
    path = tmp_path / "pages.jsonl"
    path.write_text("".join(json.dumps({"text": page}) + "\n" for page in world.corpus(seed=9, documents=20)))
    return path


def test_the_page_has_both_tests_and_the_reasons_for_doubt(pages, tmp_path, capsys):
    out = tmp_path / "out"
    words = [*QUICK, "--tasks", "world_qa,world_patterns", "--reference", "nano", "--unseen", str(pages)]
    assert main([*words, "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "world_qa" in shown and "Against pages.jsonl" in shown
    # rules follow each other in that task's file, which both models notice; questions look unlike pages
    assert "world_patterns: the reference prefers the published order too" in shown
    assert "world_qa: words alone tell its documents from the unseen texts" in shown
    values = json.loads((out / "evidence.json").read_text())
    qa, patterns = values["tasks"]
    assert patterns["order"]["p"] < 0.05 and patterns["reference"]["p"] < 0.05 < qa["order"]["p"]
    assert len(qa["order"]["gains"]) == qa["order"]["shards"] == 4 and qa["aucs"].keys() == {
        "min_k", "min_k_plus", "loss"
    }  # fmt: skip
    rows = list(csv.DictReader((out / "evidence.csv").read_text().splitlines()))
    assert sum(row["kind"] == "unseen" for row in rows if row["task"] == "world_qa") == 20
    assert sum(row["kind"] == "document" for row in rows if row["task"] == "world_qa") == 270
    page = (out / "evidence.md").read_text()
    assert "--unseen" in page and "--permutations 9" in page and (out / "evidence.png").stat().st_size


def test_the_same_command_gives_the_same_bytes(tmp_path, capsys):
    for name in "ab":
        assert main([*QUICK, "--tasks", "world_qa", "--out", str(tmp_path / name)]) == 0
    first, second = (json.loads((tmp_path / name / "evidence.json").read_text()) for name in "ab")
    assert first == second
    assert "evidence.csv" not in capsys.readouterr().out  # there is nothing to compare


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--tasks", "world_qa"], "give a corpus or an index to search, or --model"),
        (["world", "--model", "pico", "--tasks", "world_qa"], "give a corpus or --model, not both"),
        (["--model", "pico", "--runs", "r", "--tasks", "world_qa"], "--runs belongs to the search of a corpus"),
        (["--model", "pico", "--jobs", "2", "--tasks", "world_qa"], "--jobs belongs to the search of a corpus"),
        (["--model", "pico", "--shards", "0", "--tasks", "world_qa"], "--shards must be at least 1, not 0"),
        (["--model", "pico", "--min-k", "0%", "--tasks", "world_qa"], "--min-k 0%"),
        (["--model", "none", "--tasks", "world_qa"], "unknown model 'none'"),
        (["--model", "pico", "--reference", "none", "--tasks", "world_qa"], "unknown model 'none'"),
        (["world", "--unseen", "x", "--tasks", "world_qa"], "--unseen and --reference belong to --model"),
        (["--model", "pico", "--unseen", "absent.txt", "--tasks", "world_qa"], "absent.txt"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_line(words, message, capsys, monkeypatch):
    monkeypatch.setattr(documents, "items", None)  # reading the tasks takes a while; these errors come before it
    assert main(["contamination", *words]) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_too_few_unseen_texts_are_refused(tmp_path, capsys):
    (tmp_path / "few.txt").write_text("one text")
    assert main([*QUICK, "--tasks", "world_qa", "--unseen", str(tmp_path / "few.txt")]) == 2
    assert "few.txt has 1 texts; a comparison needs at least 5" in capsys.readouterr().err
