"""One thing that goes wrong: one clear message, an exit code by kind, and the rest of the run."""

from __future__ import annotations

import json
import os
import shutil

import pytest
import torch

from evalkit.cli import main
from evalkit.commands import options
from evalkit.engine.gpt import GPTEngine
from evalkit.harness import catalog
from evalkit.model import weights
from evalkit.model.config import GPTConfig
from evalkit.model.gpt import GPT
from evalkit.runs.store import read_records, read_results
from evalkit.tokenizer import Tokenizer

TASK = """
from evalkit.data.sources import BenchmarkSource, Hub
from evalkit.harness.task import Protocol, Task
from evalkit.types import Example

def _to_example(document):
    return Example(task="t", input=document.row["text"], output="a", choices=("a", "b"), gold=0)

TASKS = (
    Task(
        name="toy", family="qa", title="toy",
        source=BenchmarkSource(name="toy", hub=Hub(id="nobody/toy", splits={"test": "test"})),
        to_example=_to_example,
        controls={"odd": lambda example: {}["no such thing"]},
        protocols={"plain": Protocol(kind="choice", query="{input}:", target=" {choice}", metrics=("acc",))},
    ),
)
"""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tokenizer = Tokenizer.train(["Q: Who has the red box?\nA: Anna and the dog = le chien " * 3], vocab_size=290)
    model = GPT(GPTConfig(n_layer=1, d_model=16, n_head=2, context=256, vocab_size=tokenizer.size))
    model.initialize(torch.Generator().manual_seed(0))
    weights.save(model, tokenizer, folder, record=None)
    return folder


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EVALKIT_DATA", raising=False)
    return tmp_path


