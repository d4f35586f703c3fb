"""The workflows of docs/ci.md and the action gate a small repository: a model in git, a baseline, pull requests."""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.workflows import Job

REPOSITORY = Path(__file__).resolve().parent.parent
PAGE = (REPOSITORY / "docs" / "ci.md").read_text(encoding="utf-8")
SMALL = {"TASKS": "world_lastword,world_qa", "LIMIT": "40", "MODEL": "checkpoints/mine"}

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("git") is None, reason="needs git")]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


WITH_ACTION, WITH_STEPS, GITLAB = (yaml.safe_load(block) for block in blocks("yaml"))
[BASELINE] = [script for script in blocks("sh") if "$MODEL" in script]
ACTION = yaml.safe_load((REPOSITORY / "action.yml").read_text(encoding="utf-8"))


class Project:
    """A user's repository with a checkpoint and its baseline on the main branch, and a machine of a CI service.

    `evalkit` is on the path; pip and gh only note what they were asked.
    """

    def __init__(self, home: Path):
        self.home, self.folder = home, home / "work"
        self.notes = home / "notes"
        (home / "bin").mkdir()
        self.program("evalkit", f'exec "{sys.executable}" -m evalkit.cli "$@"')
        for name in ("pip", "gh"):
            self.program(name, f'echo {name} "$@" >> "{self.notes}"')
        self.folder.mkdir()
        self.shell("git init --quiet --initial-branch=main .")
        self.shell("evalkit export nano --to checkpoints/mine")
        self.shell(BASELINE)
        self.commit("main", "a model and its baseline")
        for branch, model in (("better-docs", "nano"), ("smaller-model", "pico")):
            self.shell(
                f"git checkout --quiet -b {branch} main; rm -r checkpoints; echo {branch} > NEWS;"
                f"evalkit export {model} --to checkpoints/mine"
            )
            self.commit(branch, branch)

    def program(self, name: str, body: str) -> None:
        path = self.home / "bin" / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    @property
    def environment(self) -> dict[str, str]:
        cache = {"EVALKIT_CACHE": str(self.home / "cache"), "HOME": str(self.home), "CI_PROJECT_DIR": str(self.folder)}
        who = {f"GIT_{role}_{key}": "ci@example.org" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}
        return {
            **SMALL,
            **cache,
            **who,
            "PATH": f"{self.home / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(REPOSITORY),
        }

    def shell(self, script: str, **extra: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, **self.environment, **extra}
        done = subprocess.run(
            ["bash", "-e", "-c", script], cwd=self.folder, env=environment, capture_output=True, text=True
        )
        assert extra or done.returncode == 0, done.stderr
        return done

    def commit(self, branch: str, message: str) -> None:
        self.shell(f"git add checkpoints baselines; git add -A -- ':!runs'; git commit --quiet -m '{message}'")

    def pull(self, workflow: dict, branch: str, *, fork: bool = False, **inputs: str) -> Job:
        """Run a workflow for a pull request from a branch, in a fresh clone as CI has it."""
        self.notes.write_text("")
        clone = self.home / "clone"
        shutil.rmtree(clone, ignore_errors=True)
        self.shell(f"git clone --quiet --depth 1 --branch {branch} file://{self.folder} {clone}")
        head = {"repo": {"full_name": "someone/fork" if fork else "me/models"}}
        github = {
            "repository": "me/models", "event_name": "pull_request", "sha": "0123abc", "token": "secret",
            "event": {"pull_request": {"number": 7, "head": head}},
        }  # fmt: skip
        summary = self.home / "summary.md"
        summary.write_text("")
        environment = {**self.environment, "GITHUB_STEP_SUMMARY": str(summary)}
        job = Job(clone, environment, {"github": github, "runner": {"os": "Linux"}}, {"OWNER/evalkit": REPOSITORY})
        [described] = copy.deepcopy(workflow["jobs"]).values()
        for step in described["steps"]:
            if step.get("uses", "").startswith("OWNER/evalkit"):
                step["with"] |= {"tasks": SMALL["TASKS"], "limit": SMALL["LIMIT"], **inputs}
        return job.run(described, env={**workflow.get("env", {}), **{k: SMALL[k] for k in workflow.get("env", {})}})


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return Project(tmp_path_factory.mktemp("ci"))


WORKFLOWS = pytest.mark.parametrize("workflow", [WITH_ACTION, WITH_STEPS], ids=["action", "steps"])


