"""The task files of CONTRIBUTING.md run as they stand there."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path

import pytest

from evalkit.cli import main
from evalkit.data.sources import DataPaths
from evalkit.harness import catalog
from evalkit.harness.check import check_task

PAGE = (Path(__file__).resolve().parent.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
ROWS, FILE = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_a_task_from_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "capitals.py"
    path.write_text(ROWS)
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(path), run_name="__main__")
    assert "capitals" in capsys.readouterr().out
    assert main(["run", "--model", "nano", "--tasks", str(path), "--shots", "2"]) == 0


def test_a_task_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, data = tmp_path / "mine.py", tmp_path / "test.jsonl"
    path.write_text(FILE)
    rows = [("France", "Paris"), ("Italy", "Rome"), ("Norway", "Oslo"), ("Greece", "Athens"), ("Spain", "Madrid")]
    data.write_text("".join(json.dumps({"country": c, "capital": k}) + "\n" for c, k in rows))
    [task] = catalog.load_file(path)
    check_task(task, DataPaths(named={"capitals": data}))
    assert main(["tasks", str(path), "--shots", "2", "--data", f"capitals={data}", "--model", "nano"]) == 0
    assert capsys.readouterr().out.count("Q: What is the capital of") == 3
