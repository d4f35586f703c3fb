"""The workflows of docs/ci.md: they are valid YAML, and their script lines run, on a few documents."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parent.parent
PAGE = (REPOSITORY / "docs" / "ci.md").read_text(encoding="utf-8")
SMALL = {"MODEL": "nano", "TASKS": "world_qa,world_lastword", "LIMIT": "8"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


GITHUB, GITLAB = (yaml.safe_load(block) for block in blocks("yaml"))
[BASELINE] = blocks("bash")


def steps() -> list[str]:
    return [step["run"] for step in GITHUB["jobs"]["regression"]["steps"] if "run" in step]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with `evalkit` on the path, and a pip and a gh that only note what they were asked."""
    home = tmp_path_factory.mktemp("ci")
    (home / "bin").mkdir()
    programs = {
        "evalkit": f'exec "{sys.executable}" -m evalkit.cli "$@"',
        "pip": f'echo pip "$@" >> "{home}/asked"',
        "gh": f'echo gh "$@" >> "{home}/asked"; test -s compare.md',
    }
    for name, body in programs.items():
        path = home / "bin" / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
    assert execute(home, BASELINE).returncode == 0
    return home


def execute(home: Path, script: str, **extra: str) -> subprocess.CompletedProcess[str]:
    paths = {"PATH": f"{home / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(REPOSITORY)}
    environment = {**os.environ, **SMALL, **paths, "PULL_REQUEST": "7", **extra}
    return subprocess.run(["bash", "-e", "-c", script], cwd=home, env=environment, capture_output=True, text=True)


def test_the_github_workflow_runs(folder):
    assert GITHUB["env"].keys() == SMALL.keys() and len(steps()) == 4
    done = [execute(folder, script, GITHUB_STEP_SUMMARY=str(folder / "summary.md")) for script in steps()]
    assert [step.returncode for step in done] == [0] * 4, done[-1].stderr
    assert "no regression found: 2 same of 2 compared" in (folder / "summary.md").read_text()
    assert "gh pr comment 7 --body-file compare.md" in (folder / "asked").read_text()


def test_the_gitlab_job_runs(folder):
    job = GITLAB["evalkit"]
    assert job["variables"].keys() == SMALL.keys()
    done = execute(folder, "\n".join(job["script"]))
    assert done.returncode == 0, done.stderr
    for path in (*job["artifacts"]["paths"], job["artifacts"]["reports"]["junit"]):
        assert (folder / path).stat().st_size > 0


@pytest.mark.parametrize("script", ["\n".join(steps()[:3]), "\n".join(GITLAB["evalkit"]["script"])])
def test_the_workflows_fail_on_other_documents(folder, script):
    done = execute(folder, script.replace("runs/new", "runs/fewer"), LIMIT="5")
    assert done.returncode == 2 and "documents differ" in done.stderr
