"""The repository's own workflows and forms fit the project: versions, make's targets, tools."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

import evalkit

REPOSITORY = Path(__file__).resolve().parent.parent
GITHUB = REPOSITORY / ".github"
WORKFLOWS = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((GITHUB / "workflows").glob("*.yml"))}
PROJECT = (REPOSITORY / "pyproject.toml").read_text()


def steps(workflow: str) -> list[dict]:
    return [step for job in WORKFLOWS[workflow]["jobs"].values() for step in job.get("steps", ())]


def test_the_pythons_of_the_tests_are_those_that_the_package_names():
    tested = WORKFLOWS["tests"]["jobs"]["tests"]["strategy"]["matrix"]["python"]
    assert tested == re.findall(r"Python :: (3\.\d+)", PROJECT)
    assert f'requires-python = ">={tested[0]}"' in PROJECT


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_every_action_has_a_version_and_every_target_exists(workflow):
    targets = set(re.findall(r"^([\w-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    for step in steps(workflow):
        assert re.fullmatch(r"[\w.-]+/[\w.-]+@(v\d+|release/v\d+)", step.get("uses", "a/b@v1"))
        assert set(re.findall(r"^make (\S+)", step.get("run", ""), re.MULTILINE)) <= targets


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_rights_are_stated_and_jobs_end(workflow):
    assert WORKFLOWS[workflow]["permissions"] == {"contents": "read"}
    for job in WORKFLOWS[workflow]["jobs"].values():
        assert "uses" in job or job["timeout-minutes"] <= 30


def test_only_a_tested_tag_of_this_version_is_published():
    jobs = WORKFLOWS["publish"]["jobs"]
    assert jobs["pypi"]["needs"] == ["tests", "tag"]
    assert jobs["tests"]["uses"] == "./.github/workflows/tests.yml"
    assert jobs["pypi"]["permissions"] == {"id-token": "write"}  # trusted publishing: no secret is read
    assert "secrets." not in (GITHUB / "workflows" / "publish.yml").read_text()


def test_the_version_is_stated_alike():
    [release] = re.findall(r"^## (\S+) \(", (REPOSITORY / "CHANGELOG.md").read_text(), re.MULTILINE)[:1]
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    assert release == citation["version"] == evalkit.__version__


@pytest.mark.parametrize("form", sorted((GITHUB / "ISSUE_TEMPLATE").glob("*.yml")), ids=lambda path: path.stem)
def test_forms_have_what_github_asks_of_them(form):
    raw = yaml.safe_load(form.read_text())
    assert raw.keys() >= {"name", "description", "body"}
    assert len({field["id"] for field in raw["body"]}) == len(raw["body"])
    assert all(field["type"] == "textarea" and field["attributes"]["label"] for field in raw["body"])


def test_hooks_run_the_tools_of_make_lint():
    raw = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text())
    [local] = [source["hooks"] for source in raw["repos"] if source["repo"] == "local"]
    lint = re.search(r"^lint:.*\n((?:\t.*\n)+)", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    assert {hook["entry"].split("/")[-1].split()[0] for hook in local} == set(re.findall(r"\(BIN\)/(\w+)", lint[1]))