@WORKFLOWS
def test_a_pull_request_that_changes_nothing_passes(workflow, project):
    job = project.pull(workflow, "better-docs")
    assert not job.failed, job.output
    assert job.ran == ["Install", "Evaluate", "Compare", "Comment"]
    assert "no regression found: 2 same of 2 compared" in (project.home / "summary.md").read_text()
    [comment] = [line for line in project.notes.read_text().splitlines() if line.startswith("gh ")]
    assert comment.startswith("gh pr comment 7 ")
    assert {"--edit-last", "--create-if-none", "--body-file"} <= set(comment.split())
    page = project.home / "clone" / comment.split()[-1]
    assert page.read_text().startswith("### evalkit: no regression found")
    cached = {given["path"]: given for name, given in job.uses if name.startswith("actions/cache@")}
    answers = cached["~/.cache/evalkit"]
    assert answers["key"] == "evalkit-Linux-0123abc" and answers["key"].startswith(answers["restore-keys"])
    [python] = [given for name, given in job.uses if name.startswith("actions/setup-python@")]
    assert python.get("cache") == "pip" or cached["~/.cache/pip"]["key"] == "evalkit-pip-Linux-3.11-"


@WORKFLOWS
def test_a_worse_model_fails_the_job_and_is_commented_on(workflow, project):
    job = project.pull(workflow, "smaller-model")
    assert job.failed and job.ran[-1] == "Comment"
    page = next((project.home / "clone").rglob("compare.md")).read_text()
    assert page.startswith("### evalkit: regression: ") and "| world_lastword | 0 |" in page
    assert len(page.splitlines()) <= 60


@WORKFLOWS
def test_a_fork_cannot_comment_and_has_the_summary(workflow, project):
    job = project.pull(workflow, "smaller-model", fork=True)
    assert job.failed and "Comment" not in job.ran and "gh " not in project.notes.read_text()
    assert "### evalkit: regression" in (project.home / "summary.md").read_text()


def test_the_action_passes_its_inputs_on(project):
    job = project.pull(
        WITH_ACTION, "better-docs", **{
            "limit": "30", "margin": "1.5 world_qa=3", "run-arguments": "--shots '0' --seeds 2", "out": "found here",
            "compare-arguments": "--allow documents --allow 'tasks,seeds' --strict", "comment": "false",
            "install": "evalkit==0.1.0 'a b'",
        }
    )  # fmt: skip
    assert job.failed and job.ran == ["Install", "Evaluate", "Compare"] and "not decided (--strict)" in job.output
    assert "pip install evalkit==0.1.0 a b" in project.notes.read_text()
    out = project.home / "clone" / "found here"
    settings = json.loads((out / "compare.json").read_text())["settings"]
    assert settings["margins"] == {"": 1.5, "world_qa": 3.0} and settings["strict"]
    assert settings["allow"] == ["documents", "tasks", "seeds"]
    results = json.loads((out / "run" / "results.json").read_text())["results"]
    assert {row["n"] for row in results if not row["level"]} == {30} and all(
        "|seeds:2|" in r["signature"] for r in results
    )


def test_a_model_that_cannot_be_read_leaves_nothing_to_comment_on(project):
    job = project.pull(WITH_ACTION, "better-docs", model="checkpoints/gone", extras="hub,hf")
    assert job.failed and job.ran == ["Install", "Evaluate"]
    constraints = REPOSITORY / "constraints.txt"
    assert f"pip install --constraint {constraints} {REPOSITORY}[hub,hf]" in project.notes.read_text()


def test_the_action_says_what_it_takes():
    assert ACTION["runs"]["using"] == "composite"
    assert all(entry["description"] for entry in [*ACTION["inputs"].values(), *ACTION["outputs"].values()])
    scripts = [step for step in ACTION["runs"]["steps"] if "run" in step]
    assert all(step["shell"] == "bash" for step in scripts)  # GitHub demands it of composite actions
    used = set(re.findall(r"inputs\.([\w-]+)", (REPOSITORY / "action.yml").read_text(encoding="utf-8")))
    assert used == ACTION["inputs"].keys()


def test_the_gitlab_job_gates(project):
    job = GITLAB["evalkit"]
    assert SMALL.keys() <= job["variables"].keys() and job["cache"]["paths"] == [".cache/"]
    caches = {key: value for key, value in job["variables"].items() if key not in SMALL}
    assert all(value.startswith("$CI_PROJECT_DIR/.cache/") for value in caches.values())
    for branch, code in (("better-docs", 0), ("smaller-model", 1)):
        project.shell(f"git checkout --quiet {branch}; rm -rf runs compare.*")
        done = project.shell("\n".join(job["script"]), CI="1")
        assert done.returncode == code, done.stderr
        for path in (*job["artifacts"]["paths"], job["artifacts"]["reports"]["junit"]):
            assert (project.folder / path).stat().st_size > 0


def test_the_workflows_fail_on_other_documents(project):
    job = project.pull(WITH_ACTION, "better-docs", limit="5")
    assert job.failed and "documents differ" in job.output and job.ran[-1] == "Comment"
    assert "not compared" in (project.home / "summary.md").read_text()
