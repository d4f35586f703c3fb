"""evalkit corpus: what a user types, sees, and is told."""

from __future__ import annotations

import json

import pytest

from evalkit.cli import main


@pytest.fixture
def there(tmp_path, page, monkeypatch):
    """A folder with a small source, and no benchmark's data."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EVALKIT_DATA", raising=False)
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": page(i)}) + "\n" for i in range(30)))
    return tmp_path


def run(*words):
    return main([str(word) for word in words])


def test_build_look_and_train(there, capsys):
    assert run("corpus", "build", "a.jsonl", "--out", "out", "--vocab", 300, "--shard-tokens", "2k") == 0
    shown = capsys.readouterr()
    assert "30 documents" in shown.out and "| a.jsonl | 30 |" in shown.out and "out: made in" in shown.out
    assert run("corpus", "stats", "out", "--verify") == 0
    assert capsys.readouterr().out in shown.out
    train = ["train", "--size", "pico", "--context", 32, "--sequences", 2, "--tokens", 128, "--compile", "off"]
    assert run(*train, "--corpus", "out", "--out", "model") == 0
    record = json.loads((there / "model" / "training.json").read_text())
    assert record["corpus"]["fingerprint"] == json.loads((there / "out" / "corpus.json").read_text())["fingerprint"]
    assert run(*train, "--corpus", "out", "--vocab", 500, "--out", "other") == 2
    assert "has a vocabulary of 300, not 500" in capsys.readouterr().err


def test_a_given_tokenizer_is_taken(there, capsys):
    assert run("corpus", "build", "a.jsonl", "--out", "out", "--tokenizer", "nano") == 0
    index = json.loads((there / "out" / "corpus.json").read_text())
    assert index["vocabulary"] == 3000


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["corpus", "build", "gone.txt", "--out", "o"], "no such file or folder"),
        (["corpus", "build", "a.jsonl", "--out", "a.jsonl/o"], "cannot write to the folder"),
        (["corpus", "build", "a.jsonl", "--out", "o", "--column", "body"], "(columns: text); choose one with --column"),
        (["corpus", "build", "a.jsonl", "--out", "o", "--vocab", 100], "need at least 257"),
        (["corpus", "build", "a.jsonl", "--out", "o", "--tokenizer", "gone"], "unknown model 'gone'"),
        (
            ["corpus", "build", "a.jsonl", "--out", "o", "--tokenizer", "nano", "--vocab", 300],
            "omit it with --tokenizer",
        ),
        (["corpus", "build", "a.jsonl", "--out", "o", "--decontaminate", "lambda"], "did you mean 'lambada'?"),
        (["corpus", "build", "a.jsonl", "--out", "o", "--jobs", 0], "--jobs must be at least 1"),
        (["corpus", "build", "a.jsonl", "--out", "o", "--language", "xx"], "unknown language 'xx'"),
        (["corpus", "build", "a.jsonl", "--out", "o", "--min-characters", 9000], "too short: 30"),
        (["corpus", "stats", "."], "no corpus here"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(there, capsys, words, message):
    assert run(*words) == 2
    *_, line = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("evalkit: error: ") and message in line
