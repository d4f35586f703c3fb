"""A small runner of GitHub's workflows: shell steps in a local repository, conditions, composite actions.

It knows what the recipes use: `run`, `env`, `if`, `id`, outputs, inputs with defaults. Actions of others are noted, not
run.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

_EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
_NAME = re.compile(r"'[^']*'|\b(?:github|inputs|steps|runner)(?:\.[\w-]+)+")


@dataclass
class Job:
    """One run of a job's steps. context: github and runner; own: "OWNER/NAME" -> folder of an action to run."""

    folder: Path
    environment: Mapping[str, str]
    context: Mapping[str, Any]
    own: Mapping[str, Path]
    failed: bool = False
    uses: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)
    ran: list[str] = field(default_factory=list)
    output: str = ""

    def run(self, job: Mapping[str, Any], *, env: Mapping[str, str] | None = None) -> Job:
        """Run all steps, and return itself."""
        self._steps(job["steps"], {**self.context, "steps": {}, "inputs": {}}, dict(env or {}))
        return self

    def _steps(self, steps: Sequence[Mapping[str, Any]], context: dict[str, Any], env: dict[str, str]) -> None:
        for number, step in enumerate(steps):
            name = step.get("id", f"step{number}")
            chosen = self._holds(step.get("if", "success()"), context)
            context["steps"][name] = {"outcome": "skipped", "outputs": {}}
            if not chosen:
                continue
            before, self.failed = self.failed, False
            if "uses" in step:
                self._use(step, context)
            else:
                context["steps"][name]["outputs"] = self._shell(step, context, env)
            context["steps"][name]["outcome"] = "failure" if self.failed else "success"
            self.failed |= before

    def _use(self, step: Mapping[str, Any], context: Mapping[str, Any]) -> None:
        given = {key: self._filled(value, context) for key, value in step.get("with", {}).items()}
        action, _, version = step["uses"].partition("@")
        assert version, f"{action} is not pinned to a version"
        if action not in self.own:
            self.uses.append((step["uses"], given))
            return
        path = self.own[action]
        described = yaml.safe_load((path / "action.yml").read_text(encoding="utf-8"))
        inputs = described["inputs"]
        assert given.keys() <= inputs.keys() and all(
            key in given for key, entry in inputs.items() if entry.get("required")
        )
        inner = {**context, "github": {**context["github"], "action_path": str(path)}, "steps": {}}
        defaults = {key: self._filled(entry.get("default", ""), inner) for key, entry in inputs.items()}
        self._steps(described["runs"]["steps"], {**inner, "inputs": {**defaults, **given}}, {})

    def _shell(self, step: Mapping[str, Any], context: Mapping[str, Any], env: Mapping[str, str]) -> dict[str, str]:
        out = self.folder.parent / "outputs"
        out.write_text("")
        filled = {key: self._filled(value, context) for key, value in {**env, **step.get("env", {})}.items()}
        assert "${{" not in step["run"], "an expression in a script could run what a branch's name says"
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", step["run"]], cwd=self.folder,
            env={**os.environ, **self.environment, **filled, "GITHUB_OUTPUT": str(out)}, capture_output=True, text=True,
        )  # fmt: skip
        self.ran.append(step["name"])
        self.output += done.stdout + done.stderr
        self.failed = done.returncode != 0
        return dict(line.split("=", 1) for line in out.read_text().splitlines())

    def _filled(self, value: object, context: Mapping[str, Any]) -> str:
        return _EXPRESSION.sub(lambda match: str(self._value(match[1], context)), str(value))

    def _holds(self, condition: str, context: Mapping[str, Any]) -> bool:
        expression = condition.strip().removeprefix("${{").removesuffix("}}")
        return bool(self._value(expression, context)) and ("always()" in condition or not self.failed)

    def _value(self, expression: str, context: Mapping[str, Any]) -> Any:
        """Evaluate names, texts, ==, !=, &&, ||, always() and success()."""

        def looked_up(match: re.Match[str]) -> str:
            if match[0].startswith("'"):
                return match[0]
            value: Any = context
            for part in match[0].split("."):
                value = value.get(part, "") if isinstance(value, Mapping) else ""
            return repr(value)

        python = _NAME.sub(looked_up, " ".join(expression.split()).replace("&&", " and ").replace("||", " or "))
        return eval(python, {"always": lambda: True, "success": lambda: True})