@pytest.fixture
def command(checkpoint, elsewhere):
    """Run a task that fails, for its control does, and one that does not."""
    (elsewhere / "toy.py").write_text(TASK)
    (elsewhere / "toy.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n')
    return ["run", "--model", str(checkpoint), "--tasks", "toy.py,world_qa", "--data", "toy=toy.jsonl",
            "--limit", "3", "--out", "out"]  # fmt: skip


def test_one_bad_task_does_not_end_the_others(command, elsewhere, capsys):
    assert main([*command, "--markdown", "table.md"]) == 1
    printed = capsys.readouterr()
    assert "world_qa" in printed.out and "\nfailed: tiny: toy\nstored in out\n" in printed.out
    assert (elsewhere / "table.md").read_text().endswith("\nfailed: tiny: toy\n")
    said = "evalkit: error: tiny: toy failed: toy: KeyError: 'no such thing' in "
    assert said in printed.err and "Traceback" not in printed.err
    assert {r.task for r in read_results(elsewhere / "out")} == {"world_qa"}
    assert "KeyError" in json.loads((elsewhere / "out" / "results.json").read_text())["failed"]["toy"]
    (elsewhere / "toy.py").write_text(TASK.replace('{}["no such thing"]', "example"))
    assert main(command) == 0
    assert {r.task for r in read_results(elsewhere / "out")} == {"toy", "world_qa"}
    assert "failed" not in json.loads((elsewhere / "out" / "results.json").read_text())


def test_strict_ends_at_the_first_bad_task(command, elsewhere, capsys):
    assert main([*command, "--strict"]) == 2
    assert "evalkit: error: toy: KeyError" in capsys.readouterr().err
    assert not (elsewhere / "out" / "results.json").exists()
    assert main([*command, "--strict", "--log-level", "debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_one_bad_file_does_not_end_the_others(command, elsewhere, capsys):
    (elsewhere / "toy.jsonl").write_text('{"text": "one"}\n{"te')
    assert main(command) == 1
    assert "toy failed: toy.jsonl line 2: not valid JSON" in capsys.readouterr().err
    assert {r.task for r in read_results(elsewhere / "out")} == {"world_qa"}
    assert main([*command, "--tasks", "toy.py", "--out", "alone"]) == 2
    assert main([*command, "--strict", "--out", "strict"]) == 2


@pytest.mark.parametrize("tasks", ["toy.py", "toy.py,world_qa"])
def test_a_file_that_vanishes(command, elsewhere, monkeypatch, capsys, tasks):
    monkeypatch.setattr(catalog, "check_data", lambda *_: (elsewhere / "toy.jsonl").unlink())
    assert main([*command, "--tasks", tasks]) == (2 if tasks == "toy.py" else 1)
    printed = capsys.readouterr().err
    assert "toy.jsonl" in printed and "No such file" in printed and "Traceback" not in printed


def test_one_bad_model_does_not_end_the_others(checkpoint, elsewhere, capsys):
    shutil.copytree(checkpoint, elsewhere / "bad")
    data = (checkpoint / "model.safetensors").read_bytes()
    (elsewhere / "bad" / "model.safetensors").write_bytes(data[:-100])
    command = ["run", "--tasks", "world_qa", "--limit", "2", "--out", "out", "--model"]
    assert main([*command, f"bad,{checkpoint}"]) == 1
    printed = capsys.readouterr()
    assert "evalkit: error: bad failed: " in printed.err and "is the file cut?" in printed.err
    assert {r.model for r in read_results(elsewhere / "out" / "tiny")} == {"tiny"}
    assert not (elsewhere / "out" / "bad" / "results.json").exists()
    assert main([*command, f"bad,{checkpoint}", "--strict"]) == 2
    assert main([*command, "bad"]) == 2


@pytest.mark.parametrize("task", ["world_pronouns", "world_qa", "world_lm"])
def test_scores_that_are_no_numbers_are_failures_not_answers(checkpoint, elsewhere, capsys, monkeypatch, task):
    monkeypatch.setenv("EVALKIT_CACHE", str(elsewhere / "cache"))
    model, tokenizer = weights.load(checkpoint)
    model.tokens.weight[:] = float("nan")
    weights.save(model, tokenizer, elsewhere / "nan", record=None)
    for _ in range(2):
        assert main(["run", "--model", "nan", "--tasks", task, "--limit", "3", "--out", "out"]) == 1
        reason = (
            f"nan: {task} failed: none of 3 items could be scored at 0 shots: the model's score is nan, not a finite"
        )
        assert reason in capsys.readouterr().err.replace("none of 6", "none of 3")
    records = list(read_records(elsewhere / "out"))
    assert all(record.error and not record.scores and not record.prediction for record in records)
    rows = [r for r in read_results(elsewhere / "out") if r.source == "model" and not r.level]
    assert rows and all(r.n == 0 and r.failed == 3 and r.value != r.value for r in rows)


@pytest.mark.parametrize("tasks", ["world_qa", "world_lm,world_qa"])
def test_memory_that_ends(checkpoint, elsewhere, monkeypatch, capsys, tasks):
    def full(*_):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried")

    monkeypatch.setattr(GPTEngine, "generate_until", full)
    code = main(["run", "--model", str(checkpoint), "--tasks", tasks, "--limit", "2", "--out", "out"])
    assert code == (4 if tasks == "world_qa" else 1)
    said = capsys.readouterr().err
    assert "world_qa: out of memory; a smaller --batch-tokens" in said and "Traceback" not in said


def test_an_error_of_the_system_is_one_line(elsewhere, monkeypatch, capsys):
    def closed(*_):
        raise PermissionError(13, "Permission denied", "secret.json")

    monkeypatch.setattr(options, "integers", closed)
    assert main(["run", "--model", "nano"]) == 2
    assert capsys.readouterr().err == "evalkit: error: cannot read secret.json: Permission denied\n"


@pytest.mark.parametrize(
    ("may", "there", "code", "what"),
    [
        ({os.R_OK, os.W_OK}, False, 2, "read"),  # its folder may be written: it was to be read
        (set(), True, 2, "read"),
        ({os.R_OK}, True, 3, "write"),
        ({os.R_OK, os.X_OK, os.R_OK | os.X_OK}, False, 3, "write"),  # a new file in a folder that is read-only
    ],
)
def test_what_may_not_be_read_is_a_wrong_input_and_what_may_not_be_written_the_disks(
    may, there, code, what, elsewhere, monkeypatch, capsys
):
    def closed(*_):
        raise PermissionError(13, "Permission denied", "it")

    if there:
        (elsewhere / "it").write_text("")
    monkeypatch.setattr(options, "integers", closed)
    monkeypatch.setattr(os, "access", lambda _, mode: mode in may)
    assert main(["run", "--model", "nano"]) == code
    assert capsys.readouterr().err == f"evalkit: error: cannot {what} it: Permission denied\n"


def test_messages_as_json(command, elsewhere, capsys):
    assert main([*command, "--log-json", "-", "--log-level", "debug"]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert {line["level"] for line in lines} == {"debug", "info", "error"}
    [error] = [line for line in lines if line["level"] == "error"]
    assert error["message"].startswith("tiny: toy failed") and error["logger"] == "evalkit.commands.run"
    assert any(line["message"].startswith("Cell(") and line["items"] == 3 for line in lines)
    assert any("traceback" in line for line in lines)
    assert main([*command, "--strict", "--log-json", "log.jsonl", "--log-level", "error"]) == 2
    [line] = (elsewhere / "log.jsonl").read_text().splitlines()
    assert json.loads(line)["kind"] == "TaskError" and json.loads(line)["exit_code"] == 2
    assert main([*command, "--log-json", "no/such/folder"]) == 2
    assert "cannot write no/such/folder" in capsys.readouterr().err


def test_where_the_cache_is_and_how_large(checkpoint, elsewhere, monkeypatch, capsys):
    monkeypatch.delenv("EVALKIT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(elsewhere / "home"))
    command = ["run", "--model", str(checkpoint), "--tasks", "world_pronouns", "--limit", "2", "--out"]
    assert main([*command, "a", "--no-cache"]) == 0
    assert not (elsewhere / "home" / "evalkit" / "responses.sqlite").exists()
    assert main([*command, "b"]) == 0
    assert (elsewhere / "home" / "evalkit" / "responses.sqlite").is_file()
    monkeypatch.setenv("EVALKIT_CACHE", str(elsewhere / "toy.txt" / "cache"))
    (elsewhere / "toy.txt").write_text("")
    assert main([*command, "c"]) == 0
    assert capsys.readouterr().err.count("evalkit: warning: continuing without the cache") == 1
    monkeypatch.setenv("EVALKIT_CACHE_SIZE", "much")
    assert main([*command, "d"]) == 2
    assert "EVALKIT_CACHE_SIZE='much': expected a size such as 500M" in capsys.readouterr().err
